package pace

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter/internal/wait"
)

// turn waits for a turn as a client does.
func turn(ctx context.Context, p *Pacer, b Budget, lost *Turn) (*Turn, error) {
	t := p.Ask(b, lost)
	for d := t.Left(); d > 0; d = t.Left() {
		if err := wait.SleepOr(ctx, min(d, 30*time.Second), t.Given()); err != nil {
			t.NotSent()
			return nil, err
		}
	}
	return t, nil
}

// seen is what one goroutine of TestLine saw of its turn.
type seen struct {
	key          string
	place        int
	asked, given time.Time // of those that gave up, when they did
	gaveUp       bool
}

// Whoever gives up, turns are given in the order in which they were asked for, and
// in no minute fewer than there could be.
func TestLine(t *testing.T) {
	for range 50 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testLine(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func testLine(t *testing.T, random *rand.Rand) {
	limits := map[string]int{"export": 1 + random.IntN(8), "import": 1 + random.IntN(3)}
	p := NewPacer(new(Clock))
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []seen
	for place := range 30 + random.IntN(100) {
		key := "export"
		if random.IntN(4) == 0 {
			key = "import"
		}
		ctx, cancel := t.Context(), context.CancelFunc(func() {})
		if random.IntN(3) == 0 {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(random.Int64N(int64(10*time.Minute))))
		}
		returns := random.IntN(20) == 0
		wg.Go(func() {
			defer cancel()
			s := seen{key: key, place: place, asked: time.Now()}
			turn, err := turn(ctx, p, Budget{Key: key, Limit: limits[key]}, nil)
			s.given, s.gaveUp = time.Now(), err != nil
			if err == nil && returns {
				turn.NotSent()
				s.gaveUp = true
			} else if err == nil {
				turn.Counted()
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, s)
		})
		synctest.Wait() // so that it has asked
		if random.IntN(3) == 0 {
			time.Sleep(time.Duration(random.Int64N(int64(20 * time.Second))))
		}
	}
	wg.Wait()
	for key, limit := range limits {
		checkLine(t, slices.DeleteFunc(slices.Clone(all), func(s seen) bool { return s.key != key }), limit)
	}
}

// checkLine checks those who asked for one budget.
func checkLine(t *testing.T, all []seen, limit int) {
	t.Helper()
	slices.SortFunc(all, func(a, b seen) int { return cmp.Compare(a.place, b.place) })
	used, counted := map[int64]int{}, map[int64]int{} // at the edge of a minute a turn counts in the next as well
	var last seen
	for _, s := range all {
		if s.gaveUp {
			continue
		}
		if s.given.Before(last.given) {
			t.Errorf("%d was given its turn at %v, before %d at %v", s.place, s.given, last.place, last.given)
		}
		last = s
		m := minuteOf(s.given)
		if used[m]++; used[m] > limit {
			t.Errorf("%d turns in a minute, of %d", used[m], limit)
		}
		counted[m]++
		if next := minuteOf(s.given.Add(edge)); next > m {
			counted[next]++
		}
	}
	for _, s := range all {
		for m := minuteOf(s.asked) + 1; m < minuteOf(s.given); m++ { // the first is not whole
			if counted[m] < limit {
				t.Errorf("%d waited through a minute in which only %d turns were used", s.place, counted[m])
			}
		}
	}
}

// Who stands behind one that gives up waits less, and is told so.
func TestLineMovesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := NewPacer(new(Clock)), Budget{Key: "export", Limit: 6}
		var turns []*Turn
		for range 30 {
			turns = append(turns, p.Ask(b, nil))
		}
		last := turns[29]
		if d := last.Left(); d != 4*time.Minute {
			t.Errorf("the last of thirty waits %v", d)
		}
		for _, t := range turns[6:20] {
			t.NotSent()
		}
		if d := last.Left(); d != 2*time.Minute {
			t.Errorf("when fourteen are gone the last waits %v", d)
		}
		turns[0].NotSent() // it was given, so that the next one has it now
		select {
		case <-turns[20].Given():
		default:
			t.Error("the next one waits for a turn that was given back")
		}
		time.Sleep(time.Minute)
		if d := turns[26].Left(); d != 0 {
			t.Errorf("the seventh waits %v more after a minute", d)
		}
		if d := turns[27].Left(); d != time.Minute {
			t.Errorf("the eighth waits %v more after a minute", d)
		}
	})
}

// A turn that was refused is waited for at the place of the first asking.
func TestLineOldPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := NewPacer(new(Clock)), Budget{Key: "export", Limit: 1}
		lost := p.Ask(b, nil)
		behind := p.Ask(b, nil)
		lost.Refused(false)
		again := p.Ask(b, lost)
		time.Sleep(time.Minute + lateness)
		if a, b := again.Left(), behind.Left(); a != 0 || b == 0 {
			t.Errorf("who lost its turn waits %v, who came after it %v", a, b)
		}
	})
}

// Those who wait for projects of a namespace stand in one line once the server
// turns out to count them together.
func TestLineOfNamespace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPacer(new(Clock))
		ask := func(project string) *Turn { return p.Ask(Budget{Key: project, Limit: 1, Wider: "namespace"}, nil) }
		first, second := ask("a"), ask("b")
		var waiting []*Turn
		for _, project := range []string{"b", "a", "b", "c", "a"} {
			waiting = append(waiting, ask(project))
		}
		first.Counted()
		second.Refused(true)
		for i, turn := range waiting {
			want := time.Duration(i+1) * time.Minute
			if i >= 3 {
				want -= time.Minute // c was free before that was known
			}
			if got := turn.Left(); i != 3 && got != want {
				t.Errorf("%d waits %v, want %v", i, got, want)
			}
		}
	})
}

// Processes of one user that are refused ask at different moments of the next
// minutes, and one by one.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := NewPacer(new(Clock)), Budget{Key: "export", Limit: 6}
		time.Sleep(30 * time.Second)
		p.Ask(b, nil).Refused(false)
		atOnce, late := 0, 0
		for minute := range 8 {
			time.Sleep(untilNextMinute())
			begun, last := time.Now(), time.Now().Add(-time.Minute)
			for range 6 {
				turn, err := turn(t.Context(), p, b, nil)
				if err != nil {
					t.Fatal(err)
				}
				if d := time.Since(last); d < apart(b.Limit) {
					t.Errorf("minute %d: %v after the one before", minute, d)
				}
				last = time.Now()
				turn.Counted()
			}
			if d := last.Sub(begun); d > lateness+5*apart(b.Limit) {
				t.Errorf("minute %d: the last turn came after %v", minute, d)
			}
		}
		for range 100 {
			p.crowds["export"].until++
			time.Sleep(untilNextMinute())
			if p.crowds["export"].next(time.Now()).After(time.Now()) {
				late++
			} else {
				atOnce++
			}
		}
		if atOnce < 10 || late < 10 {
			t.Errorf("%d minutes began at once, %d late", atOnce, late)
		}
		time.Sleep(4 * time.Minute) // by then it is forgotten
		begun := time.Now()
		for range 6 {
			if _, err := turn(t.Context(), p, b, nil); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(begun); d > 0 {
			t.Errorf("long after a refusal six turns took %v", d)
		}
	})
}

// What those in a crowd are told of the time they wait.
func TestCrowdLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := NewPacer(new(Clock)), Budget{Key: "export", Limit: 6}
		time.Sleep(10 * time.Second)
		p.crowds[b.Key] = &crowd{until: minuteOf(time.Now()) + 10, at: time.Now().Add(8 * time.Second)}
		for i, want := range []time.Duration{8, 13, 18, 23, 28, 33, 50, 50, 50, 50, 50, 50, 110} {
			if got := p.Ask(b, nil).Left(); got != want*time.Second {
				t.Errorf("%d waits %v, want %v", i, got, want*time.Second)
			}
		}
	})
}

func untilNextMinute() time.Duration {
	return time.Until(time.Now().Truncate(time.Minute).Add(time.Minute))
}

// date has the clock learn the time.
func date(c *Clock, at time.Time) { c.Learn(http.Header{"Date": {at.UTC().Format(http.TimeFormat)}}) }

// A server's clock that jumps neither loses those who wait nor lets them all go.
func TestLineWhenTheClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{0, 25 * time.Second, -25 * time.Second, 7*time.Hour + 20*time.Second, -7 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			clock := new(Clock)
			date(clock, time.Now())
			p, b := NewPacer(clock), Budget{Key: "export", Limit: 6}
			begun := time.Now()
			var wg sync.WaitGroup
			for range 30 {
				wg.Go(func() {
					if _, err := turn(t.Context(), p, b, nil); err != nil {
						t.Error(err)
					}
				})
			}
			time.Sleep(90 * time.Second)
			date(clock, time.Now().Add(jump))
			wg.Wait()
			if d := time.Since(begun); d < 3*time.Minute || d > 6*time.Minute {
				t.Errorf("jump of %v: thirty turns took %v", jump, d)
			}
		})
	}
}
