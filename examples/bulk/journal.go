package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/seed-5d77b939/porter"
)

// journalVersion is that of the format below.
const journalVersion = 1

// A header is the first line of a journal: what run it is of.
type header struct {
	Version         int       `json:"bulk"`
	Command         string    `json:"command"` // export or migrate
	Source          string    `json:"source"`  // URL of the API
	SourceUser      string    `json:"source_user,omitempty"`
	Destination     string    `json:"destination,omitempty"`
	DestinationUser string    `json:"destination_user,omitempty"`
	Begun           time.Time `json:"begun"`
}

// differs says what of h another run does not share, "" for nothing. A user
// who is not known is no difference.
func (h header) differs(from header) string {
	for _, is := range []struct{ what, of, not string }{
		{"command", h.Command, from.Command},
		{"source", h.Source, from.Source},
		{"destination", h.Destination, from.Destination},
		{"user at the source", h.SourceUser, from.SourceUser},
		{"user at the destination", h.DestinationUser, from.DestinationUser},
	} {
		unknown := is.of == "" || is.not == ""
		if is.of != is.not && !(unknown && (is.what == "user at the source" || is.what == "user at the destination")) {
			return fmt.Sprintf("its %s is %q, not %q", is.what, is.of, is.not)
		}
	}
	return ""
}

// A record is any other line: how far a project has come. The last one of a
// project counts.
type record struct {
	Project    string             `json:"project,omitempty"`
	To         string             `json:"to,omitempty"` // the file, or the path at the destination
	Step       step               `json:"step"`
	Begun      time.Time          `json:"begun,omitzero"` // with an end
	Time       time.Time          `json:"time"`
	ID         porter.ProjectID   `json:"id,omitempty"`
	Bytes      int64              `json:"bytes,omitempty"`
	Lost       []string           `json:"lost,omitempty"`
	Unproven   []string           `json:"unproven,omitempty"`
	Error      string             `json:"error,omitempty"`
	Checkpoint *porter.Checkpoint `json:"checkpoint,omitempty"` // where a migration is to be taken up
}

// stepEnded is of the record without a project that ends a run of which
// everything is done.
const stepEnded step = "ended"

func (r record) key() string { return r.Project + "\n" + r.To }

// recordOf is a project's record, at its present step.
func recordOf(p project) record {
	return record{Project: p.Name, To: p.Target + p.File, Step: p.Step, Begun: p.Begun, Time: time.Now().UTC(), ID: p.ID,
		Bytes: p.Bytes, Lost: p.Lost, Unproven: p.Unproven}
}

// A history is what a journal says.
type history struct {
	header  header
	records map[string]record // the last of each project
	ended   bool              // everything was done
	size    int64             // of the whole lines
}

// journalError is why a file can't be this run's journal.
type journalError struct{ text string }

func (e *journalError) Error() string { return e.text }

func refused(format string, args ...any) error { return &journalError{fmt.Sprintf(format, args...)} }

// of returns what is known of a project.
func (h *history) of(p project) (record, bool) {
	r, ok := h.records[recordOf(p).key()]
	return r, ok
}

// readHistory reads the journal in a file. A half last line is left out: its
// writer was killed. The error is fs.ErrNotExist if there is no journal, and an
// empty file is none. A device is not one either: it may have no end, and must
// not be renamed.
func readHistory(name string) (*history, error) {
	if fi, err := os.Stat(name); err == nil && !fi.Mode().IsRegular() {
		return nil, refused("%s is not a regular file", name)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 {
		return nil, fs.ErrNotExist
	}
	b = b[:bytes.LastIndexByte(b, '\n')+1]
	h := &history{records: map[string]record{}, size: int64(len(b))}
	n := 0
	for line := range bytes.Lines(b) {
		if n++; n == 1 {
			if err := json.Unmarshal(line, &h.header); err != nil || h.header.Version == 0 {
				break
			}
			if h.header.Version != journalVersion {
				return nil, refused("%s is a journal of version %d; this program writes version %d", name, h.header.Version, journalVersion)
			}
			continue
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, refused("%s:%d: not a line of a journal: %v", name, n, err)
		}
		switch {
		case r.Step == stepEnded:
			h.ended = true
		default:
			h.ended = false
			h.records[r.key()] = r
		}
	}
	if h.header.Version == 0 {
		return nil, refused("%s is not a journal of this program; it was left as it is", name)
	}
	return h, nil
}

// recall reads the journal of an earlier run that is to be continued; nil if
// another run begins. What earlier runs took stands in both cases.
func recall(name string, h header, newAfter time.Duration) (past *history, took map[string]time.Duration, err error) {
	past, err = readHistory(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		past = nil
	case err != nil:
		return nil, nil, err
	default:
		if text := past.header.differs(h); text != "" {
			return nil, nil, refused("%s is the journal of another run: %s; name another file with -journal", name, text)
		}
	}
	took = map[string]time.Duration{}
	older, err := readHistory(name + ".old") // which only helps to estimate
	if err == nil && older.header.differs(h) == "" {
		older.durations(took)
	}
	if past == nil {
		return nil, took, nil
	}
	past.durations(took)
	if past.ended || newAfter > 0 && time.Since(past.header.Begun) > newAfter {
		past = nil
	}
	return past, took, nil
}

// durations adds how long the jobs took that are done.
func (h *history) durations(took map[string]time.Duration) {
	for key, r := range h.records {
		if (r.Step == stepDone || r.Step == stepIncomplete) && !r.Begun.IsZero() {
			took[key] = r.Time.Sub(r.Begun)
		}
	}
}

// errLocked is why a journal can't be used now.
var errLocked = errors.New("another run uses the journal")

// A journal is the file that a run writes how far it has come to, so that
// another one can take it up. It can be used by many goroutines.
type journal struct {
	name  string
	begun time.Time // the run, or the one that it takes up
	past  *history  // of the run that is taken up, nil for none
	took  map[string]time.Duration
	lock  *flock.Flock

	writing sync.Mutex
	file    journalFile
	written int64 // lines
	broken  error // what the first failure was; nothing is written after it

	syncing sync.Mutex
	synced  int64 // lines
}

// A journalFile is what a journal needs of its file.
type journalFile interface {
	io.WriteCloser
	Sync() error
}

// openJournal opens the journal in a file, or begins one. One that ended with
// everything done, or that was begun more than newAfter ago, if that is not 0,
// is set aside as name.old.
func openJournal(name string, h header, newAfter time.Duration) (j *journal, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("journal: %w", err)
		}
	}()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	lock := flock.New(name + ".lock")
	switch locked, err := lock.TryLock(); {
	case err != nil:
		return nil, err
	case !locked:
		return nil, fmt.Errorf("%w %s", errLocked, name)
	}
	defer func() {
		if err != nil {
			lock.Unlock()
		}
	}()
	j = &journal{name: name, begun: h.Begun, lock: lock}
	if j.past, j.took, err = recall(name, h, newAfter); err != nil {
		return nil, err
	}
	if j.past == nil {
		err = j.create(h)
	} else {
		j.begun = j.past.header.Begun
		err = os.Truncate(name, j.past.size)
	}
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, err
	}
	j.file = f
	return j, nil
}

// create makes the journal with its first line, in one move, and keeps the one
// before.
func (j *journal) create(h header) error {
	line, err := json.Marshal(h)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(j.name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		if err = os.Rename(j.name, j.name+".old"); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		err = os.Rename(j.name+".new", j.name)
	}
	if err != nil {
		os.Remove(j.name + ".new")
		return err
	}
	return syncDir(filepath.Dir(j.name))
}

// append writes a line and returns once it is on the disk. Lines that are
// written at the same time share the wait for it. After an error none is
// written any more: the journal would have a hole.
func (j *journal) append(r record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	j.writing.Lock()
	if j.broken == nil {
		if _, err := j.file.Write(append(line, '\n')); err != nil {
			j.broken = fmt.Errorf("journal: %w", err)
		}
	}
	j.written++
	n, err := j.written, j.broken
	j.writing.Unlock()
	if err != nil {
		return err
	}
	return j.sync(n)
}

// failure returns why nothing can be written any more.
func (j *journal) failure() error {
	j.writing.Lock()
	defer j.writing.Unlock()
	return j.broken
}

// sync returns once the first n lines are on the disk.
func (j *journal) sync(n int64) error {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	if j.synced >= n {
		return nil
	}
	j.writing.Lock()
	n, err := j.written, j.broken
	j.writing.Unlock()
	if err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		j.writing.Lock()
		defer j.writing.Unlock()
		j.broken = fmt.Errorf("journal: %w", err)
		return j.broken
	}
	j.synced = n
	return nil
}

// Close ends the journal. The lock file stays: who removed it could remove that
// of the next run.
func (j *journal) Close() error {
	err := j.file.Close()
	if uerr := j.lock.Unlock(); err == nil {
		err = uerr
	}
	return err
}

// syncDir makes sure that a name in the folder is on the disk. Windows can't,
// and writes it by itself.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// syncFile makes sure that a file is on the disk with its name.
func syncFile(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0) // on Windows, to sync is to write
	if err != nil {
		return err
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = syncDir(filepath.Dir(name))
	}
	return err
}
