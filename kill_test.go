package porter_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// TestKillChild is no test but the process that the tests below kill: this
// test binary started again, which downloads the export of project 7.
func TestKillChild(t *testing.T) {
	url, file := os.Getenv("PORTER_TEST_CHILD_URL"), os.Getenv("PORTER_TEST_CHILD_FILE")
	if url == "" {
		t.Skip("is run by other tests, as a process of its own")
	}
	killChildSetup(t)
	c := newClient(t, url, porter.PrivateToken(portertest.Token),
		porter.WithoutPacing(), porter.WithRetry(5, porter.ConstantBackoff(0)), smallChunks)
	conns, _ := strconv.Atoi(os.Getenv("PORTER_TEST_CHILD_CONNECTIONS"))
	if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, rangesOf(max(conns, 1))); err != nil {
		t.Fatal(err)
	}
}

// A killChild is a running process.
type killChild struct {
	cmd    *exec.Cmd
	output bytes.Buffer
	ended  chan struct{}
	err    error // how it ended
}

func killStart(t *testing.T, url, file string, env ...string) *killChild {
	t.Helper()
	return killStartTest(t, "TestKillChild", append([]string{"PORTER_TEST_CHILD_URL=" + url, "PORTER_TEST_CHILD_FILE=" + file}, env...)...)
}

// killStartTest starts this test binary again, to run one test.
func killStartTest(t *testing.T, test string, env ...string) *killChild {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	p := &killChild{cmd: exec.Command(exe, "-test.run=^"+test+"$", "-test.timeout=8m"), ended: make(chan struct{})}
	p.cmd.Env = append(append(os.Environ(), "GOCOVERDIR="+t.TempDir()), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(p.kill)
	return p
}

// kill ends the process as the kernel does when memory is short.
func (p *killChild) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

// wait returns how the process ends.
func (p *killChild) wait() error {
	<-p.ended
	return p.err
}

func (p *killChild) mustEndWell(t *testing.T) {
	t.Helper()
	if err := p.wait(); err != nil {
		t.Fatalf("%v\n%s", err, p.output.Bytes())
	}
}

// killWhen kills the process once it has come so far, if it does not end before.
func (p *killChild) killWhen(reached func() bool) {
	p.until(reached)
	p.kill()
}

// until looks at what other processes have done, until it is enough or the
// process has ended.
func (p *killChild) until(reached func() bool) {
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for !reached() {
		select {
		case <-look.C:
		case <-p.ended:
			return
		}
	}
}

// readsLiveState skips a test that reads the state of a part file while another
// process has it, which on Windows nobody can.
func readsLiveState(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the state can't be read here while another process has it")
	}
}

// A process that is killed loses no more than some seconds: the next one
// asks only for what is not certainly on the disk yet.
func TestKilledDownloadContinues(t *testing.T) {
	readsLiveState(t)
	archive := portertest.NewArchive(4 << 20)
	for name, mode := range dlModes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := portertest.NewServer(portertest.NoLimits(), portertest.Downloads(mode))
			defer s.Close()
			s.AddProject(portertest.Project{ID: 7, Path: "acme/widget", Archive: archive})
			s.AddExport("7", "owner")
			// Each connection but the last comes to a standstill.
			s.Inject(portertest.Fault{Origin: dlDeliverer(mode), Method: "GET", Times: 2, Do: portertest.StallResponse(1_500_000, 0)})

			file := saveTarget(t)
			want := []string{""}
			synced := int64(0)
			for range 2 {
				p := killStart(t, s.URL, file)
				p.killWhen(func() bool {
					b, err := os.ReadFile(file + ".part.json")
					var state struct{ State struct{ Synced int64 } }
					return err == nil && json.Unmarshal(b, &state) == nil && state.State.Synced > synced
				})
				synced = saveSynced(t, file)
				if diff := cmp.Diff([]string{"app.tar.gz.part", "app.tar.gz.part.json"}, saveListing(t, file)); diff != "" {
					t.Errorf("left:\n%s", diff)
				}
				want = append(want, fmt.Sprintf("bytes=%d-", synced))
			}
			killStart(t, s.URL, file).mustEndWell(t)
			saveCheck(t, file, archive)

			asked := dlAsked(s, dlDeliverer(mode))
			if diff := cmp.Diff(want, dlRanges(asked)); diff != "" {
				t.Errorf("ranges asked for:\n%s", diff)
			}
			for _, r := range asked[1:] {
				if r.Header.Get("If-Range") == "" || r.Status != http.StatusPartialContent {
					t.Errorf("%d to If-Range %q", r.Status, r.Header.Get("If-Range"))
				}
			}
			if last := asked[len(asked)-1]; last.Sent != archive.Size()-synced {
				t.Errorf("the last process was sent %d bytes", last.Sent)
			}
			if leaks := s.Leaks(); len(leaks) > 0 {
				t.Errorf("credentials reached the storage: %+v", leaks)
			}
		})
	}
}

// A killServer serves an archive, and counts what it sends.
type killServer struct {
	*httptest.Server
	mu      sync.Mutex
	sent    int64
	enough  int64
	reached chan struct{} // closed when enough was sent
}

func newKillServer(t *testing.T, a *portertest.Archive) *killServer {
	s, modified := new(killServer), time.Now()
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		http.ServeContent(&countingWriter{w, s}, r, "", modified, a.NewReader())
	}))
	t.Cleanup(s.Close)
	return s
}

// after returns a channel that is closed when n more bytes were sent.
func (s *killServer) after(n int64) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enough, s.reached = s.sent+n, make(chan struct{})
	return s.reached
}

func (s *killServer) count(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent += n; s.reached != nil && s.sent >= s.enough {
		close(s.reached)
		s.reached = nil
	}
}

type countingWriter struct {
	http.ResponseWriter
	s *killServer
}

func (w *countingWriter) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.s.count(int64(n))
	return n, err
}

// Killed at any moment, a download ends with the right bytes, also one over
// several connections, and one that goes on over more or fewer.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Run("one connection", func(t *testing.T) { killAtAnyMoment(t, 1) })
	t.Run("several connections", func(t *testing.T) { killAtAnyMoment(t, 1, 2, 4) })
}

func killAtAnyMoment(t *testing.T, conns ...int) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	archive := portertest.NewArchive(6 << 20)
	s := newKillServer(t, archive)
	gitlab := httptest.NewServer(http.RedirectHandler(s.URL+"/key?X-Amz-Signature=0123456789", http.StatusFound))
	t.Cleanup(gitlab.Close)
	file := saveTarget(t)
	for range 6 {
		reached := s.after(rnd.Int64N(archive.Size()))
		p := killStart(t, gitlab.URL, file, fmt.Sprintf("PORTER_TEST_CHILD_CONNECTIONS=%d", pick(rnd, conns...)))
		select {
		case <-reached:
		case <-p.ended:
		}
		p.kill()
		if _, err := os.Stat(file); err == nil && p.cmd.ProcessState.Success() {
			break // it was quicker
		} else if err == nil {
			saveIsWhole(t, file, archive) // killed between its last steps
		}
	}
	killStart(t, gitlab.URL, file, fmt.Sprintf("PORTER_TEST_CHILD_CONNECTIONS=%d", pick(rnd, conns...))).mustEndWell(t)
	saveCheck(t, file, archive)
}

func saveIsWhole(t *testing.T, file string, a *portertest.Archive) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil || sum(b) != a.SHA256() {
		t.Errorf("%d other bytes under the file's name: %v", len(b), err)
	}
}

// Two processes that download to the same name both end well.
func TestTwoProcessesDownload(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(4 << 20)
	s := newKillServer(t, archive)
	file := saveTarget(t)
	one := killStart(t, s.URL, file)
	two := killStart(t, s.URL, file)
	one.mustEndWell(t)
	saveIsWhole(t, file, archive)
	two.mustEndWell(t)
	saveCheck(t, file, archive)
	s.Close()
	if s.sent != 2*archive.Size() {
		t.Errorf("the two were sent %d bytes", s.sent)
	}
}

// TestKillMigrateChild is the other process that the tests below kill. It
// migrates team/app into the group new, and if it is given a file for
// checkpoints, takes up the one that is there.
func TestKillMigrateChild(t *testing.T) {
	url := os.Getenv("PORTER_TEST_CHILD_FROM")
	if url == "" {
		t.Skip("is run by other tests, as a process of its own")
	}
	client := func(url string) *porter.Client {
		soon := porter.ConstantBackoff(5 * time.Millisecond)
		return newClient(t, url, porter.PrivateToken(portertest.Token), porter.WithoutPacing(),
			porter.WithUserAgent(os.Getenv("PORTER_TEST_CHILD_NAME")), porter.WithRetry(5, soon),
			porter.WithPolling(porter.Polling{Backoff: soon, Grace: 2 * time.Second, Patience: time.Second}))
	}
	opts := porter.MigrateOptions{
		Import:   porter.ImportOptions{Namespace: porter.NamespacePath("new")},
		SpoolDir: os.Getenv("PORTER_TEST_CHILD_SPOOL"),
		NoSpool:  os.Getenv("PORTER_TEST_CHILD_SPOOL") == "",
	}
	if age := os.Getenv("PORTER_TEST_CHILD_MAX_AGE"); age != "" {
		maxAge, err := time.ParseDuration(age)
		if err != nil {
			t.Fatal(err)
		}
		opts.Export = &porter.ExportOptions{MaxAge: maxAge}
	}
	if file := os.Getenv("PORTER_TEST_CHILD_CHECKPOINT"); file != "" {
		opts.Resume = killCheckpoint(t, file)
		opts.Checkpoint = func(_ context.Context, p porter.Checkpoint) error {
			err := writeKillCheckpoint(file, p)
			if string(p.Step) == os.Getenv("PORTER_TEST_CHILD_HOLD") {
				select {}
			}
			return err
		}
	}
	m, err := porter.Migrate(t.Context(), client(url), porter.ProjectPath("team/app"), client(os.Getenv("PORTER_TEST_CHILD_TO")), opts)
	if err != nil {
		t.Fatal(err)
	}
	if m.Source.PathWithNamespace != "team/app" || m.Import.PathWithNamespace != "new/app" || m.Import.Status != porter.ImportFinished {
		t.Errorf("the result is %+v", m)
	}
}

// killCheckpoint returns the checkpoint in a file, nil if there is none yet.
func killCheckpoint(t *testing.T, file string) *porter.Checkpoint {
	t.Helper()
	b, err := os.ReadFile(file)
	for i := 0; i < 100 && runtime.GOOS == "windows" && err != nil && !errors.Is(err, fs.ErrNotExist); i++ {
		time.Sleep(10 * time.Millisecond) // it is just being replaced
		b, err = os.ReadFile(file)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	p := new(porter.Checkpoint)
	if err == nil {
		err = json.Unmarshal(b, p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// writeKillCheckpoint replaces the file in one move, so that whoever is killed
// meanwhile leaves no half of it.
func writeKillCheckpoint(file string, p porter.Checkpoint) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", b, 0o600); err != nil {
		return err
	}
	for range 100 {
		// On Windows it fails while the test reads the file.
		if err = os.Rename(file+".new", file); err == nil || runtime.GOOS != "windows" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// A killMigration is two instances, between which processes migrate a project.
type killMigration struct {
	from, to *portertest.Server
	archive  *portertest.Archive
	spool    string // "" for none
	env      []string
	started  int // processes
}

func newKillMigration(t *testing.T, size int64, spool bool, timings portertest.Timings) *killMigration {
	m := &killMigration{archive: portertest.NewArchive(size)}
	timings.Store = 100 * time.Millisecond // so that a poll sees the export under way
	m.from = portertest.NewServer(portertest.NoLimits(), portertest.Timing(timings))
	t.Cleanup(m.from.Close)
	m.to = portertest.NewServer(portertest.NoLimits(), portertest.Timing(timings))
	t.Cleanup(m.to.Close)
	m.from.AddProject(portertest.Project{Path: "team/app", Archive: m.archive})
	m.to.AddGroup("new")
	if spool {
		m.spool = t.TempDir()
	}
	return m
}

func (m *killMigration) start(t *testing.T, env ...string) *killChild {
	m.started++
	return killStartTest(t, "TestKillMigrateChild", append(append([]string{"PORTER_TEST_CHILD_FROM=" + m.from.URL,
		"PORTER_TEST_CHILD_TO=" + m.to.URL, "PORTER_TEST_CHILD_SPOOL=" + m.spool, "PORTER_TEST_CHILD_NAME=" + m.name()}, m.env...), env...)...)
}

// name is what the process that was started last goes by.
func (m *killMigration) name() string { return fmt.Sprintf("child/%d", m.started) }

// check makes sure that the project was imported once and whole, and that the
// killed left no bytes where files can do without a name.
func (m *killMigration) check(t *testing.T) {
	t.Helper()
	if p := m.to.Projects(); len(p) != 1 || p[0].ArchiveSHA256 != m.archive.SHA256() || p[0].ImportStatus != "finished" {
		t.Errorf("there are %d projects: %+v", len(p), p)
	}
	if m.spool != "" && runtime.GOOS != "windows" {
		left, err := os.ReadDir(m.spool)
		if err != nil {
			t.Error(err)
		}
		for _, f := range left { // an empty one had a name yet
			if fi, err := f.Info(); err != nil || fi.Size() > 0 {
				t.Errorf("spool file left: %v %v", f, err)
			}
		}
	}
}

// progress counts what the instances have done: requests, and half megabytes
// of uploads.
func (m *killMigration) progress() int64 {
	n := int64(len(m.from.Requests()) + len(m.to.Requests()))
	for _, post := range uploads(m.to) {
		n += post.BodyBytes >> 19
	}
	return n
}

// answered reports whether the source has answered the process that was
// started last. It may yet answer one that was killed.
func (m *killMigration) answered() bool {
	for _, r := range m.from.Requests() {
		if r.Status != 0 && strings.HasPrefix(r.Header.Get("User-Agent"), m.name()+" ") {
			return true
		}
	}
	return false
}

// A migration that is killed goes on with the export under way, and is never
// imported twice.
func TestKilledMigrateContinues(t *testing.T) {
	tests := []struct {
		name    string
		timings portertest.Timings
		prepare func(m *killMigration)
		killed  func(m *killMigration) bool
		exports int
		exists  bool // GitLab has taken the archive
	}{
		{
			name:    "while it waits for the export",
			timings: portertest.Timings{Assemble: time.Hour},
			killed:  func(m *killMigration) bool { return count(m.from, "GET", "/export") > 1 },
			exports: 1,
		},
		{
			name: "in the middle of the archive",
			prepare: func(m *killMigration) {
				m.from.Inject(portertest.Fault{Path: "/export/download", Do: portertest.StallResponse(1_500_000, 0)})
			},
			killed: func(m *killMigration) bool {
				posts := uploads(m.to)
				return len(posts) > 0 && posts[0].BodyBytes > 1<<20
			},
			exports: 2,
		},
		{
			name: "before the answer to the upload",
			prepare: func(m *killMigration) {
				m.to.Inject(portertest.Fault{Method: "POST", Do: portertest.HoldAnswer(0)})
			},
			killed:  func(m *killMigration) bool { return len(m.to.Projects()) > 0 },
			exports: 1,
			exists:  true,
		},
		{
			name:    "while it waits for the import",
			timings: portertest.Timings{Import: time.Hour},
			killed: func(m *killMigration) bool {
				return len(m.to.Projects()) > 0 && count(m.to, "GET", "/import") > 1
			},
			exports: 1,
			exists:  true,
		},
	}
	for _, tt := range tests {
		for _, spool := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, spool %v", tt.name, spool), func(t *testing.T) {
				t.Parallel()
				m := newKillMigration(t, 2<<20, spool, tt.timings)
				if tt.prepare != nil {
					tt.prepare(m)
				}
				m.start(t).killWhen(func() bool { return tt.killed(m) })
				if got := len(m.to.Projects()) > 0; got != tt.exists {
					t.Errorf("project exists: %v", got)
				}
				again := m.start(t)
				again.until(m.answered) // it has found what is under way
				m.from.Advance(2 * time.Hour)
				m.to.Advance(2 * time.Hour)
				if tt.exists {
					if err := again.wait(); err == nil || !bytes.Contains(again.output.Bytes(), []byte(porter.ErrProjectExists.Error())) {
						t.Errorf("got %v\n%s", err, again.output.Bytes())
					}
				} else {
					again.mustEndWell(t)
				}
				m.check(t)
				if n := count(m.from, "POST", "/export"); n != tt.exports {
					t.Errorf("exported %d times", n)
				}
			})
		}
	}
}

// Killed at any moment and as often as it may be, a migration imports once.
func TestKilledMigrateAtAnyMoment(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	some := 30 * time.Millisecond
	m := newKillMigration(t, 8<<20, true, portertest.Timings{Assemble: some, ImportQueue: some, Import: some})
	for range 8 {
		p := m.start(t)
		enough := m.progress() + rnd.Int64N(40)
		p.killWhen(func() bool { return m.progress() > enough })
	}
	last := m.start(t)
	err := last.wait()
	if err != nil && !bytes.Contains(last.output.Bytes(), []byte(porter.ErrProjectExists.Error())) {
		t.Errorf("%v\n%s", err, last.output.Bytes())
	}
	m.to.Advance(time.Minute)
	m.check(t)
}
