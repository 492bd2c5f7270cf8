package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
	"github.com/seed-5d77b939/porter/examples/internal/clitest"
	"github.com/seed-5d77b939/porter/examples/internal/input"
	"github.com/seed-5d77b939/porter/portertest"
)

func TestMain(m *testing.M) {
	os.Unsetenv("GITLAB_URL")
	os.Unsetenv("GITLAB_DEST_URL")
	os.Setenv("GITLAB_TOKEN", portertest.Token)
	os.Setenv("GITLAB_DEST_TOKEN", portertest.Token)
	os.Exit(m.Run())
}

var call = clitest.Program(run).Call

// flags are those of a command that goes on with the scene.
func (s *scene) flags(more ...string) []string {
	args := []string{"export", "-url", s.o.from, "-dir", s.dir}
	if s.o.migrate {
		args = []string{"migrate", "-from", s.o.from, "-to", s.o.to, "-namespace", "n", "-journal", s.o.journal}
	}
	return append(append(args, "-poll", "5ms", "-rate", "exports=none,imports=none,downloads=none,polls=none"), more...)
}

// call runs such a command, and returns its exit code and all its output.
func (s *scene) call(ctx context.Context, more ...string) (int, string) {
	var out bytes.Buffer
	o := options{migrate: s.o.migrate, stdout: &out, stderr: &out, transport: s.o.transport}
	code, exit := o.parse(s.flags(more...)[1:])
	if !exit {
		code = bulk(ctx, o)
	}
	return code, out.String()
}

func TestDemonstration(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	code := demonstration(t.Context(), 30, 5*time.Second, &out, &out)
	if code != cli.OK {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"30 projects move between two simulated instances", "The exit code of a real run would be 1."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	none := "http://localhost:1"
	migrate := []string{"migrate", "-from", none, "-to", none}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"import"}, `"import" is neither export nor migrate`},
		{[]string{"-list", "x"}, `"-list" is neither`},
		{[]string{"export", "-nonsense"}, "-nonsense"},
		{[]string{"export", "a/b"}, "no -url"},
		{[]string{"export", "-url", none}, "no projects are named"},
		{[]string{"export", "-url", "localhost", "a/b"}, "-url: "},
		{[]string{"export", "-url", none, "-transfers", "-1", "a/b"}, "-transfers must not be negative"},
		{[]string{"export", "-url", none, "-max-age", "-1s", "a/b"}, "-max-age must not be negative"},
		{[]string{"export", "-url", none, "-rate", "exports=0", "a/b"}, "give a number per minute, or none"},
		{[]string{"export", "-url", none, "-list", "no-such-file"}, "-list: open no-such-file"},
		{[]string{"export", "-url", none, "a/b", "-dir", "x"}, "-dir is behind a project; flags come first"},
		{[]string{"export", "-url", none, "widget"}, "has no namespace"},
		{[]string{"export", "-url", none, "-group", "https://x/y"}, "-group: namespace"},
		{[]string{"export", "-url", none, "-archived", "skip", "a/b"}, "-archived is for -group"},
		{[]string{"export", "-url", none, "-archived", "no", "-group", "a"}, "-archived can be skip, only or all"},
		{[]string{"export", "-url", none, "-include", "a/[", "a/b"}, `pattern "a/[" is malformed`},
		{[]string{"export", "-url", none, "-exclude", "a/*", "a/b"}, "no projects are left"},
		{[]string{"export", "-url", none, "-dry-run", "-json", "a/b"}, "-dry-run writes text only"},
		{[]string{"export", "-url", none, "-namespace", "x", "a/b"}, "-namespace"},
		{[]string{"migrate", "a/b"}, "neither -from nor -to"},
		{[]string{"migrate", "-from", none, "a/b"}, "-from is given, but -to is missing"},
		{[]string{"migrate", "-to", none, "a/b"}, "-to is given, but -from is missing"},
		{append(migrate, "-namespace", "12", "a/b"), "-namespace: namespace 12 is an ID"},
		{append(migrate, "-namespace", "n", "-group", "12"), "-group with -namespace: namespace 12 is an ID"},
		{append(migrate, "-namespace", "n", "a/p", "b/p"), "a/p and b/p would both become n/p"},
		{append(migrate, "-new-after", "1h", "a/p"), "-new-after"},
	} {
		clitest.Misused(t, run, tt.want, tt.args...)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"-h"}, []string{"bulk export", "bulk migrate", "Exit codes:"}},
		{[]string{"help"}, []string{"bulk export"}},
		{[]string{"export", "-h"}, []string{"Examples:", "Lists", "doublestar", "Files:", "Environment:", "Exit codes:",
			"-new-after", "-dry-run", "outcome_unknown", "-transfers number"}},
		{[]string{"migrate", "-h"}, []string{"Examples:", "Targets of migrate:", "Files:", "GITLAB_DEST_TOKEN", "  130  ", "-namespace"}},
	} {
		code, out := call(t.Context(), tt.args...)
		for _, want := range tt.want {
			if code != cli.OK || !strings.Contains(out, want) {
				t.Errorf("%q: exit code %d, lacks %q", tt.args, code, want)
			}
		}
		for _, line := range strings.Split(out[:strings.Index(out, "Exit codes:")], "\n") {
			if len(line) > 90 {
				t.Errorf("%q: a long line: %s", tt.args, line)
			}
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("GITLAB_URL", "http://localhost:1")
	t.Setenv("GITLAB_TOKEN", "")
	clitest.Misused(t, run, "GITLAB_TOKEN is not set", "export", "a/b")
	clitest.Misused(t, run, "-from was taken from GITLAB_URL, but -to is missing", "migrate", "a/b")
	t.Setenv("GITLAB_TOKEN", portertest.Token)
	t.Setenv("GITLAB_DEST_TOKEN", "")
	clitest.Misused(t, run, "GITLAB_DEST_TOKEN is not set", "migrate", "-to", "http://localhost:1", "a/b")
}

// listOfTwo is a file that names two projects.
func listOfTwo(t *testing.T) string {
	t.Helper()
	list := filepath.Join(t.TempDir(), "list.tsv")
	if err := os.WriteFile(list, []byte("a/p\n11\tn/x\tother\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return list
}

// The program as a whole, with a list.
func TestMigrateCommand(t *testing.T) {
	t.Parallel()
	s := newScene(t, true)
	code, out := call(t.Context(), s.flags("-list", listOfTwo(t))...)
	if code != cli.OK || s.to.Project("n/p") == nil || s.to.Project("n/x/other") == nil {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// The same of exports, with its exit codes.
func TestExportCommand(t *testing.T) {
	t.Parallel()
	inScene(t, false, func(t *testing.T, s *scene) {
		code, out := s.call(t.Context(), "-list", listOfTwo(t))
		if code != cli.OK {
			t.Errorf("exit code %d\n%s", code, out)
		}
		for _, name := range []string{"a/p.tar.gz", "11.tar.gz", "bulk-export.jsonl"} {
			if _, err := os.Stat(filepath.Join(s.dir, filepath.FromSlash(name))); err != nil {
				t.Error(err)
			}
		}
		code, out = s.call(t.Context(), "-group", "a", "no/such")
		if code != cli.Failure || !strings.Contains(out, "no/such") {
			t.Errorf("one of no project: exit code %d\n%s", code, out)
		}
		b, err := os.ReadFile(filepath.Join(s.dir, "bulk-export.jsonl"))
		if err != nil || bytes.Contains(b, []byte(portertest.Token)) || strings.Contains(out, portertest.Token) {
			t.Errorf("the token is written: %v", err)
		}
		code, out = s.call(t.Context(), "-url", "http://"+there, "a/p")
		if code != cli.BadUsage || !strings.Contains(out, "is the journal of another run: its source is") {
			t.Errorf("another instance: exit code %d\n%s", code, out)
		}
		j, err := openJournal(filepath.Join(t.TempDir(), "j"), testHeader, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		code, out = s.call(t.Context(), "-journal", j.name, "a/p")
		if code != cli.Again || !strings.Contains(out, "another run uses the journal") {
			t.Errorf("at the same time: exit code %d\n%s", code, out)
		}
		code, out = s.call(t.Context(), "-group", "nobody")
		if code != cli.Failure || !strings.Contains(out, "list projects of nobody") {
			t.Errorf("no such group: exit code %d\n%s", code, out)
		}
	})
}

// An interrupted process says what goes on, and exits with 130.
func TestInterruptedProcess(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no process can be sent an interrupt")
	}
	t.Parallel()
	s := newScene(t, false)
	s.from.ScriptExport("a/p", portertest.ExportScript{Fault: portertest.NeverStart})
	c := startChild(t, s.flags("a/p")...)
	s.whenLooked(5, func() { c.cmd.Process.Signal(os.Interrupt) })
	if code := c.exit(); code != cli.Interrupted || !strings.Contains(c.output.String(), "GitLab goes on with what it has begun") {
		t.Errorf("exit code %d\n%s", code, c.output.Bytes())
	}
}

// A terminal that can't erase, such as that of an editor, is shown lines.
func TestDumbTerminal(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer terminal.Close()
	t.Setenv("TERM", "xterm")
	if !isScreen(terminal) {
		t.Skip("this system takes it for no terminal")
	}
	if t.Setenv("TERM", "dumb"); isScreen(terminal) {
		t.Error("it is drawn on")
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	inScene(t, false, func(t *testing.T, s *scene) {
		s.from.ScriptExport("a/p", portertest.ExportScript{Fault: portertest.NeverStart})
		code, out := s.call(t.Context(), "-timeout", "200ms", "a/p")
		if code != cli.Again || !strings.Contains(out, "Stopped: -timeout of 200ms is over. GitLab goes on") {
			t.Errorf("exit code %d\n%s", code, out)
		}
	})
}

// Nothing is said of a project that a dry run did not come to.
func TestDryRunCutOff(t *testing.T) {
	t.Parallel()
	inScene(t, false, func(t *testing.T, s *scene) {
		slow := s.from.Inject(portertest.Fault{Path: "/export", Times: -1, Do: portertest.Delay(time.Second)})
		code, out := s.call(t.Context(), "-dry-run", "-timeout", "200ms", "a/p")
		if code != cli.Again || out != "error: dry run: -timeout of 200ms is over: context deadline exceeded\n" {
			t.Errorf("-timeout: exit code %d\n%s", code, out)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		slow.Remove()
		s.from.Inject(portertest.Fault{Do: portertest.Delay(time.Second), Times: -1, Match: func(r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/export") {
				cancel()
			}
			return ctx.Err() != nil
		}})
		code, out = s.call(ctx, "-dry-run", "a/p")
		if code != cli.Interrupted || !strings.HasPrefix(out, "Interrupted: dry run: ") {
			t.Errorf("interrupted: exit code %d\n%s", code, out)
		}
	})
}

// A dry run tells what would happen to each project, and changes nothing.
func TestDryRun(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		setup func(*scene)
		args  []string
		code  int
		want  []string
	}{
		{name: "export", args: []string{"-group", "a"}, want: []string{"a/p ", "a/x/q ", "a new export", "3 projects: 3 to do"}},
		{name: "by the limits", args: []string{"-rate", "exports=1", "-group", "a"},
			want: []string{"at 1 a minute the last begins 2m0s after the first", "In all at least 2m0s"}},
		{name: "joined", args: []string{"a/p"}, want: []string{"joins the export under way (started)"}, setup: func(s *scene) {
			s.from.ScriptExport("a/p", portertest.ExportScript{Timing: &portertest.Timings{Assemble: time.Hour}})
			s.schedule("a/p")
		}},
		{name: "archive", args: []string{"-max-age", "1h", "a/p"}, want: []string{"the archive that is there, if it is not older than 1h0m0s"},
			setup: func(s *scene) { s.from.AddExport("a/p", "owner") }},
		{name: "archive, but a new one is wanted", args: []string{"a/p"}, want: []string{"a new export"},
			setup: func(s *scene) { s.from.AddExport("a/p", "owner") }},
		{name: "from the journal", args: []string{"-group", "a"}, want: []string{"taken from the journal", "a new export", "3 projects: 1 to do",
			"the archive that is there, if it is not older than 3m"}[:3],
			setup: func(s *scene) {
				s.o.journal = filepath.Join(s.dir, "bulk-export.jsonl")
				s.from.ScriptExport("a/p", portertest.ExportScript{Fault: portertest.FailPacking})
				s.mustRun()
			}},
		{name: "no such project", args: []string{"a/p", "a/none"}, code: cli.Failure, want: []string{"a new export", "would fail: ", "404"}},
	} {
		t.Run("export/"+tt.name, func(t *testing.T) {
			t.Parallel()
			inScene(t, false, func(t *testing.T, s *scene) { testDryRun(t, s, tt.setup, tt.args, tt.code, tt.want) })
		})
	}
	for _, tt := range []struct {
		name  string
		setup func(*scene)
		args  []string
		code  int
		want  []string
	}{
		{name: "free", args: []string{"-group", "a"}, want: []string{"a new export; n/x/q is free"}},
		{name: "taken", args: []string{"a/p", "a/z"}, code: cli.Failure, want: []string{"would fail: ", "n/p", "n/z is free"},
			setup: func(s *scene) { s.to.AddProject(portertest.Project{Path: "n/p"}) }},
		{name: "no namespace", args: []string{"-group", "a", "-namespace", "no"}, code: cli.Failure,
			want: []string{"would fail: ", "namespace no"}},
		{name: "noted", args: []string{"-group", "a"}, want: []string{"Note: ", "becomes owner's there (all)"}},
		{name: "moved away", args: []string{"a/p"}, want: []string{"n/p is free"},
			setup: func(s *scene) { s.to.AddProject(portertest.Project{Path: "n/old", FormerPaths: []string{"n/p"}}) }},
		{name: "done", args: []string{"a/p"}, want: []string{"taken from the journal: it is there already", "0 to do."}, setup: func(s *scene) {
			s.o.input = input.Input{Args: []string{"a/p"}}
			s.mustRun()
		}},
		{name: "failed import", args: []string{"a/p"}, code: cli.Failure, want: []string{"would fail: ", "n/p"},
			setup: func(s *scene) {
				s.o.input = input.Input{Args: []string{"a/p"}}
				s.to.ScriptImport("n/p", portertest.ImportScript{Error: "no"})
				s.mustRun()
			}},
	} {
		t.Run("migrate/"+tt.name, func(t *testing.T) {
			t.Parallel()
			inScene(t, true, func(t *testing.T, s *scene) { testDryRun(t, s, tt.setup, tt.args, tt.code, tt.want) })
		})
	}
}

func testDryRun(t *testing.T, s *scene, setup func(*scene), args []string, code int, want []string) {
	t.Helper()
	if setup != nil {
		setup(s)
	}
	exports, projects, left := s.exports(), len(s.to.Projects()), strings.Join(files(t, s.dir), " ")
	got, out := s.call(t.Context(), append([]string{"-dry-run"}, args...)...)
	if got != code {
		t.Errorf("exit code %d, want %d", got, code)
	}
	for _, text := range want {
		if !strings.Contains(out, text) {
			t.Errorf("output lacks %q", text)
		}
	}
	if s.exports() != exports || len(s.to.Projects()) != projects || strings.Join(files(t, s.dir), " ") != left {
		t.Errorf("something was done: exports %s, %d projects, files %q", s.exports(), len(s.to.Projects()), files(t, s.dir))
	}
	if t.Failed() {
		t.Log(out)
	}
}

// schedule has an export of a project under way.
func (s *scene) schedule(project string) {
	s.t.Helper()
	from, _, err := s.o.connect()
	if err == nil {
		if err = from.ScheduleExport(s.t.Context(), porter.ProjectPath(project), nil); err == nil {
			for len(s.from.Exports(project)) == 0 {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(20 * time.Millisecond) // so that it is started
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
}
