package porter_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
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

// What a wait tells, event by event.
func TestEventsOfWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log eventLog
		c, _ := pollSteps(t, "none started 502 429/90 started dead finished", porter.WithObserver(log.observe))
		if _, err := c.WaitForExport(t.Context(), porter.ProjectPath("group/app")); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, ev := range log.events {
			if ev.Project != "group/app" || ev.Bytes != 0 || ev.Total != 0 {
				t.Errorf("event %+v", ev)
			}
			line := string(ev.Kind)
			switch ev.Kind {
			case porter.EventStatus:
				line += " " + ev.Status
			case porter.EventRetry:
				line += fmt.Sprintf(" %d %v", ev.Attempt, ev.Delay)
				if ev.Err == nil {
					t.Errorf("event %+v has no error", ev)
				}
			}
			got = append(got, line)
		}
		want := []string{
			"started", "status none", "status started", "retry 1 30s", "retry 2 1m30s", "retry 2 1m0s", "retry 2 30s",
			"status started", "retry 1 30s", "status finished", "done",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// The delay that is told is the one that is kept: it is shorter before a
// deadline, unless the server wants no request before.
func TestEventsOfLastLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log eventLog
		c, gitlab := pollSteps(t, "502 finished", porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(90 * time.Second)}),
			porter.WithObserver(log.observe))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.WaitForExport(ctx, porter.ProjectID(42)); err != nil {
			t.Fatal(err)
		}
		if retry := log.pauses(porter.EventRetry); len(retry) != 1 || retry[0].Delay != 59*time.Second || gitlab.times[1] != 59*time.Second {
			t.Errorf("told %+v, polled after %v", retry, gitlab.times)
		}
	})
}

// The project in an event is the one that the caller gave.
func TestEventsNameTheProject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPacedServer(t, 1, 0)
		s.AddGroup("new")
		for _, p := range []porter.ProjectRef{s.projects[0], porter.ProjectID(1001)} {
			var log eventLog
			c := s.client(t, porter.WithObserver(log.observe))
			if _, err := c.ExportTo(t.Context(), p, io.Discard, nil); err != nil {
				t.Fatal(err)
			}
			for _, ev := range log.events {
				if ev.Project != p.String() {
					t.Errorf("event %+v, want project %s", ev, p)
				}
			}
		}
		var log eventLog
		c := s.client(t, porter.WithObserver(log.observe))
		if _, err := c.Import(t.Context(), sourceOf(smallArchive),
			porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("new")}); err != nil {
			t.Fatal(err)
		}
		for _, ev := range log.events {
			if ev.Project != "new/app" {
				t.Errorf("event %+v, want project new/app", ev)
			}
		}
	})
}

// checkProgress makes sure that the events of one transfer add up.
func checkProgress(t *testing.T, events []porter.Event, size int64) {
	t.Helper()
	if len(events) < 2 {
		t.Fatalf("only %d events", len(events))
	}
	for i, ev := range events {
		if ev.Bytes < 0 || ev.Total >= 0 && ev.Bytes > ev.Total {
			t.Errorf("event %d: %d of %d bytes", i, ev.Bytes, ev.Total)
		}
	}
	if first := events[0]; first.Bytes != 0 {
		t.Errorf("the first event tells %d bytes", first.Bytes)
	}
	if last := events[len(events)-1]; last.Bytes != size {
		t.Errorf("the last event tells %d bytes, want %d", last.Bytes, size)
	}
}

func TestEventsOfDownload(t *testing.T) {
	t.Parallel()
	const size = 2 << 20
	tests := []struct {
		name   string
		mode   portertest.DownloadMode
		faults []portertest.Action
		total  int64 // as told at the end
	}{
		{"disk", portertest.FromDisk, nil, size},
		{"redirected", portertest.Redirected, nil, size},
		{"proxied", portertest.Proxied, nil, size},
		{"no length", portertest.FromDisk, []portertest.Action{portertest.Chunked()}, -1},
		{"cut and resumed", portertest.FromDisk, []portertest.Action{portertest.CutResponse(size / 2)}, size},
		{"cut at once", portertest.FromDisk, []portertest.Action{portertest.CutResponse(1)}, size},
		{"cut at the end", portertest.FromDisk, []portertest.Action{portertest.CutResponse(size - 1)}, size},
		{"refused at first", portertest.FromDisk, []portertest.Action{portertest.Respond(502, nil, "")}, size},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newPacedServer(t, 0, 0, portertest.Downloads(tt.mode))
				p := s.AddProject(portertest.Project{Path: "group/app", Archive: portertest.NewArchive(size)})
				s.AddExport("group/app", "owner")
				for _, do := range tt.faults {
					s.Inject(portertest.Fault{Method: http.MethodGet, Path: "/download", Do: do})
				}
				var log eventLog
				c := s.client(t, porter.WithObserver(log.observe))
				if _, err := c.DownloadExport(t.Context(), porter.ProjectID(p), io.Discard, nil); err != nil {
					t.Fatal(err)
				}
				progress := log.of(porter.EventProgress)
				checkProgress(t, progress, size)
				if last := progress[len(progress)-1]; last.Total != tt.total {
					t.Errorf("the last event tells a total of %d, want %d", last.Total, tt.total)
				}
				broken := len(tt.faults) > 0 && tt.total > 0
				if retries := log.of(porter.EventRetry); broken != (len(retries) == 1) {
					t.Errorf("retries: %+v", retries)
				}
			})
		})
	}
}

// An upload that is sent again takes its bytes back.
func TestEventsOfUpload(t *testing.T) {
	t.Parallel()
	const size = 2 << 20
	source := func(announced int64) porter.Source {
		return porter.Source{Name: "app.tar.gz", Size: announced, Open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(portertest.NewArchive(size).NewReader()), nil
		}}
	}
	tests := []struct {
		name  string
		src   porter.Source
		fault *portertest.Fault
		back  int // how often the bytes go back to 0
		want  error
		bytes int64 // at last; -1 for any
	}{
		{"at once", source(size), nil, 0, nil, size},
		{"of unknown size", source(-1), nil, 0, nil, size},
		{"429 after the whole upload", source(size), &portertest.Fault{Path: "/import", Do: portertest.Respond(429, nil, "")}, 1, nil,
			size},
		{"429 twice", source(size), &portertest.Fault{Path: "/import", Times: 2, Do: portertest.Respond(429, nil, "")}, 2, nil, size},
		{"broken in the middle", source(size), &portertest.Fault{Path: "/import", Do: portertest.CutRequest(size / 2)}, 1, nil, size},
		{"refused for good", source(size), &portertest.Fault{Path: "/import", Do: portertest.RespondEarly(413, nil, "")}, 0,
			porter.ErrTooLarge, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newPacedServer(t, 0, 0)
				s.AddGroup("new")
				if tt.fault != nil {
					s.Inject(*tt.fault)
				}
				var log eventLog
				c := s.client(t, porter.WithObserver(log.observe))
				if _, err := c.StartImport(t.Context(), tt.src,
					porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("new")}); !errors.Is(err, tt.want) {
					t.Fatalf("error is %v, want %v", err, tt.want)
				}
				progress := log.of(porter.EventProgress)
				last := progress[len(progress)-1]
				want := tt.bytes
				if want < 0 {
					want = last.Bytes
				}
				if len(progress) > 1 {
					checkProgress(t, progress, want)
				}
				if tt.src.Size >= 0 && last.Total != size || tt.src.Size < 0 && last.Total != -1 {
					t.Errorf("the last event tells a total of %d", last.Total)
				}
				back := 0
				for i := 1; i < len(progress); i++ {
					if progress[i].Bytes < progress[i-1].Bytes {
						back++
						if progress[i].Bytes != 0 {
							t.Errorf("bytes went back to %d", progress[i].Bytes)
						}
					}
				}
				if back != tt.back {
					t.Errorf("bytes were taken back %d times, want %d", back, tt.back)
				}
			})
		})
	}
}

// A source that is still being read when its upload has been refused tells
// nothing any more.
func TestEventsEndWithTheUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := portertest.NewServer(portertest.InMemory())
		defer s.Close()
		s.Inject(portertest.Fault{Path: "/import", Do: portertest.Delay(10 * time.Millisecond).And(portertest.RespondEarly(413, nil, ""))})
		var log eventLog
		c := connect(t, s, porter.WithObserver(log.observe))
		refused, read := make(chan struct{}), make(chan struct{})
		reads := 0
		src := porter.Source{Name: "app.tar.gz", Size: 1 << 20, Open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(readerFunc(func(b []byte) (int, error) {
				if reads++; reads == 2 {
					defer close(read)
					<-refused
				}
				return len(b), nil
			})), nil
		}}
		if _, err := c.StartImport(t.Context(), src, porter.ImportOptions{Path: "app"}); !errors.Is(err, porter.ErrTooLarge) {
			t.Fatal(err)
		}
		told := len(log.of(porter.EventProgress))
		close(refused)
		<-read
		synctest.Wait()
		if n := len(log.of(porter.EventProgress)); n != told {
			t.Errorf("%d more events", n-told)
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// oneAtATime is an observer that complains if it is called while it is at work.
func oneAtATime(t *testing.T, count *atomic.Int64, pause func() time.Duration) func(porter.Event) {
	var busy atomic.Bool
	return func(ev porter.Event) {
		if !busy.CompareAndSwap(false, true) {
			t.Errorf("called for %+v while at work", ev)
			return
		}
		count.Add(1)
		time.Sleep(pause())
		busy.Store(false)
	}
}

// Migrate downloads and uploads at the same time, and tells one thing at a
// time, whatever goes wrong meanwhile.
func TestEventsOfMigrateAreNeverConcurrent(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for _, noSpool := range []bool{false, true} {
		for range 10 {
			synctest.Test(t, func(t *testing.T) {
				src, dst := newPacedServer(t, 0, 0, portertest.NoLimits()), newPacedServer(t, 0, 0, portertest.NoLimits())
				src.AddProject(portertest.Project{Path: "team/app", Archive: portertest.NewArchive(1 << 20)})
				dst.AddGroup("new")
				for range 2 {
					src.Inject(portertest.Fault{Path: "/download", Do: portertest.CutResponse(r.Int64N(1 << 20))})
					dst.Inject(portertest.Fault{Method: http.MethodPost, Path: "/import", Do: portertest.CutRequest(1 + r.Int64N(600<<10))})
				}
				var mu sync.Mutex
				pause := func() time.Duration {
					mu.Lock()
					defer mu.Unlock()
					return time.Duration(r.Int64N(int64(3 * time.Second)))
				}
				var count atomic.Int64
				observe := oneAtATime(t, &count, pause)
				from, to := src.client(t, porter.WithObserver(observe), porter.WithoutPacing()),
					dst.client(t, porter.WithObserver(observe), porter.WithoutPacing())
				_, err := porter.Migrate(t.Context(), from, porter.ProjectPath("team/app"), to, porter.MigrateOptions{
					Import:   porter.ImportOptions{Namespace: porter.NamespacePath("new")},
					SpoolDir: t.TempDir(),
					NoSpool:  noSpool,
				})
				if err != nil {
					t.Error(err)
				}
				if n := count.Load(); n < 20 {
					t.Errorf("only %d events", n)
				}
			})
		}
	}
}

// The source of an upload may have something to tell, too, while the upload is
// tried again.
func TestEventsOfSourceAreNeverConcurrent(t *testing.T) {
	t.Parallel()
	for late := 5 * time.Second; late < 115*time.Second; late += 10 * time.Second {
		synctest.Test(t, func(t *testing.T) {
			src, dst := newPacedServer(t, 0, 0, portertest.NoLimits()), newPacedServer(t, 0, 0, portertest.NoLimits())
			src.AddProject(portertest.Project{Path: "team/app", Archive: portertest.NewArchive(1 << 20)})
			src.AddExport("team/app", "owner")
			dst.AddGroup("new")
			src.Inject(portertest.Fault{Path: "/download", Do: portertest.CutResponse(20 << 10)})
			dst.Inject(portertest.Fault{Path: "/import", Times: 2, Do: portertest.Delay(late).And(portertest.RespondEarly(429, nil, ""))})
			var count atomic.Int64
			observe := oneAtATime(t, &count, func() time.Duration { return 10 * time.Second })
			from, to := src.client(t, porter.WithObserver(observe), porter.WithoutPacing()),
				dst.client(t, porter.WithObserver(observe), porter.WithoutPacing())
			opts := porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("new")}
			if _, err := to.StartImport(t.Context(), from.ExportSource(porter.ProjectPath("team/app")), opts); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Hour) // what was left behind tells nothing any more
			if n := count.Load(); n < 4 {
				t.Errorf("only %d events", n)
			}
		})
	}
}

// An observer may use the client that calls it.
func TestObserverCallsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newPacedServer(t, 8, 0, portertest.NoLimits())
		s.AddGroup("new")
		var c *porter.Client
		var inside atomic.Bool
		kinds := map[porter.EventKind]bool{}
		c = s.client(t, porter.WithObserver(func(ev porter.Event) {
			if !inside.CompareAndSwap(false, true) {
				return // told by ourselves
			}
			defer inside.Store(false)
			kinds[ev.Kind] = true
			if _, err := c.GetExport(t.Context(), s.projects[0]); err != nil {
				t.Error(err)
			}
			if _, err := c.With(porter.WithoutPacing()); err != nil {
				t.Error(err)
			}
		}))
		s.Inject(portertest.Fault{Path: "/download", Do: portertest.CutResponse(10 << 10)})
		if _, err := porter.Migrate(t.Context(), c, s.projects[0], c, porter.MigrateOptions{
			Import:   porter.ImportOptions{Namespace: porter.NamespacePath("new")},
			SpoolDir: t.TempDir(),
		}); err != nil {
			t.Fatal(err)
		}
		for _, p := range s.projects[1:] {
			if err := c.ScheduleExport(t.Context(), p, nil); err != nil {
				t.Fatal(err)
			}
		}
		if len(kinds) != 6 {
			t.Errorf("called for %v only", kinds)
		}
	})
}

// An observer that cancels is heard at once.
func TestObserverCancels(t *testing.T) {
	for _, kind := range []porter.EventKind{porter.EventStatus, porter.EventProgress, porter.EventRetry, porter.EventPaced} {
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newPacedServer(t, 1, 0)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var canceled time.Time
				c := s.client(t, porter.WithObserver(func(ev porter.Event) {
					if ev.Kind == kind && canceled.IsZero() {
						canceled = time.Now()
						cancel()
					}
				}))
				s.Inject(portertest.Fault{Path: "/download", Do: portertest.CutResponse(10 << 10)})
				_, err := c.ExportTo(ctx, s.projects[0], io.Discard, nil)
				if !errors.Is(err, context.Canceled) {
					t.Errorf("error is %v", err)
				}
				if canceled.IsZero() || time.Since(canceled) > 0 {
					t.Errorf("canceled at %v, ended %v later", canceled, time.Since(canceled))
				}
			})
		})
	}
}

// An observer may end what it observes, by closing the reader.
func TestObserverCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if nothing goes on
		s := newPacedServer(t, 1, 0)
		var r *porter.ExportReader
		told := 0
		c := s.client(t, porter.WithObserver(func(ev porter.Event) {
			if r != nil {
				told++
				r.Close()
			}
		}))
		s.AddExport(s.projects[0].String(), "owner")
		var err error
		if r, err = c.OpenExport(t.Context(), s.projects[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err == nil || !errors.Is(err, os.ErrClosed) {
			t.Errorf("error is %v", err)
		}
		if told != 2 {
			t.Errorf("told %d events, want the first and the end", told)
		}
	})
}

// It may do so at any event, and is not called while it is at it.
func TestObserverClosesAtRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPacedServer(t, 1, 0)
		var r *porter.ExportReader
		inside := false
		c := s.client(t, porter.WithObserver(func(ev porter.Event) {
			if inside {
				t.Errorf("%s is told meanwhile", ev.Kind)
			}
			inside = true
			if r != nil && ev.Kind == porter.EventRetry {
				r.Close()
			}
			inside = false
		}))
		s.AddExport(s.projects[0].String(), "owner")
		s.Inject(portertest.Fault{Path: "/download", Do: portertest.CutResponse(10 << 10)})
		var err error
		if r, err = c.OpenExport(t.Context(), s.projects[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err == nil {
			t.Error("no error")
		}
	})
}

// Without an observer nothing is told, and With(WithObserver) tells only what
// its own client does.
func TestObserverOfDerivedClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var outer, inner eventLog
		c, _ := pollSteps(t, "started finished", porter.WithObserver(outer.observe))
		quiet, err := c.With(porter.WithObserver(nil))
		if err != nil {
			t.Fatal(err)
		}
		loud, err := c.With(porter.WithObserver(inner.observe))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []*porter.Client{quiet, loud} {
			if _, err := c.WaitForExport(t.Context(), porter.ProjectID(42)); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for _, ev := range inner.events {
			got = append(got, ev.Status)
		}
		if strings.Join(got, "/") != "/finished/" || len(outer.events) != 0 {
			t.Errorf("told %v and %v", got, outer.events)
		}
	})
}
