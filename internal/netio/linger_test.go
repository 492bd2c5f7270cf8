package netio

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Only a write that fails while an answer can come waits, and no longer than
// the connection is open.
func TestLingerTime(t *testing.T) {
	const d = 2 * time.Second
	broken := errors.New("broken pipe")
	for _, test := range []struct {
		name string
		on   bool
		err  error
		end  time.Duration // when the connection is closed; never if 0
		want time.Duration
	}{
		{"sent", true, nil, 0, 0},
		{"failed", true, broken, 0, d},
		{"failed, closed meanwhile", true, broken, time.Second, time.Second},
		{"failed, closed before", true, broken, -1, 0},
		{"failed before the request", false, broken, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLinger(d)
				l.on.Store(test.on)
				switch {
				case test.end < 0:
					l.end()
				case test.end > 0:
					for range 2 { // closing twice is no harm
						time.AfterFunc(test.end, l.end)
					}
				}
				start := time.Now()
				n, err := l.write(make([]byte, 10), func(b []byte) (int, error) { return len(b) - 3, test.err })
				if n != 7 || err != test.err {
					t.Errorf("got %d, %v", n, err)
				}
				if got := time.Since(start); got != test.want {
					t.Errorf("took %v, want %v", got, test.want)
				}
			})
		})
	}
}
