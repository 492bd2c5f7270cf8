package porter

import (
	"context"
	"io"
	"math"
	"time"
)

// A watchdog breaks a connection off on which nothing moves. It is armed only
// while the network has to do something, not while a caller or source is slow.
type watchdog struct {
	d      time.Duration
	timer  *time.Timer // nil if stalls are not watched for
	ctx    context.Context
	cancel context.CancelCauseFunc
}

// newWatchdog returns a disarmed watchdog, and a context that ends when it is
// stopped or, while it is armed, when nothing moved for d.
func newWatchdog(ctx context.Context, d time.Duration) (context.Context, *watchdog) {
	w := &watchdog{d: d}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	if d > 0 {
		w.timer = time.AfterFunc(math.MaxInt64, func() { w.cancel(ErrStalled) })
	}
	return w.ctx, w
}

func (w *watchdog) arm() {
	if w.timer != nil {
		w.timer.Reset(w.d)
	}
}

func (w *watchdog) disarm() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

func (w *watchdog) stop() {
	w.disarm()
	w.cancel(nil)
}

func (w *watchdog) stalled() bool { return context.Cause(w.ctx) == ErrStalled }

// watchedBody is a response's body that is given up when it stalls.
type watchedBody struct {
	io.ReadCloser
	w   *watchdog
	ctx context.Context // of the caller
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.w.arm()
	n, err := b.ReadCloser.Read(p)
	b.w.disarm()
	if err != nil && err != io.EOF {
		switch {
		case b.ctx.Err() != nil:
			err = contextError(b.ctx)
		case b.w.stalled():
			err = ErrStalled
		}
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.w.stop()
	return b.ReadCloser.Close()
}
