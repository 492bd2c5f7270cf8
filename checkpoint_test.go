package porter_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// What is told comes in this order, at these times, and says these things.
func TestCheckpoints(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newResumePair(t)
		p.dst.Advance(1000 * time.Hour) // a clock of its own
		var told []porter.Checkpoint
		m, _, err := p.migrate(t, nil, func(o *porter.MigrateOptions) {
			o.Checkpoint = func(_ context.Context, c porter.Checkpoint) error {
				s := p.dst
				if c.Step == porter.StepScheduling || c.Step == porter.StepExporting {
					s = p.src
				}
				if off := s.Now().Sub(c.Time).Abs(); off > 2*time.Second || c.Time.Location() != time.UTC {
					t.Errorf("%s at %v, %v off", c.Step, c.Time, off)
				}
				if c.Step == porter.StepScheduling && len(p.src.Exports("7")) != 0 {
					t.Error("the export was scheduled before")
				}
				if c.Step == porter.StepUploading && (len(p.dst.Projects()) != 0 || uploads(p.dst)[0].Complete) {
					t.Error("the archive was sent before")
				}
				c.Time = time.Time{}
				told = append(told, c)
				return nil
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		id := m.Import.ID
		want := []porter.Checkpoint{
			{Step: porter.StepScheduling, Source: 7, Target: "new/app"},
			{Step: porter.StepExporting, Source: 7, Target: "new/app"},
			{Step: porter.StepUploading, Source: 7, Target: "new/app"},
			{Step: porter.StepImporting, Source: 7, Target: "new/app", Import: id},
			{Step: porter.StepDone, Source: 7, Target: "new/app", Import: id},
		}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Error(diff)
		}
	})
}

var errFull = errors.New("the disk is full")

// An error of the callback stops there, and is in the chain of what is
// returned, whatever it may be.
func TestCheckpointStops(t *testing.T) {
	t.Parallel()
	causes := map[string]error{
		"own":         errFull,
		"ErrNotFound": fmt.Errorf("%w: %w", errFull, porter.ErrNotFound),
		"answer":      fmt.Errorf("%w: %w", errFull, &porter.APIError{StatusCode: 503}),
		"deadline":    fmt.Errorf("%w: %w", errFull, context.DeadlineExceeded),
	}
	for cause, why := range causes {
		for _, noSpool := range []bool{false, true} {
			for step, want := range map[porter.Step]struct{ exports, projects int }{
				porter.StepScheduling: {0, 0}, porter.StepExporting: {1, 0}, porter.StepUploading: {1, 0},
				porter.StepImporting: {1, 1}, porter.StepDone: {1, 1},
			} {
				t.Run(fmt.Sprintf("%s, %s, no spool %v", step, cause, noSpool), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						p := newResumePair(t)
						told := 0
						m, _, err := p.migrate(t, nil, func(o *porter.MigrateOptions) {
							o.NoSpool = noSpool
							o.Checkpoint = func(_ context.Context, c porter.Checkpoint) error {
								if c.Step != step {
									return nil
								}
								told++
								return why
							}
						})
						checkStopped(t, step, why, err)
						if told != 1 {
							t.Errorf("told %d times", told)
						}
						if (m != nil) != (want.projects == 1) || m != nil && m.Import.ID == 0 {
							t.Errorf("the result is %+v", m)
						}
						if len(p.src.Exports("7")) != want.exports || len(p.dst.Projects()) != want.projects {
							t.Errorf("%d exports, %d projects", len(p.src.Exports("7")), len(p.dst.Projects()))
						}
					})
				})
			}
		}
		for step, projects := range map[porter.Step]int{porter.StepUploading: 0, porter.StepImporting: 1, porter.StepDone: 1} {
			t.Run(fmt.Sprintf("import, %s, %s", step, cause), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newResumePair(t)
					opts := intoNew
					opts.Path = "app"
					opts.Checkpoint = func(_ context.Context, c porter.Checkpoint) error {
						if c.Step == step {
							return why
						}
						return nil
					}
					imp, err := p.to.Import(t.Context(), sourceOf(smallArchive), opts)
					checkStopped(t, step, why, err)
					if len(p.dst.Projects()) != projects || (imp != nil) != (projects == 1) {
						t.Errorf("%d projects, import %+v", len(p.dst.Projects()), imp)
					}
				})
			})
		}
	}
}

func checkStopped(t *testing.T, step porter.Step, why, err error) {
	t.Helper()
	if !errors.Is(err, why) || !errors.Is(err, errFull) || errors.Is(err, porter.ErrOutcomeUnknown) ||
		!strings.Contains(err.Error(), fmt.Sprintf("checkpoint %q: the disk is full", step)) || strings.Contains(err.Error(), "source:") {
		t.Errorf("got %v", err)
	}
	if errors.Is(why, porter.ErrNotFound) && !errors.Is(err, porter.ErrNotFound) {
		t.Errorf("what it wraps is not in the chain: %v", err)
	}
	var api *porter.APIError
	if errors.As(why, &api) && !errors.As(err, &api) {
		t.Errorf("what it wraps is not in the chain: %v", err)
	}
}

// A callback may take its time: neither the upload nor anything else is given up.
func TestCheckpointIsSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newResumePair(t)
		steps := ""
		if _, _, err := p.migrate(t, nil, func(o *porter.MigrateOptions) {
			o.Checkpoint = func(_ context.Context, c porter.Checkpoint) error {
				steps += " " + string(c.Step)
				time.Sleep(20 * time.Minute)
				return nil
			}
		}); err != nil {
			t.Error(err)
		}
		if steps != " scheduling exporting uploading importing done" || len(uploads(p.dst)) != 1 || len(p.src.Exports("7")) != 1 {
			t.Errorf("told%s, %d uploads, %d exports", steps, len(uploads(p.dst)), len(p.src.Exports("7")))
		}
	})
}

// What is sent again is told again, as each may be the one that counts.
func TestCheckpointOfRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newResumePair(t)
		p.src.Inject(portertest.Fault{Method: "POST", Do: portertest.Respond(429, http.Header{"Retry-After": {"60"}}, "")})
		p.dst.Inject(portertest.Fault{Method: "POST", Do: portertest.Respond(429, http.Header{"Retry-After": {"60"}}, "")})
		m, steps, err := p.migrate(t, nil, nil)
		if err != nil || m.Import.Status != porter.ImportFinished {
			t.Fatalf("%+v, %v", m, err)
		}
		if steps != "scheduling scheduling exporting uploading uploading importing done" {
			t.Errorf("told %q", steps)
		}
	})
}

// If the path is taken meanwhile, nothing is sent to its end.
func TestCheckpointFindsTargetTaken(t *testing.T) {
	t.Parallel()
	for _, noSpool := range []bool{false, true} {
		t.Run(fmt.Sprintf("no spool %v", noSpool), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newResumePair(t)
				_, steps, err := p.migrate(t, nil, func(o *porter.MigrateOptions) {
					tell := o.Checkpoint
					o.NoSpool = noSpool
					o.Checkpoint = func(ctx context.Context, c porter.Checkpoint) error {
						if c.Step == porter.StepExporting {
							p.dst.AddProject(portertest.Project{ID: 4711, Path: "new/app"})
						}
						return tell(ctx, c)
					}
				})
				var exists *porter.ProjectExistsError
				if !errors.As(err, &exists) || exists.Import.ID != 4711 || strings.Contains(err.Error(), "source:") {
					t.Errorf("got %v", err)
				}
				if steps != "scheduling exporting" || uploads(p.dst)[0].Complete {
					t.Errorf("told %q", steps)
				}
			})
		})
	}
}

// Where only the ID of the namespace is given, its path is asked for, once. It
// makes the target known, and what is answered else changes nothing.
func TestTargetOfNamespaceID(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		status int // instead of what GitLab answers, 0 for that
		body   string
		target porter.ProjectPath
	}{
		{"told", 0, "", "new/app"},
		{"not allowed to look", 403, `{"error":"insufficient_granular_scope"}`, ""},
		{"unknown", 404, `{"message":"404 Namespace Not Found"}`, ""},
		{"too often", 429, `{"message":"too many"}`, ""},
		{"broken", 500, `{}`, ""},
		{"page", 200, `<html></html>`, ""},
		{"no path", 200, `{"id":%d}`, ""},
		{"another one", 200, `{"id":1,"full_path":"other"}`, ""},
		{"path that is none", 200, `{"id":%d,"full_path":"new/../other"}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newResumePair(t)
				id := p.dst.AddGroup("new")
				path := fmt.Sprintf("/namespaces/%d", id)
				if tt.status != 0 {
					p.dst.Inject(portertest.Fault{Method: "GET", Path: path, Times: -1, Do: portertest.Respond(tt.status,
						http.Header{"Content-Type": {"application/json"}}, strings.ReplaceAll(tt.body, "%d", fmt.Sprint(id)))})
				}
				p.dst.Inject(portertest.Fault{Method: "POST", Path: "/projects/import", Do: portertest.LoseAnswer()})
				var sent porter.Checkpoint
				_, steps, err := p.migrate(t, nil, func(o *porter.MigrateOptions) {
					tell := o.Checkpoint
					o.Import.Namespace = porter.NamespaceID(id)
					o.SkipCheck = tt.status == 404 // or it would end there
					o.Checkpoint = func(ctx context.Context, c porter.Checkpoint) error {
						if c.Step == porter.StepUploading {
							sent = c
						}
						return tell(ctx, c)
					}
				})
				if n := count(p.dst, "GET", path); n != 1 || sent.Target != tt.target {
					t.Errorf("asked %d times, and the target is %q", n, sent.Target)
				}
				known := tt.target != ""
				if known != (err == nil) || !known && !errors.Is(err, porter.ErrOutcomeUnknown) || known != strings.HasSuffix(steps, "done") {
					t.Errorf("told %q, ended with %v", steps, err)
				}
				if err != nil { // and run again, it stays so
					_, _, err = p.migrate(t, &sent, func(o *porter.MigrateOptions) { o.Import.Namespace = porter.NamespaceID(id) })
					if !errors.Is(err, porter.ErrOutcomeUnknown) {
						t.Errorf("taken up: %v", err)
					}
				}
				if n := len(uploads(p.dst)); n != 1 || len(p.dst.Projects()) != 1 {
					t.Errorf("%d uploads, %d projects", n, len(p.dst.Projects()))
				}
			})
		})
	}
}

// Overwriting, and into one's own namespace, the target is not known.
func TestTargetThatIsNotKnown(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]porter.ImportOptions{
		"own namespace": {Path: "app"},
		"overwrite":     {Path: "app", Namespace: porter.NamespacePath("new"), Overwrite: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newResumePair(t)
				p.dst.Inject(portertest.Fault{Method: "POST", Path: "/projects/import", Do: portertest.LoseAnswer()})
				var told []porter.Checkpoint
				_, _, err := p.migrate(t, nil, func(o *porter.MigrateOptions) {
					o.Import = opts
					o.Checkpoint = func(_ context.Context, c porter.Checkpoint) error {
						told = append(told, c)
						return nil
					}
				})
				last := told[len(told)-1]
				if !errors.Is(err, porter.ErrOutcomeUnknown) || last.Step != porter.StepUploading || last.Target != "" {
					t.Fatalf("told %+v, ended with %v", told, err)
				}
				if _, _, err = p.migrate(t, &last, func(o *porter.MigrateOptions) { o.Import = opts }); !errors.Is(err, porter.ErrOutcomeUnknown) {
					t.Errorf("taken up: %v", err)
				}
				if n := len(uploads(p.dst)); n != 1 {
					t.Errorf("%d uploads", n)
				}
			})
		})
	}
}
