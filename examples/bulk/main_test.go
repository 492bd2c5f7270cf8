package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-5d77b939/porter/examples/internal/clitest"
	"github.com/seed-5d77b939/porter/portertest"
)

func TestMain(m *testing.M) {
	os.Unsetenv("GITLAB_URL")
	os.Setenv("GITLAB_TOKEN", portertest.Token)
	os.Exit(m.Run())
}

// call runs the program and returns its exit code and all its output.
func call(ctx context.Context, args ...string) (int, string) {
	var out bytes.Buffer
	code := run(ctx, args, &out, &out)
	return code, out.String()
}

func TestSimulation(t *testing.T) {
	t.Parallel()
	code, out := call(t.Context())
	if code != 0 || !strings.Contains(out, "4 saved, 0 skipped, 0 failed.") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

func TestBulk(t *testing.T) {
	t.Parallel()
	s := portertest.NewServer()
	defer s.Close()
	archives := map[string]*portertest.Archive{}
	for i, p := range []string{"group/app", "group/site", "group/sub/app"} {
		archives[p] = portertest.NewArchive(100<<10, portertest.ArchiveSeed(int64(i)))
		s.AddProject(portertest.Project{Path: p, Archive: archives[p]})
	}
	s.ScriptExport("group/site", portertest.ExportScript{Fault: portertest.FailRelation,
		Timing: &portertest.Timings{Failure: 300 * time.Millisecond}})
	dir := t.TempDir()
	list := filepath.Join(dir, "projects.txt")
	if err := os.WriteFile(list, []byte("# ours\n\ngroup/sub/app\n no/such \n"), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"-url", s.URL, "-dir", dir, "-list", list, "-poll", "5ms", "group/app", "group/site", "../group/app"}

	code, out := call(t.Context(), args...)
	if code != 1 || !strings.Contains(out, "2 saved, 0 skipped, 3 failed.") {
		t.Errorf("exit code %d, want 1\n%s", code, out)
	}
	for _, p := range []string{"group/app", "group/sub/app"} {
		got, err := os.ReadFile(filepath.Join(dir, p+".tar.gz"))
		want := make([]byte, archives[p].Size())
		archives[p].ReadAt(want, 0)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: other bytes than the archive, or %v", p, err)
		}
	}

	args = append(args[:2:2], "-dir", dir, "-poll", "5ms", "-skip", "group/app", "group/site")
	code, out = call(t.Context(), args...)
	if code != 0 || !strings.Contains(out, "1 saved, 1 skipped, 0 failed.") {
		t.Errorf("again: exit code %d, want 0\n%s", code, out)
	}
	if n := len(s.Exports("group/app")); n != 1 {
		t.Errorf("the skipped project was exported %d times", n)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-h"}, 0, "Exit codes: 0 all saved, 1 some failed, 2 wrong usage"},
		{[]string{"-nonsense"}, 2, "-nonsense"},
		{[]string{"-jobs", "0"}, 2, "-jobs must be positive"},
		{[]string{"-list", "no-such-file.txt"}, 2, "no-such-file.txt"},
		{[]string{"a/b"}, 2, "no -url"},
		{[]string{"-url", "http://localhost:1"}, 2, "no projects"},
		{[]string{"-url", "localhost", "a/b"}, 2, "-url: "},
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
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, out := call(ctx, "-url", s.URL, "-dir", t.TempDir(), "group/app")
	if code != 130 || !strings.Contains(out, "run the same command again with -skip") {
		t.Errorf("exit code %d, want 130\n%s", code, out)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("GITLAB_URL", "http://localhost:1")
	t.Setenv("GITLAB_TOKEN", "")
	clitest.Misused(t, run, "-url was taken from GITLAB_URL, but no projects are named")
	clitest.Misused(t, run, "GITLAB_TOKEN is not set", "a/b")
}
