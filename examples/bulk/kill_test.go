package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-5d77b939/porter/examples/internal/cli"
	"github.com/seed-5d77b939/porter/portertest"
)

// TestChild is no test but this program, as the process that the tests below
// kill: this test binary started again.
func TestChild(t *testing.T) {
	args := os.Getenv("BULK_TEST_ARGS")
	if args == "" {
		t.Skip("is run by other tests, as a process of its own")
	}
	var list []string
	if err := json.Unmarshal([]byte(args), &list); err != nil {
		t.Fatal(err)
	}
	os.Args = append([]string{"bulk"}, list...)
	main()
}

// A child is a running process.
type child struct {
	cmd    *exec.Cmd
	output bytes.Buffer
	ended  chan struct{}
}

func startChild(t *testing.T, args ...string) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	encoded, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(exe, "-test.run=^TestChild$", "-test.timeout=8m"), ended: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), "GOCOVERDIR="+t.TempDir(), "BULK_TEST_ARGS="+string(encoded))
	c.cmd.Stdout, c.cmd.Stderr = &c.output, &c.output
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		c.cmd.Wait()
		close(c.ended)
	}()
	t.Cleanup(c.kill)
	return c
}

// kill ends the process as the kernel does when memory is short.
func (c *child) kill() {
	c.cmd.Process.Kill()
	<-c.ended
}

// exit waits for the process, and returns its exit code.
func (c *child) exit() int {
	<-c.ended
	return c.cmd.ProcessState.ExitCode()
}

// A killScene is two instances with many projects.
type killScene struct {
	from, to *portertest.Server
	archives map[string]*portertest.Archive // by the path at the source
	dir      string
	journal  string
	args     []string
}

const killProjects = 200

func newKillScene(t *testing.T) *killScene {
	t.Helper()
	timing := portertest.Timing(portertest.Timings{Queue: time.Millisecond, Start: 5 * time.Millisecond, Assemble: 100 * time.Millisecond,
		Store: 5 * time.Millisecond, AfterExport: 5 * time.Millisecond, ImportQueue: 5 * time.Millisecond, Import: 100 * time.Millisecond})
	s := &killScene{archives: map[string]*portertest.Archive{}, dir: t.TempDir(),
		from: portertest.NewServer(portertest.NoLimits(), timing), to: portertest.NewServer(portertest.NoLimits(), timing)}
	t.Cleanup(s.from.Close)
	t.Cleanup(s.to.Close)
	for i := range killProjects {
		p := fmt.Sprintf("a/g%d/p%03d", i%5, i)
		s.archives[p] = portertest.NewArchive(portertest.MinArchiveSize, portertest.ArchiveSeed(int64(i)))
		s.from.AddProject(portertest.Project{Path: p, Archive: s.archives[p]})
		s.to.AddGroup(fmt.Sprintf("n/g%d", i%5))
	}
	s.journal = filepath.Join(s.dir, "journal")
	s.args = []string{"-journal", s.journal, "-group", "a", "-poll", "50ms", "-rate", "exports=none,imports=none,downloads=none,polls=none"}
	return s
}

// requests is how many requests both instances were sent.
func (s *killScene) requests() int { return len(s.from.Requests()) + len(s.to.Requests()) }

// killAtRandom runs the program until it ends by itself, and kills it six times
// on the way, after up to so many requests each. Between two runs it calls
// between.
func (s *killScene) killAtRandom(t *testing.T, requests int, between func(), args ...string) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	args = slices.Concat(args, s.args)
	killed := 0
	for range 6 {
		enough := s.requests() + 1 + random.IntN(requests)
		c := startChild(t, args...)
		look := time.NewTicker(2 * time.Millisecond)
		for done := false; !done && s.requests() < enough; {
			select {
			case <-look.C:
			case <-c.ended:
				done = true
			}
		}
		look.Stop()
		c.kill()
		if h, err := readHistory(s.journal); c.cmd.ProcessState.Success() || err == nil && h.ended {
			t.Logf("killed %d times; then it was quicker", killed)
			return // the next run would be another one
		}
		if code := c.exit(); code > 0 && runtime.GOOS != "windows" {
			t.Fatalf("exit code %d\n%s", code, c.output.Bytes())
		}
		killed++
		between()
	}
	c := startChild(t, args...)
	if code := c.exit(); killed > 0 && code != cli.OK {
		t.Fatalf("exit code %d\n%s", code, c.output.Bytes())
	}
	t.Logf("killed %d times", killed)
}

// files lists what is in the folder and below.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, err = filepath.Rel(dir, name)
			names = append(names, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Killed at any moment and run again, every project is exported exactly once,
// and its file is whole.
func TestKilledExport(t *testing.T) {
	t.Parallel()
	s := newKillScene(t)
	s.killAtRandom(t, 500, func() {}, "export", "-url", s.from.URL, "-dir", s.dir)
	want := []string{"journal", "journal.lock"}
	for p, archive := range s.archives {
		if n := len(s.from.Exports(p)); n != 1 {
			t.Errorf("%s was exported %d times", p, n)
		}
		got, err := os.ReadFile(filepath.Join(s.dir, filepath.FromSlash(p)+".tar.gz"))
		whole := make([]byte, archive.Size())
		archive.ReadAt(whole, 0)
		if err != nil || !bytes.Equal(got, whole) {
			t.Errorf("%s: %d other bytes, %v", p, len(got), err)
		}
		want = append(want, p+".tar.gz")
	}
	got := files(t, s.dir)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("left are %d files instead of %d: %q", len(got), len(want), got)
	}
}

// Killed at any moment and run again, every project is exported and sent whole
// exactly once, and becomes one project.
func TestKilledMigration(t *testing.T) {
	t.Parallel()
	s := newKillScene(t)
	spool := t.TempDir()
	// What a run that is killed may have asked for shows at once later.
	later := func() {
		s.from.Advance(11 * time.Minute)
		s.to.Advance(11 * time.Minute)
	}
	s.killAtRandom(t, 900, later, "migrate", "-from", s.from.URL, "-to", s.to.URL, "-namespace", "n", "-spool", spool)
	for p, archive := range s.archives {
		if n := len(s.from.Exports(p)); n != 1 {
			t.Errorf("%s was exported %d times", p, n)
		}
		target := "n" + strings.TrimPrefix(p, "a")
		if q := s.to.Project(target); q == nil || q.ImportStatus != "finished" || q.ArchiveSHA256 != archive.SHA256() {
			t.Errorf("%s is %+v", target, q)
		}
	}
	if n := len(s.to.Projects()); n != killProjects {
		t.Errorf("%d projects at the destination", n)
	}
	whole := 0
	for _, r := range s.to.Requests() {
		if r.Method == "POST" && r.Complete {
			whole++
		}
	}
	if whole != killProjects {
		t.Errorf("%d archives were sent whole", whole)
	}
	if got := files(t, s.dir); !slices.Equal(got, []string{"journal", "journal.lock"}) {
		t.Errorf("left is %q", got)
	}
	for _, name := range files(t, spool) { // one that was killed before its name was removed is empty
		if fi, err := os.Stat(filepath.Join(spool, name)); err != nil || fi.Size() > 0 && runtime.GOOS != "windows" {
			t.Errorf("left in the spool: %s, %v", name, err)
		}
	}
}
