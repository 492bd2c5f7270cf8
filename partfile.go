package porter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed-5d77b939/porter/internal/wait"
)

// A partFile is an archive that is not whole yet, beside its target: its bytes
// in NAME.part, and in NAME.part.json what is known of them. The latter is
// locked as long as a process writes.
//
// Only a file that such a state describes is porter's own. Whatever else has
// that name is never written, renamed or removed: the part file gets another
// name then, has no state, and no later call can continue it.
type partFile struct {
	target string
	bytes  *os.File
	state  *os.File // nil for a part file that nobody can continue
	known  partState
	length int   // of the state in its file
	off    int64 // of the next write
	began  bool  // what was there before is of no use any more
	ours   bool  // belongs to what is being downloaded now
	sync   *syncer
	closed bool
}

// A partState is what NAME.part.json holds.
type partState struct {
	Origin  string          `json:"origin,omitempty"`      // where the archive comes from
	Archive json.RawMessage `json:"archive,omitempty"`     // tells it from other archives; none if nobody can continue it
	Head    string          `json:"head,omitempty"`        // hash of the first bytes, which tells the part file from other files
	HeadLen int64           `json:"head_length,omitempty"` // how many bytes that are
	Synced  int64           `json:"synced"`                // how many bytes are certainly on the disk
	Whole   bool            `json:"whole,omitempty"`       // that is all of it, but it could not be given its name
}

// A sealedState is a partState as it is written, because a loss of power may
// leave half of it.
type sealedState struct {
	CRC32 uint32          `json:"crc32"`
	State json.RawMessage `json:"state"`
}

const (
	maxPartState = 64 << 10
	maxPartHead  = 512
	// newFileMode is the mode of a file that replaces none. Not everyone may
	// read what is in an archive.
	newFileMode = 0o600
	// ownerMode is what a part file needs to be continued.
	ownerMode = 0o600
)

// errLocked reports that another process, or goroutine, holds a lock, or that
// this file system has none.
var errLocked = errors.New("locked")

// errForeign reports that a file is not porter's own.
var errForeign = errors.New("file of another program")

// checkTarget refuses a target before GitLab is asked for anything. It returns
// its absolute name, because the working directory may change meanwhile.
func checkTarget(name string) (string, error) {
	if name == "" {
		return "", errors.New("file name is empty")
	}
	name, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	if _, err := os.Lstat(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if fi, err := os.Stat(name); err == nil && !fi.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", name)
	}
	dir := filepath.Dir(name)
	fi, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	if !fi.IsDir() {
		return "", fmt.Errorf("%s is not a directory", dir)
	}
	return name, nil
}

// checkPart makes sure that the part file of target can be written, and leaves
// all files as they are. It returns the target's absolute name.
func checkPart(target string) (string, error) {
	target, err := checkTarget(target)
	if err != nil {
		return "", err
	}
	p, err := openPart(target)
	if err != nil {
		return "", err
	}
	p.leave()
	return target, nil
}

// openPart opens the part file of target. If that is being written already, or
// another program's file has its name, it returns one with a name of its own.
func openPart(target string) (*partFile, error) {
	p := &partFile{target: target}
	err := p.named(p.open)
	if errors.Is(err, errLocked) || errors.Is(err, errForeign) {
		err = p.named(p.openAside)
	}
	if err != nil {
		return nil, err
	}
	p.takeMode(ownerMode)
	return p, nil
}

// named calls open with the target's name, or, if that leaves no room for what
// open adds to it, with a short name that stands for it.
func (p *partFile) named(open func(stem string) error) error {
	err := open(p.target)
	if !nameTooLong(err) {
		return err
	}
	dir, name := filepath.Split(p.target)
	hash := sha256.Sum256([]byte(name))
	return open(dir + "porter-" + hex.EncodeToString(hash[:8]))
}

// open opens the part file and its state, or makes them. If it fails, all
// files are as they were.
func (p *partFile) open(stem string) error {
	for _, name := range []string{stem + ".part", stem + ".part.json"} { // or opening it would make what it points to
		if err := checkOrdinary(name); err != nil {
			return err
		}
	}
	state, made, err := openLocked(stem + ".part.json")
	if err != nil {
		return foreignIfThere(err, stem+".part.json")
	}
	p.state = state
	if err = p.openBytes(stem + ".part"); err == nil {
		return nil
	}
	if made {
		p.dropState()
	}
	p.state.Close()
	p.state = nil
	return err
}

func (p *partFile) openBytes(name string) error {
	if !stillThere(p.state) {
		return fmt.Errorf("%s is a link to another file", p.state.Name())
	}
	valid, err := p.readState()
	if err != nil {
		return err
	}
	if !valid && p.length > 0 {
		return errForeign
	}
	p.bytes, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, newFileMode)
	if err == nil {
		p.known = partState{}
		if err = p.writeState(); err != nil { // which makes the new file ours
			p.dropBytes()
		}
		return err
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if p.bytes, err = os.OpenFile(name, os.O_RDWR, 0); err != nil {
		return foreignIfThere(err, name)
	}
	if !stillThere(p.bytes) {
		err = fmt.Errorf("%s is a link to another file", name)
	} else {
		err = p.recognize(valid)
	}
	if err != nil {
		p.bytes.Close()
	}
	return err
}

// recognize looks whether the state is that of the bytes.
func (p *partFile) recognize(valid bool) error {
	fi, err := p.bytes.Stat()
	if err != nil {
		return err
	}
	if !valid {
		return errForeign
	}
	if fi.Size() > 0 {
		head := make([]byte, min(max(p.known.HeadLen, 0), maxPartHead))
		if _, err := p.bytes.ReadAt(head, 0); err != nil && err != io.EOF {
			return err
		}
		if len(head) == 0 || hashOf(head) != p.known.Head {
			return errForeign
		}
	}
	if fi.Size() < p.known.Synced { // somebody cut it
		p.known.Synced, p.known.Whole = 0, false
	}
	return nil
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// openAside makes a part file with a name of its own.
func (p *partFile) openAside(stem string) (err error) {
	p.known = partState{}
	p.bytes, err = os.CreateTemp(filepath.Dir(stem), filepath.Base(stem)+".*.part")
	return err
}

// checkOrdinary refuses what is there under a name and is no ordinary file.
func checkOrdinary(name string) error {
	fi, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case fi.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%s is a link to another file", name)
	case !fi.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", name)
	}
	return nil
}

// foreignIfThere returns what it means that a file could not be opened: one
// that is there, but closed to this user, is somebody else's.
func foreignIfThere(err error, name string) error {
	if _, lerr := os.Lstat(name); lerr == nil && errors.Is(err, fs.ErrPermission) {
		return errForeign
	}
	return err
}

// stillThere reports whether the name of an open file is still, and without a
// link, that of the same file.
func stillThere(f *os.File) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(opened, there)
}

// readState reads what is known, and reports whether that can be believed.
func (p *partFile) readState() (bool, error) {
	b, err := io.ReadAll(io.NewSectionReader(p.state, 0, maxPartState))
	if err != nil {
		return false, err
	}
	p.length = len(b)
	var s sealedState
	if json.Unmarshal(b, &s) != nil || len(s.State) == 0 || crc32.ChecksumIEEE(s.State) != s.CRC32 {
		return false, nil
	}
	p.known = partState{}
	return json.Unmarshal(s.State, &p.known) == nil && p.known.Synced >= 0, nil
}

// writeState writes what is known over what was known. It never makes the file
// shorter: some file systems would leave an empty one after a loss of power.
func (p *partFile) writeState() error {
	state, err := json.Marshal(p.known)
	if err != nil {
		return err
	}
	b, err := json.Marshal(sealedState{crc32.ChecksumIEEE(state), state})
	if err != nil {
		return err
	}
	for len(b) < p.length-1 {
		b = append(b, ' ')
	}
	b = append(b, '\n')
	p.length = len(b)
	_, err = p.state.WriteAt(b, 0)
	return err
}

// takeMode gives the part file the group and the mode of the file that it will
// replace, and also the bits that it needs meanwhile. Some file systems have
// no modes, so errors are no reason to fail.
func (p *partFile) takeMode(also fs.FileMode) {
	mode := fs.FileMode(newFileMode)
	if old, err := os.Stat(p.target); err == nil && old.Mode().IsRegular() {
		mode = old.Mode().Perm()
		if !takeGroup(p.bytes, old) {
			mode &^= 0o070 // they are for another group
		}
	}
	if fi, err := p.bytes.Stat(); err == nil && fi.Mode() != mode|also {
		p.bytes.Chmod(mode | also)
	}
}

// resumable returns how much of an archive from origin is there, and what
// tells that archive.
func (p *partFile) resumable(origin string) (int64, json.RawMessage) {
	p.ours = p.known.Archive != nil && p.known.Origin == origin
	if !p.ours {
		return 0, nil
	}
	return p.known.Synced, p.known.Archive
}

// begin empties the part file, and notes what it will hold. Without archive,
// which tells that archive from others, no later call can continue it.
func (p *partFile) begin(origin string, archive json.RawMessage) error {
	if err := p.forget(); err != nil {
		return err
	}
	if p.known.Whole { // a whole archive is not lost for one that may never be
		p.close()
		p.state = nil
		if err := p.named(p.openAside); err != nil {
			return err
		}
		p.closed = false
		p.takeMode(ownerMode)
	}
	fi, err := p.bytes.Stat()
	if err != nil {
		return err
	}
	if fi.Size() > 0 { // ext4 takes 1.7 times as long to close a file that was truncated, even if it was empty
		if err := p.bytes.Truncate(0); err != nil {
			return err
		}
	}
	if len(origin)+len(archive) > maxPartState/4 {
		archive = nil
	}
	p.known = partState{Origin: origin, Archive: archive}
	p.began, p.ours = true, true
	return p.continueAt(0)
}

// forget notes, on the disk, that none of the bytes can be believed.
func (p *partFile) forget() error {
	if err := p.stopSync(); err != nil {
		return err
	}
	if p.state == nil || p.known.Synced == 0 || p.known.Whole {
		return nil
	}
	p.known.Synced, p.began = 0, true
	if err := p.writeState(); err != nil {
		return err
	}
	return p.state.Sync()
}

// continueAt makes the next write the one at off. What is beyond is replaced
// as the new bytes come.
func (p *partFile) continueAt(off int64) error {
	if p.state != nil && p.known.Archive != nil {
		p.sync = &syncer{file: p.bytes, note: p.noteSynced}
	}
	p.off = off
	_, err := p.bytes.Seek(off, io.SeekStart)
	return err
}

func (p *partFile) stopSync() error {
	if p.sync == nil {
		return nil
	}
	err := p.sync.stop()
	p.sync = nil
	return err
}

// noteSynced notes that the first off bytes are on the disk. If that can't be
// noted, less is believed later.
func (p *partFile) noteSynced(off int64) {
	if off <= p.known.Synced {
		return
	}
	first := p.known.Synced == 0
	p.known.Synced = off
	if p.writeState() == nil && p.state.Sync() == nil && first {
		syncFolder(filepath.Dir(p.state.Name())) // so that it has its files
	}
}

// syncFolder makes the names in a folder last, where the system can.
func syncFolder(dir string) {
	if f, err := os.Open(dir); err == nil {
		f.Sync()
		f.Close()
	}
}

// Write writes the next bytes. What tells the file from others is noted first.
func (p *partFile) Write(b []byte) (int, error) {
	if p.state != nil && p.known.Head == "" && len(b) > 0 {
		head := b[:min(len(b), maxPartHead)]
		p.known.Head, p.known.HeadLen = hashOf(head), int64(len(head))
		if err := p.writeState(); err != nil {
			return 0, err
		}
	}
	n, err := p.bytes.Write(b)
	p.off += int64(n)
	if p.sync != nil && n > 0 {
		if serr := p.sync.wrote(p.off); err == nil {
			err = serr
		}
	}
	return n, err
}

// checkRoom refuses an archive that the disk has no room for.
func (p *partFile) checkRoom(size int64, anew bool) error {
	fi, err := p.bytes.Stat()
	if err != nil {
		return err
	}
	if !anew || !p.known.Whole { // the room that the part file takes is used again
		size -= fi.Size()
	}
	return checkSpace(filepath.Dir(p.target), size)
}

// verify has the bytes up to the next write verified.
func (p *partFile) verify(ctx context.Context, verify func(io.Reader) error) error {
	err := verify(&contextReader{ctx, io.NewSectionReader(p.bytes, 0, p.off)})
	if ctx.Err() != nil {
		return wait.Ended(ctx)
	}
	return err
}

// A contextReader reads as long as the context has not ended.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

// finish gives a whole archive its name. If it can't, the error names the file
// that the archive stays in. It does not wait for the disk, which would take
// 1.8 times the time.
func (p *partFile) finish() error {
	if err := p.stopSync(); err != nil {
		return err
	}
	fi, err := p.bytes.Stat()
	if err != nil {
		return err
	}
	name := p.bytes.Name()
	if fi.Size() < p.off {
		return fmt.Errorf("%s was cut by another program", name)
	}
	if fi.Size() > p.off {
		if err := p.bytes.Truncate(p.off); err != nil {
			return err
		}
	}
	if !stillThere(p.bytes) {
		return fmt.Errorf("%s was removed or replaced by another program", name)
	}
	p.takeMode(0)
	if err := p.bytes.Close(); err != nil { // a file system may tell now that it is full
		p.closed = true
		if p.state == nil {
			os.Remove(name)
		} else {
			p.state.Close()
		}
		return err
	}
	p.closed = true
	if err = os.Rename(name, p.target); err != nil {
		p.keepWhole(name)
		return fmt.Errorf("%w; the whole archive is in %s", err, name)
	}
	p.dropState()
	return nil
}

// keepWhole notes that the archive in a closed part file is whole, so that the
// next call can give it its name. If that can't be noted, it becomes a file
// that porter knows nothing of, and leaves alone.
func (p *partFile) keepWhole(name string) {
	if p.state == nil {
		return
	}
	if fi, err := os.Stat(name); err == nil && fi.Mode()&ownerMode != ownerMode {
		os.Chmod(name, fi.Mode()|ownerMode)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err == nil {
		err = f.Sync()
		f.Close()
	}
	p.known.Synced, p.known.Whole = p.off, true
	if err != nil || p.known.Archive == nil || p.writeState() != nil || p.state.Sync() != nil {
		p.dropState()
		return
	}
	p.state.Close()
}

// leave closes a part file for a later call to continue, or removes it if
// none can. Nothing is removed that was there before.
func (p *partFile) leave() {
	if p.closed {
		return
	}
	if p.sync != nil {
		p.sync.sync()
		p.stopSync()
	}
	fi, err := p.bytes.Stat()
	if p.state == nil || err == nil && fi.Size() == 0 || p.began && p.known.Synced == 0 || !stillThere(p.bytes) {
		p.discard()
		return
	}
	p.close()
}

// discard removes a part file, unless it is a whole archive.
func (p *partFile) discard() {
	if p.closed {
		return
	}
	p.stopSync()
	if p.known.Whole {
		p.close()
		return
	}
	p.closed = true
	p.dropBytes()
	p.dropState()
}

func (p *partFile) close() {
	p.closed = true
	p.bytes.Close()
	if p.state != nil {
		p.state.Close()
	}
}

// dropBytes removes the bytes. Where an open file can't be removed, it must be
// closed first.
func (p *partFile) dropBytes() {
	own := stillThere(p.bytes)
	p.bytes.Close()
	if own {
		os.Remove(p.bytes.Name())
	}
}

// dropState removes the state while it is still locked, so that nobody finds
// it without its bytes. Where an open file can't be removed, it is closed first.
func (p *partFile) dropState() {
	if p.state == nil {
		return
	}
	own := stillThere(p.state)
	removed := own && os.Remove(p.state.Name()) == nil
	p.state.Close()
	if own && !removed {
		os.Remove(p.state.Name())
	}
}
