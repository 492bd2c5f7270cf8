// Package diskio keeps archives on disk: part files, which become whole files
// at the end and are continued by a later call if they did not, and spools,
// which are read while they are written. It knows nothing of where the bytes
// come from.
package diskio

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// A PartFile is an archive that is not whole yet, beside its target: its bytes
// in NAME.part, with gaps where some are missing, and in NAME.part.json what is
// known of them. The latter is
// locked as long as a process writes.
//
// Only a file that such a state describes is porter's own. Whatever else has
// that name is never written, renamed or removed: the part file gets another
// name then, has no state, and no later call can continue it.
type PartFile struct {
	growing
	target string
	mode   fs.FileMode // that the target is to have; 0 for that of the file that it replaces
	bytes  *os.File
	state  *stateFile // nil for a part file that nobody can continue
	known  partState
	began  bool // what was there before is of no use any more
	ours   bool // belongs to what is being downloaded now
	sync   *syncer
	closed bool
}

// Open opens the part file of a target, which may not be there yet. If that is
// being written already, or another program's file has its name, it returns one
// with a name of its own. It ends with Finish, Leave or Discard. The target will
// have the permissions mode; 0 is those of the file that it replaces.
func Open(target string, mode fs.FileMode) (*PartFile, error) {
	target, err := CheckTarget(target)
	if err != nil {
		return nil, err
	}
	p := &PartFile{target: target, mode: mode}
	err = p.named(p.open)
	if errors.Is(err, errLocked) || errors.Is(err, errForeign) {
		err = p.named(p.openAside)
	}
	if err != nil {
		return nil, err
	}
	p.takeMode(ownerMode)
	return p, nil
}

// Target returns the absolute name of the target.
func (p *PartFile) Target() string { return p.target }

// Whole returns the name of the file if it holds a whole archive, which an
// earlier call could not give its name, and "" otherwise.
func (p *PartFile) Whole() string {
	if !p.known.Whole {
		return ""
	}
	return p.bytes.Name()
}

// named calls open with the target's name, or, if that leaves no room for what
// open adds to it, with a short name that stands for it.
func (p *PartFile) named(open func(stem string) error) error {
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
func (p *PartFile) open(stem string) error {
	bytes, state := stem+".part", stem+".part.json"
	for _, name := range []string{bytes, state} { // or opening it would make what it points to
		if err := checkOrdinary(name); err != nil {
			return err
		}
	}
	f, made, err := openState(state)
	if err != nil {
		return err
	}
	p.state = f
	if err = p.openBytes(bytes, made); err == nil {
		return nil
	}
	if made {
		remove(f.File)
	} else {
		f.Close()
	}
	p.state = nil
	return err
}

// openBytes opens the bytes that the state describes, or, if there are none,
// makes an empty file and its state. made is whether the state's file is new.
func (p *PartFile) openBytes(name string, made bool) error {
	if !stillThere(p.state.File) {
		return linkError(p.state.Name())
	}
	known, valid, err := p.state.read()
	if err != nil {
		return err
	}
	if !valid && p.state.length > 0 {
		return errForeign
	}
	p.bytes, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, newFileMode)
	if err == nil {
		if err = p.state.write(partState{}); err != nil { // which makes the new file ours
			remove(p.bytes)
		}
		return err
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if p.bytes, err = os.OpenFile(name, os.O_RDWR, 0); err != nil {
		return foreignIfThere(err, name)
	}
	switch {
	case !stillThere(p.bytes):
		err = linkError(name)
	case !valid && !made && p.isEmpty():
		err = p.state.write(partState{}) // a process was killed in here, just before it wrote this
	case !valid:
		err = errForeign
	default:
		err = p.recognize(known)
	}
	if err != nil {
		p.bytes.Close()
	}
	return err
}

// isEmpty reports whether both files are, so that nothing is lost whosever they are.
func (p *PartFile) isEmpty() bool {
	fi, err := p.bytes.Stat()
	return err == nil && fi.Size() == 0 && p.state.length == 0
}

// recognize looks whether a state is that of the bytes, and takes it.
func (p *PartFile) recognize(known partState) error {
	fi, err := p.bytes.Stat()
	if err != nil {
		return err
	}
	if fi.Size() > 0 {
		if same, err := known.hasHeadOf(p.bytes); err != nil {
			return err
		} else if !same {
			return errForeign
		}
	}
	if fi.Size() < known.Synced { // somebody cut it
		known.Synced, known.Ranges, known.Whole = 0, nil, false
	}
	known.Ranges = known.Ranges.Within(known.Synced, fi.Size())
	p.known = known
	return nil
}

// openAside makes a part file with a name of its own.
func (p *PartFile) openAside(stem string) (err error) {
	p.known = partState{}
	p.bytes, err = os.CreateTemp(filepath.Dir(stem), filepath.Base(stem)+".*.part")
	return err
}

// takeMode gives the part file the group of the file that it will replace, and
// that file's mode if no other is wanted, and also the bits that it needs
// meanwhile. Some file systems have no modes, so errors are no reason to fail.
func (p *PartFile) takeMode(also fs.FileMode) {
	mode := fs.FileMode(newFileMode)
	if old, err := os.Stat(p.target); err == nil && old.Mode().IsRegular() {
		mode = old.Mode().Perm()
		if !takeGroup(p.bytes, old) {
			mode &^= 0o070 // they are for another group
		}
	}
	if p.mode != 0 {
		mode = p.mode
	}
	if fi, err := p.bytes.Stat(); err == nil && fi.Mode() != mode|also {
		p.bytes.Chmod(mode | also)
	}
}

func (p *PartFile) close() {
	p.closed = true
	p.bytes.Close()
	if p.state != nil {
		p.state.Close()
	}
}
