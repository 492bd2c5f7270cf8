package diskio

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// scratchMemory is how much of a Scratch is held in memory.
const scratchMemory = 256 << 10

// A Scratch holds bytes that are read again soon: the last of them in memory,
// and what is more than that in a temporary file. It is for one goroutine.
type Scratch struct {
	dir     string
	advice  string
	f       *os.File // nil until it is needed
	removed bool
	stored  int64  // bytes in f
	tail    []byte // those after them
}

// NewScratch returns an empty scratch, whose file would be in a folder, that for
// temporary files if dir is empty. Its errors end with the advice.
func NewScratch(dir, advice string) *Scratch { return &Scratch{dir: dir, advice: advice} }

func (s *Scratch) failed(err error) error { return fmt.Errorf("scratch: %w; %s", err, s.advice) }

// Size returns how many bytes there are.
func (s *Scratch) Size() int64 { return s.stored + int64(len(s.tail)) }

// Write appends b.
func (s *Scratch) Write(b []byte) (int, error) {
	n := len(b)
	if len(s.tail)+n > scratchMemory {
		if err := s.store(s.tail); err != nil {
			return 0, err
		}
		s.tail = s.tail[:0]
		whole := n / scratchMemory * scratchMemory
		if err := s.store(b[:whole]); err != nil {
			return 0, err
		}
		b = b[whole:]
	}
	s.tail = append(s.tail, b...)
	return n, nil
}

func (s *Scratch) store(b []byte) (err error) {
	if len(b) == 0 {
		return nil
	}
	if s.f == nil {
		if s.f, s.removed, err = temporaryFile(s.dir); err != nil {
			return s.failed(err)
		}
	}
	n, err := s.f.WriteAt(b, s.stored)
	s.stored += int64(n)
	if err != nil {
		return s.failed(err)
	}
	return nil
}

// Truncate takes away all but the first n bytes.
func (s *Scratch) Truncate(n int64) {
	s.tail = s.tail[:max(0, min(int64(len(s.tail)), n-s.stored))]
	s.stored = min(s.stored, n)
}

// ReadAt reads from offset off, as io.ReaderAt has it.
func (s *Scratch) ReadAt(b []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("scratch: offset %d is negative", off)
	}
	if off < s.stored {
		n, err = s.f.ReadAt(b[:min(int64(len(b)), s.stored-off)], off)
		if off += int64(n); off < s.stored && err != nil {
			return n, s.failed(err)
		}
	}
	if at := off - s.stored; at >= 0 && at < int64(len(s.tail)) {
		n += copy(b[n:], s.tail[at:])
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Close removes the file. It may be called more than once.
func (s *Scratch) Close() {
	if s.f != nil {
		closeTemporary(s.f, s.removed)
		s.f = nil
	}
	s.stored, s.tail = 0, nil
}

// temporaryFile makes a file in a folder, that for temporary files if dir is
// empty, which this user alone can read and write. Where a file without a name
// can be used it is removed at once, so that a killed process leaves none, or an
// empty one.
func temporaryFile(dir string) (f *os.File, removed bool, err error) {
	if dir == "" {
		dir = os.TempDir()
	}
	if dir, err = filepath.Abs(dir); err != nil { // the working directory may change before it is removed
		return nil, false, err
	}
	if f, err = os.CreateTemp(dir, "porter-*.tar.gz"); err != nil {
		return nil, false, err
	}
	return f, os.Remove(f.Name()) == nil, nil
}

func closeTemporary(f *os.File, removed bool) {
	f.Close()
	if !removed {
		os.Remove(f.Name())
	}
}
