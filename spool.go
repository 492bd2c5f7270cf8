package porter

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/seed-5d77b939/porter/internal/wait"
)

// A spool is a temporary file that one goroutine writes while others read
// behind it, from its beginning and as often as they like.
type spool struct {
	dir     string
	f       *os.File
	removed bool

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced when anything below changes
	written  int64
	err      error // io.EOF once everything is written
	approved bool  // readers that wait for approval may see the end
}

// newSpool makes a spool in a folder, that for temporary files if dir is empty.
// It is read and written by this user only.
func newSpool(dir string) (*spool, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	dir, err := filepath.Abs(dir) // the working directory may change before it is removed
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, "porter-*.tar.gz")
	if err != nil {
		return nil, err
	}
	// Where a file without a name can be used, a killed process leaves none, or
	// an empty one.
	removed := os.Remove(f.Name()) == nil
	return &spool{dir: dir, f: f, removed: removed, changed: make(chan struct{})}, nil
}

// close removes the file.
func (s *spool) close() {
	s.f.Close()
	if !s.removed {
		os.Remove(s.f.Name())
	}
}

func (s *spool) change(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
	close(s.changed)
	s.changed = make(chan struct{})
}

// Write appends b.
func (s *spool) Write(b []byte) (int, error) {
	n, err := s.f.WriteAt(b, s.written) // only this goroutine changes written
	s.change(func() { s.written += int64(n) })
	return n, err
}

// end tells the readers how the writing ended; nil means whole.
func (s *spool) end(err error) {
	if err == nil {
		err = io.EOF
	}
	s.change(func() {
		if s.err == nil {
			s.err = err
		}
	})
}

// approve lets the readers that wait for it see the end, or, with an error,
// nothing more. The error of a failed writing goes before.
func (s *spool) approve(err error) {
	s.change(func() {
		s.approved = true
		if err != nil && (s.err == nil || s.err == io.EOF) {
			s.err = err
		}
	})
}

// whole waits until everything is written and returns the size.
func (s *spool) whole(ctx context.Context) (int64, error) {
	for {
		s.mu.Lock()
		n, err, changed := s.written, s.err, s.changed
		s.mu.Unlock()
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if err := wait.For(ctx, changed); err != nil {
			return n, err
		}
	}
}

// A spoolReader reads a spool from its beginning.
type spoolReader struct {
	s       *spool
	ctx     context.Context
	off     int64
	careful bool // sees the end only once it is approved
}

func (s *spool) reader(ctx context.Context, careful bool) *spoolReader {
	return &spoolReader{s: s, ctx: ctx, careful: careful}
}

func (r *spoolReader) Read(b []byte) (int, error) {
	for {
		r.s.mu.Lock()
		written, err, approved, changed := r.s.written, r.s.err, r.s.approved, r.s.changed
		r.s.mu.Unlock()
		switch {
		case err != nil && err != io.EOF:
			return 0, err
		case r.off < written:
			n, err := r.s.f.ReadAt(b[:min(int64(len(b)), written-r.off)], r.off)
			r.off += int64(n)
			if n > 0 {
				err = nil
			}
			return n, err
		case err == io.EOF && (approved || !r.careful):
			return 0, io.EOF
		}
		if err := wait.For(r.ctx, changed); err != nil {
			return 0, err
		}
	}
}

func (r *spoolReader) Close() error { return nil }
