package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

func TestMigrateProject(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	out, err := s.run(t)
	if err != nil || out.ID == 0 || out.Bytes != s.archive.Size() || len(out.Lost) != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	s.migrated(t, 1, 1)
	want := []porter.Step{porter.StepScheduling, porter.StepExporting, porter.StepUploading, porter.StepImporting}
	if !slices.Equal(s.told, want) {
		t.Errorf("checkpoints %q", s.told)
	}
	if s.attempts["AwaitExport"] < 3 || s.attempts["AwaitImport"] < 3 || s.attempts["Schedule"] != 1 || s.attempts["Transfer"] != 1 {
		t.Errorf("attempts %v", s.attempts)
	}
}

// onRequest calls f when a request comes to either instance, before it is looked at.
func (s *scene) onRequest(f func(*http.Request)) {
	for _, server := range []*portertest.Server{s.from, s.to} {
		server.Inject(portertest.Fault{Match: func(r *http.Request) bool {
			f(r)
			return false
		}})
	}
}

// Whatever request a worker is stopped at, another worker takes the work up, and
// nothing is done twice.
func TestStoppedAnywhere(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		stopped := false
		t.Run(fmt.Sprint("request ", n), func(t *testing.T) {
			s := newScene(t)
			var mu sync.Mutex
			var stop context.CancelFunc
			requests := 0
			s.before = func(ctx context.Context, _ string) context.Context {
				mu.Lock()
				defer mu.Unlock()
				ctx, stop = context.WithCancel(ctx)
				return ctx
			}
			s.onRequest(func(*http.Request) {
				mu.Lock()
				defer mu.Unlock()
				if requests++; requests == n {
					stop()
					stopped = true
				}
			})
			if out, err := s.run(t); err != nil || out.ID == 0 {
				t.Errorf("%+v, %v", out, err)
			}
			s.migrated(t, 1, 1)
		})
		if !stopped {
			t.Logf("%d requests", n-1)
			return
		}
	}
}

// failed returns the error that is in the history.
func failed(t *testing.T, err error) *temporal.ApplicationError {
	t.Helper()
	var app *temporal.ApplicationError
	if !errors.As(err, &app) {
		t.Fatalf("%v is no failure of the application", err)
	}
	return app
}

// What will not pass is tried once.
func TestFailures(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		prepare func(*scene)
		at      string // activity
		want    string
	}{
		{"no such group", func(s *scene) { s.job.Target = "nobody/p" }, "Check", "nobody"},
		{"the path is taken", func(s *scene) { s.to.AddProject(portertest.Project{Path: "n/p"}) }, "Check", "n/p"},
		{"no such project", func(s *scene) { s.job.Name = "a/q" }, "Check", "404 Project Not Found"},
		{"no name", func(s *scene) { s.job.Name = "" }, "Check", "path is empty"},
		{"another worker's job", func(s *scene) { s.job.Site.User = "you" }, "Check", "this worker is for"},
		{"the export fails", func(s *scene) {
			s.a.Grace = 1
			s.from.ScriptExport("a/p", portertest.ExportScript{Fault: portertest.FailPacking})
		}, "AwaitExport", "export of a/p failed"},
		{"a damaged archive", func(s *scene) {
			s.from.Inject(portertest.Fault{Path: "/export/download", Times: -1, Do: portertest.Garble(5000)})
		}, "Transfer", "archive damaged"},
		{"the import fails", func(s *scene) { s.to.ScriptImport("n/p", portertest.ImportScript{Error: "no space"}) }, "AwaitImport", "no space"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			tt.prepare(s)
			_, err := s.run(t)
			if app := failed(t, err); !app.NonRetryable() || !strings.Contains(app.Message(), tt.want) || app.Type() != typeFailed {
				t.Errorf("%v", err)
			}
			var at *temporal.ActivityError
			looks := strings.HasPrefix(tt.at, "Await")
			if !errors.As(err, &at) || at.ActivityType().GetName() != tt.at || !looks && s.attempts[tt.at] != 1 {
				t.Errorf("it failed at %v, after attempts %v", at, s.attempts)
			}
		})
	}
}

func TestIncomplete(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.to.ScriptImport("n/p", portertest.ImportScript{FailedRelations: []portertest.FailedRelation{{RelationName: "issues", LineNumber: 3}}})
	out, err := s.run(t)
	if err != nil || len(out.Lost) != 1 || !strings.HasPrefix(out.Lost[0], "issues, line 4") {
		t.Errorf("%+v, %v", out, err)
	}
	s.migrated(t, 1, 1)
}

// What passes is tried again.
func TestOutage(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.a.From, _ = s.a.From.With(porter.WithRetry(0, nil))
	for _, p := range []string{"/api/v4/projects/a%2Fp/export", "/export/download"} {
		s.from.Inject(portertest.Fault{Path: p, Skip: 1, Times: 2, Do: portertest.Respond(503, nil, "")})
	}
	if out, err := s.run(t); err != nil || out.ID == 0 {
		t.Errorf("%+v, %v", out, err)
	}
	s.migrated(t, 1, 1)
}

// An archive that is gone before its turn is made once more, on its queue.
func TestExpired(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.before = func(ctx context.Context, kind string) context.Context {
		if kind == "Transfer" && s.attempts[kind] == 1 {
			s.from.Advance(25 * time.Hour)
		}
		return ctx
	}
	if out, err := s.run(t); err != nil || out.ID == 0 {
		t.Errorf("%+v, %v", out, err)
	}
	s.migrated(t, 2, 1)
	if s.attempts["Schedule"] != 2 || s.attempts["Transfer"] != 2 {
		t.Errorf("attempts %v", s.attempts)
	}
}

// The answer to the schedule is lost, while an older archive is there: it does not
// hold the slot until the export ends, and takes the new one.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.from.Inject(portertest.Fault{Method: "POST", Path: "/export", Do: portertest.LoseAnswer()})
	if out, err := s.run(t); err != nil || out.ID == 0 {
		t.Errorf("%+v, %v", out, err)
	}
	s.migrated(t, 1, 1)
	if s.attempts["AwaitExport"] < 3 {
		t.Errorf("attempts %v", s.attempts)
	}
}

// A worker is stopped while it schedules, and the next attempt is late: it takes
// the export for its own, but moves nothing itself.
func TestLateSchedule(t *testing.T) {
	t.Parallel()
	scheduled := make(chan struct{})
	s := newScene(t, portertest.OnRequest(func(r portertest.Request) {
		if r.Method == "POST" && strings.HasSuffix(r.Path, "/export") {
			close(scheduled)
		}
	}))
	s.before = func(ctx context.Context, kind string) context.Context {
		switch {
		case kind != "Schedule":
		case s.attempts[kind] == 1:
			var stop context.CancelFunc
			ctx, stop = context.WithCancel(ctx)
			go func() {
				<-scheduled
				stop()
			}()
		default:
			s.from.Advance(time.Hour)
		}
		return ctx
	}
	s.from.Inject(portertest.Fault{Method: "POST", Path: "/export", Do: portertest.LoseAnswer()})
	if out, err := s.run(t); err != nil || out.ID == 0 {
		t.Errorf("%+v, %v", out, err)
	}
	s.migrated(t, 1, 1)
	if want := []porter.Step{porter.StepScheduling, porter.StepUploading, porter.StepImporting}; !slices.Equal(s.told, want) {
		t.Errorf("checkpoints %q", s.told)
	}
}

// An attempt that another one has replaced sends nothing, and neither does one that
// can't have its checkpoint kept.
func TestReplaced(t *testing.T) {
	t.Parallel()
	for _, why := range []error{serviceerror.NewNotFound("activity task not found"), serviceerror.NewUnavailable("no server")} {
		t.Run(why.Error(), func(t *testing.T) {
			t.Parallel()
			testReplaced(t, why)
		})
	}
}

func testReplaced(t *testing.T, why error) {
	s := newScene(t)
	gone := false
	beat := s.a.Beat
	s.a.Beat = func(ctx context.Context, token []byte, details ...any) error {
		if len(details) == 1 && details[0].(*porter.Checkpoint).Step == porter.StepUploading && !gone {
			gone = true
			return why
		}
		return beat(ctx, token, details...)
	}
	s.before = func(ctx context.Context, kind string) context.Context {
		if kind == "Transfer" && activity.GetInfo(ctx).Attempt == 2 {
			for _, r := range s.to.Requests() {
				if r.Method == "POST" && r.Complete {
					t.Error("the archive was sent whole")
				}
			}
		}
		return ctx
	}
	if out, err := s.run(t); err != nil || out.ID == 0 || s.attempts["Transfer"] != 2 {
		t.Errorf("%+v, %v, %v", out, err, s.attempts)
	}
	s.migrated(t, 1, 1)
}

// A project that is told to stop ends if it has not begun its export, and else goes
// on; one that is cancelled ends.
func TestStop(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		at      string // activity
		stop    func(*scene)
		exports int
		done    bool
	}{
		{"stopped before", "Check", func(s *scene) { s.env.SignalWorkflow(SignalStop, nil) }, 0, false},
		{"stopped after", "AwaitExport", func(s *scene) { s.env.SignalWorkflow(SignalStop, nil) }, 1, true},
		{"stopped after, and the archive is gone", "Transfer", func(s *scene) {
			s.from.Advance(25 * time.Hour)
			s.env.SignalWorkflow(SignalStop, nil)
		}, 2, true},
		{"cancelled", "AwaitExport", func(s *scene) { s.env.CancelWorkflow() }, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.before = func(ctx context.Context, kind string) context.Context {
				if kind == tt.at && s.attempts[kind] == 1 {
					tt.stop(s)
				}
				return ctx
			}
			_, err := s.run(t)
			if tt.done && err != nil || !tt.done && !temporal.IsCanceledError(err) {
				t.Errorf("it ended with %v", err)
			}
			if n := len(s.from.Exports("a/p")); n != tt.exports || (s.to.Project("n/p") != nil) != tt.done {
				t.Errorf("%d exports, and at the destination %+v", n, s.to.Project("n/p"))
			}
		})
	}
}

// No token and no signed URL gets into arguments, results, errors and heartbeats,
// whatever goes wrong.
func TestNoSecrets(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]portertest.Fault{
		"nothing goes wrong":       {Path: "/nowhere"},
		"storage refuses":          {Origin: portertest.Storage, Times: -1, Do: portertest.Respond(403, nil, "<Error/>")},
		"storage breaks off":       {Origin: portertest.Storage, Times: 9, Do: portertest.CutResponse(0)},
		"the source refuses":       {Path: "/export", Times: -1, Do: portertest.Respond(401, nil, "{}")},
		"the destination says all": {Method: "POST", Path: "/import", Do: portertest.Respond(400, nil, `{"message":"`+portertest.Token+`"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, portertest.Downloads(portertest.Redirected))
			s.a.From, _ = s.a.From.With(porter.WithRetry(0, nil))
			s.from.Inject(fault)
			s.to.Inject(fault)
			_, err := s.run(t)
			s.mu.Lock()
			history := s.history.String()
			s.mu.Unlock()
			if !strings.Contains(history, "n/p") || err != nil && !strings.Contains(history, failed(t, err).Message()[:20]) {
				t.Fatalf("this is no history: %q", history)
			}
			for _, secret := range []string{portertest.Token, "X-Amz-", portertest.AccessKeyID} {
				if strings.Contains(history, secret) {
					t.Errorf("%q is in the history %q", secret, history)
				}
			}
		})
	}
}
