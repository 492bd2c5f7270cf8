package netio

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// ErrStalled is a connection on which nothing moved.
var ErrStalled = errors.New("stalled: no byte moved within the stall timeout")

// A Watchdog breaks a connection off on which nothing moves. It is armed only
// while the network has to do something, not while a caller or source is slow.
//
// It is armed for every read, so that only notes the time; the timer looks at
// it when it fires. Resetting the timer each time would wake the runtime's
// poller.
type Watchdog struct {
	d      time.Duration // 0 if stalls are not watched for
	ctx    context.Context
	cancel context.CancelCauseFunc
	made   time.Time
	until  atomic.Int64 // in nanoseconds after made; 0 while it is not armed
	timer  *time.Timer
	ticks  atomic.Bool // the timer will fire
}

// NewWatchdog returns a disarmed watchdog, and a context that ends when it is
// stopped or, while it is armed, when nothing moved for d.
func NewWatchdog(ctx context.Context, d time.Duration) (context.Context, *Watchdog) {
	w := &Watchdog{d: d, made: time.Now()}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	if d > 0 {
		w.ticks.Store(true)
		w.timer = time.AfterFunc(d, w.look)
	}
	return w.ctx, w
}

// Arm gives the network the whole time anew.
func (w *Watchdog) Arm() { w.armFor(w.d) }

// ArmForAnswer arms it for the answer to a POST that was sent whole. Nobody
// would send that again, so it has longer: GitLab's front server waits five
// minutes for it.
func (w *Watchdog) ArmForAnswer() { w.armFor(answerStalls * w.d) }

// answerStalls makes six minutes of the default stall timeout.
const answerStalls = 3

func (w *Watchdog) armFor(d time.Duration) {
	if d > 0 {
		w.until.Store(int64(time.Since(w.made) + d))
		w.lookIn(min(d, w.d)) // it may be armed for less meanwhile
	}
}

// Disarm lets the connection rest.
func (w *Watchdog) Disarm() { w.until.Store(0) }

func (w *Watchdog) lookIn(d time.Duration) {
	if w.ticks.CompareAndSwap(false, true) {
		w.timer.Reset(d)
	}
}

func (w *Watchdog) look() {
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

// Stop ends the watch, and the context.
func (w *Watchdog) Stop() {
	w.Disarm()
	w.cancel(nil)
	if w.timer != nil {
		w.timer.Stop()
	}
}

// Stalled reports whether the watchdog ended the context.
func (w *Watchdog) Stalled() bool { return context.Cause(w.ctx) == ErrStalled }
