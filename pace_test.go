package porter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// A pacedServer is a GitLab in memory with many projects and its usual limits.
type pacedServer struct {
	*portertest.Server
	projects []porter.ProjectPath
}

// newPacedServer returns a server whose clock is ahead of the local one by skew.
func newPacedServer(t *testing.T, projects int, skew time.Duration, opts ...portertest.Option) *pacedServer {
	t.Helper()
	s := &pacedServer{Server: portertest.NewServer(append([]portertest.Option{portertest.InMemory(), portertest.RealTiming()}, opts...)...)}
	t.Cleanup(s.Close)
	s.Advance(skew)
	for i := range projects {
		p := porter.ProjectPath(fmt.Sprintf("team%d/app", i))
		s.AddProject(portertest.Project{Path: string(p), Archive: smallArchive})
		s.projects = append(s.projects, p)
	}
	return s
}

// client returns a client that polls by default, and tells its events.
func (s *pacedServer) client(t *testing.T, opts ...porter.Option) *porter.Client {
	t.Helper()
	return connectAs(t, s.Server, portertest.Token, opts...)
}

// limited returns the requests that count against a limit, by the server's minute.
func (s *pacedServer) limited(method, suffix string) map[string]int {
	m := map[string]int{}
	for _, r := range s.Requests() {
		if r.Method == method && strings.HasSuffix(r.Path, suffix) {
			m[r.Time.Format("15:04")]++
		}
	}
	return m
}

// eventLog is an observer that keeps what it is told.
type eventLog struct {
	mu     sync.Mutex
	events []porter.Event
}

func (l *eventLog) observe(ev porter.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, ev)
}

func (l *eventLog) of(kind porter.EventKind) []porter.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.events), func(ev porter.Event) bool { return ev.Kind != kind })
}

// pauses is of, without the heartbeats of a pause that has been told.
func (l *eventLog) pauses(kind porter.EventKind) []porter.Event {
	var begun []porter.Event
	last := map[string]porter.Event{}
	for _, ev := range l.of(kind) {
		if was, ok := last[ev.Project]; !ok || ev.Attempt != was.Attempt || ev.Delay >= was.Delay {
			begun = append(begun, ev)
		}
		last[ev.Project] = ev
	}
	return begun
}

// delays rounds the delays of events down to seconds.
func delays(events []porter.Event) []time.Duration {
	var d []time.Duration
	for _, ev := range events {
		d = append(d, ev.Delay.Truncate(time.Second))
	}
	return d
}

// skews are how far a server's clock may be ahead of the local one.
var skews = []time.Duration{0, 300 * time.Millisecond, 37 * time.Second, 58*time.Second + 500*time.Millisecond,
	5*time.Hour + 13*time.Minute + 20*time.Second, -10 * time.Second, -3*time.Hour - 700*time.Millisecond}

// One after the other, as the server's minutes allow it.
func TestPaceExports(t *testing.T) {
	t.Parallel()
	for _, skew := range skews {
		t.Run(skew.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newPacedServer(t, 14, skew)
				c := s.client(t)
				for _, p := range s.projects {
					if err := c.ScheduleExport(t.Context(), p, nil); err != nil {
						t.Fatal(err)
					}
				}
				s.checkPace(t, 6, 3)
			})
		})
	}
}

// checkPace makes sure that nothing was refused or waited for in vain.
func (s *pacedServer) checkPace(t *testing.T, limit, minutes int) {
	t.Helper()
	byMinute := s.limited(http.MethodPost, "/export")
	for minute, n := range byMinute {
		if n > limit {
			t.Errorf("%d exports in minute %s", n, minute)
		}
	}
	if n := refusals(s.Server, http.StatusTooManyRequests); n > 0 {
		t.Errorf("%d requests were refused", n)
	}
	// The minute in which an edge is kept free counts for nothing.
	if len(byMinute) > minutes+1 {
		t.Errorf("took %d minutes: %v", len(byMinute), byMinute)
	}
}

// All at once, when nothing is known of the server's clock yet.
func TestPaceConcurrentExports(t *testing.T) {
	t.Parallel()
	for _, skew := range skews {
		t.Run(skew.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newPacedServer(t, 30, skew)
				c := s.client(t)
				start := time.Now()
				var wg sync.WaitGroup
				for _, p := range s.projects {
					wg.Go(func() {
						if err := c.ScheduleExport(t.Context(), p, nil); err != nil {
							t.Errorf("%s: %v", p, err)
						}
					})
				}
				wg.Wait()
				s.checkPace(t, 6, 5)
				if d := time.Since(start); d > 6*time.Minute {
					t.Errorf("took %v", d)
				}
			})
		})
	}
}

// The obvious concurrent program is a correct one.
func TestPaceWholeJobs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newPacedServer(t, 50, 17*time.Second)
		s.AddGroup("new")
		to := newPacedServer(t, 0, -40*time.Second)
		to.AddGroup("new")
		from, dest := s.client(t), to.client(t)
		var wg sync.WaitGroup
		for i, p := range s.projects {
			wg.Go(func() {
				var err error
				if i%2 == 0 {
					_, err = from.ExportTo(t.Context(), p, io.Discard, nil)
				} else {
					_, err = porter.Migrate(t.Context(), from, p, dest, porter.MigrateOptions{
						Import:   porter.ImportOptions{Path: fmt.Sprintf("app%d", i), Namespace: porter.NamespacePath("new")},
						SpoolDir: t.TempDir(),
					})
				}
				if err != nil {
					t.Errorf("%s: %v", p, err)
				}
			})
		}
		wg.Wait()
		s.checkPace(t, 6, 50)
		if n := refusals(s.Server, http.StatusTooManyRequests) + refusals(to.Server, http.StatusTooManyRequests); n > 0 {
			t.Errorf("%d requests were refused", n)
		}
	})
}

func TestPaceOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newPacedServer(t, 25, 3*time.Hour)
		var events eventLog
		c := s.client(t, porter.WithObserver(events.observe))
		if _, err := c.GetExport(t.Context(), s.projects[0]); err != nil { // tells the server's time
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for _, p := range s.projects {
			wg.Go(func() {
				if err := c.ScheduleExport(t.Context(), p, nil); err != nil {
					t.Errorf("%s: %v", p, err)
				}
			})
			time.Sleep(time.Millisecond)
		}
		wg.Wait()
		place := map[string]int{}
		for _, r := range s.Requests() {
			if r.Method == http.MethodPost {
				place[strings.TrimPrefix(r.Path, "/api/v4/projects/")] = len(place) / 6
			}
		}
		for i, p := range s.projects {
			if got := place[strings.ReplaceAll(string(p), "/", "%2F")+"/export"]; got != i/6 {
				t.Errorf("request %d came in minute %d, want %d", i, got, i/6)
			}
		}
		var want []time.Duration
		for i := 6; i < 25; i++ {
			want = append(want, time.Duration(i/6)*time.Minute-time.Second) // and 9xx ms
		}
		paced := events.pauses(porter.EventPaced)
		if diff := cmp.Diff(want, delays(paced)); diff != "" {
			t.Errorf("EventPaced (-want +got):\n%s", diff)
		}
		for i, ev := range paced {
			if ev.Project != string(s.projects[i+6]) {
				t.Errorf("event %d is of %s", i, ev.Project)
			}
		}
	})
}

// A limit is that of a user and minute: a waiter that gives up lets the next
// one have its turn.
func TestPaceCanceledWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPacedServer(t, 13, 0)
		var events eventLog
		c := s.client(t, porter.WithObserver(events.observe))
		for _, p := range s.projects[:6] {
			if err := c.ScheduleExport(t.Context(), p, nil); err != nil {
				t.Fatal(err)
			}
		}
		spent := errors.New("budget spent")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, spent)
		defer cancel()
		var wg sync.WaitGroup
		for _, p := range s.projects[6:12] {
			wg.Go(func() {
				err := c.ScheduleExport(ctx, p, nil)
				if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, spent) || !strings.Contains(err.Error(), "waiting for a turn: ") ||
					!strings.Contains(err.Error(), spent.Error()) {
					t.Errorf("%s: %v", p, err)
				}
			})
		}
		wg.Wait()
		if err := c.ScheduleExport(t.Context(), s.projects[12], nil); err != nil {
			t.Fatal(err)
		}
		paced := delays(events.pauses(porter.EventPaced))
		if len(paced) != 7 || paced[6] > 51*time.Second {
			t.Errorf("delays are %v", paced)
		}
		if n := count(s.Server, http.MethodPost, "/export"); n != 7 {
			t.Errorf("%d requests, want 7", n)
		}
	})
}

// What never reached GitLab is not counted.
func TestPaceRequestsThatNeverArrived(t *testing.T) {
	broken := sourceOf(smallArchive)
	broken.Open = func(context.Context) (io.ReadCloser, error) { return nil, errors.New("no such file") }
	tests := []struct {
		name string
		try  func(context.Context, *porter.Client, porter.ProjectPath) error
		auth porter.Auth
	}{
		{"no token", func(ctx context.Context, c *porter.Client, p porter.ProjectPath) error {
			return c.ScheduleExport(ctx, p, nil)
		}, porter.PrivateToken("")},
		{"no source", func(ctx context.Context, c *porter.Client, p porter.ProjectPath) error {
			_, err := c.StartImport(ctx, broken, porter.ImportOptions{Path: "app"})
			return err
		}, porter.PrivateToken(portertest.Token)},
		{"no token to download with", func(ctx context.Context, c *porter.Client, p porter.ProjectPath) error {
			_, err := c.DownloadExport(ctx, p, io.Discard, nil)
			return err
		}, porter.PrivateToken("")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newPacedServer(t, 1, 0)
				c := newClient(t, s.URL, tt.auth, porter.WithTransport(s.Transport()))
				start := time.Now()
				for range 10 {
					if err := tt.try(t.Context(), c, s.projects[0]); err == nil {
						t.Fatal("no error")
					}
				}
				if d := time.Since(start); d > 0 {
					t.Errorf("took %v", d)
				}
			})
		})
	}
}

func TestPaceDownloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPacedServer(t, 3, 25*time.Second)
		for _, p := range s.projects {
			s.AddExport(string(p), "owner")
		}
		var events eventLog
		c := s.client(t, porter.WithObserver(events.observe))
		start := time.Now()
		for _, p := range s.projects {
			if _, err := c.DownloadExport(t.Context(), p, io.Discard, nil); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(start); d > 0 {
			t.Errorf("three projects waited for each other: %v", d)
		}
		if _, err := c.DownloadExport(t.Context(), porter.ProjectPath(strings.ToUpper(string(s.projects[0]))), io.Discard, nil); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start).Round(time.Second); d != 35*time.Second {
			t.Errorf("the second download of a project came after %v", d)
		}
		if n := refusals(s.Server, http.StatusTooManyRequests); n > 0 {
			t.Errorf("%d requests were refused", n)
		}
		if n := len(events.pauses(porter.EventPaced)); n != 1 {
			t.Errorf("%d waited", n)
		}
	})
}

// A download after a whole job of the same project counts with it.
func TestPaceDownloadAfterExport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPacedServer(t, 1, 0)
		c := s.client(t)
		if _, err := c.ExportTo(t.Context(), s.projects[0], io.Discard, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := c.DownloadExport(t.Context(), s.projects[0], io.Discard, nil); err != nil {
			t.Fatal(err)
		}
		if n := refusals(s.Server, http.StatusTooManyRequests); n > 0 {
			t.Errorf("%d requests were refused", n)
		}
	})
}

// Imports of every kind share one budget, which is not that of exports.
func TestPaceImports(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newPacedServer(t, 6, 0)
		s.AddGroup("new")
		var events eventLog
		c := s.client(t, porter.WithObserver(events.observe))
		for i, p := range s.projects {
			if err := c.ScheduleExport(t.Context(), p, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := c.StartImport(t.Context(), sourceOf(smallArchive),
				porter.ImportOptions{Path: fmt.Sprintf("app%d", i), Namespace: porter.NamespacePath("new")}); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(events.pauses(porter.EventPaced)); n > 0 {
			t.Fatalf("%d waited", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for name, start := range map[string]func() error{
			"file": func() error {
				_, err := c.StartImport(ctx, sourceOf(smallArchive), porter.ImportOptions{Path: "more"})
				return err
			},
			"URL": func() error {
				_, err := c.StartImportFromURL(ctx, "https://example.com/app.tar.gz", porter.ImportOptions{Path: "more"})
				return err
			},
			"S3": func() error {
				_, err := c.StartImportFromS3(ctx, porter.S3Object{Region: "r", Bucket: "b", Key: "k.tar.gz", AccessKeyID: "i",
					SecretAccessKey: "s"}, porter.ImportOptions{Path: "more"})
				return err
			},
			"relation": func() error {
				_, err := c.StartRelationImport(ctx, sourceOf(smallArchive), s.projects[0], porter.RelationIssues)
				return err
			},
		} {
			if err := start(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s did not wait: %v", name, err)
			}
		}
	})
}

func TestPaceOptions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		opts []porter.Option
		want []time.Duration // how long some of eight exports waited, to the second
	}{
		{"default", nil, []time.Duration{60 * time.Second}},
		{"zero", []porter.Option{porter.WithPacing(porter.Pacing{})}, []time.Duration{60 * time.Second}},
		{"three", []porter.Option{porter.WithPacing(porter.Pacing{Exports: 3})}, []time.Duration{60 * time.Second, 60 * time.Second}},
		{"none", []porter.Option{porter.WithoutPacing()}, nil},
		{"negative", []porter.Option{porter.WithPacing(porter.Pacing{Exports: -1})}, nil},
		{"another is negative", []porter.Option{porter.WithPacing(porter.Pacing{Imports: -1, Downloads: -1, Polls: -1})},
			[]time.Duration{60 * time.Second}},
		{"negative, then some",
			[]porter.Option{porter.WithPacing(porter.Pacing{Exports: -1}), porter.WithPacing(porter.Pacing{Exports: 6})},
			[]time.Duration{60 * time.Second}},
		{"none, then some", []porter.Option{porter.WithoutPacing(), porter.WithPacing(porter.Pacing{Imports: 1})},
			[]time.Duration{60 * time.Second}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newPacedServer(t, 8, 0, portertest.NoLimits())
				var events eventLog
				c := s.client(t, append(tt.opts, porter.WithObserver(events.observe))...)
				time.Sleep(500 * time.Millisecond)
				for _, p := range s.projects {
					if err := c.ScheduleExport(t.Context(), p, nil); err != nil {
						t.Fatal(err)
					}
				}
				if diff := cmp.Diff(tt.want, delays(events.pauses(porter.EventPaced))); diff != "" {
					t.Errorf("EventPaced (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Derived clients are the same user.
func TestPaceShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPacedServer(t, 7, 0)
		c := s.client(t)
		var events eventLog
		for _, p := range s.projects {
			d, err := c.With(porter.WithObserver(events.observe), porter.WithUserAgent(string(p)))
			if err != nil {
				t.Fatal(err)
			}
			if err := d.ScheduleExport(t.Context(), p, nil); err != nil {
				t.Fatal(err)
			}
		}
		if n, refused := len(events.pauses(porter.EventPaced)), refusals(s.Server, http.StatusTooManyRequests); n != 1 || refused != 0 {
			t.Errorf("%d waited, %d were refused", n, refused)
		}
	})
}

// Another client of the same user has used the minute up. One request of ours
// finds that out; the others wait without asking.
func TestPaceOthersUse(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"13.12", "18.4", "18.9"} { // Retry-After came with 18.5
		t.Run(version, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newPacedServer(t, 10, 0, portertest.Version(version))
				other := s.client(t, porter.WithoutPacing())
				for range 6 {
					if err := other.ScheduleExport(t.Context(), s.projects[0], nil); err != nil &&
						!errors.Is(err, porter.ErrExportInProgress) {
						t.Fatal(err)
					}
				}
				time.Sleep(20 * time.Second)
				var events eventLog
				c := s.client(t, porter.WithObserver(events.observe))
				var wg sync.WaitGroup
				for i, p := range s.projects[1:] {
					wg.Go(func() {
						if err := c.ScheduleExport(t.Context(), p, nil); err != nil {
							t.Errorf("%s: %v", p, err)
						}
					})
					if i == 0 {
						time.Sleep(time.Second)
					}
				}
				wg.Wait()
				if n := refusals(s.Server, http.StatusTooManyRequests); n != 1 {
					t.Errorf("%d were refused, want 1", n)
				}
				want := 41 * time.Second // until the server's next minute, known to a second
				if version == "18.9" {
					want = time.Minute
				}
				retry := events.pauses(porter.EventRetry)
				if len(retry) != 1 || retry[0].Delay > want || retry[0].Delay < want-time.Second ||
					!errors.Is(retry[0].Err, porter.ErrRateLimited) || retry[0].Attempt != 1 {
					t.Errorf("retries: %+v, want one after %v", retry, want)
				}
				byMinute := s.limited(http.MethodPost, "/export")
				if byMinute["00:01"] != 6 {
					t.Errorf("exports by minute: %v", byMinute)
				}
			})
		})
	}
}

// A request sent at the end of a minute may arrive in the next one, and counts
// in both.
func TestPaceEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPacedServer(t, 10, 0)
		c := s.client(t, porter.WithTransport(roundTripper(func(req *http.Request) (*http.Response, error) {
			if req.Method == http.MethodPost {
				time.Sleep(900 * time.Millisecond) // on its way
			}
			return s.Transport().RoundTrip(req)
		})))
		if _, err := c.GetExport(t.Context(), s.projects[0]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(59*time.Second + 300*time.Millisecond)
		var wg sync.WaitGroup
		for i, p := range s.projects {
			wg.Go(func() {
				if err := c.ScheduleExport(t.Context(), p, nil); err != nil {
					t.Errorf("%s: %v", p, err)
				}
			})
			if i == 2 {
				time.Sleep(800 * time.Millisecond) // three at the edge, seven in the new minute before those are answered
			}
		}
		wg.Wait()
		want := map[string]int{"00:01": 6, "00:02": 4}
		if diff := cmp.Diff(want, s.limited(http.MethodPost, "/export")); diff != "" {
			t.Errorf("exports by minute (-want +got):\n%s", diff)
		}
		if n := refusals(s.Server, http.StatusTooManyRequests); n > 0 {
			t.Errorf("%d were refused", n)
		}
	})
}

// What is on its way when the server's clock becomes known is not forgotten.
func TestPaceClockBecomesKnown(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{-10 * time.Second, -5 * time.Hour, 5 * time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newPacedServer(t, 12, skew)
				time.Sleep(20 * time.Second)
				s.Advance(-20 * time.Second)
				var posts atomic.Int32
				c := s.client(t, porter.WithTransport(roundTripper(func(req *http.Request) (*http.Response, error) {
					if n := posts.Add(1); 1 < n && n <= 6 {
						time.Sleep(3 * time.Second) // after the first has been answered
					}
					return s.Transport().RoundTrip(req)
				})))
				var wg sync.WaitGroup
				for i, p := range s.projects {
					wg.Go(func() {
						if err := c.ScheduleExport(t.Context(), p, nil); err != nil {
							t.Errorf("%s: %v", p, err)
						}
					})
					if i == 5 {
						time.Sleep(time.Second)
					}
				}
				wg.Wait()
				s.checkPace(t, 6, 2)
			})
		})
	}
}

// A long upload counts in the minute in which it ends.
func TestPaceLongUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPacedServer(t, 0, 0)
		s.AddGroup("new")
		var events eventLog
		c := s.client(t, porter.WithObserver(events.observe), porter.WithPacing(porter.Pacing{Imports: 2}), porter.WithStallTimeout(0))
		slow := sourceOf(smallArchive)
		slow.Open = func(ctx context.Context) (io.ReadCloser, error) {
			time.Sleep(5*time.Minute + 10*time.Second)
			return sourceOf(smallArchive).Open(ctx)
		}
		for i, src := range []porter.Source{slow, sourceOf(smallArchive), sourceOf(smallArchive)} {
			opts := porter.ImportOptions{Path: fmt.Sprintf("app%d", i), Namespace: porter.NamespacePath("new")}
			if _, err := c.StartImport(t.Context(), src, opts); err != nil {
				t.Fatal(err)
			}
		}
		paced := events.pauses(porter.EventPaced)
		if len(paced) != 1 || paced[0].Project != "new/app2" || paced[0].Delay.Round(2*time.Second) != 50*time.Second {
			t.Errorf("waited: %+v", paced)
		}
	})
}

// The server's clock jumps while exports wait for their turns.
func TestPaceServerClockJumps(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{7*time.Hour + 20*time.Second, -7*time.Hour - 20*time.Second, 25 * time.Second, -25 * time.Second} {
		t.Run(jump.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newPacedServer(t, 30, 0)
				c := s.client(t)
				start := time.Now()
				var wg sync.WaitGroup
				for _, p := range s.projects {
					wg.Go(func() {
						if err := c.ScheduleExport(t.Context(), p, nil); err != nil {
							t.Errorf("%s: %v", p, err)
						}
					})
				}
				time.Sleep(30 * time.Second)
				s.Advance(jump)
				if _, err := c.GetExport(t.Context(), s.projects[0]); err != nil { // tells the new time
					t.Error(err)
				}
				wg.Wait()
				s.checkPace(t, 6, 6)
				if d := time.Since(start); d > 7*time.Minute {
					t.Errorf("took %v", d)
				}
			})
		})
	}
}

// From 14.10 to 17.9 GitLab counts the downloads of a namespace together. The
// first refusals tell that, and from then on the client keeps to it.
func TestPaceDownloadsOfNamespace(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		version string
		refused int
	}{
		{"14.9", 0}, {"14.10", 12}, {"17.3", 12}, {"17.9", 12}, {"17.10", 0}, {"18.9", 0},
	} {
		for _, byID := range []bool{false, true} {
			t.Run(fmt.Sprint(tt.version, " by ID ", byID), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newPacedServer(t, 0, 17*time.Second, portertest.Version(tt.version))
					c := s.client(t)
					var wg sync.WaitGroup
					for i := range 30 {
						path := porter.ProjectPath(fmt.Sprintf("team/app%d", i))
						var p porter.ProjectRef = porter.ProjectID(s.AddProject(portertest.Project{Path: string(path),
							Archive: smallArchive}))
						if !byID {
							p = path
						}
						wg.Go(func() {
							if _, err := c.ExportTo(t.Context(), p, io.Discard, nil); err != nil {
								t.Errorf("%s: %v", path, err)
							}
						})
					}
					wg.Wait()
					if n := refusals(s.Server, http.StatusTooManyRequests); n > tt.refused {
						t.Errorf("%d were refused, want at most %d", n, tt.refused)
					}
				})
			})
		}
	}
}

// A refusal that others are to blame for does not slow a namespace down.
func TestPaceDownloadsOthersUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPacedServer(t, 0, 0, portertest.Version("18.4"))
		for _, p := range []string{"team/a", "team/b", "team/c"} {
			s.AddProject(portertest.Project{Path: p})
			s.AddExport(p, "owner")
		}
		if _, err := s.client(t).DownloadExport(t.Context(), porter.ProjectPath("team/a"), io.Discard, nil); err != nil {
			t.Fatal(err)
		}
		c := s.client(t)
		for _, p := range []porter.ProjectPath{"team/a", "team/b", "team/c"} {
			start := time.Now()
			if _, err := c.DownloadExport(t.Context(), p, io.Discard, nil); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(start); (d > 0) != (p == "team/a") {
				t.Errorf("%s took %v", p, d)
			}
		}
		if n := refusals(s.Server, http.StatusTooManyRequests); n != 1 {
			t.Errorf("%d were refused", n)
		}
	})
}

// An archive comes whole however its downloads are paced.
func TestPaceDoesNotMixArchives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newPacedServer(t, 0, 0)
		c := s.client(t)
		var wg sync.WaitGroup
		for i := range 10 {
			archive := portertest.NewArchive(int64(60+i) << 10)
			p := porter.ProjectPath(fmt.Sprintf("group/app%d", i))
			s.AddProject(portertest.Project{Path: string(p), Archive: archive})
			wg.Go(func() {
				var buf bytes.Buffer
				if _, err := c.ExportTo(t.Context(), p, &buf, nil); err != nil {
					t.Errorf("%s: %v", p, err)
				} else if sum(buf.Bytes()) != archive.SHA256() {
					t.Errorf("%s: another archive", p)
				}
			})
		}
		wg.Wait()
	})
}
