package porter

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestOpenLocked(t *testing.T) {
	name := filepath.Join(t.TempDir(), "state")
	for i := range 2 { // closing the file unlocks it
		f, made, err := openLocked(name)
		if errors.Is(err, errLocked) {
			t.Skip("no locks here")
		}
		if err != nil || made != (i == 0) {
			t.Fatal(made, err)
		}
		if _, _, err := openLocked(name); !errors.Is(err, errLocked) {
			t.Errorf("locked twice: %v", err)
		}
		f.Close()
	}
	f, _, err := openLocked(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if os.Remove(name) != nil {
		t.Skip("an open file can't be removed here")
	}
	g, made, err := openLocked(name) // another file now
	if err != nil || !made {
		t.Fatal(made, err)
	}
	g.Close()
}

func TestOpenLockedErrors(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{dir, filepath.Join(dir, "missing", "state"), "nul\x00"} {
		f, _, err := openLocked(name)
		if err == nil {
			f.Close()
		}
		if err == nil || errors.Is(err, errLocked) {
			t.Errorf("%q: error: %v", name, err)
		}
	}
}

// partOpen opens the part file of a target, and closes it with the test.
func partOpen(t *testing.T, target string) *partFile {
	t.Helper()
	p, err := openPart(target)
	if err != nil {
		t.Fatal(err)
	}
	if p.state == nil && runtime.GOOS == "plan9" {
		t.Skip("no locks here")
	}
	t.Cleanup(func() {
		p.bytes.Close()
		p.state.Close()
	})
	return p
}

// partLeft makes the part file of an archive that was broken off after content.
func partLeft(t *testing.T, target, content string) {
	t.Helper()
	p := partOpen(t, target)
	if err := p.begin("origin", json.RawMessage(`"v1"`)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	p.leave()
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
	if off, mark := two.resumable("x"); off != 0 || mark != nil {
		t.Errorf("the second one continues at %d", off)
	}
	two.Write([]byte("second"))
	two.leave()
	if _, err := os.Stat(two.bytes.Name()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it left its part: %v", err)
	}
	one.leave()
	if left := partFolder(t, filepath.Dir(target)); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestPartFileState(t *testing.T) {
	target := filepath.Join(t.TempDir(), "a.gz")
	p := partOpen(t, target)
	long, short := json.RawMessage(`"`+strings.Repeat("x", 1000)+`"`), json.RawMessage(`"v1"`)
	for _, mark := range []json.RawMessage{long, short} { // a shorter state leaves nothing of a longer one
		if err := p.begin("origin", mark); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Write([]byte("\x1f\x8b345")); err != nil {
			t.Fatal(err)
		}
	}
	p.leave()
	for _, tt := range []struct {
		origin string
		then   func(p *partFile)
		off    int64
	}{
		{"origin", (*partFile).leave, 5},
		{"other", (*partFile).leave, 0},
		{"origin", func(p *partFile) { p.continueAt(5); p.Write([]byte("678")); p.leave() }, 5},
		{"origin", func(p *partFile) { p.bytes.WriteAt([]byte("unknown"), 8); p.close() }, 8}, // killed before it was synced
		{"origin", func(p *partFile) { p.bytes.Truncate(7); p.close() }, 8},
		{"origin", (*partFile).leave, 0}, // cut by somebody
	} {
		p = partOpen(t, target)
		off, mark := p.resumable(tt.origin)
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
			p.begin("origin", nil)
			p.close()
		}, false},
		{"our own, killed before the first sync", func(t *testing.T, target string) {
			p := partOpen(t, target)
			p.begin("origin", json.RawMessage(`"v1"`))
			p.Write([]byte(content))
			p.sync.stop()
			p.close()
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
			if _, err := checkPart(target); err != nil {
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
			if err := p.begin("origin", nil); err != nil {
				t.Fatal(err)
			}
			p.Write([]byte("whole"))
			if err := p.finish(); err != nil {
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
	for name, end := range map[string]func(p *partFile) error{
		"finish":  (*partFile).finish,
		"leave":   func(p *partFile) error { p.leave(); return errForeign },
		"discard": func(p *partFile) error { p.discard(); return errForeign },
	} {
		for _, removed := range []bool{false, true} {
			target := filepath.Join(t.TempDir(), "a.gz")
			p := partOpen(t, target)
			p.begin("origin", json.RawMessage(`"v1"`))
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
			p.leave() // as after any error
			if diff := cmp.Diff(want, partFolder(t, filepath.Dir(target))); diff != "" {
				t.Errorf("%s: left:\n%s", name, diff)
			}
		}
	}
}

// A whole archive that could not be given its name stays, whatever comes next.
func TestPartFileKeepsWhole(t *testing.T) {
	for _, mark := range []json.RawMessage{nil, json.RawMessage(`"v1"`)} {
		target := filepath.Join(t.TempDir(), "a.gz")
		p := partOpen(t, target)
		if err := p.begin("origin", mark); err != nil {
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
		if err := p.finish(); err == nil || !strings.HasSuffix(err.Error(), "; the whole archive is in "+target+".part") {
			t.Errorf("error: %v", err)
		}
		p.leave()
		must(os.Remove(target))
		want := map[string]string{"a.gz.part": "whole"}
		if mark != nil {
			want["a.gz.part.json"] = "state"
		}
		dir := filepath.Dir(target)
		for name, next := range map[string]func(p *partFile){
			"nothing":           (*partFile).leave,
			"expired":           (*partFile).discard,
			"the last byte":     func(p *partFile) { p.continueAt(4); p.leave() },
			"another":           func(p *partFile) { p.begin("other", mark); p.Write([]byte("other")); p.leave() },
			"this one anew":     func(p *partFile) { p.forget(); p.begin("origin", mark); p.Write([]byte("who")); p.leave() },
			"without validator": func(p *partFile) { p.begin("origin", nil); p.leave() },
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
		off, _ := p.resumable("origin")
		if off != 5 {
			t.Errorf("continues at %d", off)
		}
		p.continueAt(4)
		p.Write([]byte("e"))
		must(p.finish())
		if diff := cmp.Diff(map[string]string{"a.gz": "whole"}, partFolder(t, dir)); diff != "" {
			t.Errorf("left:\n%s", diff)
		}
	}
}

// Names that leave no room for what is added to them have short part files,
// which the next call finds, and no two names the same ones.
func TestPartFileLongNames(t *testing.T) {
	dir := t.TempDir()
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
			if off, _ := p.resumable("origin"); off != 13 {
				t.Errorf("%d bytes: continues at %d", n, off)
			}
			q := partOpen(t, name) // a second one at the same time
			if q.state != nil {
				t.Errorf("%d bytes: the second one writes %s", n, q.bytes.Name())
			}
			q.begin("origin", nil)
			q.Write([]byte("second"))
			if err := q.finish(); err != nil {
				t.Error(err)
			}
			p.continueAt(13)
			if err := p.finish(); err != nil {
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
	if _, err := openPart(filepath.Join(dir, strings.Repeat("a", 256), "a.gz")); err == nil {
		t.Error("no error for a folder with such a name")
	}
}

// What is written is synced and noted while it is written, and nothing is
// noted before it is synced.
func TestPartFileSyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := filepath.Join(t.TempDir(), "a.gz")
		p := partOpen(t, target)
		if err := p.begin("origin", json.RawMessage(`"v1"`)); err != nil {
			t.Fatal(err)
		}
		synced := func() (n int64) {
			t.Helper()
			synctest.Wait()
			q := &partFile{state: p.state}
			if valid, err := q.readState(); !valid || err != nil {
				t.Fatal(valid, err)
			}
			return q.known.Synced
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
		p.leave()
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
			if err := p.begin("origin", json.RawMessage(`"v1"`)); err != nil {
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
				if err := p.finish(); !errors.Is(err, os.ErrClosed) {
					t.Errorf("finish: error: %v", err)
				}
			}
			p.leave()
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
	state := p.state
	var err error
	if p.state, err = os.Open(state.Name()); err != nil { // can't be written: stands in for a full disk
		t.Skip(err)
	}
	defer state.Close()
	if err := p.begin("origin", json.RawMessage(`"v1"`)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write([]byte("text")); err == nil {
		t.Error("no error")
	}
	if fi, err := p.bytes.Stat(); err != nil || fi.Size() != 0 {
		t.Errorf("wrote %d bytes: %v", fi.Size(), err)
	}
	p.leave()
	if left := partFolder(t, filepath.Dir(target)); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// A part file that somebody cuts meanwhile does not get its name, and is not
// believed later.
func TestPartFileCut(t *testing.T) {
	target := filepath.Join(t.TempDir(), "a.gz")
	p := partOpen(t, target)
	if err := p.begin("origin", json.RawMessage(`"v1"`)); err != nil {
		t.Fatal(err)
	}
	p.Write([]byte("ours"))
	if err := os.Truncate(target+".part", 1); err != nil {
		t.Fatal(err)
	}
	if err := p.finish(); err == nil || !strings.HasSuffix(err.Error(), "a.gz.part was cut by another program") {
		t.Errorf("error: %v", err)
	}
	p.leave()
	p = partOpen(t, target)
	if off, _ := p.resumable("origin"); off != 0 {
		t.Errorf("continues at %d", off)
	}
}

// Only the room that a part file does not take already is needed.
func TestPartFileRoom(t *testing.T) {
	target := filepath.Join(t.TempDir(), "a.gz")
	free, _, known := freeSpace(filepath.Dir(target))
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
	}{{false, false, nil}, {false, true, nil}, {true, false, nil}, {true, true, errDiskFull}} {
		p.known.Whole = tt.whole
		// Others may write to this disk meanwhile, but hardly so much.
		if err := p.checkRoom(free+1<<29, tt.anew); !errors.Is(err, tt.err) {
			t.Errorf("whole %v, anew %v: %v", tt.whole, tt.anew, err)
		}
	}
}

func TestCheckTargetIsAbsolute(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.gz", "./a.gz", filepath.Join(here, "a.gz")} {
		if got, err := checkPart(name); got != filepath.Join(here, "a.gz") || err != nil {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	if _, err := os.Stat("a.gz.part"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestValidator(t *testing.T) {
	const date, later = "Wed, 01 May 2024 09:41:00 GMT", "Wed, 01 May 2024 09:42:00 GMT"
	v := func(etag, modified string, size int64) validator { return validator{etag, modified, size} }
	tests := []struct {
		name                  string
		a, b                  validator
		contradicts, confirms bool
	}{
		{"same ETag", v(`"1"`, "", -1), v(`"1"`, "", -1), false, true},
		{"same ETag, other date", v(`"1"`, date, 5), v(`"1"`, later, 5), false, true},
		{"same ETag, other size", v(`"1"`, "", 5), v(`"1"`, "", 6), true, false},
		{"other ETag, same date", v(`"1"`, date, 5), v(`"2"`, date, 5), true, false},
		{"same date and size", v("", date, 5), v("", date, 5), false, true},
		{"same date, one size", v("", date, 5), v("", date, -1), false, false},
		{"other date", v("", date, 5), v("", later, 5), true, false},
		{"other size", v("", date, 5), v("", date, 6), true, false},
		{"one ETag, same date and size", v(`"1"`, date, 5), v("", date, 5), false, true},
		{"size alone", v("", "", 5), v("", "", 5), false, false},
		{"nothing", v("", "", -1), v("", "", -1), false, false},
	}
	for _, tt := range tests {
		for _, pair := range [][2]validator{{tt.a, tt.b}, {tt.b, tt.a}} {
			if got := pair[0].contradicts(pair[1]); got != tt.contradicts {
				t.Errorf("%s: contradicts: %v", tt.name, got)
			}
			if got := pair[0].confirms(pair[1]); got != tt.confirms {
				t.Errorf("%s: confirms: %v", tt.name, got)
			}
		}
	}
}

func TestValidatorOf(t *testing.T) {
	const date = "Wed, 01 May 2024 09:41:00 GMT"
	tests := []struct {
		etag, modified string
		size           int64
		ifRange        string
		resumable      bool
	}{
		{`"v1"`, date, 5, `"v1"`, true},
		{`"v1"`, "", 5, `"v1"`, true},
		{`"v1"`, "", -1, `"v1"`, false},
		{`W/"v1"`, date, 5, date, true},
		{`W/"v1"`, "", 5, "", false},
		{`W/"v1"`, date, -1, "", false},
		{`""`, date, 5, date, true},
		{`v1`, "", 5, "", false},
		{`"v1`, "", 5, "", false},
		{"\"a\r\nb\"", "", 5, "", false},
		{`"a"b"`, "", 5, "", false},
		{"", "yesterday", 5, "", false},
		{"", date + "\r\nX: y", 5, "", false},
		{"", "", 5, "", false},
		{`"v1"`, date, 0, `"v1"`, false},
	}
	for _, tt := range tests {
		v := validatorOf(http.Header{"Etag": {tt.etag}, "Last-Modified": {tt.modified}}, tt.size)
		if got := v.ifRange(); got != tt.ifRange || v.resumable() != tt.resumable {
			t.Errorf("%q, %q, %d: If-Range %q, resumable %v", tt.etag, tt.modified, tt.size, got, v.resumable())
		}
	}
}

func TestContentRange(t *testing.T) {
	tests := []struct {
		value    string
		at, size int64
		ok       bool
	}{
		{"bytes 0-0/1", 0, 1, true},
		{"bytes 5-9/10", 5, 10, true},
		{"bytes 5-9/*", 5, -1, true},
		{"bytes 9000000000-9000000001/9000000002", 9000000000, 9000000002, true},
		{"", 0, 0, false},
		{"bytes", 0, 0, false},
		{"bytes */10", 0, 0, false},
		{"bytes 5-9", 0, 0, false},
		{"bytes -5-9/10", 0, 0, false},
		{"bytes 5-9/-10", 0, 0, false},
		{"bytes 5-9/ten", 0, 0, false},
		{"items 5-9/10", 0, 0, false},
		{"bytes 99999999999999999999-9/10", 0, 0, false},
	}
	for _, tt := range tests {
		at, size, ok := contentRange(&http.Response{Header: http.Header{"Content-Range": {tt.value}}})
		if at != tt.at || size != tt.size || ok != tt.ok {
			t.Errorf("%q: %d of %d, %v", tt.value, at, size, ok)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 5-9/10", "bytes 5-9/*", "bytes */10", "bytes -/", "bytes 5-9/10/11", "items 1-2/3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, size, ok := contentRange(&http.Response{Header: http.Header{"Content-Range": {s}}})
		if at < 0 || size < -1 || !ok && (at != 0 || size != 0) {
			t.Errorf("%q: %d of %d, %v", s, at, size, ok)
		}
	})
}

// dispositions are headers and the names they suggest.
var dispositions = map[string]string{
	`attachment; filename="2024-05-01_09-41-123_acme_tools_widget_export.tar.gz"; filename*=UTF-8''2024-05-01_09-41-123_acme_tools_widget_export.tar.gz`: "2024-05-01_09-41-123_acme_tools_widget_export.tar.gz",
	`attachment; filename=2018-03-22_10-15-200_acme_widget_export.tar.gz`:                                                                                "2018-03-22_10-15-200_acme_widget_export.tar.gz",
	``:                              "",
	`attachment`:                    "",
	`inline; filename=""`:           "",
	`attachment; filename="a b.gz"`: "a b.gz",
	`attachment; filename=a b.gz`:   "",
	`attachment; filename="a.gz`:    "",
	`attachment; filename*=UTF-8''%C3%A4.tar.gz`:                 "ä.tar.gz",
	`attachment; filename="a.gz"; filename*=UTF-8''..%2Fb%2F.gz`: ".gz",
	`attachment; filename="a.gz"; filename="b.gz"`:               "",
	`attachment; filename="../../etc/passwd"`:                    "passwd",
	`attachment; filename="/etc/cron.d/x"`:                       "x",
	`attachment; filename="..\\..\\boot.ini"`:                    "boot.ini",
	`attachment; filename="C:\\windows\\a.gz"`:                   "a.gz",
	`attachment; filename="C:a.gz"`:                              "a.gz",
	`attachment; filename="a.gz:stream"`:                         "stream",
	`attachment; filename=".."`:                                  "",
	`attachment; filename="."`:                                   "",
	`attachment; filename="/"`:                                   "",
	`attachment; filename="a/.."`:                                "",
	`attachment; filename*=UTF-8''.%00.`:                         "",
	`attachment; filename*=UTF-8''a%0D%0Ab%1B%5B2J.gz`:           "a b[2J.gz",
	`attachment; filename*=UTF-8''a%E2%80%AEzg.tar`:              "azg.tar",
	`attachment; filename*=UTF-8''%FF%FE.gz`:                     "??.gz",
	`attachment; filename="` + strings.Repeat("x", 300) + `"`:    strings.Repeat("x", 250) + "…",
}

func TestSuggestedName(t *testing.T) {
	for header, want := range dispositions {
		if got := suggestedName(http.Header{"Content-Disposition": {header}}); got != want {
			t.Errorf("%s:\n%q, not %q", header, got, want)
		}
	}
}

func FuzzContentDisposition(f *testing.F) {
	for header := range dispositions {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		name := suggestedName(http.Header{"Content-Disposition": {header}})
		switch {
		case name == "":
			return
		case name == ".", name == "..", strings.ContainsAny(name, `/\:`), filepath.Base(name) != name:
			t.Errorf("%q: %q is more than a name", header, name)
		case !utf8.ValidString(name), strings.ContainsFunc(name, unicode.IsControl), strings.TrimSpace(name) != name, len(name) > 255:
			t.Errorf("%q: %q can't be shown or used", header, name)
		}
	})
}
