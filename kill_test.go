package porter_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync/atomic"
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
	c, err := porter.NewClient(url, porter.PrivateToken(portertest.Token),
		porter.WithoutPacing(), porter.WithRetry(5, porter.ConstantBackoff(0)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file); err != nil {
		t.Fatal(err)
	}
}

// A killChild is a running process that downloads.
type killChild struct {
	cmd    *exec.Cmd
	output bytes.Buffer
}

func killStart(t *testing.T, url, file string, env ...string) *killChild {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	p := &killChild{cmd: exec.Command(exe, "-test.run=^TestKillChild$", "-test.timeout=1m")}
	p.cmd.Env = append(os.Environ(), append([]string{"PORTER_TEST_CHILD_URL=" + url, "PORTER_TEST_CHILD_FILE=" + file, "GOCOVERDIR=" + t.TempDir()}, env...)...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// kill ends the process as the kernel does when memory is short.
func (p *killChild) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

func (p *killChild) wait(t *testing.T) {
	t.Helper()
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, p.output.Bytes())
	}
}

// killAt kills the process once its part file has so many bytes.
func (p *killChild) killAt(t *testing.T, part string, size int64) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if fi, err := os.Stat(part); err == nil && fi.Size() >= size {
			break
		}
		if time.Now().After(deadline) {
			p.kill()
			t.Fatalf("%s did not reach %d bytes\n%s", part, size, p.output.Bytes())
		}
	}
	p.kill()
}

// A process that is killed loses next to nothing: the next one asks only for
// what is not on the disk yet.
func TestKilledDownloadContinues(t *testing.T) {
	archive := portertest.NewArchive(4 << 20)
	for name, mode := range dlModes {
		t.Run(name, func(t *testing.T) {
			s := portertest.NewServer(portertest.NoLimits(), portertest.Downloads(mode))
			defer s.Close()
			s.AddProject(portertest.Project{ID: 7, Path: "acme/widget", Archive: archive})
			s.AddExport("7", "owner")
			// Each connection but the last comes to a standstill.
			s.Inject(portertest.Fault{Origin: dlDeliverer(mode), Method: "GET", Times: 2, Do: portertest.StallResponse(1_500_000, 0)})

			file := saveTarget(t)
			want := []string{""}
			for range 2 {
				p := killStart(t, s.URL, file)
				before := int64(0)
				if fi, err := os.Stat(file + ".part"); err == nil {
					before = fi.Size()
				}
				p.killAt(t, file+".part", before+1<<20)
				if diff := cmp.Diff([]string{"app.tar.gz.part", "app.tar.gz.part.json"}, saveListing(t, file)); diff != "" {
					t.Errorf("left:\n%s", diff)
				}
				fi, err := os.Stat(file + ".part")
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, fmt.Sprintf("bytes=%d-", fi.Size()))
			}
			killStart(t, s.URL, file).wait(t)
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
			if last := asked[len(asked)-1]; last.Sent != archive.Size()-2<<20 { // files are written in pieces of 512 KiB
				t.Errorf("the last process was sent %d bytes", last.Sent)
			}
			if leaks := s.Leaks(); len(leaks) > 0 {
				t.Errorf("credentials reached the storage: %+v", leaks)
			}
		})
	}
}

// killServer serves an archive slowly, and counts what it sends.
func killServer(t *testing.T, a *portertest.Archive, sent *atomic.Int64) *httptest.Server {
	modified := time.Now()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(&killSlowWriter{w, sent}, r, "", modified, a.NewReader())
	}))
	t.Cleanup(s.Close)
	return s
}

type killSlowWriter struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (w *killSlowWriter) Write(b []byte) (int, error) {
	time.Sleep(time.Millisecond)
	n, err := w.ResponseWriter.Write(b)
	w.sent.Add(int64(n))
	return n, err
}

// Killed at any moment, a download ends with the right bytes.
func TestKilledAtAnyMoment(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	archive := portertest.NewArchive(6 << 20)
	var sent atomic.Int64
	s := killServer(t, archive, &sent)
	file := saveTarget(t)
	for range 6 {
		p := killStart(t, s.URL, file)
		time.Sleep(time.Duration(20+rnd.IntN(120)) * time.Millisecond)
		p.kill()
		if _, err := os.Stat(file); err == nil && p.cmd.ProcessState.Success() {
			break // it was quicker
		} else if err == nil {
			saveIsWhole(t, file, archive) // killed between its last steps
		}
	}
	killStart(t, s.URL, file).wait(t)
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
	archive := portertest.NewArchive(4 << 20)
	var sent atomic.Int64
	s := killServer(t, archive, &sent)
	file := saveTarget(t)
	one := killStart(t, s.URL, file)
	two := killStart(t, s.URL, file)
	one.wait(t)
	saveIsWhole(t, file, archive)
	two.wait(t)
	saveCheck(t, file, archive)
	if n := sent.Load(); n != 2*archive.Size() {
		t.Errorf("the two were sent %d bytes", n)
	}
}
