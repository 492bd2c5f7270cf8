package netio

import (
	"context"
	"io"
	"net/http"

	"github.com/seed-5d77b939/porter/internal/wait"
)

// watchedBody is a response's body that is given up when it stalls or the
// caller's context ends.
type watchedBody struct {
	io.ReadCloser
	w      *Watchdog
	ctx    context.Context // of the caller
	unhook func() bool     // nil if it ends with its context by itself
}

// WatchBody returns body, given up when it stalls or when ctx ends, which w was
// made of. Closing it stops w. Unless it ends by itself with the context that
// NewWatchdog returned, it is closed then.
func WatchBody(ctx context.Context, body io.ReadCloser, w *Watchdog, endsByItself bool) io.ReadCloser {
	b := &watchedBody{ReadCloser: body, w: w, ctx: ctx}
	if !endsByItself { // a hook takes time in every small call
		b.unhook = context.AfterFunc(w.ctx, func() { body.Close() })
	}
	return b
}

// BodiesEnd reports whether the bodies of what rt answers end with the context
// of their request by themselves, as those of net/http do.
func BodiesEnd(rt http.RoundTripper) bool {
	switch rt.(type) {
	case *http.Transport, *Transport:
		return true
	}
	return false
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.w.Arm()
	n, err := b.ReadCloser.Read(p)
	b.w.Disarm()
	if err != nil && err != io.EOF {
		switch {
		case b.ctx.Err() != nil:
			err = wait.Ended(b.ctx)
		case b.w.Stalled():
			err = ErrStalled
		}
	}
	return n, err
}

func (b *watchedBody) Close() error {
	if b.unhook != nil {
		b.unhook()
	}
	b.w.Stop()
	return b.ReadCloser.Close()
}
