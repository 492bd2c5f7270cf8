package porter_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/internal/diskio"
	"github.com/seed-5d77b939/porter/portertest"
)

// saveTarget returns the name of a file that is not there, in a folder of its own.
func saveTarget(t *testing.T) string { return filepath.Join(t.TempDir(), "app.tar.gz") }

// saveListing returns the names in the folder of a file.
func saveListing(t *testing.T, name string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(name))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// saveCheck fails unless the file is the archive and stands alone in its folder.
func saveCheck(t *testing.T, name string, a *portertest.Archive) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if sum(b) != a.SHA256() {
		t.Errorf("the file has %d other bytes", len(b))
	}
	if left := saveListing(t, name); len(left) != 1 {
		t.Errorf("left %v", left)
	}
}

// saveBroken downloads to a file until the connection breaks after n bytes.
func saveBroken(t *testing.T, s *portertest.Server, mode portertest.DownloadMode, name string, n int64) {
	t.Helper()
	saveBrokenWith(t, s, mode, name, n, nil)
}

func saveBrokenWith(t *testing.T, s *portertest.Server, mode portertest.DownloadMode, name string, n int64, opts *porter.DownloadOptions) {
	t.Helper()
	cut := s.Inject(portertest.Fault{Origin: dlDeliverer(mode), Method: "GET", Do: portertest.CutResponse(n)})
	_, err := dlConnect(t, s, porter.WithRetry(0, nil)).DownloadExportFile(t.Context(), porter.ProjectID(7), name, opts)
	if !errors.Is(err, io.ErrUnexpectedEOF) || cut.Hits() != 1 {
		t.Fatalf("a download broken off after %d bytes: %v", n, err)
	}
}

func TestDownloadFile(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(2 << 20)
	for name, mode := range dlModes {
		t.Run(name, func(t *testing.T) {
			s := dlServer(t, archive, portertest.Downloads(mode))
			file := saveTarget(t)
			n, err := bytesOf(dlConnect(t, s).DownloadExportFile(t.Context(), porter.ProjectPath("acme/widget"), file, nil))
			if err != nil || n != archive.Size() {
				t.Fatalf("%d bytes, %v", n, err)
			}
			saveCheck(t, file, archive)
		})
	}
}

func TestDownloadFileContinues(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(1 << 20)
	size := archive.Size()
	for name, mode := range dlModes {
		for _, at := range []int64{0, 1, 511, 512, 513, size / 2, size/2 + 4321, size - 1} {
			t.Run(fmt.Sprintf("%s from %d", name, at), func(t *testing.T) {
				s := dlServer(t, archive, portertest.Downloads(mode))
				file := saveTarget(t)
				saveBroken(t, s, mode, file, at)
				want, from := []string{"app.tar.gz.part", "app.tar.gz.part.json"}, fmt.Sprintf("bytes=%d-", at)
				if at < 512 { // nobody has seen yet that it is an archive
					want, from = nil, ""
				}
				if diff := cmp.Diff(want, saveListing(t, file)); diff != "" {
					t.Errorf("left:\n%s", diff)
				}
				n, err := bytesOf(dlConnect(t, s).DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil))
				if err != nil || n != size {
					t.Fatalf("%d bytes, %v", n, err)
				}
				saveCheck(t, file, archive)
				if diff := cmp.Diff([]string{"", from}, dlRanges(dlAsked(s, dlDeliverer(mode)))); diff != "" {
					t.Errorf("ranges asked for:\n%s", diff)
				}
				for _, r := range dlAsked(s, dlDeliverer(mode))[1:] {
					if (r.Header.Get("If-Range") != "") != (from != "") {
						t.Errorf("If-Range %q", r.Header.Get("If-Range"))
					}
				}
				if leaks := s.Leaks(); len(leaks) > 0 {
					t.Errorf("credentials reached the storage: %+v", leaks)
				}
			})
		}
	}
}

// A part that is whole was not renamed: its last byte is asked for again, so
// that the server says whether it is still the same archive.
func TestDownloadFileOnlyToBeRenamed(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(1 << 20)
	for name, mode := range dlModes {
		t.Run(name, func(t *testing.T) {
			s := dlServer(t, archive, portertest.Downloads(mode))
			file := saveTarget(t)
			saveBroken(t, s, mode, file, archive.Size()-1)
			if err := os.WriteFile(file+".part", archiveBytes(t, archive), 0o666); err != nil {
				t.Fatal(err)
			}
			if _, err := dlConnect(t, s).DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err != nil {
				t.Fatal(err)
			}
			saveCheck(t, file, archive)
			asked := dlAsked(s, dlDeliverer(mode))
			if last := asked[len(asked)-1]; last.Sent != 1 || last.Status != http.StatusPartialContent {
				t.Errorf("was sent %d bytes with %d", last.Sent, last.Status)
			}
		})
	}
}

func TestDownloadFileArchiveReplaced(t *testing.T) {
	t.Parallel()
	for name, mode := range dlModes {
		for _, size := range []int64{1 << 20, 600 << 10, 400 << 10, 2 << 20} {
			t.Run(fmt.Sprintf("%s by one of %d", name, size), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := dlServer(t, portertest.NewArchive(1<<20), portertest.Downloads(mode))
					file := saveTarget(t)
					saveBroken(t, s, mode, file, 500<<10)
					time.Sleep(2 * time.Second) // dates have whole seconds
					archive := portertest.NewArchive(size, portertest.ArchiveSeed(2))
					s.ScriptExport("7", portertest.ExportScript{Archive: archive})
					c := dlConnect(t, s)
					if err := c.ScheduleExport(t.Context(), porter.ProjectID(7), nil); err != nil {
						t.Fatal(err)
					}
					time.Sleep(2 * time.Second)
					n, err := bytesOf(c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil))
					if err != nil || n != size {
						t.Fatalf("%d bytes, %v", n, err)
					}
					saveCheck(t, file, archive)
					s.Close()
				})
			})
		}
	}
}

// saveState returns what the state of a part file says, as JSON.
func saveState(t *testing.T, file string) string {
	t.Helper()
	var sealed struct{ State json.RawMessage }
	if b, err := os.ReadFile(file + ".part.json"); err != nil || json.Unmarshal(b, &sealed) != nil {
		t.Fatalf("state %s: %v", b, err)
	}
	return string(sealed.State)
}

// saveSynced returns how much of a part file the next call will believe.
func saveSynced(t *testing.T, file string) int64 {
	t.Helper()
	var state struct{ Synced int64 }
	if err := json.Unmarshal([]byte(saveState(t, file)), &state); err != nil {
		t.Fatal(err)
	}
	return state.Synced
}

// saveEdit replaces something in the state of a part file.
func saveEdit(t *testing.T, file, old, new string) {
	t.Helper()
	state := saveState(t, file)
	if !strings.Contains(state, old) {
		t.Fatalf("no %s in the state %s", old, state)
	}
	state = strings.Replace(state, old, new, 1)
	saveWrite(t, file+".part.json", fmt.Sprintf(`{"crc32":%d,"state":%s}`, crc32.ChecksumIEEE([]byte(state)), state))
}

func saveWrite(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// saveRandom returns bytes that can't be compressed.
func saveRandom(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
}

// Whatever is wrong with a part file, or with its state, the download begins anew.
func TestDownloadFileUnusablePart(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(1 << 20)
	edit := func(old, new string) func(t *testing.T, file string) {
		return func(t *testing.T, file string) { saveEdit(t, file, old, new) }
	}
	tests := []struct {
		name  string
		spoil func(t *testing.T, file string)
	}{
		{"other project", edit("projects/7/", "projects/8/")},
		{"other instance", edit("gitlab.test", "gitlab.example.com")},
		{"other size", edit(`"size":1048576`, `"size":1048577`)},
		{"size below the part", edit(`"size":1048576`, `"size":1000`)},
		{"size of zero", edit(`"size":1048576`, `"size":0`)},
		{"size negative", edit(`"size":1048576`, `"size":-1`)},
		{"size a text", edit(`"size":1048576`, `"size":"1048576"`)},
		{"other ETag", edit(`"etag":"\"`, `"etag":"\"0`)},
		{"weak ETag, no date", edit(`"etag":"\"`, `"last_modified":"","etag":"W/\"`)},
		{"ETag that is several headers, no date", edit(`"etag":"\"`, `"etag":"\"a\r\nX-Evil: yes`)},
		{"nothing synced", edit(`"synced":512000`, `"synced":0`)},
		{"more synced than there is", edit(`"synced":512000`, `"synced":512001`)},
		{"whole, but longer than the archive", edit(`"synced":512000`, `"synced":1048577,"whole":false`)},
		{"cut", func(t *testing.T, file string) { os.Truncate(file+".part", 511_999) }},
		{"no bytes", func(t *testing.T, file string) { os.Remove(file + ".part") }},
		{"empty part", func(t *testing.T, file string) { saveWrite(t, file+".part", "") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := dlServer(t, archive, portertest.Downloads(portertest.Redirected))
			file := saveTarget(t)
			saveBroken(t, s, portertest.Redirected, file, 500<<10)
			if strings.Contains(tt.name, "no date") { // as from GitLab's own disk
				saveEdit(t, file, `"last_modified":"`, `"ignored":"`)
			}
			tt.spoil(t, file)
			if _, err := dlConnect(t, s, porter.WithRetry(0, nil)).DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err != nil {
				t.Fatal(err)
			}
			saveCheck(t, file, archive)
			asked := dlAsked(s, portertest.Storage)
			if last := asked[len(asked)-1]; last.Status != http.StatusOK || last.Header.Get("X-Evil") != "" {
				t.Errorf("the last request was %v: %d", last.Header, last.Status)
			}
		})
	}
}

// Files of other programs with the names that a part file would have are left
// alone, and the download is whole all the same.
func TestDownloadFileLeavesOthersFiles(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(1 << 20)
	bytes := string(archiveBytes(t, archive)[:1000])
	tests := []struct {
		name  string
		files map[string]string // by suffix
	}{
		{"bytes", map[string]string{".part": "theirs"}},
		{"bytes of this archive", map[string]string{".part": bytes}},
		{"empty file", map[string]string{".part": ""}},
		{"state", map[string]string{".part.json": `{"theirs": true}`}},
		{"null state", map[string]string{".part.json": "null"}},
		{"half a state", map[string]string{".part": bytes, ".part.json": `{"crc32":1,"state":{"orig`}},
		{"state with a wrong sum", map[string]string{".part": bytes, ".part.json": `{"crc32":1,"state":{"synced":1000}}`}},
		{"first format", map[string]string{".part": bytes, ".part.json": `{"project":"x","etag":"\"v\"","size":1048576}`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := dlServer(t, archive)
			file := saveTarget(t)
			var want []string
			for suffix, content := range tt.files {
				saveWrite(t, file+suffix, content)
				want = append(want, filepath.Base(file+suffix))
			}
			unchanged := func(when string) {
				t.Helper()
				slices.Sort(want)
				if diff := cmp.Diff(want, saveListing(t, file)); diff != "" {
					t.Errorf("%s: the folder holds:\n%s", when, diff)
				}
				for suffix, content := range tt.files {
					if b, err := os.ReadFile(file + suffix); err != nil || string(b) != content {
						t.Errorf("%s: %s holds %d other bytes: %v", when, suffix, len(b), err)
					}
				}
			}
			c := dlConnect(t, s, porter.WithRetry(0, nil))
			if _, err := c.ExportToFile(t.Context(), porter.ProjectPath("no/such"), file, nil); !errors.Is(err, porter.ErrNotFound) {
				t.Errorf("error: %v", err)
			}
			unchanged("no such project")
			s.Inject(portertest.Fault{Path: "/export/download", Do: portertest.CutResponse(700_000)})
			if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err == nil {
				t.Error("not broken off")
			}
			unchanged("broken off")
			if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err != nil {
				t.Fatal(err)
			}
			want = append(want, "app.tar.gz")
			unchanged("whole")
			if b, err := os.ReadFile(file); err != nil || sum(b) != archive.SHA256() {
				t.Errorf("the file has %d other bytes: %v", len(b), err)
			}
		})
	}
}

// What a part file holds is believed only as far as it was synced, and what
// came of it is verified before it gets its name.
func TestDownloadFileAfterPowerCut(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(1 << 20)
	from := fmt.Sprintf("bytes=%d-", saveReached)
	tests := []struct {
		name  string
		spoil func(t *testing.T, file string)
		asked []string
	}{
		{"nothing is lost", func(*testing.T, string) {}, []string{from}},
		{"the end is lost, as was noted", func(t *testing.T, file string) {
			saveZero(saveReached-5000, 5000)(t, file)
			saveEdit(t, file, `"synced":512000`, `"synced":507000`)
		}, []string{"bytes=507000-"}},
		{"the end is lost, and was not noted", saveZero(saveReached-5000, 5000), []string{from, ""}},
		{"a byte in the middle is another", func(t *testing.T, file string) {
			b := archiveBytes(t, archive)[:saveReached]
			b[10_000] ^= 1
			saveWrite(t, file+".part", string(b))
		}, []string{from, ""}},
		{"a state that lies", func(t *testing.T, file string) {
			saveZero(600, saveReached-600)(t, file)
			os.Truncate(file+".part", 1_000_000)
			saveEdit(t, file, `"synced":512000`, `"synced":1000000`)
		}, []string{"bytes=1000000-", ""}},
		{"more than there ever was", func(t *testing.T, file string) {
			saveWrite(t, file+".part", string(archiveBytes(t, archive)[:saveReached])+strings.Repeat("more", 1<<20))
		}, []string{from}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := dlServer(t, archive)
			file := saveTarget(t)
			saveBroken(t, s, portertest.FromDisk, file, saveReached)
			tt.spoil(t, file)
			n, err := bytesOf(dlConnect(t, s).DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil))
			if err != nil || n != archive.Size() {
				t.Fatalf("%d bytes, %v", n, err)
			}
			saveCheck(t, file, archive)
			if diff := cmp.Diff(append([]string{""}, tt.asked...), dlRanges(dlAsked(s, portertest.GitLab))); diff != "" {
				t.Errorf("ranges asked for:\n%s", diff)
			}
		})
	}
}

// saveReached is how much of an archive there is when the power is cut.
const saveReached = 500 << 10

// saveZero overwrites n bytes of the part.
func saveZero(at, n int) func(t *testing.T, file string) {
	return func(t *testing.T, file string) {
		b, err := os.ReadFile(file + ".part")
		if err != nil {
			t.Fatal(err)
		}
		clear(b[at : at+n])
		saveWrite(t, file+".part", string(b))
	}
}

func TestDownloadFileLostAndBrokenOffAgain(t *testing.T) {
	archive := portertest.NewArchive(1 << 20)
	s := dlServer(t, archive)
	file := saveTarget(t)
	saveBroken(t, s, portertest.FromDisk, file, saveReached)
	saveZero(saveReached-5000, 5000)(t, file)
	// The rest comes, but the whole does not.
	s.Inject(portertest.Fault{Path: "/export/download", Skip: 1, Do: portertest.Respond(500, nil, "")})
	c := dlConnect(t, s, porter.WithRetry(0, nil))
	if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err == nil {
		t.Error("no error")
	}
	if left := saveListing(t, file); len(left) > 0 {
		t.Errorf("left %q", left)
	}
	if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err != nil {
		t.Fatal(err)
	}
	saveCheck(t, file, archive)
	if diff := cmp.Diff([]string{"", fmt.Sprintf("bytes=%d-", saveReached), "", ""}, dlRanges(dlAsked(s, portertest.GitLab))); diff != "" {
		t.Errorf("ranges asked for:\n%s", diff)
	}
}

// What is no project export either way is taken the second time, as it would
// have been the first time.
func TestDownloadFileIsNoProjectExport(t *testing.T) {
	const etag = `ETag: "v1"`
	b := gzipped(t, saveRandom(10_000))
	rest := dlAnswer(206, b[600:], -1, etag, fmt.Sprintf("Content-Range: bytes 600-%d/%d", len(b)-1, len(b)))
	c, script := dlScripted(t, []porter.Option{porter.WithRetry(0, nil)}, dlAnswer(200, b, 600, etag), rest, dlAnswer(200, b, -1, etag))
	file := saveTarget(t)
	if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err == nil {
		t.Fatal("not broken off")
	}
	if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); !errors.Is(err, porter.ErrNotArchive) {
		t.Fatal(err)
	}
	if left := saveListing(t, file); len(left) > 0 || len(script.asked) != 3 {
		t.Errorf("left %v after %d requests", left, len(script.asked))
	}
}

// What GitLab cannot import is not damaged: the continued file is what the
// server holds, and is not downloaded again. Neither is what nobody verifies.
func TestDownloadFileContinuesUnimportable(t *testing.T) {
	for _, tt := range []struct {
		archive []byte
		opts    *porter.DownloadOptions
		want    error
	}{
		{archiveBytes(t, portertest.NewArchive(40<<10, portertest.ArchiveFormatVersion("0.2.3"))), nil, porter.ErrUnimportable},
		{gzipped(t, saveRandom(10_000)), unverified, nil},
	} {
		b := tt.archive
		name, etag := filepath.Join(t.TempDir(), "app.tar.gz"), `ETag: "1"`
		rest := dlAnswer(206, b[600:], -1, etag, fmt.Sprintf("Content-Range: bytes 600-%d/%d", len(b)-1, len(b)))
		c, script := dlScripted(t, []porter.Option{porter.WithRetry(0, nil)}, dlAnswer(200, b, 600, etag), rest)
		if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), name, tt.opts); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
		if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), name, tt.opts); !errors.Is(err, tt.want) {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, b) || len(script.asked) != 2 {
			t.Errorf("%d bytes after %d requests, %v", len(got), len(script.asked), err)
		}
	}
}

func TestDownloadFileCanceledWhileVerified(t *testing.T) {
	archive := portertest.NewArchive(1 << 20)
	s := dlServer(t, archive)
	file := saveTarget(t)
	saveBroken(t, s, portertest.FromDisk, file, saveReached)
	saveZero(10_000, 2)(t, file)
	ctx, cancel := context.WithCancel(t.Context())
	c := dlConnect(t, s, porter.WithObserver(func(ev porter.Event) {
		if ev.Kind == porter.EventProgress && ev.Bytes == archive.Size() {
			cancel()
		}
	}))
	if _, err := c.DownloadExportFile(ctx, porter.ProjectID(7), file, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
	if n := saveSynced(t, file); n != archive.Size() {
		t.Errorf("%d bytes can be continued", n)
	}
}

// A relation's file is no project export: what was continued must be sound gzip.
func TestDownloadRelationFileAfterPowerCut(t *testing.T) {
	t.Parallel()
	const etag = `ETag: "v1"`
	b := gzipped(t, saveRandom(100_000))
	rest := dlAnswer(206, b[50_000:], -1, etag, fmt.Sprintf("Content-Range: bytes 50000-%d/%d", len(b)-1, len(b)))
	for _, torn := range []bool{false, true} {
		c, script := dlScripted(t, []porter.Option{porter.WithRetry(0, nil)}, dlAnswer(200, b, 50_000, etag), rest,
			dlAnswer(200, b, -1, etag))
		file := saveTarget(t)
		get := func() (int64, error) {
			issues := porter.RelationFile{Relation: porter.PortableIssues}
			return bytesOf(c.DownloadRelationExportFile(t.Context(), porter.ProjectID(7), issues, file, nil))
		}
		if _, err := get(); err == nil {
			t.Fatal("not broken off")
		}
		if torn {
			saveWrite(t, file+".part", string(b[:40_000])+strings.Repeat("\x00", 10_000))
		}
		if n, err := get(); err != nil || n != int64(len(b)) {
			t.Errorf("torn %v: %d bytes, %v", torn, n, err)
		}
		if got, _ := os.ReadFile(file); !bytes.Equal(got, b) {
			t.Errorf("torn %v: the file has %d other bytes", torn, len(got))
		}
		if want := map[bool]int{false: 2, true: 3}[torn]; len(script.asked) != want {
			t.Errorf("torn %v: asked %d times", torn, len(script.asked))
		}
	}
}

// A whole archive that can't be given its name is kept, told of, and renamed
// by the next call.
func TestDownloadFileKeepsWhole(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(1 << 20)
	s := dlServer(t, archive)
	file := saveTarget(t)
	inTheWay := func() { os.MkdirAll(filepath.Join(file, "in the way"), 0o777) }
	c := dlConnect(t, s, atProgress(inTheWay))
	whole := "; the whole archive is in " + file + ".part"
	if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err == nil || !strings.HasSuffix(err.Error(), whole) {
		t.Errorf("error: %v", err)
	}
	kept := func(when string) {
		t.Helper()
		if b, err := os.ReadFile(file + ".part"); err != nil || sum(b) != archive.SHA256() {
			t.Fatalf("%s: %d other bytes: %v", when, len(b), err)
		}
	}
	kept("not renamed")
	os.RemoveAll(file)
	c = dlConnect(t, s, porter.WithRetry(0, nil))
	for name, do := range map[string]portertest.Action{
		"gone":       portertest.Respond(404, nil, `{"message":"404 Not found or has expired"}`),
		"broken off": portertest.CutResponse(0),
	} {
		in := s.Inject(portertest.Fault{Path: "/export/download", Do: do})
		_, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil)
		in.Remove()
		if err == nil || !strings.Contains(err.Error(), "(a whole archive of an earlier call is in "+file+".part)") {
			t.Errorf("%s: error: %v", name, err)
		}
		kept(name)
		if left := saveListing(t, file); len(left) != 2 {
			t.Errorf("%s: left %q", name, left)
		}
	}
	other := string(archiveBytes(t, portertest.NewArchive(2<<20, portertest.ArchiveSeed(2))))
	s.Inject(portertest.Fault{Path: "/export/download", Do: portertest.Respond(200, nil, other)})
	if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err != nil {
		t.Fatal(err)
	}
	kept("another downloaded")
	if b, err := os.ReadFile(file); err != nil || string(b) != other {
		t.Errorf("the file has %d other bytes: %v", len(b), err)
	}
	if n, err := bytesOf(c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil)); err != nil || n != archive.Size() {
		t.Fatalf("%d bytes, %v", n, err)
	}
	saveCheck(t, file, archive)
	asked := dlAsked(s, portertest.GitLab)
	if last := asked[len(asked)-1]; last.Sent != 1 {
		t.Errorf("was sent %d bytes again", last.Sent)
	}
}

// The part file may be read by those who may read the file that it replaces.
func TestDownloadFileMode(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" || runtime.GOOS == "plan9" {
		t.Skip("modes are different here")
	}
	archive := portertest.NewArchive(1 << 20)
	s := dlServer(t, archive)
	for _, tt := range []struct{ existing, mode, part, want fs.FileMode }{
		{0, 0, 0o600, 0o600}, // there is none
		{0o600, 0, 0o600, 0o600},
		{0o644, 0, 0o644, 0o644},
		{0o666, 0, 0o666, 0o666}, // whatever the umask
		{0o640, 0, 0o640, 0o640},
		{0o400, 0, 0o600, 0o400},
		{0o444, 0, 0o644, 0o444},
		{0o755 | fs.ModeSetuid | fs.ModeSetgid, 0, 0o755, 0o755},
		{0, 0o664, 0o664, 0o664},
		{0o600, 0o666, 0o666, 0o666},
		{0o666, 0o600, 0o600, 0o600},
		{0o644, 0o440, 0o640, 0o440},
	} {
		opts := &porter.DownloadOptions{Mode: tt.mode}
		for _, link := range []bool{false, true} {
			file := saveTarget(t)
			existing := file
			if link {
				existing = filepath.Join(t.TempDir(), "other")
				if err := os.Symlink(existing, file); err != nil {
					t.Fatal(err)
				}
			}
			if tt.existing != 0 {
				saveWrite(t, existing, "older")
				if err := os.Chmod(existing, tt.existing); err != nil {
					t.Fatal(err)
				}
			}
			check := func(when, name string, want fs.FileMode) {
				t.Helper()
				if fi, err := os.Stat(name); err != nil || fi.Mode() != want {
					t.Errorf("%v, link %v: %s: mode %v: %v", tt.existing, link, when, fi.Mode(), err)
				}
			}
			saveBrokenWith(t, s, portertest.FromDisk, file, 700_000, opts)
			check("part", file+".part", tt.part)
			check("state", file+".part.json", 0o600)
			seen := false
			c := dlConnect(t, s, atProgress(func() {
				check("continued part", file+".part", tt.part)
				seen = true
			}))
			if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, opts); err != nil || !seen {
				t.Fatal(err)
			}
			check("file", file, tt.want)
		}
	}
}

// atProgress is an observer that calls f while bytes move.
func atProgress(f func()) porter.Option {
	return porter.WithObserver(func(ev porter.Event) {
		if ev.Kind == porter.EventProgress {
			f()
		}
	})
}

// A file whose mode is narrowed meanwhile is not replaced by a wider one.
func TestDownloadFileModeChanges(t *testing.T) {
	if runtime.GOOS == "windows" || runtime.GOOS == "plan9" {
		t.Skip("modes are different here")
	}
	file := saveTarget(t)
	saveWrite(t, file, "older")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	c := dlConnect(t, dlServer(t, portertest.NewArchive(1<<20)), atProgress(func() { os.Chmod(file, 0o600) }))
	if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(file); err != nil || fi.Mode() != 0o600 {
		t.Errorf("mode %v: %v", fi.Mode(), err)
	}
}

// A name as long as the file system takes can be used, and continued.
func TestDownloadFileLongName(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(1 << 20)
	for _, n := range []int{240, 245, 246, 250, 255} {
		s := dlServer(t, archive)
		file := filepath.Join(t.TempDir(), strings.Repeat("a", n-7)+".tar.gz")
		if _, err := os.Lstat(file + ".12345678.part"); runtime.GOOS == "windows" && errors.Is(err, fs.ErrNotExist) && n > 240 {
			t.Skip("Wine does not say which name is too long")
		}
		saveBroken(t, s, portertest.FromDisk, file, 500<<10)
		if _, err := dlConnect(t, s).DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err != nil {
			t.Fatal(err)
		}
		saveCheck(t, file, archive)
		if diff := cmp.Diff([]string{"", "bytes=512000-"}, dlRanges(dlAsked(s, portertest.GitLab))); diff != "" {
			t.Errorf("%d bytes: ranges asked for:\n%s", n, diff)
		}
	}
}

// A relative name means the same file when the process has gone elsewhere.
func TestDownloadFileElsewhere(t *testing.T) {
	archive := portertest.NewArchive(1 << 20)
	here := t.TempDir()
	t.Chdir(here)
	for name, get := range map[string]func(c *porter.Client) error{
		"DownloadExportFile": func(c *porter.Client) error {
			_, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), "app.tar.gz", nil)
			return err
		},
		"ExportToFile": func(c *porter.Client) error {
			_, err := c.ExportToFile(t.Context(), porter.ProjectID(7), "app.tar.gz", nil)
			return err
		},
	} {
		elsewhere := t.TempDir()
		t.Chdir(here)
		c := dlConnect(t, dlServer(t, archive), porter.WithObserver(func(porter.Event) { os.Chdir(elsewhere) }))
		if err := get(c); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		saveCheck(t, filepath.Join(here, "app.tar.gz"), archive)
		if left := saveListing(t, filepath.Join(elsewhere, "x")); len(left) > 0 {
			t.Errorf("%s: wrote %q", name, left)
		}
	}
}

// A folder that vanishes meanwhile is an error.
func TestDownloadFileFolderVanishes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	c := dlConnect(t, dlServer(t, portertest.NewArchive(1<<20)), atProgress(func() { os.RemoveAll(dir) }))
	_, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), filepath.Join(dir, "app.tar.gz"), nil)
	if err == nil && runtime.GOOS != "windows" {
		t.Error("no error")
	}
}

// An archive that the disk has no room for is refused before it is downloaded.
func TestDownloadFileWithoutRoom(t *testing.T) {
	const size = 1 << 60
	if !slices.Contains([]string{"linux", "darwin", "windows"}, runtime.GOOS) {
		t.Skip("free space is not known here")
	}
	c, _ := dlScripted(t, nil, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		w.Write(gzipped(t, saveRandom(1000)))
	})
	file := saveTarget(t)
	n, err := bytesOf(c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil))
	if err == nil || n != 0 {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if text := err.Error(); !errors.Is(err, diskio.ErrFull) || !strings.Contains(text, filepath.Dir(file)+" has ") ||
		!strings.HasSuffix(text, " bytes free, and 1152921504606846976 are needed") {
		t.Errorf("error: %v", err)
	}
	if left := saveListing(t, file); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

// What a server answers when it is asked to continue a part.
func TestDownloadFileContinueAnswers(t *testing.T) {
	t.Parallel()
	const etag = `ETag: "v1"`
	archive := portertest.NewArchive(30_000)
	b := archiveBytes(t, archive)
	first := dlAnswer(200, b, 10_000, etag)
	whole := dlAnswer(200, b, -1, etag)
	part := func(from int, contentRange string, headers ...string) http.HandlerFunc {
		return dlAnswer(206, b[from:], -1, append([]string{"Content-Range: " + contentRange}, headers...)...)
	}
	tests := []struct {
		name   string
		answer http.HandlerFunc
		asked  []string
	}{
		{"the rest", part(10_000, "bytes 10000-29999/30000", etag), []string{"bytes=10000-"}},
		{"the rest without validator", part(10_000, "bytes 10000-29999/30000"), []string{"bytes=10000-"}},
		{"the rest of unknown size", part(10_000, "bytes 10000-29999/*", etag), []string{"bytes=10000-"}},
		{"all of it", whole, []string{"bytes=10000-"}},
		{"416", dlAnswer(416, nil, -1), []string{"bytes=10000-", ""}},
		{"other ETag", part(10_000, "bytes 10000-29999/30000", `ETag: "v2"`), []string{"bytes=10000-", ""}},
		{"other size", part(10_000, "bytes 10000-29999/30001", etag), []string{"bytes=10000-", ""}},
		{"other place", part(9_000, "bytes 9000-29999/30000", etag), []string{"bytes=10000-", ""}},
		{"no range", dlAnswer(206, b[10_000:], -1, etag), []string{"bytes=10000-", ""}},
		{"503, then the rest", dlAnswer(503, nil, -1), []string{"bytes=10000-", "bytes=10000-"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			final := whole
			if strings.HasPrefix(tt.name, "503") {
				final = part(10_000, "bytes 10000-29999/30000", etag)
			}
			c, script := dlScripted(t, nil, first, dlAnswer(502, nil, -1), dlAnswer(502, nil, -1), dlAnswer(502, nil, -1), tt.answer, final)
			file := saveTarget(t)
			if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err == nil {
				t.Fatal("no error")
			}
			begun := len(script.asked)
			script.answers = append(script.answers[:begun:begun], tt.answer, final)
			if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err != nil {
				t.Fatal(err)
			}
			saveCheck(t, file, archive)
			var asked []string
			for _, h := range script.asked[begun:] {
				asked = append(asked, h.Get("Range"))
			}
			if diff := cmp.Diff(tt.asked, asked); diff != "" {
				t.Errorf("asked for:\n%s", diff)
			}
		})
	}
}

// After a failure nothing stands under the file's name but what stood there.
func TestDownloadFileFails(t *testing.T) {
	t.Parallel()
	const etag = `ETag: "v1"`
	b := archiveBytes(t, portertest.NewArchive(30_000))
	first := dlAnswer(200, b, 10_000, etag)
	both := []string{"app.tar.gz.part", "app.tar.gz.part.json"}
	tests := []struct {
		name    string
		answers []http.HandlerFunc
		want    error
		left    []string
	}{
		{"refused", []http.HandlerFunc{dlAnswer(403, nil, -1)}, porter.ErrForbidden, nil},
		{"expired", []http.HandlerFunc{dlAnswer(404, []byte(`{"message":"404 Not found or has expired"}`), -1)}, porter.ErrExportExpired,
			nil},
		{"no archive", []http.HandlerFunc{dlAnswer(200, []byte("hello"), -1)}, porter.ErrNotArchive, nil},
		{"broken off for good", []http.HandlerFunc{first, dlAnswer(500, nil, -1)}, errDL500, both},
		{"changed meanwhile", []http.HandlerFunc{first, dlAnswer(200, b, -1, `ETag: "v2"`)}, porter.ErrArchiveChanged, both},
		{"expired meanwhile", []http.HandlerFunc{first, dlAnswer(404, []byte(`{"message":"404 Not found or has expired"}`), -1)},
			porter.ErrExportExpired, nil},
		{"without validator", []http.HandlerFunc{dlAnswer(200, b, 10_000)}, io.ErrUnexpectedEOF, nil},
		{"without length", []http.HandlerFunc{dlAnswer(200, b, 10_000, etag, "Chunked: yes"), dlAnswer(500, nil, -1)}, errDL500, nil},
	}
	for _, tt := range tests {
		for _, existing := range []string{"", "an older archive"} {
			t.Run(fmt.Sprintf("%s %v", tt.name, existing != ""), func(t *testing.T) {
				file := saveTarget(t)
				want := tt.left
				if existing != "" {
					want = append([]string{"app.tar.gz"}, want...)
					if err := os.WriteFile(file, []byte(existing), 0o666); err != nil {
						t.Fatal(err)
					}
				}
				c, _ := dlScripted(t, nil, tt.answers...)
				_, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil)
				if text, ok := tt.want.(dlText); ok && (err == nil || !strings.Contains(err.Error(), string(text))) || !ok &&
					!errors.Is(err, tt.want) {
					t.Errorf("error: %v", err)
				}
				if diff := cmp.Diff(want, saveListing(t, file)); diff != "" {
					t.Errorf("left:\n%s", diff)
				}
				if got, _ := os.ReadFile(file); string(got) != existing {
					t.Errorf("the file holds %q", got)
				}
			})
		}
	}
}

const errDL500 = dlText("500")

// What ExportToFile left is continued by the same reference to the project,
// although it goes by the ID itself.
func TestDownloadFileContinuesExportToFile(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(4 << 20)
	s := dlServer(t, archive)
	file := saveTarget(t)
	s.Inject(portertest.Fault{Path: "/export/download", Do: portertest.CutResponse(3 << 20)})
	c := dlConnect(t, s, porter.WithRetry(0, nil))
	if _, err := c.ExportToFile(t.Context(), porter.ProjectPath("acme/widget"), file, nil); err == nil {
		t.Fatal("no error")
	}
	if _, err := c.DownloadExportFile(t.Context(), porter.ProjectPath("acme/widget"), file, nil); err != nil {
		t.Fatal(err)
	}
	saveCheck(t, file, archive)
	asked := dlAsked(s, portertest.GitLab)
	if last := asked[len(asked)-1]; last.Header.Get("Range") == "" {
		t.Errorf("asked for all of it again, and got %d bytes", last.Sent)
	}
}

// A part of another archive is kept when this one turns out to be gone.
func TestDownloadFileKeepsAnothersPart(t *testing.T) {
	t.Parallel()
	s := dlServer(t, portertest.NewArchive(4<<20))
	s.AddProject(portertest.Project{Path: "team/other"})
	file := saveTarget(t)
	s.Inject(portertest.Fault{Path: "/export/download", Do: portertest.CutResponse(3 << 20)})
	c := dlConnect(t, s, porter.WithRetry(0, nil))
	if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err == nil {
		t.Fatal("no error")
	}
	before := saveListing(t, file)
	if _, err := c.DownloadExportFile(t.Context(), porter.ProjectPath("team/other"), file, nil); !errors.Is(err, porter.ErrExportExpired) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, saveListing(t, file)); diff != "" || len(before) == 0 {
		t.Errorf("the part is gone:\n%s", diff)
	}
}

// A part that can't be continued for a while is kept, and then is.
func TestDownloadFileKeepsPart(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(1 << 20)
	s := dlServer(t, archive)
	file := saveTarget(t)
	saveBroken(t, s, portertest.FromDisk, file, 500<<10)
	part := archiveBytes(t, archive)[:500<<10]
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name string
		ctx  context.Context
		do   portertest.Action
	}{
		{"unreachable", t.Context(), portertest.LoseAnswer()},
		{"500", t.Context(), portertest.Respond(500, nil, "")},
		{"429", t.Context(), portertest.Respond(429, nil, "")},
		{"token expired", t.Context(), portertest.Respond(401, nil, "")},
		{"page", t.Context(), portertest.Respond(200, nil, "<html>")},
		{"not stored yet", t.Context(), portertest.Respond(404, nil, `{"message":"The project export file is not available yet"}`)},
		{"canceled", canceled, portertest.Delay(0)},
		{"broken off again", t.Context(), portertest.CutResponse(0)},
	}
	for _, tt := range tests {
		in := s.Inject(portertest.Fault{Method: "GET", Times: -1, Do: tt.do})
		if _, err := dlConnect(t, s, porter.WithRetry(0, nil)).DownloadExportFile(tt.ctx, porter.ProjectID(7), file, nil); err == nil {
			t.Fatalf("%s: no error", tt.name)
		}
		in.Remove()
		if got, err := os.ReadFile(file + ".part"); err != nil || !bytes.Equal(got, part) {
			t.Fatalf("%s: the part has %d bytes now: %v", tt.name, len(got), err)
		}
	}
	if _, err := dlConnect(t, s).DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err != nil {
		t.Fatal(err)
	}
	saveCheck(t, file, archive)
	if ranges := dlRanges(dlAsked(s, portertest.GitLab)); ranges[len(ranges)-1] != "bytes=512000-" {
		t.Errorf("asked for %q", ranges)
	}
}

// A download that is canceled at any moment leaves a part that is continued.
func TestDownloadFileCanceled(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(3 << 20)
	for _, mode := range dlModes {
		s := dlServer(t, archive, portertest.Downloads(mode))
		file := saveTarget(t)
		var reached int64
		for _, at := range []int64{0, 100, 5000, 400_000, 1_000_000, 1, 1_700_000} {
			ctx, cancel := context.WithCancel(t.Context())
			c := dlConnect(t, s, porter.WithTransport(&saveCanceler{s.Transport(), cancel, at}))
			n, err := bytesOf(c.DownloadExportFile(ctx, porter.ProjectID(7), file, nil))
			cancel()
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("canceled after %d: %v", at, err)
			}
			fi, err := os.Stat(file + ".part")
			if reached+at < 512 {
				if !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("canceled after %d: %v", at, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if fi.Size() < reached || n != 0 && n != fi.Size() {
				t.Errorf("a part of %d bytes became one of %d, and %d is told", reached, fi.Size(), n)
			}
			reached = fi.Size()
		}
		if reached < 2_000_000 {
			t.Errorf("reached only %d bytes", reached)
		}
		if _, err := dlConnect(t, s).DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err != nil {
			t.Fatal(err)
		}
		saveCheck(t, file, archive)
		var sent int64
		for _, r := range dlAsked(s, dlDeliverer(mode)) {
			if r.Header.Get("Range") == "" && r.Sent > 0 {
				sent++
			}
		}
		if sent > 3 { // the two that ended before it was seen to be an archive
			t.Errorf("began anew %d times", sent)
		}
	}
}

// A saveCanceler cancels when so many bytes of an archive were read.
type saveCanceler struct {
	next   http.RoundTripper
	cancel context.CancelFunc
	at     int64
}

func (c *saveCanceler) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(r)
	if err == nil && resp.StatusCode < 300 {
		resp.Body = &saveCancelBody{resp.Body, c, 0}
	}
	return resp, err
}

type saveCancelBody struct {
	io.ReadCloser
	c    *saveCanceler
	read int64
}

func (b *saveCancelBody) Read(p []byte) (int, error) {
	if b.read >= b.c.at {
		b.c.cancel()
		return 0, context.Canceled
	}
	p = p[:min(int64(len(p)), b.c.at-b.read)]
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	return n, err
}

func TestDownloadFileTargets(t *testing.T) {
	archive := portertest.NewArchive(30_000)
	t.Run("refused before any request", func(t *testing.T) {
		dir := t.TempDir()
		saveMust(t, os.Mkdir(filepath.Join(dir, "folder"), 0o777))
		saveMust(t, os.WriteFile(filepath.Join(dir, "file"), []byte("kept"), 0o666))
		saveMust(t, os.Mkdir(filepath.Join(dir, "a.gz.part"), 0o777))
		saveMust(t, os.Mkdir(filepath.Join(dir, "b.gz.part.json"), 0o777))
		saveMust(t, os.Mkdir(filepath.Join(dir, "c.gz.part"), 0o777))
		saveMust(t, os.WriteFile(filepath.Join(dir, "c.gz.part.json"), []byte("{}"), 0o666))
		before := saveListing(t, filepath.Join(dir, "x"))
		for name, want := range map[string]string{
			"":                                    "file name is empty",
			dir:                                   "is not a regular file",
			filepath.Join(dir, "folder"):          "is not a regular file",
			filepath.Join(dir, "missing", "a.gz"): "missing",
			filepath.Join(dir, "file", "a.gz"):    "file",
			filepath.Join(dir, "a.gz"):            "a.gz.part",
			filepath.Join(dir, "b.gz"):            "b.gz.part.json",
			filepath.Join(dir, "c.gz"):            "c.gz.part",
			filepath.Join(dir, "nul\x00.gz"):      "invalid argument",
			filepath.Join(dir, strings.Repeat("x", 300)): "name too long",
		} {
			s := dlServer(t, archive)
			_, err := dlConnect(t, s).DownloadExportFile(t.Context(), porter.ProjectID(7), name, nil)
			if err == nil || !strings.Contains(err.Error(), want) && want != "name too long" ||
				!strings.HasPrefix(err.Error(), "download export of 7: ") {
				t.Errorf("%q: error: %v", name, err)
			}
			if _, err := dlConnect(t, s).ExportToFile(t.Context(), porter.ProjectID(7), name, nil); err == nil ||
				!strings.HasPrefix(err.Error(), "export of 7: ") {
				t.Errorf("%q: ExportToFile: error: %v", name, err)
			}
			if n := len(s.Requests()); n != 0 {
				t.Errorf("%q: made %d requests", name, n)
			}
		}
		if diff := cmp.Diff(before, saveListing(t, filepath.Join(dir, "x"))); diff != "" {
			t.Errorf("the folder changed:\n%s", diff)
		}
		if b, _ := os.ReadFile(filepath.Join(dir, "c.gz.part.json")); string(b) != "{}" {
			t.Error("the state of a part that did not open is gone")
		}
	})
	t.Run("read-only folder", func(t *testing.T) {
		dir := t.TempDir()
		saveMust(t, os.Chmod(dir, 0o555))
		if f, err := os.Create(filepath.Join(dir, "probe")); err == nil {
			f.Close()
			t.Skip("this user may write anywhere")
		}
		s := dlServer(t, archive)
		_, err := dlConnect(t, s).DownloadExportFile(t.Context(), porter.ProjectID(7), filepath.Join(dir, "a.gz"), nil)
		if !errors.Is(err, fs.ErrPermission) || len(s.Requests()) != 0 {
			t.Errorf("error: %v", err)
		}
	})
}

func TestDownloadFileReplaces(t *testing.T) {
	archive := portertest.NewArchive(30_000)
	t.Run("becomes a folder meanwhile", func(t *testing.T) {
		file := saveTarget(t)
		s := dlServer(t, archive)
		c := dlConnect(t, s, atProgress(func() { os.Mkdir(file, 0o777) }))
		if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err == nil {
			t.Error("no error")
		}
		saveMust(t, os.Remove(file)) // it is empty, so nothing was put there
		if _, err := dlConnect(t, s).DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err != nil {
			t.Fatal(err)
		}
		saveCheck(t, file, archive)
		if asked := dlAsked(s, portertest.GitLab); asked[1].Sent != 1 {
			t.Errorf("was sent %d bytes again", asked[1].Sent)
		}
	})
	t.Run("existing file", func(t *testing.T) {
		file := saveTarget(t)
		saveMust(t, os.WriteFile(file, []byte("older"), 0o600))
		s := dlServer(t, archive)
		seen := false
		c := dlConnect(t, s, atProgress(func() {
			b, err := os.ReadFile(file)
			seen = true
			if string(b) != "older" {
				t.Errorf("meanwhile the file holds %d bytes: %v", len(b), err)
			}
		}))
		if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err != nil || !seen {
			t.Fatal(err)
		}
		saveCheck(t, file, archive)
	})
	t.Run("relative name", func(t *testing.T) {
		t.Chdir(t.TempDir())
		if _, err := dlConnect(t, dlServer(t, archive)).DownloadExportFile(t.Context(), porter.ProjectID(7), "app.tar.gz", nil); err != nil {
			t.Fatal(err)
		}
		saveCheck(t, "app.tar.gz", archive)
	})
}

func TestDownloadFileLinks(t *testing.T) {
	archive := portertest.NewArchive(30_000)
	t.Run("symbolic link", func(t *testing.T) {
		file := saveTarget(t)
		other := filepath.Join(t.TempDir(), "other.tar.gz")
		saveMust(t, os.WriteFile(other, []byte("kept"), 0o666))
		for _, to := range []string{other, other + ".missing"} {
			os.Remove(file)
			if err := os.Symlink(to, file); err != nil {
				t.Skip(err)
			}
			if _, err := dlConnect(t, dlServer(t, archive)).DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err != nil {
				t.Fatal(err)
			}
			saveCheck(t, file, archive)
			if fi, err := os.Lstat(file); err != nil || !fi.Mode().IsRegular() {
				t.Errorf("the link was not replaced: %v, %v", fi, err)
			}
		}
		if diff := cmp.Diff([]string{"other.tar.gz"}, saveListing(t, other)); diff != "" {
			t.Error(diff)
		}
		if b, _ := os.ReadFile(other); string(b) != "kept" {
			t.Errorf("what the link pointed to holds %q", b)
		}
	})
	// Who may write to the folder must not have other files overwritten by it.
	t.Run("symbolic link as part file", func(t *testing.T) {
		for _, suffix := range []string{".part", ".part.json"} {
			file := saveTarget(t)
			other := filepath.Join(t.TempDir(), "other")
			saveMust(t, os.WriteFile(other, []byte("kept"), 0o666))
			if err := os.Symlink(other, file+suffix); err != nil {
				t.Skip(err)
			}
			if _, err := os.Readlink(file + suffix); err != nil { // Wine says that it made one
				t.Skip(err)
			}
			s := dlServer(t, archive)
			_, err := dlConnect(t, s).DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil)
			if err == nil || !strings.HasSuffix(err.Error(), suffix+" is a link to another file") || len(s.Requests()) != 0 {
				t.Errorf("%s: error: %v", suffix, err)
			}
			if b, _ := os.ReadFile(other); string(b) != "kept" {
				t.Errorf("%s: what the link pointed to holds %d bytes", suffix, len(b))
			}
			saveMust(t, os.Remove(other))
			if _, err := dlConnect(t, s).DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); err == nil {
				t.Errorf("%s: to nowhere: no error", suffix)
			}
			if _, err := os.Stat(other); err == nil {
				t.Errorf("%s: what the link pointed to was made", suffix)
			}
		}
	})
}

func saveMust(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Of several downloads to the same name one continues the part; each ends with
// the whole file, and the last one to end gives its own the name.
func TestDownloadFileAtTheSameTime(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(1 << 20)
	s := dlServer(t, archive)
	file := saveTarget(t)
	saveBroken(t, s, portertest.FromDisk, file, 500<<10)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			n, err := bytesOf(dlConnect(t, s).DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil))
			if err != nil || n != archive.Size() {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
	wg.Wait()
	saveCheck(t, file, archive)
	ranges := dlRanges(dlAsked(s, portertest.GitLab))
	if n := len(slices.DeleteFunc(ranges, func(r string) bool { return r == "" })); n != 1 {
		t.Errorf("%d downloads continued the part", n)
	}
}

// One that fails beside another leaves the other's part alone, and none of its own.
func TestDownloadFileFailsBesideAnother(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(2 << 20)
	b := archiveBytes(t, archive)
	started, release := make(chan bool), make(chan bool)
	slow := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		w.Write(b[:1<<20])
		close(started)
		<-release
		w.Write(b[1<<20:])
	}
	c, _ := dlScripted(t, []porter.Option{porter.WithRetry(0, nil)}, slow, dlAnswer(200, b, 1<<20, `ETag: "v1"`))
	file := saveTarget(t)
	done := make(chan error)
	go func() {
		_, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil)
		done <- err
	}()
	<-started
	if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error: %v", err)
	}
	if diff := cmp.Diff([]string{"app.tar.gz.part", "app.tar.gz.part.json"}, saveListing(t, file)); diff != "" {
		t.Errorf("left:\n%s", diff)
	}
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	saveCheck(t, file, archive)
}
