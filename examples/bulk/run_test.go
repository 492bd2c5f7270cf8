package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
	"github.com/seed-5d77b939/porter/examples/internal/input"
	"github.com/seed-5d77b939/porter/portertest"
)

// A recorder is a view that notes what it is shown, and that it is shown one
// thing at a time.
type recorder struct {
	mu      sync.Mutex // only tried: a view needs none
	t       *testing.T
	begun   begin
	changes []string
	events  int
	ended   []project
}

func (r *recorder) one() func() {
	if !r.mu.TryLock() {
		r.t.Error("the view is called twice at a time")
	}
	return r.mu.Unlock
}

func (r *recorder) begin(b begin) { defer r.one()(); r.begun = b }

func (r *recorder) change(p project) {
	defer r.one()()
	r.changes = append(r.changes, fmt.Sprintf("%s %s", p.Name, p.Step))
}

func (r *recorder) event(project, porter.Event) { defer r.one()(); r.events++ }

func (r *recorder) end(projects []project, _ time.Duration) { defer r.one()(); r.ended = projects }

// A scene is two instances, and a folder for what a run leaves.
type scene struct {
	t        *testing.T
	from, to *portertest.Server
	dir      string
	o        options
}

// there is the destination's address in a bubble, where every server has the
// same.
const there = "destination.test"

// RoundTrip reaches both instances of a scene in a bubble.
func (s *scene) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != there {
		return s.from.Transport().RoundTrip(req)
	}
	req = req.Clone(req.Context())
	req.URL.Host = strings.TrimPrefix(s.to.URL, "http://")
	return s.to.Transport().RoundTrip(req)
}

// inScene runs f in a bubble with a new scene.
func inScene(t *testing.T, migrate bool, f func(t *testing.T, s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC))) // after what is in the archives was made
		s := newScene(t, migrate, portertest.InMemory())
		s.o.transport = s
		if migrate {
			s.o.to = "http://" + there
		}
		f(t, s)
	})
}

// newScene returns a scene with the projects a/p, a/x/q and a/z of the source, and
// the groups n and n/x at the destination.
func newScene(t *testing.T, migrate bool, opts ...portertest.Option) *scene {
	t.Helper()
	// An export that replaces another one has to be seen under way.
	opts = append(opts, portertest.NoLimits(), portertest.Timing(portertest.Timings{Start: 10 * time.Millisecond,
		Assemble: 50 * time.Millisecond, Store: 300 * time.Millisecond, Failure: 300 * time.Millisecond, Import: 10 * time.Millisecond}))
	s := &scene{t: t, from: portertest.NewServer(opts...), to: portertest.NewServer(opts...), dir: t.TempDir()}
	t.Cleanup(s.from.Close)
	t.Cleanup(s.to.Close)
	for i, p := range []string{"a/p", "a/x/q", "a/z"} {
		s.from.AddProject(portertest.Project{ID: int64(10 + i), Path: p})
	}
	s.to.AddGroup("n/x")
	token := porter.PrivateToken(portertest.Token)
	s.o = options{migrate: migrate, from: s.from.URL, fromAuth: token, dir: s.dir, poll: 5 * time.Millisecond,
		rate: porter.Pacing{Exports: -1, Imports: -1, Downloads: -1, Polls: -1}, transfers: 4,
		journal: filepath.Join(s.dir, "journal"), input: input.Input{Groups: []string{"a"}}}
	if migrate {
		s.o.to, s.o.toAuth, s.o.namespace, s.o.spool = s.to.URL, token, "n", t.TempDir()
	}
	return s
}

// run runs as bulk does, with a view that records.
func (s *scene) run(ctx context.Context) (*recorder, error) {
	s.t.Helper()
	o := s.o
	from, to, err := o.connect()
	if err != nil {
		return nil, err
	}
	projects, err := o.projects(ctx, from)
	if err != nil {
		return nil, err
	}
	h, err := o.header(ctx, from, to)
	if err != nil {
		return nil, err
	}
	j, err := openJournal(o.journal, h, o.newAfter)
	if err != nil {
		return nil, err
	}
	defer j.Close()
	view := &recorder{t: s.t}
	w := work{from: from, to: to, journal: j, maxAge: o.maxAge, rate: o.rate, prove: o.prove, spool: o.spool, view: view, projects: projects}
	w.run(ctx)
	return view, j.failure()
}

// mustRun runs, and returns what became of the projects, in one line.
func (s *scene) mustRun() (*recorder, string) {
	s.t.Helper()
	view, err := s.run(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return view, summary(view.ended)
}

func summary(projects []project) string {
	var texts []string
	for _, p := range projects {
		text := string(p.Step)
		if p.Earlier {
			text += " earlier"
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

// exports counts the exports of each project.
func (s *scene) exports() string {
	return fmt.Sprint(len(s.from.Exports("a/p")), len(s.from.Exports("a/x/q")), len(s.from.Exports("a/z")))
}

func TestExportRun(t *testing.T) {
	t.Parallel()
	inScene(t, false, func(t *testing.T, s *scene) {
		view, got := s.mustRun()
		if got != "done, done, done" || s.exports() != "1 1 1" {
			t.Errorf("%s; exports %s", got, s.exports())
		}
		if b := view.begun; b.Migrate || len(b.Projects) != 3 || b.Pacing != s.o.rate || b.Projects[0].Step != stepWaiting {
			t.Errorf("it began with %+v", b)
		}
		for _, p := range view.ended {
			want := filepath.Join(s.dir, filepath.FromSlash(p.Name)+".tar.gz")
			fi, err := os.Stat(want)
			if err != nil || p.File != want || p.Bytes != fi.Size() || p.ID == 0 || p.Begun.IsZero() || p.Ended.Before(p.Begun) {
				t.Errorf("%+v, %v", p, err)
			}
			steps := strings.Join(view.changes, "; ") + ";"
			if !strings.Contains(steps, p.Name+" exporting;") || !strings.Contains(steps, p.Name+" done;") {
				t.Errorf("%s: the steps are %s", p.Name, steps)
			}
		}
		if view.events == 0 {
			t.Error("no events")
		}
	})
}

// The next night everything is exported anew.
func TestNextNight(t *testing.T) {
	t.Parallel()
	inScene(t, false, func(t *testing.T, s *scene) {
		s.mustRun()
		if _, got := s.mustRun(); got != "done, done, done" || s.exports() != "2 2 2" {
			t.Errorf("%s; exports %s", got, s.exports())
		}
		if h, err := readHistory(s.o.journal + ".old"); err != nil || !h.ended || len(h.records) != 3 {
			t.Errorf("the journal before: %+v, %v", h, err)
		}
		s.o.maxAge = time.Hour
		if _, got := s.mustRun(); got != "done, done, done" || s.exports() != "2 2 2" {
			t.Errorf("with -max-age: %s; exports %s", got, s.exports())
		}
	})
}

// What failed is tried again, and what is done stays.
func TestFailedIsTriedAgain(t *testing.T) {
	t.Parallel()
	inScene(t, false, func(t *testing.T, s *scene) {
		s.from.ScriptExport("a/x/q", portertest.ExportScript{Fault: portertest.FailPacking})
		view, got := s.mustRun()
		if got != "done, failed, done" || view.ended[1].Err == nil || exitCode(view.ended) != cli.Failure {
			t.Errorf("%s; %v", got, view.ended[1].Err)
		}
		if err := os.Remove(filepath.Join(s.dir, "a", "z.tar.gz")); err != nil {
			t.Fatal(err)
		}
		view, got = s.mustRun()
		if got != "done earlier, done, done" || s.exports() != "1 2 1" {
			t.Errorf("again: %s; exports %s", got, s.exports())
		}
		if got := summary(view.begun.Projects); got != "done earlier, waiting, waiting" {
			t.Errorf("it began with %s", got)
		}
		if _, got = s.mustRun(); got != "done, done, done" || s.exports() != "2 3 2" {
			t.Errorf("the next night: %s; exports %s", got, s.exports())
		}
	})
}

// A run that failed last night does not keep tonight's from new archives.
func TestOldJournal(t *testing.T) {
	t.Parallel()
	inScene(t, false, func(t *testing.T, s *scene) {
		s.from.ScriptExport("a/x/q", portertest.ExportScript{Fault: portertest.FailPacking})
		s.mustRun()
		s.o.newAfter = time.Nanosecond
		if _, got := s.mustRun(); got != "done, done, done" || s.exports() != "2 2 2" {
			t.Errorf("%s; exports %s", got, s.exports())
		}
	})
}

func TestMigrateRun(t *testing.T) {
	t.Parallel()
	inScene(t, true, func(t *testing.T, s *scene) {
		s.to.ScriptImport("n/x/q", portertest.ImportScript{FailedRelations: []portertest.FailedRelation{
			{RelationName: "issues", LineNumber: 12, ExceptionClass: "ActiveRecord::RecordInvalid"}}})
		view, got := s.mustRun()
		if got != "done, incomplete, done" || exitCode(view.ended) != cli.Incomplete || s.exports() != "1 1 1" {
			t.Errorf("%s; exports %s", got, s.exports())
		}
		if lost := view.ended[1].Lost; len(lost) != 1 || lost[0] != "issues, line 13: ActiveRecord::RecordInvalid" {
			t.Errorf("lost %q", lost)
		}
		for _, p := range view.ended {
			if s.to.Project(p.Target) == nil || p.Bytes == 0 || p.ID < 10 || p.ID > 12 {
				t.Errorf("%+v", p)
			}
		}
		view, got = s.mustRun()
		if got != "done earlier, incomplete earlier, done earlier" || exitCode(view.ended) != cli.Incomplete || s.exports() != "1 1 1" {
			t.Errorf("again: %s; exports %s", got, s.exports())
		}
		if len(view.ended[1].Lost) != 1 {
			t.Error("what is lost is forgotten")
		}
		s.from.AddProject(portertest.Project{Path: "a/w"})
		if _, got = s.mustRun(); got != "done earlier, incomplete earlier, done earlier, done" {
			t.Errorf("with one more: %s", got)
		}
	})
}

// An import that failed stands in the way until it is deleted; then it is done
// from the beginning.
func TestFailedImport(t *testing.T) {
	t.Parallel()
	inScene(t, true, func(t *testing.T, s *scene) {
		s.o.input = input.Input{Args: []string{"a/p"}}
		s.to.ScriptImport("n/p", portertest.ImportScript{Error: "no space left"})
		view, got := s.mustRun()
		if got != "failed" || exitCode(view.ended) != cli.Failure || !strings.Contains(view.ended[0].Err.Error(), "no space left") {
			t.Errorf("%s: %v", got, view.ended[0].Err)
		}
		var exists *porter.ProjectExistsError
		if view, got = s.mustRun(); got != "failed" || !errors.As(view.ended[0].Err, &exists) {
			t.Errorf("again: %s: %v", got, view.ended[0].Err)
		}
		s.to.RemoveProject("n/p")
		if _, got = s.mustRun(); got != "done" || s.to.Project("n/p").ImportStatus != "finished" {
			t.Errorf("once it is deleted: %s", got)
		}
	})
}

// A project that was deleted while it was imported is done from the beginning in
// the run after.
func TestDeletedImport(t *testing.T) {
	t.Parallel()
	inScene(t, true, func(t *testing.T, s *scene) {
		s.o.input = input.Input{Args: []string{"a/p"}}
		c := porter.Checkpoint{Step: porter.StepImporting, Time: time.Now().Add(-time.Hour), Source: 10, Target: "n/p", Import: 77}
		journal := text(t, s.header(), record{Project: "a/p", To: "n/p", Step: stepImporting, Checkpoint: &c})
		if err := os.WriteFile(s.o.journal, []byte(journal), 0o600); err != nil {
			t.Fatal(err)
		}
		if view, got := s.mustRun(); got != "failed" || !errors.Is(view.ended[0].Err, porter.ErrNotFound) {
			t.Errorf("%s: %v", got, view.ended[0].Err)
		}
		if _, got := s.mustRun(); got != "done" {
			t.Errorf("again: %s", got)
		}
	})
}

// With -prove a run says what GitLab does not tell, and also once it is done.
func TestProve(t *testing.T) {
	t.Parallel()
	for _, migrate := range []bool{false, true} {
		inScene(t, migrate, func(t *testing.T, s *scene) {
			s.o.prove = true
			s.from.ScriptExport("a/x/q", portertest.ExportScript{LoseBatch: "issues"})
			s.from.ScriptExport("a/z", portertest.ExportScript{Fault: portertest.FailPacking})
			view, got := s.mustRun()
			if got != "done, incomplete, failed" {
				t.Fatalf("%s: %+v", got, view.ended)
			}
			again, got := s.mustRun()
			if got != "done earlier, incomplete earlier, done" || exitCode(again.ended) != cli.Incomplete {
				t.Errorf("again: %s", got)
			}
			for _, p := range []project{view.ended[1], again.ended[1]} {
				if len(p.Lost) != 1 || !strings.Contains(p.Lost[0], "issues lost in the export") || len(p.Unproven) > 0 {
					t.Errorf("lost %q, unproven %q", p.Lost, p.Unproven)
				}
			}
		})
	}
}

// header is what a run would begin its journal with.
func (s *scene) header() header {
	from, to, err := s.o.connect()
	if err != nil {
		s.t.Fatal(err)
	}
	h, err := s.o.header(s.t.Context(), from, to)
	if err != nil {
		s.t.Fatal(err)
	}
	return h
}

// A file that was named, but not noted before the process was killed, is
// taken; a broken one is not.
func TestFileOfKilledRun(t *testing.T) {
	t.Parallel()
	inScene(t, false, func(t *testing.T, s *scene) {
		h := s.header()
		h.Begun = time.Now().Add(-time.Minute)
		if err := os.WriteFile(s.o.journal, []byte(text(t, h)), 0o600); err != nil {
			t.Fatal(err)
		}
		var whole bytes.Buffer
		if _, err := whole.ReadFrom(portertest.NewArchive(portertest.MinArchiveSize).NewReader()); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(s.dir, "a", "x"), 0o700); err != nil {
			t.Fatal(err)
		}
		old := filepath.Join(s.dir, "a", "z.tar.gz")
		for name, b := range map[string][]byte{"a/p": whole.Bytes(), "a/x/q": whole.Bytes()[:whole.Len()-1], "a/z": whole.Bytes()} {
			if err := os.WriteFile(filepath.Join(s.dir, filepath.FromSlash(name)+".tar.gz"), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chtimes(old, time.Time{}, h.Begun.Add(-time.Second)); err != nil {
			t.Fatal(err)
		}
		note := filepath.Join(s.dir, "a", "p.tar.gz.part.json") // which goes after the file has its name
		if err := os.WriteFile(note, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, got := s.mustRun(); got != "done, done, done" || s.exports() != "0 1 1" {
			t.Errorf("%s; exports %s", got, s.exports())
		}
		if _, err := os.Stat(note); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the note of a part file is left: %v", err)
		}
	})
}

// A namespace that is not there is told before anything is exported.
func TestMissingNamespace(t *testing.T) {
	t.Parallel()
	inScene(t, true, func(t *testing.T, s *scene) {
		s.o.namespace = "no"
		s.to.AddGroup("no")
		if h := s.header(); h.SourceUser != "owner" || h.DestinationUser != "owner" {
			t.Errorf("the users are %q and %q", h.SourceUser, h.DestinationUser)
		}
		view, got := s.mustRun()
		if got != "done, failed, done" || s.exports() != "1 0 1" || !errors.Is(view.ended[1].Err, porter.ErrWillFail) {
			t.Errorf("%s: %v; exports %s", got, view.ended[1].Err, s.exports())
		}
		if exitCode(view.ended) != cli.Failure {
			t.Errorf("exit code %d", exitCode(view.ended))
		}
	})
}

// Without a journal nothing is begun that can't be undone.
func TestBrokenJournal(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left on device")
	for lines := range 5 {
		inScene(t, true, func(t *testing.T, s *scene) {
			s.o.input = input.Input{Args: []string{"a/p"}}
			from, to, err := s.o.connect()
			if err != nil {
				t.Fatal(err)
			}
			f := &fakeFile{}
			f.write = func() error {
				if f.lines == lines {
					return full
				}
				return nil
			}
			view := &recorder{t: t}
			w := work{from: from, to: to, journal: &journal{file: f}, rate: s.o.rate, spool: s.o.spool, view: view,
				projects: []project{{Name: "a/p", Target: "n/p", Step: stepWaiting}}}
			w.run(t.Context())
			p := view.ended[0]
			if p.Step != stepFailed || !errors.Is(p.Err, full) || exitCode(view.ended) != cli.Failure {
				t.Errorf("after %d lines: %s: %v", lines, p.Step, p.Err)
			}
			// The lines are: scheduling, exporting, uploading, importing, done, done.
			if got, want := s.exports() == "1 0 0", lines > 0; got != want {
				t.Errorf("after %d lines: exports %s", lines, s.exports())
			}
			if got, want := s.to.Project("n/p") != nil, lines > 2; got != want {
				t.Errorf("after %d lines: imported: %v", lines, got)
			}
		})
	}
}

// An upload that was left behind changes nothing any more.
func TestLateEvents(t *testing.T) {
	t.Parallel()
	view := &recorder{t: t}
	w := work{view: view, projects: []project{{Name: "a/p", Target: "n/p", Step: stepInterrupted}}}
	w.update(0, func(p *project) { p.Step = stepMoving })
	for _, kind := range []porter.EventKind{porter.EventProgress, porter.EventStatus, porter.EventRetry} {
		w.observer(0, stepImporting, stepMoving)(porter.Event{Kind: kind})
	}
	if got := w.projects[0].Step; got != stepInterrupted || len(view.changes) > 0 || view.events > 0 {
		t.Errorf("%s, %q, %d events", got, view.changes, view.events)
	}
}

// looks counts what the source was asked for about exports.
func (s *scene) looks() (n int) {
	for _, r := range s.from.Requests() {
		if r.Method == "GET" && r.Status != 0 && strings.HasSuffix(r.Path, "/export") {
			n++
		}
	}
	return n
}

// whenLooked calls f once the source was asked n times more.
func (s *scene) whenLooked(n int, f func()) {
	n += s.looks()
	go func() {
		for s.looks() < n && s.t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		f()
	}()
}

// An interrupted run says what GitLab goes on with and what was not begun, and
// the next one joins it.
func TestInterruptedRun(t *testing.T) {
	t.Parallel()
	inScene(t, false, func(t *testing.T, s *scene) {
		slow := portertest.Timings{Assemble: time.Hour}
		s.o.input = input.Input{Args: []string{"a/p", "a/x/q"}}
		s.o.rate.Exports = 1 // so that one waits for the next minute
		for _, p := range s.o.input.Args {
			s.from.ScriptExport(p, portertest.ExportScript{Timing: &slow})
		}
		// It is not the end of a minute.
		now := s.from.Now()
		s.from.Advance(now.Truncate(time.Minute).Add(time.Minute).Sub(now))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s.whenLooked(10, cancel)
		view, err := s.run(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if got := summary(view.ended); got != "interrupted, waiting" && got != "waiting, interrupted" {
			t.Errorf("it ended with %s", got)
		}
		s.o.rate.Exports = -1
		s.whenLooked(10, func() { s.from.Advance(2 * time.Hour) })
		if _, got := s.mustRun(); got != "done, done" || s.exports() != "1 1 0" {
			t.Errorf("again: %s; exports %s", got, s.exports())
		}
	})
}

// Once a token is not taken any more, nobody waits for a turn to hear so. A
// single refusal may be a mistake of the server.
func TestTokenExpires(t *testing.T) {
	t.Parallel()
	for _, expired := range []bool{true, false} {
		inScene(t, false, func(t *testing.T, s *scene) {
			s.o.rate.Exports = 1
			now := s.from.Now()
			s.from.Advance(now.Truncate(time.Minute).Add(time.Minute).Sub(now)) // the next turn comes in a minute
			ctx, cancel := context.WithTimeout(t.Context(), map[bool]time.Duration{true: 10 * time.Second, false: time.Second}[expired])
			defer cancel()
			s.from.Inject(portertest.Fault{Method: "POST", Path: "/export", Do: portertest.Respond(401, nil, `{"message":"401 Unauthorized"}`)})
			if expired {
				s.from.Inject(portertest.Fault{Path: "/user", Skip: 1, Times: -1, Do: portertest.Respond(401, nil, `{"message":"401 Unauthorized"}`)})
			}
			view, err := s.run(ctx)
			if err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(view.ended, func(a, b project) int { return cmp.Compare(a.Step, b.Step) })
			if got := summary(view.ended); got != "failed, waiting, waiting" || (ctx.Err() == nil) != expired ||
				exitCode(view.ended) != cli.Failure {
				t.Errorf("expired %v: %s, %v", expired, got, ctx.Err())
			}
		})
	}
}

// A token that is not taken at all is told before anything else is done.
func TestWrongToken(t *testing.T) {
	t.Parallel()
	for _, migrate := range []bool{false, true} {
		inScene(t, migrate, func(t *testing.T, s *scene) {
			s.o.input = input.Input{Args: []string{"a/p", "a/z"}}
			s.o.fromAuth = porter.PrivateToken("wrong")
			if migrate {
				s.o.fromAuth, s.o.toAuth = s.o.toAuth, s.o.fromAuth
			}
			var out bytes.Buffer
			s.o.stdout, s.o.stderr = &out, &out
			code := bulk(t.Context(), s.o)
			if code != cli.Failure || strings.Count(out.String(), "\n") != 2 ||
				!strings.Contains(out.String(), "The token is wrong, expired or revoked") || len(files(t, s.dir)) > 0 {
				t.Errorf("migrate %v: exit code %d, files %q\n%s", migrate, code, files(t, s.dir), &out)
			}
		})
	}
}

func TestExitCode(t *testing.T) {
	t.Parallel()
	busy := fmt.Errorf("export of a/p: %w", porter.ErrRateLimited)
	never := fmt.Errorf("export of a/p: %w", porter.ErrForbidden)
	for _, tt := range []struct {
		name     string
		projects []project
		want     int
	}{
		{"none", nil, cli.OK},
		{"all done", []project{{Step: stepDone}, {Step: stepDone, Earlier: true}}, cli.OK},
		{"one incomplete", []project{{Step: stepDone}, {Step: stepIncomplete}}, cli.Incomplete},
		{"one failed", []project{{Step: stepIncomplete}, {Step: stepFailed, Err: never}, {Step: stepFailed, Err: busy}}, cli.Failure},
		{"one may go better", []project{{Step: stepDone}, {Step: stepFailed, Err: busy}, {Step: stepIncomplete}}, cli.Again},
		{"timed out", []project{{Step: stepDone}, {Step: stepInterrupted, Err: context.DeadlineExceeded}, {Step: stepWaiting}}, cli.Again},
	} {
		if got := exitCode(tt.projects); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}
