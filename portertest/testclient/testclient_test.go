package testclient_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
	"github.com/seed-5d77b939/porter/portertest/testclient"
)

// Whole jobs need no more than the one line, however the server is reached.
func TestNew(t *testing.T) {
	for name, opts := range map[string][]portertest.Option{
		"plain": nil, "TLS": {portertest.TLS()}, "HTTP2": {portertest.HTTP2()}, "below a root": {portertest.RelativeRoot("/gitlab")},
		"object storage": {portertest.TLS(), portertest.Downloads(portertest.Redirected)},
	} {
		t.Run(name, func(t *testing.T) {
			gitlab := portertest.NewServer(append(opts, portertest.NoLimits())...)
			defer gitlab.Close()
			move(t, gitlab)
		})
		t.Run(name+" in memory", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gitlab := portertest.NewServer(append(opts, portertest.NoLimits(), portertest.InMemory())...)
				defer gitlab.Close()
				begun := time.Now()
				move(t, gitlab)
				if took := time.Since(begun); took > time.Second {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

// move exports more projects than the limits of a minute allow, with a fault for
// each, and imports one of them.
func move(t *testing.T, gitlab *portertest.Server) {
	t.Helper()
	client := testclient.New(t, gitlab)
	var archive bytes.Buffer
	for i := range 8 {
		path := fmt.Sprintf("team/app-%d", i)
		gitlab.AddProject(portertest.Project{Path: path})
		gitlab.Inject(portertest.Fault{Path: "/export/download", Do: portertest.CutResponse(1000)})
		archive.Reset()
		if _, err := client.ExportTo(t.Context(), porter.ProjectPath(path), &archive, nil); err != nil {
			t.Fatal(err)
		}
	}
	imp, err := client.Import(t.Context(), porter.ReaderSource(bytes.NewReader(archive.Bytes()), int64(archive.Len())),
		porter.ImportOptions{Path: "new"})
	if err != nil || gitlab.Project("owner/new") == nil {
		t.Errorf("import: %+v, %v", imp, err)
	}
}

func TestAs(t *testing.T) {
	gitlab := portertest.NewServer()
	defer gitlab.Close()
	gitlab.AddProject(portertest.Project{Path: "team/app"})
	gitlab.AddUser(portertest.User{Username: "ada", Token: "ada"})
	gitlab.AddMember("team", "ada", portertest.Reporter)
	_, err := testclient.As(t, gitlab, "ada").GetExport(t.Context(), porter.ProjectPath("team/app"))
	if !errors.Is(err, porter.ErrForbidden) {
		t.Errorf("a Reporter's error is %v", err)
	}
	if _, err := testclient.New(t, gitlab).GetExport(t.Context(), porter.ProjectPath("team/app")); err != nil {
		t.Error(err)
	}
}

// Options that are given come after the package's own.
func TestNewOptions(t *testing.T) {
	gitlab := portertest.NewServer()
	defer gitlab.Close()
	gitlab.AddProject(portertest.Project{Path: "team/app"})
	fault := gitlab.Inject(portertest.Fault{Do: portertest.Respond(http.StatusBadGateway, nil, ""), Times: -1})
	client := testclient.New(t, gitlab, porter.WithRetry(0, nil))
	if _, err := client.GetExport(t.Context(), porter.ProjectPath("team/app")); err == nil || fault.Hits() != 1 {
		t.Errorf("%d requests, %v", fault.Hits(), err)
	}
}

// A bad option ends the test that gives it.
func TestNewFails(t *testing.T) {
	gitlab := portertest.NewServer(portertest.InMemory())
	defer gitlab.Close()
	tb := &fataler{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		testclient.New(tb, gitlab, porter.WithRetry(-1, nil))
	}()
	<-done
	if want := "testclient: new client: retries are negative"; tb.text != want {
		t.Errorf("got %q, want %q", tb.text, want)
	}
}

type fataler struct {
	testing.TB
	text string
}

func (f *fataler) Helper() {}

func (f *fataler) Fatalf(format string, args ...any) {
	f.text = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// An export of hours needs few polls, and ends soon after the job.
func TestOptionsInHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gitlab := portertest.NewServer(portertest.InMemory(), portertest.Timing(portertest.Timings{Assemble: 3 * time.Hour}))
		defer gitlab.Close()
		gitlab.AddProject(portertest.Project{Path: "team/app"})
		begun := time.Now()
		if _, err := testclient.New(t, gitlab).ExportTo(t.Context(), porter.ProjectPath("team/app"), new(bytes.Buffer), nil); err != nil {
			t.Fatal(err)
		}
		if took, n := time.Since(begun), len(gitlab.Requests()); took < 3*time.Hour || took > 3*time.Hour+time.Minute || n > 3*120*1.3 {
			t.Errorf("took %s with %d requests", took, n)
		}
	})
}

// A job that never begins does not outlast a test.
func TestOptionsNeverBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gitlab := portertest.NewServer(portertest.InMemory())
		defer gitlab.Close()
		gitlab.AddProject(portertest.Project{Path: "team/app"})
		gitlab.ScriptExport("team/app", portertest.ExportScript{Fault: portertest.NeverStart})
		begun := time.Now()
		_, err := testclient.New(t, gitlab).ExportTo(t.Context(), porter.ProjectPath("team/app"), new(bytes.Buffer), nil)
		if took := time.Since(begun); err == nil || took > 3*time.Minute {
			t.Errorf("took %s: %v", took, err)
		}
	})
}
