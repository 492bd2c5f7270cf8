package porter

import (
	"math/rand/v2"
	"time"
)

// A Backoff returns how long to wait before attempt n, counted from 0.
type Backoff func(n int) time.Duration

// ConstantBackoff waits d every time.
func ConstantBackoff(d time.Duration) Backoff {
	return func(int) time.Duration { return d }
}

// ExponentialBackoff doubles from initial up to max, with a jitter of ±20 %
// that never exceeds max.
func ExponentialBackoff(initial, max time.Duration) Backoff {
	return func(n int) time.Duration {
		d := min(initial, max)
		for ; n > 0 && 0 < d && d < max; n-- {
			d += min(d, max-d) // doubled, without an overflow
		}
		if d <= 0 {
			return 0
		}
		jitter := rand.N(d/5*2+1) - d/5
		return d + min(jitter, max-d)
	}
}

// wait returns the backoff's delay, never negative.
func (b Backoff) wait(n int) time.Duration { return max(0, b(n)) }
