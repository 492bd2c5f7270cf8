package porter

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/seed-5d77b939/porter/internal/wait"
)

// A watchdog breaks a connection off on which nothing moves. It is armed only
// while the network has to do something, not while a caller or source is slow.
//
// It is armed for every read, so that only notes the time; the timer looks at
// it when it fires. Resetting the timer each time would wake the runtime's
// poller, for 1.1 times the CPU time of a download.
type watchdog struct {
	d      time.Duration // 0 if stalls are not watched for
	ctx    context.Context
	cancel context.CancelCauseFunc
	made   time.Time
	until  atomic.Int64 // in nanoseconds after made; 0 while it is not armed
	timer  *time.Timer
	ticks  atomic.Bool // the timer will fire
}

// newWatchdog returns a disarmed watchdog, and a context that ends when it is
// stopped or, while it is armed, when nothing moved for d.
func newWatchdog(ctx context.Context, d time.Duration) (context.Context, *watchdog) {
	w := &watchdog{d: d, made: time.Now()}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	if d > 0 {
		w.ticks.Store(true)
		w.timer = time.AfterFunc(d, w.look)
	}
	return w.ctx, w
}

func (w *watchdog) arm() { w.armFor(w.d) }

// armForAnswer arms it for the answer to a POST that was sent whole. Nobody
// would send that again, so it has longer: GitLab's front server waits five
// minutes for it.
func (w *watchdog) armForAnswer() { w.armFor(answerStalls * w.d) }

// answerStalls makes six minutes of the default stall timeout.
const answerStalls = 3

func (w *watchdog) armFor(d time.Duration) {
	if d > 0 {
		w.until.Store(int64(time.Since(w.made) + d))
		w.lookIn(min(d, w.d)) // it may be armed for less meanwhile
	}
}

func (w *watchdog) disarm() { w.until.Store(0) }

func (w *watchdog) lookIn(d time.Duration) {
	if w.ticks.CompareAndSwap(false, true) {
		w.timer.Reset(d)
	}
}

func (w *watchdog) look() {
	w.ticks.Store(false)
	until := time.Duration(w.until.Load())
	if until == 0 || w.ctx.Err() != nil {
		return // until it is armed again
	}
	left := until - time.Since(w.made)
	if left <= 0 {
		w.cancel(ErrStalled)
		return
	}
	w.lookIn(min(left, w.d))
}

func (w *watchdog) stop() {
	w.disarm()
	w.cancel(nil)
	if w.timer != nil {
		w.timer.Stop()
	}
}

func (w *watchdog) stalled() bool { return context.Cause(w.ctx) == ErrStalled }

// watchedBody is a response's body that is given up when it stalls or the
// caller's context ends.
type watchedBody struct {
	io.ReadCloser
	w      *watchdog
	ctx    context.Context // of the caller
	unhook func() bool     // nil if it ends with its context by itself
}

func (c *core) watchBody(ctx context.Context, body io.ReadCloser, w *watchdog) *watchedBody {
	b := &watchedBody{ReadCloser: body, w: w, ctx: ctx}
	// Those of net/http end by themselves. Hooked as well, a small call takes
	// 1.02 times as long.
	switch c.bare.Transport.(type) {
	case *http.Transport, *ownTransport:
	default:
		b.unhook = context.AfterFunc(w.ctx, func() { body.Close() })
	}
	return b
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.w.arm()
	n, err := b.ReadCloser.Read(p)
	b.w.disarm()
	if err != nil && err != io.EOF {
		switch {
		case b.ctx.Err() != nil:
			err = wait.Ended(b.ctx)
		case b.w.stalled():
			err = ErrStalled
		}
	}
	return n, err
}

func (b *watchedBody) Close() error {
	if b.unhook != nil {
		b.unhook()
	}
	b.w.stop()
	return b.ReadCloser.Close()
}
