package porter_test

import (
	"math"
	"testing"
	"time"

	"github.com/seed-5d77b939/porter"
)

func TestExponentialBackoff(t *testing.T) {
	const s = time.Second
	tests := []struct {
		name         string
		initial, max time.Duration
		n            int
		least, most  time.Duration
	}{
		{"first", 2 * s, 30 * s, 0, 1600 * time.Millisecond, 2400 * time.Millisecond},
		{"second", 2 * s, 30 * s, 1, 3200 * time.Millisecond, 4800 * time.Millisecond},
		{"fourth", 2 * s, 30 * s, 3, 12800 * time.Millisecond, 19200 * time.Millisecond},
		{"at the maximum", 2 * s, 30 * s, 4, 24 * s, 30 * s},
		{"long after", 2 * s, 30 * s, 1000, 24 * s, 30 * s},
		{"endlessly after", 2 * s, 30 * s, math.MaxInt, 24 * s, 30 * s},
		{"negative attempt", 2 * s, 30 * s, -1, 1600 * time.Millisecond, 2400 * time.Millisecond},
		{"initial above maximum", 60 * s, 30 * s, 0, 24 * s, 30 * s},
		{"initial is maximum", 30 * s, 30 * s, 7, 24 * s, 30 * s},
		{"no overflow", s, math.MaxInt64, 1000, math.MaxInt64 / 5 * 4, math.MaxInt64},
		{"smallest", 1, 3, 2, 3, 3},
		{"zero", 0, 30 * s, math.MaxInt, 0, 0},
		{"zero maximum", s, 0, 3, 0, 0},
		{"negative", -s, -s, 3, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := porter.ExponentialBackoff(tt.initial, tt.max)
			least, most := b(tt.n), b(tt.n)
			for range 2000 {
				d := b(tt.n)
				least, most = min(least, d), max(most, d)
			}
			if least < tt.least || most > tt.most {
				t.Errorf("between %v and %v, want between %v and %v", least, most, tt.least, tt.most)
			}
			// 2000 delays leave less than a tenth of the room unused at either end.
			if room := (tt.most - tt.least) / 10; least > tt.least+room || most < tt.most-room {
				t.Errorf("only between %v and %v of %v and %v", least, most, tt.least, tt.most)
			}
		})
	}
}

func TestConstantBackoff(t *testing.T) {
	b := porter.ConstantBackoff(7 * time.Second)
	for _, n := range []int{0, 1, math.MaxInt} {
		if d := b(n); d != 7*time.Second {
			t.Errorf("attempt %d waits %v", n, d)
		}
	}
}
