package porter_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// GitLab has accepted a job, and a replica has not heard of it yet.
func TestReplicaLags(t *testing.T) {
	const missing = `{"message":"404 Project Not Found"}`
	opts := porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("g")}
	start := func(ctx context.Context, c *porter.Client) (*porter.Import, error) {
		imp, err := c.StartImport(ctx, sourceOf(smallArchive), opts)
		if err != nil {
			return nil, err
		}
		return c.WaitForImport(ctx, imp.ID)
	}
	tests := []struct {
		name  string
		call  func(context.Context, *porter.Client) (*porter.Import, error)
		lag   time.Duration
		ends  bool
		after time.Duration // at the earliest, if it ends in a 404
	}{
		{"import", func(ctx context.Context, c *porter.Client) (*porter.Import, error) {
			return c.Import(ctx, sourceOf(smallArchive), opts)
		}, 20 * time.Second, true, 0},
		{"import, for minutes", func(ctx context.Context, c *porter.Client) (*porter.Import, error) {
			return c.Import(ctx, sourceOf(smallArchive), opts)
		}, 8 * time.Minute, true, 0},
		{"import that is deleted", func(ctx context.Context, c *porter.Client) (*porter.Import, error) {
			return c.Import(ctx, sourceOf(smallArchive), opts)
		}, 24 * time.Hour, false, 10 * time.Minute},
		{"start and wait", start, 20 * time.Second, true, 0},
		{"from a URL, and wait", func(ctx context.Context, c *porter.Client) (*porter.Import, error) {
			imp, err := c.StartImportFromURL(ctx, "https://archives.test/app.tar.gz", opts)
			if err != nil {
				return nil, err
			}
			return c.WaitForImport(ctx, imp.ID)
		}, 20 * time.Second, true, 0},
		{"wait for what somebody else began", func(ctx context.Context, c *porter.Client) (*porter.Import, error) {
			return c.WaitForImport(ctx, porter.ProjectID(9))
		}, time.Minute, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				c := newClient(t, "https://gitlab.test", nil,
					porter.WithTransport(roundTripper(func(req *http.Request) (*http.Response, error) {
						switch {
						case req.Method == http.MethodPost:
							return retryAnswer(201, nil,
								`{"id":9,"path":"app","path_with_namespace":"g/app","import_status":"scheduled"}`)(req)
						case time.Since(begun) < tt.lag:
							return retryAnswer(404, nil, missing)(req)
						}
						return retryAnswer(200, nil, `{"id":9,"path":"app","path_with_namespace":"g/app","import_status":"finished"}`)(req)
					})))
				_, err := tt.call(t.Context(), c)
				if tt.ends != (err == nil) {
					t.Errorf("after %v: %v", time.Since(begun), err)
				}
				if !tt.ends && (!errors.Is(err, porter.ErrNotFound) || time.Since(begun) < tt.after) {
					t.Errorf("after %v: %v", time.Since(begun), err)
				}
			})
		})
	}
}

// After a look that found the path free, what is there is the new project,
// whatever the clocks say. Elsewhere they may be minutes apart.
func TestClocksDiffer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		looked bool
		behind time.Duration // the clock that writes created_at
		own    bool
	}{
		{true, 0, true},
		{true, 20 * time.Second, true},
		{true, 3 * time.Hour, true},
		{true, -3 * time.Hour, true},
		{false, 20 * time.Second, true},
		{false, 2 * time.Minute, true},
		{false, -2 * time.Minute, true},
		{false, 5 * time.Minute, false},
	} {
		t.Run(fmt.Sprintf("looked %t, behind %v", tt.looked, tt.behind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				posted := false
				c := newClient(t, "https://gitlab.test", nil,
					porter.WithTransport(roundTripper(func(req *http.Request) (*http.Response, error) {
						h := http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}}
						switch {
						case req.Method == http.MethodPost:
							posted = true
							return retryAnswer(502, h, "")(req)
						case posted:
							made := time.Now().Add(-tt.behind).UTC().Format(time.RFC3339Nano)
							return retryAnswer(200, h,
								fmt.Sprintf(`{"id":9,"path":"app","path_with_namespace":"g/app","created_at":%q,"import_status":"finished"}`,
									made))(req)
						case tt.looked:
							return retryAnswer(404, h, `{"message":"404 Project Not Found"}`)(req)
						}
						return retryAnswer(502, h, "")(req)
					})))
				imp, err := c.Import(t.Context(), sourceOf(smallArchive),
					porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("g")})
				if tt.own != (err == nil) || tt.own != (imp != nil) || !tt.own && !errors.Is(err, porter.ErrProjectExists) {
					t.Errorf("got %+v, %v", imp, err)
				}
			})
		})
	}
}

// A pause that the server asks for is kept wherever it is told, but no failing
// server makes anyone sleep beyond patience.
func TestRetryAfterIsKept(t *testing.T) {
	app, opts := porter.ProjectPath("g/app"), porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("g")}
	look := func(ctx context.Context, c *porter.Client) error { _, err := c.GetExport(ctx, app); return err }
	wait := func(ctx context.Context, c *porter.Client) error { _, err := c.WaitForExport(ctx, app); return err }
	lost := func(ctx context.Context, c *porter.Client) error {
		_, err := c.Import(ctx, sourceOf(smallArchive), opts)
		return err
	}
	download := func(ctx context.Context, c *porter.Client) error {
		_, err := c.DownloadExport(ctx, app, io.Discard, unverified)
		return err
	}
	tests := []struct {
		name     string
		call     func(context.Context, *porter.Client) error
		status   int
		after    string
		deadline time.Duration
		looks    []time.Duration // of the GETs after the answer that asks for a pause
		took     time.Duration   // at most
	}{
		{"a look", look, 503, "90", 0, []time.Duration{90 * time.Second}, 2 * time.Minute},
		{"a look, a day", look, 503, "86400", 0, nil, 0},
		{"a wait", wait, 503, "90", 0, []time.Duration{90 * time.Second}, 2 * time.Minute},
		{"a wait, a day", wait, 503, "86400", 0, nil, 0},
		{"a wait, an hour of a 500", wait, 500, "3600", 0, nil, 0},
		{"a wait, a lost turn of an hour", wait, 429, "3600", 0, []time.Duration{time.Hour}, 2 * time.Hour},
		{"a wait that ends before", wait, 429, "60", 40 * time.Second, nil, 40 * time.Second},
		{"a wait that ends before, 503", wait, 503, "60", 40 * time.Second, nil, 40 * time.Second},
		{"a download", download, 503, "90", 0, []time.Duration{90 * time.Second}, 2 * time.Minute},
		{"a download, a day", download, 503, "86400", 0, nil, 0},
		{"a look after a lost import", lost, 429, "60", 0, []time.Duration{time.Minute}, 2 * time.Minute},
		{"a look after a lost import, 503", lost, 503, "60", 0, []time.Duration{time.Minute}, 2 * time.Minute},
		{"a look after a lost import, a day", lost, 503, "86400", 0, nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				posted, asked := false, 0
				var looks []time.Duration
				c := newClient(t, "https://gitlab.test", nil, porter.WithoutPacing(),
					porter.WithTransport(roundTripper(func(req *http.Request) (*http.Response, error) {
						if req.Method == http.MethodPost {
							posted = true
							return retryAnswer(502, nil, "")(req)
						}
						if tt.name[:min(len(tt.name), 12)] == "a look after" && !posted {
							return retryAnswer(404, nil, `{"message":"404 Project Not Found"}`)(req)
						}
						if asked++; asked == 1 {
							return retryAnswer(tt.status, http.Header{"Retry-After": {tt.after}}, "later")(req)
						}
						looks = append(looks, time.Since(begun))
						if req.URL.Path == "/api/v4/projects/g/app/export/download" {
							return retryAnswer(200, nil, "\x1f\x8b\x08 an archive")(req)
						}
						return retryAnswer(200, nil,
							`{"id":9,"path_with_namespace":"g/app","export_status":"finished","import_status":"finished"}`)(req)
					})))
				ctx := t.Context()
				if tt.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
					defer cancel()
				}
				err := tt.call(ctx, c)
				if (err == nil) != (tt.looks != nil) {
					t.Errorf("error is %v", err)
				}
				if len(looks) > 0 != (tt.looks != nil) || len(looks) > 0 && looks[0] < tt.looks[0] {
					t.Errorf("looked after %v, want %v", looks, tt.looks)
				}
				if took := time.Since(begun); took > tt.took {
					t.Errorf("took %v", took)
				}
				var api *porter.APIError
				if err != nil && tt.deadline == 0 &&
					(!errors.As(err, &api) || api.RetryAfter == 0 && tt.name != "a look after a lost import, a day") {
					t.Errorf("%v does not say when to come back", err)
				}
			})
		})
	}
}

// Sixty processes of one user, which know nothing of each other, all get their
// turn.
func TestTurnsAreLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := portertest.NewServer(portertest.InMemory(), portertest.RealTiming())
		defer s.Close()
		const clients = 60
		done := make(chan error, clients)
		for i := range clients {
			id := s.AddProject(portertest.Project{Path: fmt.Sprint("g/app", i)})
			go func() {
				done <- connectAs(t, s, portertest.Token).ScheduleExport(t.Context(), porter.ProjectID(id), nil)
			}()
		}
		begun := time.Now()
		for range clients {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(begun); took > 11*time.Minute {
			t.Errorf("took %v", took)
		}
	})
}

// A token source that fails sends nothing, and so uses no turn up.
func TestTokenFailureCostsNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := portertest.NewServer(portertest.InMemory())
		defer s.Close()
		s.AddProject(portertest.Project{Path: "g/app"})
		s.AddExport("g/app", "owner")
		asked := 0
		c := newClient(t, s.URL, porter.TokenSource(func(context.Context) (string, error) {
			if asked++; asked < 3 {
				return "", errors.New("vault is sealed")
			}
			return portertest.Token, nil
		}), porter.WithTransport(s.Transport()), porter.WithRetry(3, porter.ConstantBackoff(time.Second)))
		begun := time.Now()
		if _, err := c.DownloadExport(t.Context(), porter.ProjectPath("g/app"), io.Discard, unverified); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// A damaged archive is told at once, also if the upload waits for its turn.
func TestDamageIsToldAtOnce(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*portertest.Server){
		"no archive": func(s *portertest.Server) {},
		"cut off": func(s *portertest.Server) {
			s.Inject(portertest.Fault{Path: "/export/download", Times: -1, Skip: 1,
				Do: portertest.Respond(403, nil, `{"message":"403 Forbidden"}`)})
			s.Inject(portertest.Fault{Path: "/export/download", Do: portertest.CutResponse(20)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				real := []portertest.Option{portertest.InMemory(), portertest.RealTiming()}
				src, dst := portertest.NewServer(real...), portertest.NewServer(real...)
				defer src.Close()
				defer dst.Close()
				src.AddProject(portertest.Project{Path: "g/app",
					Archive: portertest.BytesArchive([]byte("\x1f\x8bnot an archive, but it begins like one"))})
				src.AddExport("g/app", "owner")
				dst.AddGroup("g")
				prepare(src)
				to := connectAs(t, dst, portertest.Token)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				for i := range 6 * 30 { // others have the imports of the next half hour
					go to.StartImport(ctx, sourceOf(smallArchive), porter.ImportOptions{Path: fmt.Sprint("other", i)})
				}
				synctest.Wait()
				begun := time.Now()
				m, err := porter.Migrate(ctx, connectAs(t, src, portertest.Token), porter.ProjectPath("g/app"), to,
					porter.MigrateOptions{Import: porter.ImportOptions{Namespace: porter.NamespacePath("g")}})
				want := porter.ErrNotArchive
				if name == "cut off" {
					want = porter.ErrForbidden
				}
				if m != nil || !errors.Is(err, want) {
					t.Errorf("got %+v, %v", m, err)
				}
				if took := time.Since(begun); took > 6*time.Minute {
					t.Errorf("told after %v", took)
				}
			})
		})
	}
}
