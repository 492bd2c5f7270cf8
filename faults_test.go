package porter_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

var (
	faultRuns = flag.Int("faults", 200, "runs of TestFaults")
	faultSeed = flag.Uint64("faultseed", 0, "the only run of TestFaults, as a failure printed it")
)

// TestFaults moves projects through a GitLab, an object storage and a network
// that fail at random, and through programs that are stopped at random. Each
// run must end whole, or in an error that says what happened, and never with
// a project imported twice or not whole. The seed of a run that fails is part
// of its name: go test -run TestFaults -faultseed=N replays it.
func TestFaults(t *testing.T) {
	if *faultSeed != 0 {
		runFaults(t, *faultSeed)
		return
	}
	t.Parallel()
	first := rand.Uint64() >> 16
	ends := make(map[string]int)
	for i := range *faultRuns {
		ends[runFaults(t, first+uint64(i))]++
	}
	t.Logf("how they ended: %v", ends)
}

// TestFaultsDocument keeps docs/faults.md from naming tests that are gone.
func TestFaultsDocument(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("docs/faults.md")
	if err != nil {
		t.Fatal(err)
	}
	var tests []byte
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	inner, err := filepath.Glob("internal/*/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(files, inner...) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		tests = append(tests, b...)
	}
	named := regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w+`).FindAllString(string(doc), -1)
	if len(named) == 0 {
		t.Error("names no test")
	}
	for _, name := range named {
		if !bytes.Contains(tests, []byte("func "+name+"(")) {
			t.Errorf("names %s, which does not exist", name)
		}
	}
}

func runFaults(t *testing.T, seed uint64) (end string) {
	t.Run(fmt.Sprintf("faultseed=%d", seed), func(t *testing.T) {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			f := newFaultRun(t, seed, dir)
			defer f.close()
			end = f.run()
			if t.Failed() {
				f.report()
			}
		})
		files, err := filepath.Glob(filepath.Join(dir, "porter-*"))
		if err != nil || len(files) > 0 {
			t.Errorf("spool files left: %v %v", files, err)
		}
		checkNoneOpen(t, dir)
	})
	return end
}

// faultRun is one run: two instances, and what goes wrong with them.
type faultRun struct {
	t        *testing.T
	rnd      *rand.Rand
	dir      string
	archive  *portertest.Archive
	conns    int // of a download
	from, to *portertest.Server
	schedule []string
	events   []string
}

func newFaultRun(t *testing.T, seed uint64, dir string) *faultRun {
	f := &faultRun{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), dir: dir}
	version := pick(f.rnd, "13.12", "17.2", "18.9")
	mode := pick(f.rnd, portertest.FromDisk, portertest.Redirected, portertest.Proxied)
	f.archive = portertest.NewArchive(portertest.MinArchiveSize+f.rnd.Int64N(1<<20), portertest.ArchiveSeed(int64(seed>>1)))
	opts := []portertest.Option{portertest.InMemory(), portertest.RealTiming(), portertest.Version(version)}
	f.conns = pick(f.rnd, 0, 1, 2, 4)
	f.from = portertest.NewServer(append(opts, portertest.Downloads(mode), portertest.PerConnection(pick[int64](f.rnd, 0, 256<<10)))...)
	f.to = portertest.NewServer(opts...)
	f.from.AddProject(portertest.Project{Path: "team/app", Archive: f.archive})
	f.to.AddGroup("new")
	f.note("GitLab %s, downloads %v, archive of %d bytes, %d connections", version, mode, f.archive.Size(), f.conns)
	for range f.rnd.IntN(7) {
		f.inject("source", f.from)
	}
	for range f.rnd.IntN(5) {
		f.inject("destination", f.to)
	}
	return f
}

func (f *faultRun) close() {
	f.from.Close()
	f.to.Close()
}

func (f *faultRun) note(format string, args ...any) {
	f.schedule = append(f.schedule, fmt.Sprintf(format, args...))
}

func (f *faultRun) report() {
	f.t.Logf("schedule:\n\t%s", strings.Join(f.schedule, "\n\t"))
	f.t.Logf("events:\n\t%s", strings.Join(f.events, "\n\t"))
	for name, s := range map[string]*portertest.Server{"source": f.from, "destination": f.to} {
		for _, r := range s.Requests() {
			f.t.Logf("%s %s: %s %s %s: %d, %d of the body read, %d sent", r.Time.Format(time.TimeOnly), name, r.Origin, r.Method, r.Path, r.Status,
				r.BodyBytes, r.Sent)
		}
	}
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// inject lets something go wrong with some requests to s.
func (f *faultRun) inject(name string, s *portertest.Server) {
	r := f.rnd
	size := f.archive.Size()
	within := func() int64 { // a byte of an archive, its ends more often
		switch r.IntN(5) {
		case 0:
			return r.Int64N(4)
		case 1:
			return max(0, size-r.Int64N(4))
		}
		return r.Int64N(size + 1000)
	}
	fault := portertest.Fault{Skip: r.IntN(3), Times: 1 + r.IntN(3)}
	where := pick(r, "/export", "/export/download", "/import", "storage", "")
	if where == "storage" {
		fault.Origin = portertest.Storage
	} else {
		fault.Path = where
	}
	var what string
	switch r.IntN(13) {
	case 0:
		n := within()
		what, fault.Do = fmt.Sprintf("cut request at %d", n), portertest.CutRequest(n)
	case 1, 2:
		n := within()
		what, fault.Do = fmt.Sprintf("cut answer at %d", n), portertest.CutResponse(n)
	case 3:
		n := within()
		what, fault.Do = fmt.Sprintf("stall answer at %d", n), portertest.StallResponse(n, pick(r, 0, time.Minute, time.Hour))
	case 4:
		n := within()
		what, fault.Do = fmt.Sprintf("stall request at %d", n), portertest.StallRequest(n, pick(r, 0, time.Minute, time.Hour))
	case 5:
		n := within()
		what, fault.Do = fmt.Sprintf("truncate answer at %d", n), portertest.Truncate(n)
	case 6:
		n := within()
		what, fault.Do = fmt.Sprintf("chunked, truncated at %d", n), portertest.Chunked().And(portertest.CutResponse(n))
	case 7:
		h := http.Header{}
		form := pick(r, "", "0", "7", "60", "1m0s", "date")
		switch form {
		case "":
		case "date":
			h.Set("Retry-After", time.Now().Add(90*time.Second).UTC().Format(http.TimeFormat))
		default:
			h.Set("Retry-After", form)
		}
		body := pick(r, `{"message":{"error":"This endpoint has been requested too many times. Try again later."}}`, "Retry later\n",
			"<html><title>429</title></html>")
		respond := pick(r, portertest.Respond, portertest.RespondEarly)
		what, fault.Do = fmt.Sprintf("429 with Retry-After %q", form), respond(429, h, body)
	case 8:
		status := pick(r, 500, 502, 503, 504, 520)
		body := pick(r, "GitLab is not responding\n", "<html><head><title>Bad gateway</title></head></html>",
			`{"message":"500 Internal Server Error"}`, "")
		respond := pick(r, portertest.Respond, portertest.RespondEarly)
		what, fault.Do = fmt.Sprintf("%d %q", status, body), respond(status, nil, body)
	case 9:
		what, fault.Do = "200 HTML", portertest.Respond(200, http.Header{"Content-Type": {"text/html"}}, "<!DOCTYPE html><title>Sign in</title>")
	case 10:
		what, fault.Do = "lose answer", portertest.LoseAnswer()
	case 11:
		d := pick(r, 0, 30*time.Second, 15*time.Minute)
		what, fault.Do = fmt.Sprintf("hold answer for %v", d), portertest.HoldAnswer(d)
	case 12:
		what, fault.Do = "ignore the range", portertest.IgnoreRange()
	}
	s.Inject(fault)
	f.note("%s: %q, after %d, %d times: %s", name, where, fault.Skip, fault.Times, what)
}

func (f *faultRun) client(s *portertest.Server) *porter.Client {
	c, err := porter.NewClient(s.URL, porter.PrivateToken(portertest.Token), porter.WithTransport(s.Transport()), smallChunks,
		porter.WithObserver(func(ev porter.Event) {
			if ev.Total >= 0 && ev.Bytes > ev.Total {
				f.t.Errorf("progress of %d bytes out of %d", ev.Bytes, ev.Total)
			}
			if ev.Kind != porter.EventProgress {
				f.events = append(f.events, fmt.Sprintf("%s %+v", time.Now().Format(time.TimeOnly), ev))
			}
		}))
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// run does one kind of work, each attempt of which is a program of its own
// that may be stopped at any time. It returns how the last one ended.
func (f *faultRun) run() string {
	work := pick(f.rnd, "download", "import", "migrate", "migrate without a spool")
	attempts := 1 + f.rnd.IntN(3)
	f.note("work: %s, %d attempts", work, attempts)
	var last error
	for i := range attempts {
		ctx, cancel := context.WithTimeout(f.t.Context(), 48*time.Hour)
		stopped := i < attempts-1
		if stopped {
			stop := time.AfterFunc(time.Duration(f.rnd.Int64N(int64(20*time.Minute))), cancel)
			defer stop.Stop()
		}
		start := time.Now()
		var err error
		switch work {
		case "download":
			err = f.download(ctx)
		case "import":
			err = f.importFile(ctx)
		default:
			_, err = porter.Migrate(ctx, f.client(f.from), porter.ProjectPath("team/app"), f.client(f.to), porter.MigrateOptions{
				Import:   porter.ImportOptions{Namespace: porter.NamespacePath("new")},
				Export:   f.exportOptions(),
				SpoolDir: f.dir,
				NoSpool:  work != "migrate",
			})
			f.checkDestination(err, i > 0)
		}
		cancel()
		f.note("attempt %d took %v: %v", i+1, time.Since(start), err)
		if took := time.Since(start); took > 24*time.Hour {
			f.t.Errorf("took %v", took)
		}
		if err == nil {
			return "whole"
		}
		last = err
		if kindOf(err) == "" {
			f.t.Errorf("an error that nobody can match: %v", err)
		}
		if errors.Is(err, context.DeadlineExceeded) {
			f.t.Errorf("went on until the deadline: %v", err)
		}
		if errors.Is(err, context.Canceled) && !stopped {
			f.t.Errorf("canceled by nobody: %v", err)
		}
	}
	return kindOf(last)
}

func (f *faultRun) exportOptions() *porter.ExportOptions {
	return &porter.ExportOptions{DownloadOptions: porter.DownloadOptions{Connections: f.conns}}
}

// download ends with a whole file under its name, or with none.
func (f *faultRun) download(ctx context.Context) error {
	name := filepath.Join(f.dir, "app.tar.gz")
	_, err := f.client(f.from).ExportToFile(ctx, porter.ProjectPath("team/app"), name, f.exportOptions())
	b, rerr := os.ReadFile(name)
	if err != nil {
		if rerr == nil {
			f.t.Errorf("failed with %v and left a file of %d bytes under its name", err, len(b))
		}
		return err
	}
	if rerr != nil {
		f.t.Error(rerr)
		return nil
	}
	if _, err := porter.VerifyArchive(bytes.NewReader(b)); err != nil {
		// A server that announces the length of half an archive cannot be
		// found out but by looking into it, as one does with VerifyArchive.
		os.Remove(name)
		return err
	}
	if sum(b) != f.archive.SHA256() {
		f.t.Errorf("downloaded %d other bytes than the %d of the archive", len(b), f.archive.Size())
	}
	return nil
}

func (f *faultRun) importFile(ctx context.Context) error {
	src := porter.ReaderSource(f.archive.NewReader(), f.archive.Size())
	if f.rnd.IntN(3) == 0 {
		src = porter.ReaderSource(io.MultiReader(f.archive.NewReader()), pick(f.rnd, f.archive.Size(), -1))
	}
	before := len(f.to.Projects())
	_, err := f.client(f.to).Import(ctx, src, porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("new")})
	f.checkDestination(err, before > 0)
	return err
}

// checkDestination makes sure that there is exactly one whole project after a
// success, and none twice or in part after a failure.
func (f *faultRun) checkDestination(err error, again bool) {
	projects := f.to.Projects()
	for _, p := range projects {
		if p.ArchiveSHA256 != f.archive.SHA256() {
			f.t.Errorf("project %s was imported from %d other bytes", p.Path, p.ArchiveSize)
		}
	}
	switch {
	case len(projects) > 1:
		f.t.Errorf("imported %d times", len(projects))
	case err == nil && len(projects) == 0:
		f.t.Error("no project in spite of the success")
	case err == nil && projects[0].ImportStatus != "finished":
		f.t.Errorf("import status is %q", projects[0].ImportStatus)
	case errors.Is(err, porter.ErrProjectExists) && len(projects) == 0:
		f.t.Errorf("no project there: %v", err)
	case err != nil && len(projects) == 1 && !again && !namesOutcome(err):
		f.t.Errorf("GitLab has taken the archive, and the error does not say so: %v", err)
	}
}

// namesOutcome reports whether an error lets its reader know that there is a
// project, or may be.
func namesOutcome(err error) bool {
	var (
		wait *porter.WaitError
		imp  *porter.ImportError
	)
	return errors.Is(err, porter.ErrOutcomeUnknown) || errors.Is(err, porter.ErrProjectExists) ||
		errors.As(err, &imp) || errors.As(err, &wait) && wait.Op == "import"
}

// kindOf returns what a program can tell an error by, "" if by nothing.
func kindOf(err error) string {
	var (
		api  *porter.APIError
		wait *porter.WaitError
		exp  *porter.ExportError
		imp  *porter.ImportError
	)
	for _, sentinel := range []error{
		porter.ErrOutcomeUnknown, porter.ErrProjectExists, porter.ErrExportExpired, porter.ErrExportNotReady,
		porter.ErrNotArchive, porter.ErrArchiveDamaged, porter.ErrUnimportable, porter.ErrArchiveChanged, porter.ErrSourceConsumed,
		porter.ErrRateLimited, porter.ErrStalled, porter.ErrNoAnswer, context.Canceled, context.DeadlineExceeded, io.ErrUnexpectedEOF,
	} {
		if errors.Is(err, sentinel) {
			return sentinel.Error()
		}
	}
	switch {
	case errors.As(err, &exp):
		return "export error"
	case errors.As(err, &imp):
		return "import error"
	case errors.As(err, &wait):
		return "wait error"
	case errors.As(err, &api):
		return fmt.Sprint("answer ", api.StatusCode)
	}
	return ""
}
