package diskio

import (
	"context"
	"encoding/json"
	"io"
	"math"
	"path/filepath"
	"slices"

	"github.com/seed-5d77b939/porter/internal/wait"
)

// Resumable returns how much of an archive from origin is there, and what was
// given to Begin to tell that archive from others.
func (p *PartFile) Resumable(origin string) (int64, json.RawMessage) {
	p.ours = p.known.Archive != nil && p.known.Origin == origin
	if !p.ours {
		return 0, nil
	}
	return p.known.Synced, p.known.Archive
}

// Ranges returns what is there of that archive beyond what Resumable returns.
func (p *PartFile) Ranges() Extents { return p.known.Ranges }

// CheckSpace refuses an archive that the disk has no room for, downloaded anew
// or continued. A size that is not known is negative.
func (p *PartFile) CheckSpace(size int64, anew bool) error {
	fi, err := p.bytes.Stat()
	if err != nil {
		return err
	}
	if !anew || !p.known.Whole { // the room that the part file takes is used again
		size -= fi.Size()
	}
	return CheckSpace(filepath.Dir(p.target), size)
}

// Begin empties the part file, and notes what it will hold. Without archive,
// which tells that archive from others, no later call can continue it.
func (p *PartFile) Begin(origin string, archive json.RawMessage) error {
	if err := p.Forget(); err != nil {
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
	if fi.Size() > 0 { // ext4 takes longer to close a file that was truncated, even if it was empty
		if err := p.bytes.Truncate(0); err != nil {
			return err
		}
	}
	if len(origin)+len(archive) > maxPartState/4 {
		archive = nil
	}
	p.known = partState{Origin: origin, Archive: archive}
	p.began, p.ours = true, true
	p.Continue(0)
	return nil
}

// Continue begins with what is there: the bytes before off, and what is beyond.
// All else is replaced as the new bytes come.
func (p *PartFile) Continue(off int64, beyond ...Extent) {
	if p.state != nil && p.known.Archive != nil {
		p.sync = &syncer{file: p.bytes, written: p.There, note: p.noteSynced}
	}
	there := Extents(beyond).Within(off, math.MaxInt64)
	there.Add(Extent{0, off})
	p.restart(there)
}

// noteSynced notes that what was written is on the disk. If that can't be
// noted, less is believed later.
func (p *PartFile) noteSynced(written Extents) {
	synced := max(written.Front(), p.known.Synced)
	ranges := written.Within(synced, math.MaxInt64)
	if ranges = ranges[:min(len(ranges), maxRanges)]; synced == p.known.Synced && slices.Equal(ranges, p.known.Ranges) {
		return
	}
	first := p.known.Synced == 0
	p.known.Synced, p.known.Ranges = synced, ranges
	if p.state.writeSynced(p.known) == nil && first {
		syncFolder(filepath.Dir(p.state.Name())) // so that it has its files
	}
}

func (p *PartFile) stopSync() error {
	if p.sync == nil {
		return nil
	}
	err := p.sync.stop()
	p.sync = nil
	return err
}

// WriteAt writes bytes at their place. It can be called by several goroutines once
// the first bytes have been written: what tells the file from others is noted
// before them.
func (p *PartFile) WriteAt(b []byte, off int64) (int, error) {
	if off == 0 && p.state != nil && p.known.Head == "" && len(b) > 0 {
		p.known.takeHead(b)
		if err := p.state.write(p.known); err != nil {
			return 0, err
		}
	}
	n, err := p.writeAt(p.bytes, b, off)
	if p.sync != nil && n > 0 {
		if serr := p.sync.wrote(); err == nil {
			err = serr
		}
	}
	return n, err
}

// Follow reads the bytes between two places as they come, and waits for those
// that are missing as long as the context lasts.
func (p *PartFile) Follow(ctx context.Context, from, to int64) io.Reader {
	return &followReader{g: &p.growing, f: p.bytes, ctx: ctx, off: from, to: to}
}

// Verify has the bytes up to the first that is missing verified.
func (p *PartFile) Verify(ctx context.Context, verify func(io.Reader) error) error {
	front := p.front()
	err := verify(&contextReader{ctx, io.NewSectionReader(p.bytes, 0, front)})
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

// Forget notes, on the disk, that none of the bytes can be believed.
func (p *PartFile) Forget() error {
	if err := p.stopSync(); err != nil {
		return err
	}
	if p.state == nil || p.known.Synced == 0 || p.known.Whole {
		return nil
	}
	p.known.Synced, p.known.Ranges, p.began = 0, nil, true
	return p.state.writeSynced(p.known)
}
