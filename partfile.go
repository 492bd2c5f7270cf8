package porter

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
)

// A partFile is an archive that is not whole yet, beside its target: its bytes
// in NAME.part, and in NAME.part.json what tells whether a server still holds
// the same archive. The latter is locked as long as a process writes.
type partFile struct {
	target string
	bytes  *os.File
	state  *os.File // nil for a part file that nobody can continue
	useful bool     // a later call may continue it
	ours   bool     // it belongs to what is being downloaded now
}

// partState is what NAME.part.json holds.
type partState struct {
	Project string `json:"project"` // the URL of its download
	validator
}

const maxPartState = 64 << 10

// errLocked reports that another process, or goroutine, holds a lock, or that
// this file system has none.
var errLocked = errors.New("locked")

// checkTarget refuses a target before GitLab is asked for anything.
func checkTarget(name string) error {
	if name == "" {
		return errors.New("file name is empty")
	}
	if fi, err := os.Stat(name); err == nil && !fi.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", name)
	}
	dir := filepath.Dir(name)
	fi, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !fi.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	return nil
}

// openPart opens the part file of target. If that is being written already,
// it returns one with a name of its own, which begins empty.
func openPart(target string) (*partFile, error) {
	for _, suffix := range []string{".part", ".part.json"} { // or opening it would make what it points to
		if fi, err := os.Lstat(target + suffix); err == nil && fi.Mode()&fs.ModeSymlink != 0 {
			return nil, fmt.Errorf("%s is a link to another file", target+suffix)
		}
	}
	p := &partFile{target: target}
	name, flags := target+".part", os.O_RDWR|os.O_CREATE
	var err error
	switch p.state, err = openLocked(target + ".part.json"); {
	case errors.Is(err, errLocked):
		name = target + "." + strconv.FormatUint(rand.Uint64(), 36) + ".part"
		flags |= os.O_EXCL
	case err != nil:
		return nil, err
	}
	if err = checkOwn(p.state); err != nil {
		p.state.Close()
		return nil, err
	}
	if p.bytes, err = os.OpenFile(name, flags, 0o666); err == nil {
		if err = checkOwn(p.bytes); err == nil {
			return p, nil
		}
		p.bytes.Close()
	}
	if p.state == nil {
		return nil, err
	}
	if fi, serr := p.state.Stat(); serr == nil && fi.Size() > 0 {
		p.state.Close() // the bytes it tells of may open another time
	} else {
		p.dropState()
	}
	return nil, err
}

// checkOwn refuses a file that was opened by way of a symbolic link, because
// writing it would overwrite another. A nil file passes.
func checkOwn(f *os.File) error {
	if f == nil {
		return nil
	}
	opened, err := f.Stat()
	if err != nil {
		return err
	}
	there, err := os.Lstat(f.Name())
	if err != nil {
		return err
	}
	if !os.SameFile(opened, there) {
		return fmt.Errorf("%s is a link to another file", f.Name())
	}
	return nil
}

// checkPart makes sure that target's part file can be written, and keeps one
// that a later call may continue.
func checkPart(target string) error {
	if err := checkTarget(target); err != nil {
		return err
	}
	p, err := openPart(target)
	if err != nil {
		return err
	}
	p.resumable("") // notes whether it is of use
	p.leave()
	return nil
}

// resumable returns how much of the archive is there already, and what tells
// it, if it belongs to project.
func (p *partFile) resumable(project string) (int64, validator) {
	if p.state == nil {
		return 0, validator{}
	}
	var s partState
	b, err := io.ReadAll(io.NewSectionReader(p.state, 0, maxPartState))
	if err != nil || json.Unmarshal(b, &s) != nil {
		return 0, validator{}
	}
	// Anyone may have written it, so it is believed no more than a server is.
	v := validatorOf(http.Header{"Etag": {s.ETag}, "Last-Modified": {s.Modified}}, s.Size)
	fi, err := p.bytes.Stat()
	if err != nil || !v.resumable() || fi.Size() > v.Size {
		return 0, validator{}
	}
	var magic [2]byte
	if _, err := p.bytes.ReadAt(magic[:], 0); err != nil || !isGzip(magic[:]) {
		return 0, validator{}
	}
	p.useful, p.ours = true, s.Project == project
	if !p.ours {
		return 0, validator{}
	}
	// Of a part that is whole the last byte is asked for again, so that the
	// server says whether it is still the same archive.
	return min(fi.Size(), v.Size-1), v
}

// begin empties the part file and notes what it will hold.
func (p *partFile) begin(project string, v validator) error {
	p.useful, p.ours = false, true
	if err := p.continueAt(0); err != nil || p.state == nil {
		return err
	}
	b, err := json.Marshal(partState{project, v})
	if err != nil {
		return err
	}
	if err := p.state.Truncate(0); err != nil {
		return err
	}
	_, err = p.state.WriteAt(b, 0)
	p.useful = err == nil && v.resumable()
	return err
}

// continueAt makes the next write the one at off. It leaves a new file alone:
// ext4 writes one that was truncated to the disk when it is closed, in 1.7
// times the time.
func (p *partFile) continueAt(off int64) error {
	fi, err := p.bytes.Stat()
	if err != nil {
		return err
	}
	if fi.Size() != off {
		if err := p.bytes.Truncate(off); err != nil {
			return err
		}
	}
	_, err = p.bytes.Seek(off, io.SeekStart)
	return err
}

// finish gives a whole archive its name. It does not wait for the disk, which
// would take 1.8 times the time.
func (p *partFile) finish() error {
	if err := p.bytes.Close(); err != nil {
		return err
	}
	if err := os.Rename(p.bytes.Name(), p.target); err != nil {
		return err
	}
	p.dropState()
	return nil
}

// leave closes a part file for a later call to continue, or removes it if
// none can.
func (p *partFile) leave() {
	fi, err := p.bytes.Stat()
	if p.state == nil || !p.useful || err == nil && fi.Size() == 0 {
		p.discard()
		return
	}
	p.bytes.Close()
	p.state.Close()
}

// discard removes a part file.
func (p *partFile) discard() {
	p.bytes.Close()
	os.Remove(p.bytes.Name())
	p.dropState()
}

// dropState removes the state while it is still locked, so that nobody finds
// it without its bytes. Where an open file can't be removed, it is closed first.
func (p *partFile) dropState() {
	if p.state == nil {
		return
	}
	err := os.Remove(p.state.Name())
	p.state.Close()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		os.Remove(p.state.Name())
	}
}
