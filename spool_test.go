package porter

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter/portertest"
)

func spoolFor(t *testing.T) *spool {
	t.Helper()
	sp, err := newSpool(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sp.close)
	return sp
}

// TestSpoolReadersFollow writes while several readers read behind.
func TestSpoolReadersFollow(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	content := make([]byte, 1<<20)
	for i := range content {
		content[i] = byte(rnd.Uint32())
	}
	sp := spoolFor(t)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			got, err := io.ReadAll(sp.reader(t.Context(), i%2 == 0))
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("reader %d: %d bytes, %v", i, len(got), err)
			}
		})
	}
	for rest := content; len(rest) > 0; {
		n := min(len(rest), 1+rnd.IntN(100<<10))
		if m, err := sp.Write(rest[:n]); m != n || err != nil {
			t.Fatal(m, err)
		}
		rest = rest[n:]
	}
	sp.end(nil)
	sp.approve(nil)
	if n, err := sp.whole(t.Context()); n != int64(len(content)) || err != nil {
		t.Errorf("whole: %d, %v", n, err)
	}
	wg.Wait()
}

// TestSpoolEnds goes through the orders in which writing and approval can end.
func TestSpoolEnds(t *testing.T) {
	broken, unsound := errors.New("broken"), errors.New("unsound")
	end := func(err error) func(*spool) { return func(s *spool) { s.end(err) } }
	approve := func(err error) func(*spool) { return func(s *spool) { s.approve(err) } }
	tests := []struct {
		name    string
		steps   []func(*spool)
		careful error // what a reader that waits for approval gets
		other   error
	}{
		{"whole and sound", []func(*spool){end(nil), approve(nil)}, io.EOF, io.EOF},
		{"approved before", []func(*spool){approve(nil), end(nil)}, io.EOF, io.EOF},
		{"not approved yet", []func(*spool){end(nil)}, context.DeadlineExceeded, io.EOF},
		{"not ended yet", []func(*spool){approve(nil)}, context.DeadlineExceeded, context.DeadlineExceeded},
		{"broken", []func(*spool){end(broken)}, broken, broken},
		{"broken, so unsound", []func(*spool){end(broken), approve(unsound)}, broken, broken},
		{"unsound", []func(*spool){end(nil), approve(unsound)}, unsound, io.EOF},
		{"unsound, so broken off", []func(*spool){approve(unsound), end(broken)}, unsound, unsound},
		{"approved, then broken", []func(*spool){approve(nil), end(broken)}, broken, broken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sp := spoolFor(t)
				if _, err := sp.Write([]byte("text")); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var wg sync.WaitGroup
				for careful, want := range map[bool]error{true: tt.careful, false: tt.other} {
					wg.Go(func() {
						if _, err := io.ReadAll(sp.reader(ctx, careful)); !errors.Is(err, want) && !(want == io.EOF && err == nil) {
							t.Errorf("careful %v: got %v, want %v", careful, err, want)
						}
					})
				}
				for _, step := range tt.steps {
					synctest.Wait() // the readers are waiting
					step(sp)
				}
				wg.Wait()
				// A reader that comes later sees the same.
				if _, err := io.ReadAll(sp.reader(ctx, true)); !errors.Is(err, tt.careful) && !(tt.careful == io.EOF && err == nil) {
					t.Errorf("later: got %v, want %v", err, tt.careful)
				}
			})
		})
	}
}

func TestSpoolWholeWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sp := spoolFor(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := sp.whole(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		broken := errors.New("broken")
		time.AfterFunc(time.Second, func() { sp.end(broken) })
		if _, err := sp.whole(t.Context()); err != broken {
			t.Errorf("got %v", err)
		}
	})
}

// TestSpoolLeavesNothing looks for the file: it has no name while it is used,
// where the system allows that, and is gone afterwards.
func TestSpoolLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	sp, err := newSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sp.Write([]byte("text")); err != nil {
		t.Fatal(err)
	}
	files := func() []string {
		names, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if names := files(); runtime.GOOS != "windows" && len(names) > 0 {
		t.Errorf("a killed process would leave %q", names)
	}
	sp.end(nil)
	if b, err := io.ReadAll(sp.reader(t.Context(), false)); string(b) != "text" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
	sp.close()
	sp.close()
	if names := files(); len(names) > 0 {
		t.Errorf("left %q", names)
	}
	if _, err := sp.reader(t.Context(), false).Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a late reader got %v", err)
	}
}

func TestSpoolNeedsItsFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(t.TempDir(), "missing"), file} {
		if sp, err := newSpool(dir); err == nil {
			sp.close()
			t.Errorf("no error for %s", dir)
		}
	}
}

// TestSpoolThatCannotBeWritten ends the migration with the disk's own error.
func TestSpoolThatCannotBeWritten(t *testing.T) {
	src, dst := portertest.NewServer(), portertest.NewServer()
	defer src.Close()
	defer dst.Close()
	id := src.AddProject(portertest.Project{Path: "team/app", Archive: portertest.NewArchive(1 << 20)})
	src.AddExport("team/app", "owner")
	var clients []*Client
	for _, s := range []*portertest.Server{src, dst} {
		c, err := NewClient(s.URL, PrivateToken(portertest.Token), WithTransport(s.Transport()))
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	sp := spoolFor(t)
	sp.f.Close() // stands in for a full disk
	m := &migration{from: clients[0], to: clients[1], label: "team/app", opts: MigrateOptions{Import: ImportOptions{Path: "app"}}}
	imp, err := m.spooled(t.Context(), ProjectID(id).String(), sp)
	if imp != nil || !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), "spool: write ") {
		t.Errorf("got %+v, %v", imp, err)
	}
	if len(dst.Projects()) > 0 {
		t.Error("a project was made")
	}
}

// TestSpoolWithoutRoom ends the migration before an archive is downloaded that
// the folder has no room for.
func TestSpoolWithoutRoom(t *testing.T) {
	sent := 0
	src := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(1<<60))
		sent, _ = w.Write(append([]byte("\x1f\x8b"), make([]byte, 1000)...))
	}))
	defer src.Close()
	c, err := NewClient(src.URL, PrivateToken("token"), WithRetry(0, nil))
	if err != nil {
		t.Fatal(err)
	}
	sp := spoolFor(t)
	if _, _, known := freeSpace(sp.dir); !known {
		t.Skip("free space is not known here")
	}
	m := &migration{from: c, to: c, label: "team/app", opts: MigrateOptions{Import: ImportOptions{Path: "app"}}}
	_, err = m.spooled(t.Context(), "7", sp)
	if !errors.Is(err, errDiskFull) || !strings.Contains(err.Error(), "spool: ") || !strings.Contains(err.Error(), sp.dir+" has ") ||
		!strings.HasSuffix(err.Error(), " bytes free, and 1152921504606846976 are needed") {
		t.Errorf("got %v after %d bytes", err, sent)
	}
}

// TestSpoolElsewhere removes the file wherever the process has gone, and keeps
// it from others.
func TestSpoolElsewhere(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	sp, err := newSpool(".")
	if err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(sp.dir) || filepath.Dir(sp.f.Name()) != sp.dir {
		t.Errorf("%s in %s", sp.f.Name(), sp.dir)
	}
	if fi, err := sp.f.Stat(); err != nil || runtime.GOOS != "windows" && fi.Mode() != newFileMode {
		t.Errorf("mode %v: %v", fi.Mode(), err)
	}
	t.Chdir(t.TempDir())
	sp.close()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v: %v", left, err)
	}
}

func TestCheckSpace(t *testing.T) {
	dir := t.TempDir()
	free, _, known := freeSpace(dir)
	if !known || free <= 0 {
		t.Skipf("%d bytes free, known: %v", free, known)
	}
	for _, need := range []int64{-1, 0, 1} {
		if err := checkSpace(dir, need); err != nil {
			t.Errorf("%d bytes: %v", need, err)
		}
	}
	if err := checkSpace(dir, math.MaxInt64); !errors.Is(err, errDiskFull) || !strings.Contains(err.Error(), dir+" has ") {
		t.Errorf("got %v", err)
	}
	if err := checkSpace(filepath.Join(dir, "missing"), math.MaxInt64); err != nil { // whatever is wrong, it is told elsewhere
		t.Errorf("got %v", err)
	}
}

// TestSpoolInMemory says so when the spool takes up memory.
func TestSpoolInMemory(t *testing.T) {
	memory := "/dev/shm" // of Linux
	if !inMemory(memory) {
		t.Skip("no file system in memory here")
	}
	disk := t.TempDir()
	if inMemory(disk) {
		t.Skip("no other one")
	}
	for dir, want := range map[string]bool{memory: true, disk: false} {
		src, dst := portertest.NewServer(), portertest.NewServer()
		src.AddProject(portertest.Project{Path: "team/app"})
		var log bytes.Buffer
		connect := func(s *portertest.Server) *Client {
			c, err := NewClient(s.URL, PrivateToken(portertest.Token), WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
				WithPolling(Polling{Backoff: ConstantBackoff(time.Millisecond)}))
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		if _, err := Migrate(t.Context(), connect(src), ProjectPath("team/app"), connect(dst), MigrateOptions{SpoolDir: dir}); err != nil {
			t.Error(err)
		}
		said := strings.Contains(log.String(), "level=WARN msg=\"the spool file takes up memory") && strings.Contains(log.String(), "folder="+dir)
		if said != want {
			t.Errorf("%s: the log holds %s", dir, log.String())
		}
		src.Close()
		dst.Close()
	}
}
