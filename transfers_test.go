package porter_test

import (
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
	"github.com/jarcoal/httpmock"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// newTransferServer returns a server without limits, whose projects all have
// a finished export.
func newTransferServer(t *testing.T, projects int) *pacedServer {
	t.Helper()
	s := newPacedServer(t, projects, 0, portertest.NoLimits())
	for _, p := range s.projects {
		s.AddExport(string(p), "owner")
	}
	s.AddGroup("new")
	return s
}

// A meter is a transport that counts the archives under way. Each takes its time.
type meter struct {
	next      http.RoundTripper
	takes     time.Duration
	mu        sync.Mutex
	now, most int
}

func (m *meter) add(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now += n
	m.most = max(m.most, m.now)
}

func (m *meter) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, "/projects/import") {
		m.add(1)
		defer m.add(-1)
		time.Sleep(m.takes)
		return m.next.RoundTrip(req)
	}
	resp, err := m.next.RoundTrip(req)
	if err == nil && strings.HasSuffix(req.URL.Path, "/export/download") && resp.StatusCode == http.StatusOK {
		m.add(1)
		resp.Body = &meteredBody{ReadCloser: resp.Body, m: m}
	}
	return resp, err
}

type meteredBody struct {
	io.ReadCloser
	m     *meter
	reads int
	ended sync.Once
}

// Read takes its time after the first bytes: before these nothing is uploaded.
func (b *meteredBody) Read(p []byte) (int, error) {
	if b.reads++; b.reads == 2 {
		time.Sleep(b.m.takes)
	}
	return b.ReadCloser.Read(p)
}

func (b *meteredBody) Close() error {
	b.ended.Do(func() { b.m.add(-1) })
	return b.ReadCloser.Close()
}

func importAs(path string) porter.ImportOptions {
	return porter.ImportOptions{Namespace: porter.NamespacePath("new"), Path: path}
}

// Downloads and uploads together are never more than they may be, none waits
// while another could go, and who waits says so.
func TestTransfersAtMost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		opts []porter.Option
		most int
	}{
		{nil, 4},
		{[]porter.Option{porter.WithTransfers(2)}, 2},
		{[]porter.Option{porter.WithTransfers(0)}, 12},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newTransferServer(t, 6)
			m := &meter{next: s.Transport(), takes: 70 * time.Second}
			var log eventLog
			c := s.client(t, append(tt.opts, porter.WithTransport(m), porter.WithObserver(log.observe), porter.WithoutPacing())...)
			begun := time.Now()
			var wg sync.WaitGroup
			for i, p := range s.projects {
				wg.Go(func() {
					if _, err := c.DownloadExport(t.Context(), p, io.Discard, nil); err != nil {
						t.Error(err)
					}
				})
				wg.Go(func() {
					if _, err := c.StartImport(t.Context(), sourceOf(smallArchive), importAs(fmt.Sprint("app", i))); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			took, rounds := time.Since(begun), 12/tt.most
			if want := time.Duration(rounds) * 70 * time.Second; m.most != tt.most || took < want || took > want+5*time.Second {
				t.Errorf("%d at a time took %v; want %d and %v", m.most, took, tt.most, want)
			}
			told := map[string]int{}
			for _, ev := range log.of(porter.EventPaced) {
				if ev.Delay != 0 {
					t.Errorf("told a delay of %v", ev.Delay)
				}
				told[ev.Project]++
			}
			most := 0
			for _, n := range told {
				most = max(most, n)
			}
			if want := ((rounds-1)*70 + 29) / 30; most < want || most > want+1 || len(told) != 12-tt.most {
				t.Errorf("%d waited and told %d times at most, want %d", len(told), most, want)
			}
		})
	}
}

// Who asks first is served first, and who asks no more leaves no gap.
func TestTransfersInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newTransferServer(t, 6)
		c := s.client(t, porter.WithTransfers(1), porter.WithTransport(&meter{next: s.Transport(), takes: 10 * time.Second}))
		ctx, cancel := context.WithCancel(t.Context())
		begun := time.Now()
		var wg sync.WaitGroup
		for i, p := range s.projects {
			wg.Go(func() {
				ctx := ctx
				if i != 2 {
					ctx = t.Context()
				}
				_, err := c.DownloadExport(ctx, p, io.Discard, nil)
				if cancelled := errors.Is(err, context.Canceled); cancelled != (i == 2) || err != nil && !cancelled {
					t.Error(err)
				}
			})
			time.Sleep(time.Second)
		}
		cancel()
		wg.Wait()
		if took := time.Since(begun); took > 51*time.Second {
			t.Errorf("took %v", took)
		}
		var order []string
		for _, r := range s.Requests() {
			order = append(order, strings.Split(r.Path, "%2F")[0][len("/api/v4/projects/"):])
		}
		if diff := cmp.Diff([]string{"team0", "team1", "team3", "team4", "team5"}, order); diff != "" {
			t.Error(diff)
		}
	})
}

// open opens the finished export of the project i, and has it closed at the end.
func (s *pacedServer) open(t *testing.T, c *porter.Client, i int) *porter.ExportReader {
	t.Helper()
	r, err := c.OpenExport(t.Context(), s.projects[i])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestSourceOpenedAtItsPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newTransferServer(t, 1)
		c := s.client(t, porter.WithTransfers(1))
		r := s.open(t, c, 0)
		var opened atomic.Bool
		src := sourceOf(smallArchive)
		open := src.Open
		src.Open = func(ctx context.Context) (io.ReadCloser, error) {
			opened.Store(true)
			return open(ctx)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := c.Import(t.Context(), src, importAs("app")); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Hour)
		if opened.Load() {
			t.Error("opened before its time")
		}
		r.Close()
		wg.Wait()
		if !opened.Load() {
			t.Error("not opened")
		}
	})
}

// transferPauses are transfers that pause for most of a minute.
var transferPauses = []struct {
	name  string
	fault portertest.Fault
	do    func(context.Context, *porter.Client, porter.ProjectPath) error
}{
	{"upload refused", portertest.Fault{Method: "POST", Do: portertest.Respond(429, http.Header{"Retry-After": {"50"}}, "")}, startImport},
	{"download refused", portertest.Fault{Path: team0, Do: portertest.Respond(429, nil, "")}, download},
	{"download refused in the middle", portertest.Fault{Path: team0, Skip: 1, Do: portertest.Respond(429, nil, "")}, download},
	{"server asks for a long pause", portertest.Fault{Path: team0, Do: portertest.Respond(503, http.Header{"Retry-After": {"50"}}, "")},
		download},
	{"archive not stored", portertest.Fault{Path: team0, Do: notStored}, download},
	{"archive not stored, in the middle", portertest.Fault{Path: team0, Skip: 1, Do: notStored}, download},
	{"export", portertest.Fault{}, func(ctx context.Context, c *porter.Client, p porter.ProjectPath) error {
		_, err := c.ExportTo(ctx, p, io.Discard, nil)
		return err
	}},
	{"import", portertest.Fault{}, func(ctx context.Context, c *porter.Client, _ porter.ProjectPath) error {
		_, err := c.Import(ctx, sourceOf(smallArchive), importAs("app"))
		return err
	}},
	{"turn", portertest.Fault{}, func(ctx context.Context, c *porter.Client, p porter.ProjectPath) error {
		return errors.Join(download(ctx, c, p), download(ctx, c, p))
	}},
	{"source refused", portertest.Fault{Path: team0, Do: portertest.Respond(429, nil, "")}, importExport},
	{"source not stored", portertest.Fault{Path: team0, Do: notStored}, importExport},
	{"source waits for a turn", portertest.Fault{}, func(ctx context.Context, c *porter.Client, p porter.ProjectPath) error {
		return errors.Join(download(ctx, c, p), importExport(ctx, c, p))
	}},
	{"source elsewhere", portertest.Fault{Path: team0, Do: portertest.Respond(429, http.Header{"Retry-After": {"50"}}, "")},
		func(ctx context.Context, c *porter.Client, p porter.ProjectPath) error {
			link := c.BaseURL() + "projects/" + strings.ReplaceAll(string(p), "/", "%2F") + "/export/download"
			_, err := c.StartImport(ctx, c.URLSource(link+"?private_token="+portertest.Token), importAs("app"))
			return err
		}},
	{"spooled, refused", portertest.Fault{Method: "POST", Path: "/import", Do: portertest.Respond(429, nil, "")},
		func(ctx context.Context, c *porter.Client, p porter.ProjectPath) error {
			opts := porter.MigrateOptions{Import: importAs("app"), Export: &porter.ExportOptions{MaxAge: time.Hour}}
			_, err := porter.Migrate(ctx, c, p, c, opts)
			return err
		}},
}

// team0 is the archive of the first project.
const team0 = "/team0%2Fapp/export/download"

var notStored = portertest.Respond(404, nil, `{"message":"The project export file is not available yet"}`)

func startImport(ctx context.Context, c *porter.Client, _ porter.ProjectPath) error {
	_, err := c.StartImport(ctx, sourceOf(smallArchive), importAs("app"))
	return err
}

func importExport(ctx context.Context, c *porter.Client, p porter.ProjectPath) error {
	_, err := c.StartImport(ctx, c.ExportSource(p), importAs("app"))
	return err
}

func download(ctx context.Context, c *porter.Client, p porter.ProjectPath) error {
	_, err := c.DownloadExport(ctx, p, io.Discard, nil)
	return err
}

// What waits holds no place.
func TestPausesHoldNoPlace(t *testing.T) {
	t.Parallel()
	for _, tt := range transferPauses {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newTransferServer(t, 2)
				if tt.fault.Skip > 0 { // a download that is to be taken up again
					s.Inject(portertest.Fault{Path: team0, Do: portertest.CutResponse(1000)})
					tt.fault.Skip = 0
				}
				if tt.fault.Method+tt.fault.Path != "" {
					s.Inject(tt.fault)
				}
				c := s.client(t, porter.WithTransfers(1))
				begun := time.Now()
				var ended atomic.Bool
				var wg sync.WaitGroup
				wg.Go(func() {
					if err := tt.do(t.Context(), c, s.projects[0]); err != nil {
						t.Error(err)
					}
					ended.Store(true)
					if took := time.Since(begun); took < 12*time.Second {
						t.Errorf("took no longer than %v", took)
					}
				})
				time.Sleep(10 * time.Second)
				begun2 := time.Now()
				if err := download(t.Context(), c, s.projects[1]); err != nil {
					t.Error(err)
				}
				if took := time.Since(begun2); took > time.Second || ended.Load() {
					t.Errorf("another one took %v; the first has ended: %v", took, ended.Load())
				}
				wg.Wait()
			})
		})
	}
}

// A short pause gives nothing away.
func TestShortPausesHoldThePlace(t *testing.T) {
	t.Parallel()
	for _, fault := range []portertest.Action{portertest.Respond(503, nil, ""), portertest.CutResponse(1000)} {
		synctest.Test(t, func(t *testing.T) {
			s := newTransferServer(t, 2)
			s.Inject(portertest.Fault{Path: "/export/download", Do: fault})
			c := s.client(t, porter.WithTransfers(1), porter.WithoutPacing(), porter.WithRetry(1, porter.ConstantBackoff(20*time.Second)))
			var wg sync.WaitGroup
			for _, p := range s.projects {
				wg.Go(func() {
					if err := download(t.Context(), c, p); err != nil {
						t.Error(err)
					}
				})
				time.Sleep(10 * time.Second)
			}
			wg.Wait()
			requests := s.Requests()
			if last := requests[len(requests)-1]; len(requests) != 3 || !strings.Contains(last.Path, "team1") {
				t.Errorf("%d requests, the last for %s", len(requests), last.Path)
			}
		})
	}
}

// Who had to wait for its archive comes before those who asked later.
func TestPausesLoseNoPlaceInTheLine(t *testing.T) {
	t.Parallel()
	for _, fault := range []portertest.Action{notStored, portertest.Respond(429, nil, "")} {
		synctest.Test(t, func(t *testing.T) {
			s := newTransferServer(t, 3)
			s.Inject(portertest.Fault{Path: team0, Do: fault})
			c := s.client(t, porter.WithTransfers(1), porter.WithTransport(&meter{next: s.Transport(), takes: 70 * time.Second}))
			var wg sync.WaitGroup
			for _, p := range s.projects {
				wg.Go(func() {
					if err := download(t.Context(), c, p); err != nil {
						t.Error(err)
					}
				})
				time.Sleep(10 * time.Second)
			}
			wg.Wait()
			var order []string
			for _, r := range s.Requests() {
				order = append(order, r.Path[len("/api/v4/projects/"):][:len("team0")])
			}
			if diff := cmp.Diff([]string{"team0", "team1", "team0", "team2"}, order); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The halves of a migration are under way at the same time, in one place.
func TestMigrateInOnePlace(t *testing.T) {
	t.Parallel()
	for _, way := range spoolWays {
		synctest.Test(t, func(t *testing.T) {
			s := newTransferServer(t, 1)
			m := &meter{next: s.Transport(), takes: time.Minute}
			c := s.client(t, porter.WithTransfers(1), porter.WithTransport(m))
			opts := porter.MigrateOptions{Import: importAs("app"), NoSpool: way.noSpool, SpoolDir: t.TempDir()}
			if _, err := porter.Migrate(t.Context(), c, s.projects[0], c, opts); err != nil || m.most != 2 {
				t.Errorf("%s: %d halves at a time: %v", way.name, m.most, err)
			}
		})
	}
}

// What reads behind a download counts with it, so that one place is enough,
// also for some in opposite directions.
func TestOneTransferFromEndToEnd(t *testing.T) {
	t.Parallel()
	migrate := func(noSpool bool) func(context.Context, *porter.Client, porter.ProjectPath, *porter.Client, string) error {
		return func(ctx context.Context, from *porter.Client, p porter.ProjectPath, to *porter.Client, path string) error {
			_, err := porter.Migrate(ctx, from, p, to, porter.MigrateOptions{Import: importAs(path), NoSpool: noSpool})
			return err
		}
	}
	for name, move := range map[string]func(context.Context, *porter.Client, porter.ProjectPath, *porter.Client, string) error{
		"spool":    migrate(false),
		"no spool": migrate(true),
		"export source": func(ctx context.Context, from *porter.Client, p porter.ProjectPath, to *porter.Client, path string) error {
			_, err := to.Import(ctx, from.ExportSource(p), importAs(path))
			return err
		},
		"a pipe of its own": func(ctx context.Context, from *porter.Client, p porter.ProjectPath, to *porter.Client, path string) error {
			src := porter.Source{Size: -1, Open: func(ctx context.Context) (io.ReadCloser, error) {
				pr, pw := io.Pipe()
				go func() {
					_, err := from.DownloadExport(ctx, p, pw, nil)
					pw.CloseWithError(err)
				}()
				return pr, nil
			}}
			_, err := to.Import(ctx, src, importAs(path))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, b := newTransferServer(t, 4), newTransferServer(t, 4)
				ac, bc := a.client(t, porter.WithTransfers(1)), b.client(t, porter.WithTransfers(1))
				begun := time.Now()
				var wg sync.WaitGroup
				for i := range a.projects {
					path := fmt.Sprint("app", i)
					for _, way := range [][2]*porter.Client{{ac, bc}, {bc, ac}} {
						wg.Go(func() {
							if err := move(t.Context(), way[0], a.projects[i], way[1], path); err != nil {
								t.Error(err)
							}
						})
					}
				}
				wg.Wait()
				if err := move(t.Context(), ac, a.projects[0], ac, "here"); err != nil { // both ends are one client's
					t.Error(err)
				}
				if took := time.Since(begun); took > time.Hour {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// However a reader ends, its place is free once.
func TestReaderGivesItsPlaceBack(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *porter.ExportReader, context.CancelFunc){
		"closed twice": func(_ *testing.T, r *porter.ExportReader, _ context.CancelFunc) { r.Close(); r.Close() },
		"read and closed": func(_ *testing.T, r *porter.ExportReader, _ context.CancelFunc) {
			io.Copy(io.Discard, r)
			r.Close()
		},
		"read": func(t *testing.T, r *porter.ExportReader, _ context.CancelFunc) {
			if _, err := io.Copy(io.Discard, r); err != nil {
				t.Error(err)
			}
		},
		"failed": func(t *testing.T, r *porter.ExportReader, _ context.CancelFunc) {
			if _, err := io.Copy(io.Discard, r); err == nil {
				t.Error("no error")
			}
		},
		"context ended": func(_ *testing.T, _ *porter.ExportReader, cancel context.CancelFunc) { cancel(); synctest.Wait() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTransferServer(t, 3)
				if name == "failed" {
					s.Inject(portertest.Fault{Path: "/export/download", Do: portertest.CutResponse(1000)})
				}
				c := s.client(t, porter.WithTransfers(1), porter.WithRetry(0, nil))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				r, err := c.OpenExport(ctx, s.projects[0])
				if err != nil {
					t.Fatal(err)
				}
				end(t, r, cancel)
				begun := time.Now()
				s.open(t, c, 1)
				if took := time.Since(begun); took > time.Second {
					t.Errorf("the next one waited %v", took)
				}
				r.Close()
				ctx, cancel = context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				if _, err := c.OpenExport(ctx, s.projects[2]); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("there is a place more than before: %v", err)
				}
			})
		})
	}
}

// Derived clients count together, each up to its own limit.
func TestDerivedClientsShareTransfers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newTransferServer(t, 4)
		one := s.client(t, porter.WithTransfers(1))
		derive := func(opts ...porter.Option) *porter.Client {
			c, err := one.With(opts...)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		s.open(t, one, 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := derive(porter.WithRetry(1, nil)).OpenExport(ctx, s.projects[1]); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a second of one: %v", err)
		}
		s.open(t, derive(porter.WithTransfers(2)), 1)
		ctx, cancel = context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := derive(porter.WithTransfers(2)).OpenExport(ctx, s.projects[2]); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a third of two: %v", err)
		}
		s.open(t, derive(porter.WithTransfers(0)), 2)
	})
}

// Other requests than transfers are no more than 64 at a time, so that files
// are enough for their connections. They go in the order in which they came.
func TestCallsAtMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var order []string
		now, most := 0, 0
		begun := time.Now()
		c := mocked(t, roundTripper(func(req *http.Request) (*http.Response, error) {
			mu.Lock()
			now++
			most = max(most, now)
			order = append(order, req.URL.Path)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			now--
			if time.Since(begun) <= time.Second {
				return httpmock.NewStringResponse(http.StatusServiceUnavailable, ""), nil
			}
			return httpmock.NewStringResponse(http.StatusOK, `{"id":1,"export_status":"none"}`), nil
		}), porter.WithRetry(1, porter.ConstantBackoff(time.Hour)))
		var want []string
		var wg sync.WaitGroup
		for i := range 200 {
			ctx, cancel := context.WithCancel(t.Context())
			wg.Go(func() {
				_, err := c.GetExport(ctx, porter.ProjectID(i+1))
				if i == 100 != errors.Is(err, context.Canceled) || i != 100 && err != nil {
					t.Error(err)
				}
			})
			synctest.Wait() // it waits for its turn now
			if i == 100 {
				cancel()
			} else {
				want = append(want, fmt.Sprintf("/api/v4/projects/%d/export", i+1))
				defer cancel()
			}
		}
		time.Sleep(time.Minute)
		mu.Lock()
		for batch := range slices.Chunk(order, 64) { // at the same moment
			slices.Sort(batch)
		}
		for batch := range slices.Chunk(want, 64) {
			slices.Sort(batch)
		}
		if diff := cmp.Diff(want, order); diff != "" || most != 64 {
			t.Errorf("%d at a time, in this order: %s", most, diff)
		}
		order = nil
		mu.Unlock()
		wg.Wait() // for those that were refused, and paused meanwhile
		if len(order) != 64 {
			t.Errorf("%d were tried again", len(order))
		}
	})
}
