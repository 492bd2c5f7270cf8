package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-5d77b939/porter/examples/internal/clitest"
	"github.com/seed-5d77b939/porter/examples/internal/demo"
	"github.com/seed-5d77b939/porter/portertest"
)

func TestMain(m *testing.M) {
	os.Unsetenv("GITLAB_URL")
	os.Setenv("GITLAB_TOKEN", portertest.Token)
	demo.ArchiveSize = 16 << 20
	os.Exit(m.Run())
}

var call = clitest.Program(run).Call

func TestSimulation(t *testing.T) {
	t.Parallel()
	code, out := call(t.Context())
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"simulated", "export: started", "export: finished", "download: 100 %", "Saved team/app to", "SHA-256: ",
		"Removed the file"} {
		if !strings.Contains(out, want) {
			t.Errorf("output lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

func TestArchives(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("PORTER_ARCHIVES")
	if dir == "" {
		t.Skip("PORTER_ARCHIVES is not set")
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.tar.gz"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no archives in %s: %v", dir, err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			archive, err := portertest.FileArchive(name)
			if err != nil {
				t.Fatal(err)
			}
			defer archive.Close()
			out := filepath.Join(t.TempDir(), "app.tar.gz")
			code, log := call(t.Context(), "-max-age", "1h", "-archive", name, "-o", out)
			got, err := os.ReadFile(out)
			if code != 0 || err != nil || int64(len(got)) != archive.Size() || !strings.Contains(log, archive.SHA256()) {
				t.Errorf("exit code %d, %d bytes, %v\n%s", code, len(got), err, log)
			}
		})
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		setup func(*portertest.Server)
		args  []string
		code  int
		want  string
	}{
		{name: "saved", want: "Saved group/app"},
		{name: "nothing lost", want: "Counted afterwards: nothing is missing."},
		{
			name: "a batch is lost",
			setup: func(s *portertest.Server) {
				s.RemoveProject("group/app")
				s.AddProject(portertest.Project{Path: "group/app", Items: portertest.Items{"issues": portertest.MakeItems(150)}})
				s.ScriptExport("group/app", portertest.ExportScript{LoseBatch: "issues"})
			},
			code: 3,
			want: "issues              150  50         lost in the export",
		},
		{
			name: "would fail",
			setup: func(s *portertest.Server) {
				s.Inject(portertest.Fault{Path: "/personal_access_tokens/self", Do: portertest.Respond(http.StatusOK,
					http.Header{"Content-Type": {"application/json"}}, `{"scopes":["read_api"]}`)})
				s.Inject(portertest.Fault{Method: http.MethodPost, Times: -1,
					Do: portertest.Respond(http.StatusInternalServerError, nil, "no export")})
			},
			code: 1,
			want: "would fail    scope",
		},
		{
			name: "an archive that is young enough",
			setup: func(s *portertest.Server) {
				s.AddExport("group/app", "owner")
				s.Inject(portertest.Fault{Method: http.MethodPost, Times: -1,
					Do: portertest.Respond(http.StatusInternalServerError, nil, "no new export")})
			},
			args: []string{"-max-age", "1h"},
			want: "Saved group/app",
		},
		{name: "none that is young enough", args: []string{"-max-age", "1h"}, want: "Saved group/app"},
		{
			name: "export fails",
			setup: func(s *portertest.Server) {
				s.ScriptExport("group/app", portertest.ExportScript{Fault: portertest.FailRelation,
					Timing: &portertest.Timings{Failure: 2 * time.Second}})
			},
			args: []string{"-poll", "100ms"}, // 5ms would use up a minute's polls
			code: 1,
			want: "The export failed",
		},
		{
			name: "damaged archive",
			setup: func(s *portertest.Server) {
				s.Inject(portertest.Fault{Path: "/export/download", Do: portertest.Garble(500 << 10)})
			},
			code: 1,
			want: "archive damaged",
		},
		{
			name:  "no such project",
			setup: func(s *portertest.Server) { s.RemoveProject("group/app") },
			code:  1,
			want:  "404",
		},
		{
			name: "timeout",
			setup: func(s *portertest.Server) {
				s.ScriptExport("group/app", portertest.ExportScript{Fault: portertest.NeverStart})
			},
			args: []string{"-timeout", "50ms"},
			code: 1,
			want: "-timeout of 50ms is over",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			archive := portertest.NewArchive(1 << 20)
			s := portertest.NewServer()
			defer s.Close()
			s.AddProject(portertest.Project{Path: "group/app", Archive: archive})
			if tt.setup != nil {
				tt.setup(s)
			}
			file := filepath.Join(t.TempDir(), "app.tar.gz")
			code, out := call(t.Context(), append(append([]string{"-url", s.URL, "-poll", "5ms", "-o", file}, tt.args...), "group/app")...)
			if code != tt.code || !strings.Contains(out, tt.want) {
				t.Errorf("exit code %d, want %d with %q\n%s", code, tt.code, tt.want, out)
			}
			if tt.code == 0 && !strings.Contains(out, archive.SHA256()) {
				t.Errorf("output lacks the archive's SHA-256\n%s", out)
			}
			if strings.Contains(out, portertest.Token) {
				t.Errorf("output holds the token\n%s", out)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-h"}, 0, "Exit codes: 0 saved, 1 failed, 2 wrong usage"},
		{[]string{"-nonsense"}, 2, "-nonsense"},
		{[]string{"-url", "http://localhost:1", "-max-age", "1h", "a b"}, 2, "a b"},
		{[]string{"-poll", "-1s"}, 2, "-poll must not be negative"},
		{[]string{"group/app"}, 2, "no -url"},
		{[]string{"-url", "http://localhost:1"}, 2, "-url is given, but no project is named"},
		{[]string{"-url", "http://localhost:1", "a/b", "c/d"}, 2, "more than one project"},
		{[]string{"-url", "http://localhost:1", "-archive", "x.gz", "a/b"}, 2, "simulations"},
		{[]string{"-url", "localhost", "a/b"}, 2, "-url: "},
		{[]string{"-archive", "no-such-file.tar.gz"}, 1, "no-such-file.tar.gz"},
	} {
		code, out := call(t.Context(), tt.args...)
		if code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%q: exit code %d, want %d with %q\n%s", tt.args, code, tt.code, tt.want, out)
		}
	}
}

func TestInterrupt(t *testing.T) {
	t.Parallel()
	s := portertest.NewServer()
	defer s.Close()
	s.AddProject(portertest.Project{Path: "group/app"})
	s.ScriptExport("group/app", portertest.ExportScript{Fault: portertest.NeverStart})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for len(s.Exports("group/app")) == 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	code, out := call(ctx, "-url", s.URL, "-poll", "5ms", "-o", filepath.Join(t.TempDir(), "app.tar.gz"), "group/app")
	if code != 130 || !strings.Contains(out, "GitLab goes on") {
		t.Errorf("exit code %d, want 130\n%s", code, out)
	}
}

// What is advised after an interruption goes on with the download, however long
// that or the pause takes, and makes no second export.
func TestAdvice(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(1 << 20)
	s := portertest.NewServer()
	defer s.Close()
	s.AddProject(portertest.Project{Path: "group/app", Archive: archive})
	s.Inject(portertest.Fault{Path: "/export/download", Do: portertest.StallResponse(600_000, 0)})
	file := filepath.Join(t.TempDir(), "app.tar.gz")
	args := []string{"-url", s.URL, "-poll", "5ms", "-o", file}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if fi, err := os.Stat(file + ".part"); err == nil && fi.Size() > 0 {
				cancel()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	code, out := call(ctx, append(args, "group/app")...)
	_, advised, found := strings.Cut(out, "with -max-age ")
	if code != 130 || !found {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	s.Advance(20 * time.Hour)
	age, _, _ := strings.Cut(advised, " ")
	code, out = call(t.Context(), append(args, "-max-age", age, "group/app")...)
	if code != 0 || !strings.Contains(out, archive.SHA256()) {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if n := len(s.Exports("group/app")); n != 1 {
		t.Errorf("made %d exports", n)
	}
	resumed := 0
	for _, r := range s.Requests() {
		if r.Status == http.StatusPartialContent {
			resumed++
		}
	}
	if resumed != 1 {
		t.Errorf("resumed %d times", resumed)
	}
}

// Before anything has begun, nothing says that it has.
func TestAdviceBefore(t *testing.T) {
	t.Parallel()
	s := portertest.NewServer()
	defer s.Close()
	s.AddProject(portertest.Project{Path: "group/app"})
	s.Inject(portertest.Fault{Times: -1, Do: portertest.HoldAnswer(0)})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for len(s.Requests()) == 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	code, out := call(ctx, "-url", s.URL, "-o", filepath.Join(t.TempDir(), "app.tar.gz"), "group/app")
	if code != 130 || !strings.Contains(out, "Nothing has begun") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("GITLAB_URL", "http://localhost:1")
	t.Setenv("GITLAB_TOKEN", "")
	clitest.Misused(t, run, "-url was taken from GITLAB_URL, but no project is named")
	clitest.Misused(t, run, "-url was taken from GITLAB_URL, but no project is named", "-max-age", "1h")
	clitest.Misused(t, run, "GITLAB_TOKEN is not set", "a/b")
}
