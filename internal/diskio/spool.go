package diskio

import (
	"context"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/seed-5d77b939/porter/internal/wait"
)

// A Spool is a temporary file that is written while others read behind its front,
// from its beginning and as often as they like.
type Spool struct {
	growing
	f        *os.File
	removed  bool
	err      error // io.EOF once everything is written; guarded by mu, as is what follows
	approved bool  // readers that wait for approval may see the end
}

// NewSpool makes a spool in a folder, that for temporary files if dir is empty.
// It is read and written by this user only.
func NewSpool(dir string) (*Spool, error) {
	f, removed, err := temporaryFile(dir)
	if err != nil {
		return nil, err
	}
	s := &Spool{f: f, removed: removed}
	s.restart(nil)
	return s, nil
}

// CheckSpool makes sure that a spool can be made in a folder, and returns the
// folder's absolute name.
func CheckSpool(dir string) (string, error) {
	checking.Lock()
	defer checking.Unlock()
	s, err := NewSpool(dir)
	if err != nil {
		return "", err
	}
	s.Close()
	return filepath.Dir(s.f.Name()), nil
}

// Close removes the file. It may be called more than once.
func (s *Spool) Close() { closeTemporary(s.f, s.removed) }

func (s *Spool) change(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
	s.move()
}

// Write appends b to what is there without a gap.
func (s *Spool) Write(b []byte) (int, error) {
	return s.WriteAt(b, s.front())
}

// WriteAt writes b at a place. It can be called by several goroutines.
func (s *Spool) WriteAt(b []byte, off int64) (int, error) { return s.writeAt(s.f, b, off) }

// state returns what a reader at off has to know; changed is nil if there is
// something to read.
func (s *Spool) state(off int64) (front int64, approved bool, changed <-chan struct{}, ended error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if front = s.written.Front(); front <= off {
		changed = s.wait()
	}
	return front, s.approved, changed, s.err
}

// End tells the readers how the writing ended; nil means whole.
func (s *Spool) End(err error) {
	if err == nil {
		err = io.EOF
	}
	s.change(func() {
		if s.err == nil {
			s.err = err
		}
	})
}

// Approve lets the readers that wait for it see the end, or, with an error,
// nothing more. The error of a failed writing goes before.
func (s *Spool) Approve(err error) {
	s.change(func() {
		s.approved = true
		if err != nil && (s.err == nil || s.err == io.EOF) {
			s.err = err
		}
	})
}

// Size waits until everything is written and returns how much that is.
func (s *Spool) Size(ctx context.Context) (int64, error) {
	for {
		n, _, changed, err := s.state(math.MaxInt64)
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

// Reader returns a reader that sees the end once everything is written.
func (s *Spool) Reader(ctx context.Context) io.ReadCloser {
	return &spoolReader{s: s, ctx: ctx}
}

// ApprovedReader returns a reader that sees the end only once it is approved.
func (s *Spool) ApprovedReader(ctx context.Context) io.ReadCloser {
	return &spoolReader{s: s, ctx: ctx, careful: true}
}

// A spoolReader reads a spool from its beginning.
type spoolReader struct {
	s       *Spool
	ctx     context.Context
	off     int64
	careful bool // sees the end only once it is approved
}

func (r *spoolReader) Read(b []byte) (int, error) {
	for {
		written, approved, changed, err := r.s.state(r.off)
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
