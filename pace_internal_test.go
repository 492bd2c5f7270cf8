package porter

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
		p := newPacer(new(serverClock))
		for i := range 1000 {
			turn, d := p.reserve(budget{key: fmt.Sprintf("download:%d", i), limit: 1, wider: "downloads"})
			if d != 0 {
				t.Fatalf("waits %v", d)
			}
			switch i % 3 {
			case 0:
				turn.landed()
			case 1:
				turn.exhausted(false) // true would learn that all share a budget
			case 2:
				turn.giveBack()
			}
			time.Sleep(time.Second)
		}
		if n := len(p.used); n > 200 {
			t.Errorf("%d windows", n)
		}
		time.Sleep(10 * time.Minute)
		p.reserve(budget{key: "export", limit: 6})
		if n := len(p.used); n != 1 {
			t.Errorf("%d windows, want 1", n)
		}
	})
}

// Turns that are given back, all of them, leave nothing.
func TestPacerGiveBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer(new(serverClock))
		time.Sleep(59 * time.Second)
		var turns []*turn
		for range 20 {
			turn, _ := p.reserve(budget{key: "export", limit: 6})
			turns = append(turns, turn)
		}
		for _, turn := range turns {
			turn.giveBack()
			turn.giveBack() // once counts
		}
		if n := len(p.used); n != 0 {
			t.Errorf("%d windows", n)
		}
	})
}

func TestServerClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c serverClock
		if d := time.Since(c.now()); d != 0 {
			t.Errorf("knows the time before it was told: %v off", d)
		}
		date := time.Date(2031, 5, 6, 7, 8, 40, 0, time.UTC)
		c.learn(http.Header{"Date": {date.Format(http.TimeFormat)}})
		time.Sleep(5500 * time.Millisecond)
		for _, h := range []http.Header{{}, {"Date": {""}}, {"Date": {"yesterday"}}} {
			c.learn(h)
		}
		if got, want := c.now(), date.Add(5500*time.Millisecond); !got.Equal(want) {
			t.Errorf("it is %v, want %v", got, want)
		}
		if got, want := c.untilNextMinute(), 14500*time.Millisecond; got != want {
			t.Errorf("%v until the next minute, want %v", got, want)
		}
	})
}
