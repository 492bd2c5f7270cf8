package diskio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// partOpen opens the part file of a target, and closes it with the test.
func partOpen(t *testing.T, target string) *PartFile {
	t.Helper()
	p, err := Open(target, 0)
	if err != nil {
		t.Fatal(err)
	}
	if p.state == nil && runtime.GOOS == "plan9" {
		t.Skip("no locks here")
	}
	t.Cleanup(func() {
		p.bytes.Close()
		if p.state != nil {
			p.state.Close()
		}
	})
	return p
}

// partLeft makes the part file of an archive that was broken off after content.
func partLeft(t *testing.T, target, content string) {
	t.Helper()
	p := partOpen(t, target)
	if err := p.Begin("origin", json.RawMessage(`"v1"`)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	p.Leave()
}

// partFolder returns what is in a folder: names and contents, of states only
// that they are there.
func partFolder(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(b), `{"crc32":`) {
			b = []byte("state")
		}
		files[e.Name()] = string(b)
	}
	return files
}

func TestPartFileBesideAnother(t *testing.T) {
	target := filepath.Join(t.TempDir(), "a.gz")
	one, two := partOpen(t, target), partOpen(t, target)
	if two.state != nil || two.bytes.Name() == one.bytes.Name() {
		t.Errorf("both write %s", one.bytes.Name())
	}
	if off, mark := two.Resumable("x"); off != 0 || mark != nil {
		t.Errorf("the second one continues at %d", off)
	}
	two.Write([]byte("second"))
	two.Leave()
	if _, err := os.Stat(two.bytes.Name()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it left its part: %v", err)
	}
	one.Leave()
	if left := partFolder(t, filepath.Dir(target)); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestPartFileState(t *testing.T) {
	target := filepath.Join(t.TempDir(), "a.gz")
	p := partOpen(t, target)
	long, short := json.RawMessage(`"`+strings.Repeat("x", 1000)+`"`), json.RawMessage(`"v1"`)
	for _, mark := range []json.RawMessage{long, short} { // a shorter state leaves nothing of a longer one
		if err := p.Begin("origin", mark); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Write([]byte("\x1f\x8b345")); err != nil {
			t.Fatal(err)
		}
	}
	p.Leave()
	for _, tt := range []struct {
		origin string
		then   func(p *PartFile)
		off    int64
	}{
		{"origin", (*PartFile).Leave, 5},
		{"other", (*PartFile).Leave, 0},
		{"origin", func(p *PartFile) { p.Continue(5); p.Write([]byte("678")); p.Leave() }, 5},
		{"origin", func(p *PartFile) { p.bytes.WriteAt([]byte("unknown"), 8); p.close() }, 8}, // killed before it was synced
		{"origin", func(p *PartFile) { p.bytes.Truncate(7); p.close() }, 8},
		{"origin", (*PartFile).Leave, 0}, // cut by somebody
	} {
		p = partOpen(t, target)
		off, mark := p.Resumable(tt.origin)
		if off != tt.off || off > 0 && !bytes.Equal(mark, short) {
			t.Errorf("%s: continues %s at %d, not %d", tt.origin, mark, off, tt.off)
		}
		tt.then(p)
	}
}

// Whatever lies where a part file or its state should be, and is not porter's,
// stays as it is; so does everything if nothing is downloaded.
func TestPartFileOfOthers(t *testing.T) {
	const content = "\x1f\x8b345"
	write := func(t *testing.T, name, content string) {
		if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name  string
		make  func(t *testing.T, target string)
		aside bool // the part file gets another name
	}{
		{"nothing", func(*testing.T, string) {}, false},
		{"our own", func(t *testing.T, target string) { partLeft(t, target, content) }, false},
		{"our own, killed before the first byte", func(t *testing.T, target string) {
			p := partOpen(t, target)
			p.Begin("origin", nil)
			p.close()
		}, false},
		{"our own, killed before the first sync", func(t *testing.T, target string) {
			p := partOpen(t, target)
			p.Begin("origin", json.RawMessage(`"v1"`))
			p.Write([]byte(content))
			p.sync.stop()
			p.close()
		}, false},
		{"our own, killed before the first state", func(t *testing.T, target string) {
			write(t, target+".part", "")
			write(t, target+".part.json", "")
		}, false},
		{"our state alone", func(t *testing.T, target string) {
			partLeft(t, target, content)
			os.Remove(target + ".part")
		}, false},
		{"an empty state alone", func(t *testing.T, target string) { write(t, target+".part.json", "") }, false},
		{"bytes alone", func(t *testing.T, target string) { write(t, target+".part", "theirs") }, true},
		{"an empty file alone", func(t *testing.T, target string) { write(t, target+".part", "") }, true},
		{"bytes and an empty state", func(t *testing.T, target string) {
			write(t, target+".part", "theirs")
			write(t, target+".part.json", "")
		}, true},
		{"a state of something else", func(t *testing.T, target string) { write(t, target+".part.json", `{"theirs":1}`) }, true},
		{"a state of the first format", func(t *testing.T, target string) {
			write(t, target+".part", content)
			write(t, target+".part.json", `{"project":"origin","etag":"\"v1\"","size":10}`)
		}, true},
		{"null", func(t *testing.T, target string) { write(t, target+".part.json", "null") }, true},
		{"other bytes beside our state", func(t *testing.T, target string) {
			partLeft(t, target, content)
			write(t, target+".part", "theirs, and longer")
		}, true},
		{"bytes beside the state of none", func(t *testing.T, target string) {
			p := partOpen(t, target)
			p.close()
			write(t, target+".part", "theirs")
		}, true},
		{"a torn state", func(t *testing.T, target string) {
			partLeft(t, target, content)
			b, _ := os.ReadFile(target + ".part.json")
			write(t, target+".part.json", strings.Replace(string(b), `"synced":5`, `"synced":6`, 1))
		}, true},
		{"half a state", func(t *testing.T, target string) {
			partLeft(t, target, content)
			os.Truncate(target+".part.json", 20)
		}, true},
		{"an endless state", func(t *testing.T, target string) {
			partLeft(t, target, content)
			write(t, target+".part.json", `{"x":"`+strings.Repeat("x", 2*maxPartState)+`"}`)
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target := filepath.Join(t.TempDir(), "a.gz")
			tt.make(t, target)
			dir := filepath.Dir(target)
			before := partFolder(t, dir)
			if _, err := Check(target); err != nil {
				t.Fatal(err)
			}
			after := partFolder(t, dir)
			if !tt.aside { // an empty file of ours may go
				for name, content := range before {
					if content == "" || content == "state" && before["a.gz.part"] == "" {
						delete(before, name)
					}
				}
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("the check changed the folder:\n%s", diff)
			}
			p := partOpen(t, target)
			if (p.state == nil) != tt.aside {
				t.Errorf("writes %s", p.bytes.Name())
			}
			if err := p.Begin("origin", nil); err != nil {
				t.Fatal(err)
			}
			p.Write([]byte("whole"))
			if err := p.Finish(); err != nil {
				t.Fatal(err)
			}
			if !tt.aside {
				before = map[string]string{}
			}
			before["a.gz"] = "whole"
			if diff := cmp.Diff(before, partFolder(t, dir)); diff != "" {
				t.Errorf("the download changed the folder:\n%s", diff)
			}
		})
	}
}

// Another program's file that takes the part file's name meanwhile is neither
// renamed nor removed.
func TestPartFileReplaced(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("an open file can't be replaced here")
	}
	for name, end := range map[string]func(p *PartFile) error{
		"finish":  (*PartFile).Finish,
		"leave":   func(p *PartFile) error { p.Leave(); return errForeign },
		"discard": func(p *PartFile) error { p.Discard(); return errForeign },
	} {
		for _, removed := range []bool{false, true} {
			target := filepath.Join(t.TempDir(), "a.gz")
			p := partOpen(t, target)
			p.Begin("origin", json.RawMessage(`"v1"`))
			p.Write([]byte("ours"))
			if err := os.Remove(p.bytes.Name()); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{}
			if !removed {
				want["a.gz.part"] = "theirs"
				if err := os.WriteFile(p.bytes.Name(), []byte("theirs"), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			if err := end(p); err == nil || name == "finish" && !strings.Contains(err.Error(), "a.gz.part was removed or replaced") {
				t.Errorf("%s: error: %v", name, err)
			}
			p.Leave() // as after any error
			if diff := cmp.Diff(want, partFolder(t, filepath.Dir(target))); diff != "" {
				t.Errorf("%s: left:\n%s", name, diff)
			}
		}
	}
}

// Only what was asked for is discarded.
func TestPartFileDiscard(t *testing.T) {
	target := filepath.Join(t.TempDir(), "a.gz")
	partLeft(t, target, "text")
	before := partFolder(t, filepath.Dir(target))
	for _, origin := range []string{"", "other", "origin"} {
		p := partOpen(t, target)
		if origin != "" {
			p.Resumable(origin)
		}
		p.Discard()
		want := before
		if origin == "origin" {
			want = map[string]string{}
		}
		if diff := cmp.Diff(want, partFolder(t, filepath.Dir(target))); diff != "" {
			t.Errorf("after asking for %q:\n%s", origin, diff)
		}
	}
}

// What is verified is what was written, not what lies behind it.
func TestPartFileVerify(t *testing.T) {
	target := filepath.Join(t.TempDir(), "a.gz")
	partLeft(t, target, "older text")
	p := partOpen(t, target)
	p.Continue(6)
	p.Write([]byte("one"))
	unsound, stopped := errors.New("unsound"), errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	for _, want := range []error{nil, unsound} {
		err := p.Verify(ctx, func(r io.Reader) error {
			if b, err := io.ReadAll(r); string(b) != "older one" || err != nil {
				t.Errorf("read %q, %v", b, err)
			}
			return want
		})
		if err != want {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	err := p.Verify(ctx, func(r io.Reader) error {
		cancel(stopped)
		if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("read %d bytes, %v", n, err)
		}
		return unsound
	})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("got %v", err)
	}
}

// A whole archive that could not be given its name stays, whatever comes next.
func TestPartFileKeepsWhole(t *testing.T) {
	for _, mark := range []json.RawMessage{nil, json.RawMessage(`"v1"`)} {
		target := filepath.Join(t.TempDir(), "a.gz")
		p := partOpen(t, target)
		if err := p.Begin("origin", mark); err != nil {
			t.Fatal(err)
		}
		p.Write([]byte("whole"))
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(os.Mkdir(target, 0o777))
		if err := p.Finish(); err == nil || !strings.HasSuffix(err.Error(), "; the whole archive is in "+target+".part") {
			t.Errorf("error: %v", err)
		}
		p.Leave()
		must(os.Remove(target))
		want := map[string]string{"a.gz.part": "whole"}
		if mark != nil {
			want["a.gz.part.json"] = "state"
		}
		dir := filepath.Dir(target)
		for name, next := range map[string]func(p *PartFile){
			"nothing":           (*PartFile).Leave,
			"expired":           func(p *PartFile) { p.Resumable("origin"); p.Discard() },
			"the last byte":     func(p *PartFile) { p.Continue(4); p.Leave() },
			"another":           func(p *PartFile) { p.Begin("other", mark); p.Write([]byte("other")); p.Leave() },
			"this one anew":     func(p *PartFile) { p.Forget(); p.Begin("origin", mark); p.Write([]byte("who")); p.Leave() },
			"without validator": func(p *PartFile) { p.Begin("origin", nil); p.Leave() },
		} {
			next(partOpen(t, target))
			if diff := cmp.Diff(want, partFolder(t, dir)); diff != "" {
				t.Fatalf("%s: left:\n%s", name, diff)
			}
		}
		if mark == nil {
			continue
		}
		p = partOpen(t, target)
		off, _ := p.Resumable("origin")
		if off != 5 || p.Whole() != target+".part" {
			t.Errorf("continues at %d of %q", off, p.Whole())
		}
		p.Continue(4)
		p.Write([]byte("e"))
		must(p.Finish())
		if diff := cmp.Diff(map[string]string{"a.gz": "whole"}, partFolder(t, dir)); diff != "" {
			t.Errorf("left:\n%s", diff)
		}
	}
}

// Names that leave no room for what is added to them have short part files,
// which the next call finds, and no two names the same ones.
func TestPartFileLongNames(t *testing.T) {
	dir := t.TempDir()
	if _, err := os.Lstat(filepath.Join(dir, strings.Repeat("a", 1000))); !nameTooLong(err) {
		t.Skip("this system does not say which name is too long: ", err)
	}
	for _, n := range []int{100, 245, 246, 249, 250, 251, 254, 255} {
		names := []string{strings.Repeat("a", n-1) + "1", strings.Repeat("a", n-1) + "2"}
		for i, name := range names {
			names[i] = filepath.Join(dir, name)
			if _, err := os.Lstat(names[i]); nameTooLong(err) {
				t.Skip(err)
			}
			partLeft(t, names[i], name[n-1:]+" is this one")
		}
		for _, name := range names {
			p := partOpen(t, name)
			if off, _ := p.Resumable("origin"); off != 13 {
				t.Errorf("%d bytes: continues at %d", n, off)
			}
			q := partOpen(t, name) // a second one at the same time
			if q.state != nil {
				t.Errorf("%d bytes: the second one writes %s", n, q.bytes.Name())
			}
			q.Begin("origin", nil)
			q.Write([]byte("second"))
			if err := q.Finish(); err != nil {
				t.Error(err)
			}
			p.Continue(13)
			if err := p.Finish(); err != nil {
				t.Error(err)
			}
			if b, err := os.ReadFile(name); string(b) != name[len(name)-1:]+" is this one" {
				t.Errorf("%d bytes: holds %q, %v", n, b, err)
			}
			os.Remove(name)
		}
	}
	if left := partFolder(t, dir); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if _, err := Open(filepath.Join(dir, strings.Repeat("a", 256), "a.gz"), 0); err == nil {
		t.Error("no error for a folder with such a name")
	}
}

// What is written is synced and noted while it is written, and nothing is
// noted before it is synced.
func TestPartFileSyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := filepath.Join(t.TempDir(), "a.gz")
		p := partOpen(t, target)
		if err := p.Begin("origin", json.RawMessage(`"v1"`)); err != nil {
			t.Fatal(err)
		}
		synced := func() (n int64) {
			t.Helper()
			synctest.Wait()
			known, valid, err := (&stateFile{File: p.state.File}).read()
			if !valid || err != nil {
				t.Fatal(valid, err)
			}
			return known.Synced
		}
		start := time.Now()
		for i := int64(1); i <= 100; i++ {
			p.Write([]byte("ten bytes."))
			time.Sleep(100 * time.Millisecond)
			want := i * 10 // of a write every tenth of a second
			if n := synced(); n > want || n < want-10*int64(nextSync/(100*time.Millisecond)+1) {
				t.Fatalf("after %v %d of %d bytes are noted", time.Since(start), n, want)
			}
		}
		time.Sleep(time.Minute)
		if n := synced(); n != 1000 {
			t.Errorf("%d bytes are noted", n)
		}
		p.Leave()
	})
}

// A sync that fails ends the download: the disk may have lost what was written.
func TestPartFileSyncFails(t *testing.T) {
	for _, whole := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			closed, err := os.Create(filepath.Join(t.TempDir(), "closed"))
			if err != nil {
				t.Fatal(err)
			}
			closed.Close() // stands in for a broken disk
			target := filepath.Join(t.TempDir(), "a.gz")
			p := partOpen(t, target)
			if err := p.Begin("origin", json.RawMessage(`"v1"`)); err != nil {
				t.Fatal(err)
			}
			p.sync.file = closed
			p.Write([]byte("text"))
			time.Sleep(time.Second)
			synctest.Wait()
			p.sync.file = p.bytes // it works again, but tells nothing of what was lost
			if _, err := p.Write([]byte("text")); !errors.Is(err, os.ErrClosed) {
				t.Errorf("error: %v", err)
			}
			if whole {
				if err := p.Finish(); !errors.Is(err, os.ErrClosed) {
					t.Errorf("finish: error: %v", err)
				}
			}
			p.Leave()
			if left := partFolder(t, filepath.Dir(target)); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}

// A state that can't be written is an error before anything is written that
// nobody would know again.
func TestPartFileStateFails(t *testing.T) {
	target := filepath.Join(t.TempDir(), "a.gz")
	p := partOpen(t, target)
	state := p.state.File
	var err error
	if p.state.File, err = os.Open(state.Name()); err != nil { // can't be written: stands in for a full disk
		p.state.File = state
		p.Leave()
		t.Skip(err) // nobody else can open it, as on Windows
	}
	defer state.Close()
	if err := p.Begin("origin", json.RawMessage(`"v1"`)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write([]byte("text")); err == nil {
		t.Error("no error")
	}
	if fi, err := p.bytes.Stat(); err != nil || fi.Size() != 0 {
		t.Errorf("wrote %d bytes: %v", fi.Size(), err)
	}
	p.Leave()
	if left := partFolder(t, filepath.Dir(target)); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// A part file that somebody cuts meanwhile does not get its name, and is not
// believed later.
func TestPartFileCut(t *testing.T) {
	target := filepath.Join(t.TempDir(), "a.gz")
	p := partOpen(t, target)
	if err := p.Begin("origin", json.RawMessage(`"v1"`)); err != nil {
		t.Fatal(err)
	}
	p.Write([]byte("ours"))
	if err := os.Truncate(target+".part", 1); err != nil {
		t.Fatal(err)
	}
	if err := p.Finish(); err == nil || !strings.HasSuffix(err.Error(), "a.gz.part was cut by another program") {
		t.Errorf("error: %v", err)
	}
	p.Leave()
	p = partOpen(t, target)
	if off, _ := p.Resumable("origin"); off != 0 {
		t.Errorf("continues at %d", off)
	}
}

// Only the room that a part file does not take already is needed.
func TestPartFileRoom(t *testing.T) {
	target := filepath.Join(t.TempDir(), "a.gz")
	free, known := FreeSpace(filepath.Dir(target))
	if !known {
		t.Skip("free space is not known here")
	}
	p := partOpen(t, target)
	if err := p.bytes.Truncate(1 << 30); err != nil { // without a block on the disk
		t.Skip(err)
	}
	for _, tt := range []struct {
		whole, anew bool
		err         error
	}{{false, false, nil}, {false, true, nil}, {true, false, nil}, {true, true, ErrFull}} {
		p.known.Whole = tt.whole
		// Others may write to this disk meanwhile, but hardly so much.
		if err := p.CheckSpace(free+1<<29, tt.anew); !errors.Is(err, tt.err) {
			t.Errorf("whole %v, anew %v: %v", tt.whole, tt.anew, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"":                                    "file name is empty",
		dir:                                   " is not a regular file",
		filepath.Join(file, "a.gz"):           "file",
		filepath.Join(dir, "missing", "a.gz"): "missing",
	} {
		if _, err := Open(name, 0); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, linked := range []string{".part", ".part.json"} {
		target := filepath.Join(dir, "a.gz")
		if err := os.Symlink(file, target+linked); err != nil {
			t.Skip(err)
		}
		if _, err := os.Readlink(target + linked); err != nil { // Wine says that it made one
			t.Skip(err)
		}
		if _, err := Open(target, 0); err == nil || !strings.HasSuffix(err.Error(), "a.gz"+linked+" is a link to another file") {
			t.Errorf("%s is a link: %v", linked, err)
		}
		os.Remove(target + linked)
	}
	if left := partFolder(t, dir); len(left) != 1 {
		t.Errorf("left %v", left)
	}
}

func TestCheckTargetIsAbsolute(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.gz", "./a.gz", filepath.Join(here, "a.gz")} {
		if got, err := Check(name); got != filepath.Join(here, "a.gz") || err != nil {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	if _, err := os.Stat("a.gz.part"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// Write writes the bytes after those that are there without a gap.
func (p *PartFile) Write(b []byte) (int, error) {
	front := p.front()
	return p.WriteAt(b, front)
}

// What was written beyond the front is noted, too, and continued if it is still
// there. The front is what a state without ranges, of an earlier version, tells.
func TestPartFileRanges(t *testing.T) {
	content := []byte("0123456789abcdefghij")
	left := func(t *testing.T) string {
		target := filepath.Join(t.TempDir(), "a.gz")
		p := partOpen(t, target)
		if err := p.Begin("origin", json.RawMessage(`"v1"`)); err != nil {
			t.Fatal(err)
		}
		for _, e := range []Extent{{0, 4}, {10, 12}, {12, 15}, {18, 19}, {3, 5}} {
			if _, err := p.WriteAt(content[e.From:e.To], e.From); err != nil {
				t.Fatal(err)
			}
		}
		p.Leave()
		return target
	}
	for name, tt := range map[string]struct {
		size   int64 // that the file is cut to
		front  int64
		ranges Extents
	}{
		"all":              {19, 5, Extents{{10, 15}, {18, 19}}},
		"cut in a range":   {13, 5, Extents{{10, 13}}},
		"cut in a gap":     {7, 5, nil},
		"cut in the front": {4, 0, nil},
	} {
		target := left(t)
		if err := os.Truncate(target+".part", tt.size); err != nil {
			t.Fatal(err)
		}
		p := partOpen(t, target)
		if front, _ := p.Resumable("origin"); front != tt.front || !slices.Equal(p.Ranges(), tt.ranges) {
			t.Errorf("%s: %d bytes, and %v", name, front, p.Ranges())
		}
		p.Leave()
	}

	p := partOpen(t, left(t))
	p.Resumable("origin")
	p.Continue(5, p.Ranges()...)
	var read bytes.Buffer
	ended := make(chan error)
	go func() {
		_, err := io.Copy(&read, p.Follow(t.Context(), 2, 20))
		ended <- err
	}()
	for _, e := range []Extent{{15, 18}, {19, 20}, {5, 10}} {
		if _, err := p.WriteAt(content[e.From:e.To], e.From); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-ended; err != nil || read.String() != string(content[2:]) {
		t.Errorf("read %q, %v", read.Bytes(), err)
	}
	if err := p.Finish(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(p.Target()); err != nil || !bytes.Equal(b, content) {
		t.Errorf("the file holds %q: %v", b, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	q := partOpen(t, filepath.Join(t.TempDir(), "b.gz"))
	q.Begin("origin", nil)
	time.AfterFunc(time.Millisecond, cancel)
	if n, err := q.Follow(ctx, 0, 1).Read(make([]byte, 1)); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("read %d bytes of nothing, %v", n, err)
	}
}
