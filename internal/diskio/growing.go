package diskio

import (
	"context"
	"io"
	"os"
	"sync"

	"github.com/seed-5d77b939/porter/internal/wait"
)

// A growing file is written in places, by several goroutines at a time, while
// others read behind the front: up to the first byte that is missing.
type growing struct {
	mu      sync.Mutex
	moved   chan struct{} // closed when the front moves; nil if nobody waits for that
	written Extents
}

// restart begins with what is there already.
func (g *growing) restart(there Extents) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.written = there
	g.move()
}

// move needs the lock.
func (g *growing) move() {
	if g.moved != nil {
		close(g.moved)
		g.moved = nil
	}
}

// wait returns what the next move closes. It needs the lock.
func (g *growing) wait() <-chan struct{} {
	if g.moved == nil {
		g.moved = make(chan struct{})
	}
	return g.moved
}

// writeAt writes b to f, and notes what was written.
func (g *growing) writeAt(f *os.File, b []byte, off int64) (int, error) {
	n, err := f.WriteAt(b, off)
	g.mu.Lock()
	defer g.mu.Unlock()
	front := g.written.Front()
	g.written.Add(Extent{off, off + int64(n)})
	if g.written.Front() > front {
		g.move()
	}
	return n, err
}

// There returns what was written, or was there already.
func (g *growing) There() Extents {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append(Extents(nil), g.written...)
}

// front returns how much can be read.
func (g *growing) front() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.written.Front()
}

// beyond returns how much can be read and, if that is nothing beyond off, what is
// closed when it is more.
func (g *growing) beyond(off int64) (front int64, moved <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if front = g.written.Front(); front <= off {
		moved = g.wait()
	}
	return front, moved
}

// A followReader reads a part of a growing file, behind the front.
type followReader struct {
	g       *growing
	f       io.ReaderAt
	ctx     context.Context
	off, to int64
}

func (r *followReader) Read(b []byte) (int, error) {
	for r.off < r.to {
		front, moved := r.g.beyond(r.off)
		if front = min(front, r.to); r.off < front {
			n, err := r.f.ReadAt(b[:min(int64(len(b)), front-r.off)], r.off)
			r.off += int64(n)
			if n > 0 {
				err = nil
			}
			return n, err
		}
		if err := wait.For(r.ctx, moved); err != nil {
			return 0, err
		}
	}
	return 0, io.EOF
}
