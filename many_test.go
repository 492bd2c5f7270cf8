package porter_test

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// newLongServer returns a server in memory with projects whose exports take from
// 1 to 30 minutes.
func newLongServer(t *testing.T, projects int, opts ...portertest.Option) (*pacedServer, map[string]time.Duration) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := newPacedServer(t, projects, 17*time.Second, opts...)
	long := map[string]time.Duration{}
	for _, p := range s.projects {
		timing := portertest.Timings{
			Queue: 3 * time.Second, Start: 2 * time.Second, FirstCheck: 10 * time.Second, Check: time.Minute,
			Store: 5 * time.Second, AfterExport: 2 * time.Second,
			Assemble: time.Minute + time.Duration(random.Int64N(int64(29*time.Minute))),
		}
		s.ScriptExport(string(p), portertest.ExportScript{Timing: &timing})
		long[string(p)] = timing.Assemble
	}
	return s, long
}

// bound returns how long it takes to export the projects in the order in which
// they were, with six begun in each minute, and each noticed at once.
func (s *pacedServer) bound(long map[string]time.Duration) time.Duration {
	runs := map[string]time.Time{}
	for project := range long {
		runs[project] = s.Exports(project)[0].Time
	}
	order := slices.SortedFunc(maps.Keys(runs), func(a, b string) int { return runs[a].Compare(runs[b]) })
	var bound time.Duration
	for i, project := range order {
		bound = max(bound, time.Duration(i/6)*time.Minute+long[project])
	}
	return bound
}

// exportAll exports the projects, each by the client that one of them returns,
// in a goroutine of its own.
func exportAll(t *testing.T, projects []porter.ProjectPath, client func(i int) *porter.Client) (took time.Duration) {
	begun := time.Now()
	var wg sync.WaitGroup
	for i, p := range projects {
		c := client(i)
		wg.Go(func() {
			if _, err := c.ExportTo(t.Context(), p, io.Discard, nil); err != nil {
				t.Errorf("%s: %v", p, err)
			}
		})
	}
	wg.Wait()
	return time.Since(begun)
}

// perMinute returns how many requests were made in each minute since the first,
// and the most in any hour.
func (s *pacedServer) perMinute(is func(portertest.Request) bool) (minutes []int, hour int) {
	var times []time.Time
	for _, r := range s.Requests() {
		if is(r) {
			times = append(times, r.Time)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	first := 0
	for i, at := range times {
		m := int(at.Truncate(time.Minute).Sub(times[0].Truncate(time.Minute)) / time.Minute)
		minutes = append(minutes, make([]int, m+1-len(minutes))...)
		minutes[m]++
		for at.Sub(times[first]) >= time.Hour {
			first++
		}
		hour = max(hour, i+1-first)
	}
	return minutes, hour
}

func isAny(portertest.Request) bool { return true }

func isLook(r portertest.Request) bool {
	return r.Method == http.MethodGet && strings.HasSuffix(r.Path, "/export")
}

func isScheduled(r portertest.Request) bool {
	return r.Method == http.MethodPost && strings.HasSuffix(r.Path, "/export") && r.Status == http.StatusAccepted
}

// checkFull makes sure that every minute in which exports were scheduled was
// used up, but the first, which was not whole, and the last.
func (s *pacedServer) checkFull(t *testing.T) {
	t.Helper()
	scheduled, _ := s.perMinute(isScheduled)
	full := 0
	for _, n := range scheduled[1 : len(scheduled)-1] {
		if n == 6 {
			full++
		}
	}
	if whole := len(scheduled) - 2; float64(full) < 0.99*float64(whole) {
		t.Errorf("%d of %d minutes were used up: %v", full, whole, scheduled)
	}
}

// The obvious program, a goroutine for each project, takes hardly longer than
// GitLab's limits make it.
func TestManyExports(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, long := newLongServer(t, 300, portertest.GlobalThrottle(7200, time.Hour))
		c := s.client(t)
		took := exportAll(t, s.projects, func(int) *porter.Client { return c })
		bound := s.bound(long)
		_, hour := s.perMinute(isAny)
		t.Logf("took %v, %.3f of the bound; %d requests in an hour", took, float64(took)/float64(bound), hour)
		if n := refusals(s.Server, http.StatusTooManyRequests); n > 0 {
			t.Errorf("%d requests were refused", n)
		}
		s.checkFull(t)
		if float64(took) > 1.1*float64(bound) {
			t.Errorf("took %v, bound is %v", took, bound)
		}
	})
}

// Five hundred waits at the same time.
func TestManyWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, long := newLongServer(t, 500, portertest.NoLimits())
		c := s.client(t, porter.WithPacing(porter.Pacing{Exports: -1, Downloads: -1}))
		took := exportAll(t, s.projects, func(int) *porter.Client { return c })
		bound := slices.Max(slices.Collect(maps.Values(long)))
		looks, _ := s.perMinute(isLook)
		_, hour := s.perMinute(isAny)
		t.Logf("took %v, %.3f of the longest export; %d requests in an hour; looks by minute %v", took, float64(took)/float64(bound), hour, looks)
		for minute, n := range looks {
			if minute > 0 && n > 90 { // at first each project is looked at before it is exported
				t.Errorf("%d polls in minute %d", n, minute)
			}
		}
		if hour > 7200 {
			t.Errorf("%d requests in an hour", hour)
		}
		if float64(took) > 1.1*float64(bound) {
			t.Errorf("took %v, and the longest export %v", took, bound)
		}
	})
}

// Ten processes of one user, which know nothing of each other.
func TestManyProcesses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		version  string
		throttle int // requests an hour
		most     float64
	}{
		{"18.9", 7200, 1.1},
		// Nothing tells them that they come near to the throttle, and then all
		// wait until its hour is over.
		{"18.4", 7200, 2},
	} {
		t.Run(fmt.Sprint(tt.version, " ", tt.throttle), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, long := newLongServer(t, 300, portertest.Version(tt.version), portertest.GlobalThrottle(tt.throttle, time.Hour))
				var clients []*porter.Client
				for range 10 {
					clients = append(clients, s.client(t))
				}
				took := exportAll(t, s.projects, func(i int) *porter.Client { return clients[i%10] })
				bound := s.bound(long)
				_, hour := s.perMinute(isAny)
				_, polled := s.perMinute(func(r portertest.Request) bool { return isLook(r) && r.Status == http.StatusTooManyRequests })
				refused := refusals(s.Server, http.StatusTooManyRequests)
				t.Logf("took %v, %.3f of the bound; %d requests in an hour; %d refused, of them %d polls",
					took, float64(took)/float64(bound), hour, refused, polled)
				if float64(took) > tt.most*float64(bound) {
					t.Errorf("took %v, bound is %v", took, bound)
				}
				if refused > 2*10*int(took/time.Minute) {
					t.Errorf("%d refused, more than two a minute for each process", refused)
				}
				if tt.version == "18.9" {
					s.checkFull(t)
				}
			})
		})
	}
}
