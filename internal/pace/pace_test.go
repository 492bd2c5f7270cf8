package pace

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// A pacer keeps nothing of minutes that are over.
func TestPacerForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPacer(new(Clock))
		for i := range 1000 {
			turn, d := p.reserve(Budget{Key: fmt.Sprintf("download:%d", i), Limit: 1, Wider: "downloads"})
			if d != 0 {
				t.Fatalf("waits %v", d)
			}
			switch i % 3 {
			case 0:
				turn.Counted()
			case 1:
				turn.Refused(false) // true would learn that all share a budget
			case 2:
				turn.NotSent()
			}
			time.Sleep(time.Second)
		}
		if n := len(p.used); n > 200 {
			t.Errorf("%d windows", n)
		}
		time.Sleep(10 * time.Minute)
		p.reserve(Budget{Key: "export", Limit: 6})
		if n := len(p.used); n != 1 {
			t.Errorf("%d windows, want 1", n)
		}
	})
}

// Turns that are given back, all of them, leave nothing.
func TestPacerGiveBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPacer(new(Clock))
		time.Sleep(59 * time.Second)
		var turns []*Turn
		for range 20 {
			turn, _ := p.reserve(Budget{Key: "export", Limit: 6})
			turns = append(turns, turn)
		}
		for _, turn := range turns {
			turn.NotSent()
			turn.NotSent() // once counts
		}
		if n := len(p.used); n != 0 {
			t.Errorf("%d windows", n)
		}
	})
}

func TestServerClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Clock
		if d := time.Since(c.Now()); d != 0 {
			t.Errorf("knows the time before it was told: %v off", d)
		}
		date := time.Date(2031, 5, 6, 7, 8, 40, 0, time.UTC)
		c.Learn(http.Header{"Date": {date.Format(http.TimeFormat)}})
		time.Sleep(5500 * time.Millisecond)
		for _, h := range []http.Header{{}, {"Date": {""}}, {"Date": {"yesterday"}}} {
			c.Learn(h)
		}
		if got, want := c.Now(), date.Add(5500*time.Millisecond); !got.Equal(want) {
			t.Errorf("it is %v, want %v", got, want)
		}
		if got, want := c.UntilNextMinute(), 14500*time.Millisecond; got != want {
			t.Errorf("%v until the next minute, want %v", got, want)
		}
	})
}
