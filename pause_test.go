package porter_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// A beat is an event of a pause, and when it came.
type beat struct {
	porter.Event
	at time.Time
}

// beats returns an observer that notes the events of pauses.
func beats(mu *sync.Mutex, all map[string][]beat) porter.Option {
	return porter.WithObserver(func(ev porter.Event) {
		if ev.Kind == porter.EventPaced || ev.Kind == porter.EventRetry {
			mu.Lock()
			defer mu.Unlock()
			all[ev.Project] = append(all[ev.Project], beat{ev, time.Now()})
		}
	})
}

// checkBeats makes sure that the events of one pause from begun to ended come at
// least every half a minute, each with the time that was left.
func checkBeats(t *testing.T, beats []beat, begun, ended time.Time) {
	t.Helper()
	last := begun
	for _, b := range beats {
		if b.Op == "" || !b.Time.Equal(b.at) {
			t.Errorf("event %+v of no operation, or of another time than %v", b.Event, b.at)
		}
	}
	for _, b := range append(beats, beat{at: ended}) {
		if d := b.at.Sub(last); d > 30*time.Second {
			t.Errorf("nothing was told for %v", d)
		}
		if b.Delay != ended.Sub(b.at) {
			t.Errorf("%v before the end %v were told", ended.Sub(b.at), b.Delay)
		}
		last = b.at
	}
}

// Whatever is paused for, a program can see that it goes on.
func TestPausesTellOfThemselves(t *testing.T) {
	later := http.Header{"Retry-After": {"200"}}
	look := func(ctx context.Context, c *porter.Client, p porter.ProjectRef) error {
		_, err := c.GetExport(ctx, p)
		return err
	}
	wait := func(ctx context.Context, c *porter.Client, p porter.ProjectRef) error {
		_, err := c.WaitForExport(ctx, p)
		return err
	}
	tests := []struct {
		name   string
		call   func(context.Context, *porter.Client, porter.ProjectRef) error
		status int
	}{
		{"a lost turn", look, 429}, {"a retry", look, 503}, {"a lost turn of a wait", wait, 429}, {"a failed poll", wait, 503},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newPacedServer(t, 1, 0)
				s.AddExport(string(s.projects[0]), "owner")
				s.Inject(portertest.Fault{Method: "GET", Do: portertest.Respond(tt.status, later, "Retry later\n")})
				var mu sync.Mutex
				all := map[string][]beat{}
				begun := time.Now()
				if err := tt.call(t.Context(), s.client(t, beats(&mu, all)), s.projects[0]); err != nil {
					t.Fatal(err)
				}
				if d := time.Since(begun); d != 200*time.Second {
					t.Errorf("took %v", d)
				}
				checkBeats(t, all[string(s.projects[0])], begun, time.Now())
			})
		})
	}
}

func TestTurnsTellOfThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPacedServer(t, 40, 0)
		var mu sync.Mutex
		all := map[string][]beat{}
		c := s.client(t, beats(&mu, all))
		begun := time.Now()
		var wg sync.WaitGroup
		for _, p := range s.projects {
			wg.Go(func() {
				if err := c.ScheduleExport(t.Context(), p, nil); err != nil {
					t.Error(err)
				}
				mu.Lock()
				told := all[string(p)]
				mu.Unlock()
				checkBeats(t, told, begun, time.Now())
			})
		}
		wg.Wait()
		if d := time.Since(begun); d != 6*time.Minute {
			t.Errorf("took %v", d)
		}
	})
}

// Who is behind waiters that give up hears that it waits less.
func TestTurnsTellOfLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPacedServer(t, 25, 0)
		var mu sync.Mutex
		all := map[string][]beat{}
		c := s.client(t, beats(&mu, all))
		if _, err := c.GetExport(t.Context(), s.projects[0]); err != nil { // tells the server's time
			t.Fatal(err)
		}
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for i, p := range s.projects {
			wg.Go(func() {
				if i < 6 || i == 24 {
					if err := c.ScheduleExport(t.Context(), p, nil); err != nil {
						t.Error(err)
					}
				} else if err := c.ScheduleExport(ctx, p, nil); err == nil {
					t.Errorf("%s did not wait", p)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		var told []time.Duration
		for _, b := range all[string(s.projects[24])] {
			told = append(told, b.Delay)
		}
		if len(told) != 2 || told[0] != 4*time.Minute || told[1] != 30*time.Second || time.Since(begun) != time.Minute {
			t.Errorf("told %v, and waited %v", told, time.Since(begun))
		}
	})
}

// All clients that are derived from one share its polls, however fast they poll.
func TestPollsShared(t *testing.T) {
	for name, tt := range map[string]struct {
		pacing      []porter.Option
		least, most int // polls in any minute of the server's clock
	}{
		"default":  {nil, 85, 90},
		"ten":      {[]porter.Option{porter.WithPacing(porter.Pacing{Polls: 10})}, 5, 10}, // one for each wait
		"no limit": {[]porter.Option{porter.WithPacing(porter.Pacing{Polls: -1})}, 5 * 59, 5 * 60},
		"no pace":  {[]porter.Option{porter.WithoutPacing()}, 5 * 59, 5 * 60},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen tally
				s := newPacedServer(t, 5, 0, portertest.OnRequest(seen.add))
				c := s.client(t, append([]porter.Option{porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(time.Second),
					Grace: time.Hour})}, tt.pacing...)...)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				var wg sync.WaitGroup
				for _, p := range s.projects {
					d, err := c.With()
					if err != nil {
						t.Fatal(err)
					}
					wg.Go(func() {
						_, err := d.WaitForExport(ctx, p)
						if err == nil || !strings.Contains(err.Error(), "deadline") {
							t.Errorf("%s: %v", p, err)
						}
					})
				}
				wg.Wait()
				looks := seen.minutes(isLook)
				for minute, n := range looks[:5] {
					if n > tt.most || n < tt.least {
						t.Errorf("%d polls in minute %d, want %d to %d", n, minute, tt.least, tt.most)
					}
				}
			})
		})
	}
}

// A wait keeps away from a limit for all requests that the answers tell of.
func TestPollsKeepAwayFromThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPacedServer(t, 30, 20*time.Second, portertest.GlobalThrottle(300, 20*time.Minute), portertest.NoLimits())
		c := s.client(t, porter.WithPolling(porter.Polling{Grace: time.Hour}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var wg sync.WaitGroup
		for _, p := range s.projects {
			wg.Go(func() { c.WaitForExport(ctx, p) })
		}
		for range 29 { // what else the user does has room
			time.Sleep(2 * time.Minute)
			if err := c.ScheduleExport(t.Context(), s.projects[0], nil); err != nil {
				t.Log(err)
			}
		}
		wg.Wait()
		if n := refusals(s.Server, http.StatusTooManyRequests); n > 0 {
			t.Errorf("%d requests were refused", n)
		}
		if n := len(s.Requests()); n < 750 || n > 900 {
			t.Errorf("%d requests, of 900 that were allowed", n)
		}
	})
}
