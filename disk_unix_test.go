//go:build linux || darwin

package porter_test

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// killChildSetup limits the size of files, if the parent says so.
func killChildSetup(t *testing.T) {
	limit, err := strconv.ParseUint(os.Getenv("PORTER_TEST_CHILD_FSIZE"), 10, 64)
	if err != nil {
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
		t.Fatal(err)
	}
}

// A download that the disk can't hold fails with the system's own error, and
// goes on from what there is once there is room.
func TestDownloadFileToFullDisk(t *testing.T) {
	archive := portertest.NewArchive(3 << 20)
	s := portertest.NewServer(portertest.NoLimits())
	defer s.Close()
	s.AddProject(portertest.Project{ID: 7, Path: "acme/widget", Archive: archive})
	s.AddExport("7", "owner")
	file := saveTarget(t)
	if err := os.WriteFile(file, []byte("older"), 0o666); err != nil {
		t.Fatal(err)
	}
	p := killStart(t, s.URL, file, "PORTER_TEST_CHILD_FSIZE=1300000")
	if err := p.wait(); err == nil {
		t.Fatal("no error")
	}
	if out := p.output.String(); !strings.Contains(out, "download export of 7: write "+file+".part: ") ||
		!strings.Contains(out, syscall.EFBIG.Error()) {
		t.Errorf("error: %s", out)
	}
	if diff := cmp.Diff([]string{"app.tar.gz", "app.tar.gz.part", "app.tar.gz.part.json"}, saveListing(t, file)); diff != "" {
		t.Errorf("left:\n%s", diff)
	}
	if b, _ := os.ReadFile(file); string(b) != "older" {
		t.Errorf("the file holds %q", b)
	}
	part, err := os.ReadFile(file + ".part")
	if err != nil || len(part) != 1_300_000 || !bytes.Equal(part, archiveBytes(t, archive)[:len(part)]) {
		t.Errorf("the part has %d bytes: %v", len(part), err)
	}
	if _, err := dlConnect(t, s).DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err != nil {
		t.Fatal(err)
	}
	saveCheck(t, file, archive)
	// What a write wrote that failed is not known.
	if asked := dlRanges(dlAsked(s, portertest.GitLab)); asked[len(asked)-1] != "bytes=1048576-" {
		t.Errorf("asked for %q", asked)
	}
}

// The new file is for the group that the one it replaces was for, or for none.
func TestDownloadFileGroup(t *testing.T) {
	archive := portertest.NewArchive(30_000)
	file := saveTarget(t)
	saveWrite(t, file, "older")
	const other = 12345
	if err := os.Chown(file, -1, other); err != nil {
		t.Skip(err) // this user may not
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := dlConnect(t, dlServer(t, archive)).DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if gid := fi.Sys().(*syscall.Stat_t).Gid; gid != other || fi.Mode() != 0o640 {
		t.Errorf("group %d, mode %v", gid, fi.Mode())
	}
}

// TestFewFilesChild is no test but the process that TestManyProjectsFewFiles
// starts. It exports or migrates 300 projects, each in a goroutine of its own.
func TestFewFilesChild(t *testing.T) {
	url, to := os.Getenv("PORTER_TEST_FEW_FILES_URL"), os.Getenv("PORTER_TEST_FEW_FILES_TO")
	if url == "" {
		t.Skip("is run by another test, as a process of its own")
	}
	const few = 256 // as macOS has it
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: few, Max: few}); err != nil {
		t.Fatal(err)
	}
	client := func(url string) *porter.Client {
		return newClient(t, url, porter.PrivateToken(portertest.Token), porter.WithoutPacing(), porter.WithRetry(0, nil),
			porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(time.Second)}))
	}
	c, dir := client(url), t.TempDir()
	do := func(i int) error {
		_, err := c.ExportToFile(t.Context(), porter.ProjectID(i+1), filepath.Join(dir, strconv.Itoa(i)), nil)
		return err
	}
	if to != "" {
		c2 := client(to)
		do = func(i int) error {
			_, err := porter.Migrate(t.Context(), c, porter.ProjectID(i+1), c2, porter.MigrateOptions{Import: intoNew, SpoolDir: dir})
			return err
		}
	}
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			if err := do(i); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// A goroutine for each of many projects needs no more files than a process may
// have open.
func TestManyProjectsFewFiles(t *testing.T) {
	t.Parallel()
	for _, to := range []bool{false, true} {
		s, d := portertest.NewServer(portertest.NoLimits()), portertest.NewServer(portertest.NoLimits())
		defer s.Close()
		defer d.Close()
		d.AddGroup("new")
		for i := range 300 {
			s.AddProject(portertest.Project{ID: int64(i + 1), Path: fmt.Sprint("team/app", i), Archive: smallArchive})
		}
		for _, s := range []*portertest.Server{s, d} { // the later an answer comes, the more connections are open
			s.Inject(portertest.Fault{Method: "GET", Times: 300, Do: portertest.Delay(100 * time.Millisecond)})
		}
		env := []string{"PORTER_TEST_FEW_FILES_URL=" + s.URL}
		if to {
			env = append(env, "PORTER_TEST_FEW_FILES_TO="+d.URL)
		}
		killStartTest(t, "TestFewFilesChild", env...).mustEndWell(t)
	}
}
