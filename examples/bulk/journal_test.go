package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-5d77b939/porter"
)

var testHeader = header{Version: journalVersion, Command: "export", Source: "https://a.example/api/v4/", SourceUser: "ann",
	Begun: time.Date(2026, 11, 26, 2, 0, 0, 0, time.UTC)}

var testMigration = header{Version: journalVersion, Command: "migrate", Source: "https://a.example/api/v4/", SourceUser: "ann",
	Destination: "https://b.example/api/v4/", DestinationUser: "bob", Begun: testHeader.Begun}

func text(t *testing.T, lines ...any) string {
	t.Helper()
	var b strings.Builder
	for _, line := range lines {
		if err := json.NewEncoder(&b).Encode(line); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func doneRecord(name string) record {
	return record{Project: name, To: name + ".tar.gz", Step: stepDone, Begun: testHeader.Begun,
		Time: testHeader.Begun.Add(time.Minute), Bytes: 7}
}

// What a journal was left like decides how the next run begins.
func TestOpenJournal(t *testing.T) {
	t.Parallel()
	other := func(change func(*header)) header {
		h := testMigration
		change(&h)
		return h
	}
	whole := text(t, testHeader, doneRecord("a/p"))
	for _, tt := range []struct {
		name     string
		content  string
		header   header
		newAfter time.Duration
		past     string // names of the projects that are known, "-" for another run
		err      string
	}{
		{name: "none", header: testHeader, past: "-"},
		{name: "empty", content: "", header: testHeader, past: "-"},
		{name: "continued", content: whole, header: testHeader, past: "a/p"},
		{name: "half a last line", content: whole + `{"project":"a/q","st`, header: testHeader, past: "a/p"},
		{name: "zeros at the end", content: whole + "\x00\x00\x00", header: testHeader, past: "a/p"},
		{name: "header alone", content: text(t, testHeader), header: testHeader, past: ""},
		{name: "everything is done", content: whole + text(t, record{Step: stepEnded}), header: testHeader, past: "-"},
		{name: "half of the last word", content: whole + `{"step":"ended"`, header: testHeader, past: "a/p"},
		{name: "an old one", content: whole, header: testHeader, newAfter: time.Second, past: "-"},
		{name: "a young one", content: whole, header: testHeader, newAfter: 1e6 * time.Hour, past: "a/p"},
		{name: "a user who is not known", content: text(t, other(func(h *header) { h.SourceUser = "" })), header: testMigration},
		{name: "another command", content: whole, header: testMigration, err: `its command is "export", not "migrate"`},
		{name: "another source", content: text(t, other(func(h *header) { h.Source = "x" })), header: testMigration, err: `its source is "x"`},
		{name: "another destination", content: text(t, other(func(h *header) { h.Destination = "x" })), header: testMigration,
			err: `its destination is "x", not "https://b.example/api/v4/"; name another file with -journal`},
		{name: "another user", content: text(t, other(func(h *header) { h.SourceUser = "eve" })), header: testMigration,
			err: `its user at the source is "eve", not "ann"`},
		{name: "another user there", content: text(t, other(func(h *header) { h.DestinationUser = "eve" })), header: testMigration,
			err: `its user at the destination is "eve"`},
		{name: "another version", content: text(t, other(func(h *header) { h.Version = 2 })), header: testMigration,
			err: "a journal of version 2"},
		{name: "a damaged line", content: whole + "{\n" + whole, header: testHeader, err: ":3: not a line of a journal"},
		{name: "another file", content: "dear diary,\n", header: testHeader, err: "is not a journal of this program; it was left as it is"},
		{name: "another file of one line", content: "dear diary", header: testHeader, err: "is not a journal of this program"},
		{name: "another JSON file", content: `{"name":"x"}` + "\n", header: testHeader, err: "is not a journal of this program"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			name := filepath.Join(t.TempDir(), "j")
			if tt.name != "none" {
				if err := os.WriteFile(name, []byte(tt.content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			j, err := openJournal(name, tt.header, tt.newAfter)
			if tt.err != "" {
				var refused *journalError
				if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), name) {
					t.Errorf("got %v, want %q", err, tt.err)
				}
				if b, _ := os.ReadFile(name); string(b) != tt.content {
					t.Errorf("the file was changed to %q", b)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkOpened(t, j, tt.past, tt.content)
		})
	}
}

// checkOpened looks what j knows, and whether the next run finds what it writes.
func checkOpened(t *testing.T, j *journal, past, content string) {
	t.Helper()
	got := "-"
	if j.past != nil {
		got = ""
		for _, r := range j.past.records {
			got += r.Project
		}
	}
	if got != past {
		t.Errorf("it knows %q, want %q", got, past)
	}
	if err := errors.Join(j.append(doneRecord("b/new")), j.Close()); err != nil {
		t.Fatal(err)
	}
	h, err := readHistory(j.name)
	if err != nil || h.records["b/new\nb/new.tar.gz"].Bytes != 7 || h.ended {
		t.Errorf("the next run finds %+v, %v", h, err)
	}
	if old, err := os.ReadFile(j.name + ".old"); past == "-" && content != "" && string(old) != content {
		t.Errorf("the old journal is %q, %v", old, err)
	}
}

// How long jobs took is known from the journal before, too.
func TestDurations(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "j")
	for range 2 {
		j, err := openJournal(name, testHeader, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(j.append(doneRecord("a/p")), j.append(record{Step: stepEnded}), j.Close()); err != nil {
			t.Fatal(err)
		}
	}
	_, took, err := recall(name, testHeader, 0)
	if err != nil || took["a/p\na/p.tar.gz"] != time.Minute {
		t.Errorf("got %v, %v", took, err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, took, err = recall(name, testHeader, 0); err != nil || took["a/p\na/p.tar.gz"] != time.Minute {
		t.Errorf("from the one before: %v, %v", took, err)
	}
}

func TestJournalLock(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "sub", "j")
	first, err := openJournal(name, testHeader, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openJournal(name, testHeader, 0); !errors.Is(err, errLocked) || !strings.Contains(err.Error(), name) {
		t.Errorf("a second run: %v", err)
	}
	if err := errors.Join(first.append(doneRecord("a/p")), first.Close()); err != nil {
		t.Fatal(err)
	}
	next, err := openJournal(name, testHeader, 0)
	if err != nil || len(next.past.records) != 1 {
		t.Fatalf("the next one: %+v, %v", next, err)
	}
	next.Close()
}

// A fakeFile notes what is done with it.
type fakeFile struct {
	mu     sync.Mutex
	done   []string
	lines  int
	synced int // of the lines
	write  func() error
	sync   func() error
}

func (f *fakeFile) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.write != nil {
		if err := f.write(); err != nil {
			return len(b) / 2, err
		}
	}
	if strings.Count(string(b), "\n") != 1 || b[len(b)-1] != '\n' {
		return 0, fmt.Errorf("%q is not one line", b)
	}
	f.lines++
	f.done = append(f.done, "write")
	return len(b), nil
}

func (f *fakeFile) Sync() error {
	f.mu.Lock()
	lines := f.lines
	f.mu.Unlock()
	time.Sleep(time.Millisecond) // so that others write meanwhile
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sync != nil {
		if err := f.sync(); err != nil {
			return err
		}
	}
	f.synced = lines
	f.done = append(f.done, "sync")
	return nil
}

func (f *fakeFile) Close() error { return nil }

// A line is one write, and is on the disk when append returns; those of many
// goroutines share the waiting.
func TestAppendSyncs(t *testing.T) {
	t.Parallel()
	f := new(fakeFile)
	j := &journal{file: f}
	if err := j.append(doneRecord("a\nb")); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.done, " "); got != "write sync" {
		t.Errorf("it did %q", got)
	}
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if err := j.append(doneRecord(fmt.Sprint("a/", i))); err != nil {
				t.Error(err)
			}
			if f.mu.Lock(); f.synced == 0 {
				t.Error("nothing is on the disk yet")
			}
			f.mu.Unlock()
		})
	}
	wg.Wait()
	if syncs := len(f.done) - f.lines; f.lines != 101 || f.synced != 101 || syncs > 60 {
		t.Errorf("%d lines, of which %d are on the disk, by %d syncs", f.lines, f.synced, syncs)
	}
}

// Once a line could not be written, or not be brought to the disk, none is
// written any more, and everybody hears why.
func TestAppendFails(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left on device")
	for name, f := range map[string]*fakeFile{
		"disk full": {write: func() error { return full }},
		"sync":      {sync: func() error { return full }},
	} {
		j := &journal{file: f}
		for range 2 {
			if err := j.append(doneRecord("a/p")); !errors.Is(err, full) || !strings.HasPrefix(err.Error(), "journal: ") {
				t.Errorf("%s: %v", name, err)
			}
			f.write, f.sync = nil, nil // it works again: there is a hole all the same
		}
		if !errors.Is(j.failure(), full) || f.lines > 1 {
			t.Errorf("%s: %v after %d lines", name, j.failure(), f.lines)
		}
	}
}

func TestJournalFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openJournal(filepath.Join(file, "j"), testHeader, 0); err == nil || !strings.HasPrefix(err.Error(), "journal: ") {
		t.Errorf("below a file: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "j"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := openJournal(filepath.Join(dir, "j"), testHeader, 0); err == nil || !strings.HasPrefix(err.Error(), "journal: ") {
		t.Errorf("a folder: %v", err)
	}
	if runtime.GOOS == "windows" {
		t.Skip("devices and modes are different there")
	}
	device := filepath.Join(dir, "device")
	if err := os.Symlink(os.DevNull, device); err != nil {
		t.Skip(err)
	}
	if _, err := openJournal(device, testHeader, 0); err == nil || !strings.Contains(err.Error(), "device is not a regular file") {
		t.Errorf("a device: %v", err)
	}
	if got, err := os.Readlink(device); err != nil || got != os.DevNull {
		t.Errorf("the device has become %q, %v", got, err)
	}
	readOnly := filepath.Join(dir, "ro")
	if err := os.Mkdir(readOnly, 0o500); err != nil {
		t.Fatal(err)
	}
	if f, err := os.CreateTemp(readOnly, ""); err == nil {
		f.Close()
		os.Remove(f.Name())
		t.Skip("this user may write everywhere")
	}
	if _, err := openJournal(filepath.Join(readOnly, "j"), testHeader, 0); !errors.Is(err, os.ErrPermission) {
		t.Errorf("a folder that is read-only: %v", err)
	}
}

// A record comes back as it was written, with its checkpoint.
func TestRecord(t *testing.T) {
	t.Parallel()
	p := project{Name: "a/p", Target: "b/p", Step: stepMoving, Bytes: 5, ID: 9, Begun: testHeader.Begun}
	r := recordOf(p)
	r.Checkpoint = &porter.Checkpoint{Step: porter.StepUploading, Time: testHeader.Begun, Source: 9, Target: "b/p"}
	name := filepath.Join(t.TempDir(), "j")
	if err := os.WriteFile(name, []byte(text(t, testMigration, record{Project: "a/p", To: "b/p"}, r)), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := readHistory(name)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := h.of(project{Name: "a/p", Target: "b/p"})
	if !ok || got.Checkpoint == nil || *got.Checkpoint != *r.Checkpoint || got.ID != 9 || got.Step != stepMoving {
		t.Errorf("got %+v", got)
	}
	if _, ok := h.of(project{Name: "a/p", Target: "c/p"}); ok {
		t.Error("another target is taken for it")
	}
}
