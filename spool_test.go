package porter

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-5d77b939/porter/internal/diskio"
	"github.com/seed-5d77b939/porter/internal/wait"
	"github.com/seed-5d77b939/porter/portertest"
)

func spoolInto(c *Client) *wholeImport {
	return &wholeImport{c: c, opts: ImportOptions{Path: "app"}, trail: new(trail)}
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
	closed := func(dir string) (*diskio.Spool, error) { // stands in for a full disk
		sp, err := diskio.NewSpool(dir)
		if err == nil {
			sp.Close()
		}
		return sp, err
	}
	m := &migration{spoolDir: t.TempDir(), from: clients[0], to: clients[1], label: "team/app", dest: spoolInto(clients[1])}
	imp, err := m.spooled(t.Context(), archive{c: clients[0], id: ProjectID(id).String(), label: "team/app"}, closed)
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
		w.Header().Set("Content-Length", strconv.FormatInt(1<<60, 10))
		sent, _ = w.Write(append([]byte("\x1f\x8b"), make([]byte, 1000)...))
	}))
	defer src.Close()
	c, err := NewClient(src.URL, PrivateToken("token"), WithRetry(0, nil))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, known := diskio.FreeSpace(dir); !known {
		t.Skip("free space is not known here")
	}
	m := &migration{spoolDir: dir, from: c, to: c, label: "team/app", dest: spoolInto(c)}
	m.passage.folder = (&MigrateOptions{SpoolDir: dir}).folder()
	_, err = m.spooled(t.Context(), archive{c: c, id: "7", label: "team/app"}, diskio.NewSpool)
	if !errors.Is(err, diskio.ErrFull) || !strings.Contains(err.Error(), "spool: ") || !strings.Contains(err.Error(), dir+" has ") ||
		!strings.HasSuffix(err.Error(), " bytes free, and 1152921504606846976 are needed; SpoolDir names the folder") {
		t.Errorf("got %v after %d bytes", err, sent)
	}
}

// Wherever a migration finds that it cannot write its temporary files, the error
// tells what names their folder.
func TestSpoolAdvice(t *testing.T) {
	variable := "TMPDIR"
	if runtime.GOOS == "windows" {
		variable = "TMP"
	}
	dir := t.TempDir()
	for _, opts := range []struct {
		name, want string
		MigrateOptions
	}{
		{"default", "; the environment's " + variable + " names the folder, or SpoolDir another one", MigrateOptions{}},
		{"SpoolDir", "; SpoolDir names the folder", MigrateOptions{SpoolDir: dir}},
		{"NoSpool", "; the environment's " + variable + " names the folder", MigrateOptions{NoSpool: true}},
	} {
		f := opts.folder()
		full := &fs.PathError{Op: "write", Path: dir, Err: diskio.ErrFull}
		for where, err := range map[string]error{
			"advice": f.advise(full),
			"spool": func() error {
				sp, err := diskio.NewSpool(dir)
				if err != nil {
					t.Fatal(err)
				}
				sp.Close()
				_, err = diskio.Copy("spool", spoolWriter{sp, f}, strings.NewReader("x"))
				return err
			}(),
			"edits": func() error {
				f.dir = filepath.Join(dir, "missing")
				_, err := f.scratch().Write(make([]byte, 1<<20))
				return err
			}(),
		} {
			if err == nil || !strings.HasSuffix(err.Error(), opts.want) {
				t.Errorf("%s, %s: %v, want %s", opts.name, where, err, opts.want)
			}
		}
		if err := f.advise(full); !errors.Is(err, diskio.ErrFull) || !errors.As(err, new(*fs.PathError)) {
			t.Errorf("%v does not match what it was", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f.advise(wait.Ended(ctx)); err.Error() != "context canceled" {
			t.Errorf("a context that ended is %v", err)
		}
		if err := f.advise(nil); err != nil {
			t.Error(err)
		}
	}
}

// What an edited archive needs a file for is told, too, outside of a migration.
func TestScratchAdvice(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		t.Setenv(name, missing)
	}
	if os.TempDir() != missing {
		t.Skip("the environment does not name the folder here")
	}
	archive := portertest.NewArchive(1<<20, portertest.ArchiveItems("issues", 5000))
	src := EditArchive(ReaderSource(archive.NewReader(), archive.Size()), KeepItems(RelationIssues, func(Item) bool { return true }))
	r, err := src.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), " names the folder") {
		t.Errorf("got %v", err)
	}
}

// TestSpoolInMemory says so when the spool takes up memory.
func TestSpoolInMemory(t *testing.T) {
	memory := "/dev/shm" // of Linux
	if !diskio.InMemory(memory) {
		t.Skip("no file system in memory here")
	}
	disk := t.TempDir()
	if diskio.InMemory(disk) {
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
