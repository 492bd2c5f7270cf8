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
			turn := p.Ask(Budget{Key: fmt.Sprintf("download:%d", i), Limit: 1, Wider: "downloads"}, nil)
			if d := turn.Left(); d != 0 {
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
		if used, crowds := len(p.used), len(p.crowds); used > 200 || crowds > 250 {
			t.Errorf("%d windows, %d crowds", used, crowds)
		}
		time.Sleep(12 * time.Minute)
		p.Ask(Budget{Key: "export", Limit: 6}, nil)
		if used, crowds, lines := len(p.used), len(p.crowds), len(p.lines); used != 1 || crowds != 0 || lines != 0 {
			t.Errorf("%d windows, %d crowds, %d lines, want 1 and none", used, crowds, lines)
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
			turns = append(turns, p.Ask(Budget{Key: "export", Limit: 6}, nil))
		}
		for _, turn := range turns {
			turn.NotSent()
			turn.NotSent() // once counts
		}
		if used, lines := len(p.used), len(p.lines); used != 0 || lines != 0 {
			t.Errorf("%d windows, %d lines", used, lines)
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
