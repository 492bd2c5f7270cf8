package porter

import (
	"context"
	"io"
	"math"
	"sync/atomic"
	"time"
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
	armed  atomic.Int64 // 1 + the nanoseconds after made; 0 while it is not armed
	timer  *time.Timer
	ticks  atomic.Bool // the timer will fire
}

// newWatchdog returns a disarmed watchdog, and a context that ends when it is
// stopped or, while it is armed, when nothing moved for d.
func newWatchdog(ctx context.Context, d time.Duration) (context.Context, *watchdog) {
	w := &watchdog{d: d, made: time.Now()}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	if d > 0 {
		w.timer = time.AfterFunc(math.MaxInt64, w.look)
	}
	return w.ctx, w
}

func (w *watchdog) arm() {
	if w.d > 0 {
		w.armed.Store(1 + int64(time.Since(w.made)))
		w.lookIn(w.d)
	}
}

func (w *watchdog) disarm() { w.armed.Store(0) }

func (w *watchdog) lookIn(d time.Duration) {
	if w.ticks.CompareAndSwap(false, true) {
		w.timer.Reset(d)
	}
}

func (w *watchdog) look() {
	w.ticks.Store(false)
	armed := w.armed.Load()
	if armed == 0 || w.ctx.Err() != nil {
		return // until it is armed again
	}
	left := w.d - time.Since(w.made) + time.Duration(armed-1)
	if left <= 0 {
		w.cancel(ErrStalled)
		return
	}
	w.lookIn(left)
}

func (w *watchdog) stop() {
	w.disarm()
	w.cancel(nil)
	if w.timer != nil {
		w.timer.Stop()
	}
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
