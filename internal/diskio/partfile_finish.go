package diskio

import (
	"fmt"
	"os"
	"sync"
)

// Finish gives a whole archive its name. If it can't, the error names the file
// that the archive stays in. It does not wait for the disk, which takes much
// longer.
func (p *PartFile) Finish() error {
	if err := p.stopSync(); err != nil {
		return err
	}
	fi, err := p.bytes.Stat()
	if err != nil {
		return err
	}
	name := p.bytes.Name()
	size := p.front()
	if fi.Size() < size {
		return fmt.Errorf("%s was cut by another program", name)
	}
	if fi.Size() > size {
		if err := p.bytes.Truncate(size); err != nil {
			return err
		}
	}
	if !stillThere(p.bytes) {
		return fmt.Errorf("%s was removed or replaced by another program", name)
	}
	p.takeMode(0)
	p.closed = true
	if err := p.bytes.Close(); err != nil { // a file system may tell now that it is full
		if p.state == nil {
			os.Remove(name)
		} else {
			p.state.Close()
		}
		return err
	}
	if err = rename(name, p.target); err != nil {
		p.keepWhole(name)
		return fmt.Errorf("%w; the whole archive is in %s", err, name)
	}
	p.removeState()
	return nil
}

// keepWhole notes that the archive in a closed part file is whole, so that the
// next call can give it its name. If that can't be noted, it becomes a file
// that porter knows nothing of, and leaves alone.
func (p *PartFile) keepWhole(name string) {
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
	size := p.front()
	p.known.Synced, p.known.Ranges, p.known.Whole = size, nil, true
	if err != nil || p.known.Archive == nil || p.state.writeSynced(p.known) != nil {
		p.removeState()
		return
	}
	p.state.Close()
}

// Leave closes a part file for a later call to continue, or removes it if
// none can. Nothing is removed that was there before. After Finish, Leave or
// Discard it does nothing.
func (p *PartFile) Leave() {
	if p.closed {
		return
	}
	if p.sync != nil {
		p.sync.sync()
		p.stopSync()
	}
	fi, err := p.bytes.Stat()
	if p.state == nil || err == nil && fi.Size() == 0 || p.began && p.known.Synced == 0 || !stillThere(p.bytes) {
		p.remove()
		return
	}
	p.close()
}

// checking is locked by a check: many at a time would hold many files open.
var checking sync.Mutex

// Check makes sure that the part file of target can be written, and leaves
// all files as they are. It returns the target's absolute name.
func Check(target string) (string, error) {
	checking.Lock()
	defer checking.Unlock()
	p, err := Open(target, 0)
	if err != nil {
		return "", err
	}
	p.Leave()
	return p.target, nil
}

// Discard is Leave, but removes what there is of the archive that was asked
// of Resumable, or begun.
func (p *PartFile) Discard() {
	if p.ours {
		p.remove()
	} else {
		p.Leave()
	}
}

// remove removes a part file, unless it is a whole archive.
func (p *PartFile) remove() {
	if p.closed {
		return
	}
	p.stopSync()
	if p.known.Whole {
		p.close()
		return
	}
	p.closed = true
	remove(p.bytes)
	p.removeState()
}

// removeState comes last: until then its lock keeps others away.
func (p *PartFile) removeState() {
	if p.state != nil {
		remove(p.state.File)
	}
}
