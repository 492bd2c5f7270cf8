package diskio

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/seed-5d77b939/porter/internal/wait"
)

// A Spool is a temporary file that one goroutine writes while others read
// behind it, from its beginning and as often as they like.
type Spool struct {
	f       *os.File
	removed bool

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced when anything below changes
	written  int64
	err      error // io.EOF once everything is written
	approved bool  // readers that wait for approval may see the end
}

// NewSpool makes a spool in a folder, that for temporary files if dir is empty.
// It is read and written by this user only.
func NewSpool(dir string) (*Spool, error) {
	f, removed, err := temporaryFile(dir)
	if err != nil {
		return nil, err
	}
	return &Spool{f: f, removed: removed, changed: make(chan struct{})}, nil
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
	close(s.changed)
	s.changed = make(chan struct{})
}

// Write appends b.
func (s *Spool) Write(b []byte) (int, error) {
	n, err := s.f.WriteAt(b, s.written) // only this goroutine changes written
	s.change(func() { s.written += int64(n) })
	return n, err
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
