package netio

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestWatchdog lets a watchdog live through some steps, and looks at when the
// connection was taken for stalled.
func TestWatchdog(t *testing.T) {
	const d = 20 * time.Second
	type steps = map[time.Duration]func(*Watchdog) // by when they are taken
	arm, disarm, answer, stop := (*Watchdog).Arm, (*Watchdog).Disarm, (*Watchdog).ArmForAnswer, (*Watchdog).Stop
	for _, test := range []struct {
		name  string
		d     time.Duration
		steps steps
		want  time.Duration // 0 if never
	}{
		{"never armed", d, nil, 0},
		{"armed", d, steps{time.Second: arm}, time.Second + d},
		{"armed late", d, steps{time.Hour: arm}, time.Hour + d},
		{"something moves", d, steps{0: arm, d - 1: arm, 2 * (d - 1): arm}, 3*d - 2},
		{"disarmed in time", d, steps{0: arm, d - 1: disarm}, 0},
		{"disarmed in between", d, steps{0: arm, d - 1: disarm, time.Hour: arm}, time.Hour + d},
		{"waits for an answer", d, steps{0: answer}, 3 * d},
		{"the answer begins", d, steps{0: answer, d / 2: arm}, d/2 + d},
		{"the answer begins, after a rest", d, steps{time.Hour: answer, time.Hour + d/2: arm}, time.Hour + d/2 + d},
		{"the answer begins late", d, steps{0: answer, 3*d - 1: arm}, 4*d - 1},
		{"stopped", d, steps{0: arm, d - 1: stop}, 0},
		{"off", 0, steps{0: arm, time.Second: answer, 2 * time.Second: stop}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				ctx, w := NewWatchdog(t.Context(), test.d)
				defer w.Stop()
				var stalled time.Duration
				defer context.AfterFunc(ctx, func() {
					if w.Stalled() {
						stalled = time.Since(start)
					}
				})()
				for after, step := range test.steps {
					time.AfterFunc(after, func() { step(w) })
				}
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				if stalled != test.want {
					t.Errorf("stalled after %v, want %v", stalled, test.want)
				}
				if test.want != 0 && !errors.Is(context.Cause(ctx), ErrStalled) {
					t.Errorf("the cause is %v", context.Cause(ctx))
				}
			})
		})
	}
}
