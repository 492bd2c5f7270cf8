package porter

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// firstSync is how long after the first write a file is synced: soon,
	// because the process may be killed, but not if it is whole by then.
	firstSync = 10 * time.Millisecond
	// nextSync is how long after one sync the next one begins: about as much
	// has to be downloaded again after a loss of power.
	nextSync = 2 * time.Second
)

// A syncer has a file that is being written reach the disk from time to time,
// in the background, and notes how far it has come.
type syncer struct {
	file *os.File
	note func(off int64)

	busy sync.Mutex // held while the file is being synced

	mu      sync.Mutex // for what follows
	off     int64      // everything before was written
	started bool       // the first sync has a time
	timer   *time.Timer
	err     error
	stopped bool
}

// wrote tells that the file was written up to off. The error is that of an
// earlier sync: some file systems report only then that they are full.
func (s *syncer) wrote(off int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.off = off
	if s.timer == nil && s.err == nil {
		after := nextSync
		if !s.started {
			after = firstSync
		}
		s.started = true
		s.timer = time.AfterFunc(after, s.sync)
	}
	return s.err
}

// sync syncs what was written, and notes it.
func (s *syncer) sync() {
	s.busy.Lock()
	defer s.busy.Unlock()
	s.mu.Lock()
	off, ended := s.off, s.stopped || s.err != nil // after an error, a second sync would tell nothing of what the first one lost
	s.timer = nil                                  // a write after this has it synced again
	s.mu.Unlock()
	if ended {
		return
	}
	err := s.file.Sync()
	switch {
	case err == nil:
		s.note(off)
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, syscall.EINVAL):
		err = nil // nothing is ever known to be on such a disk
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

// flush syncs at once.
func (s *syncer) flush() {
	s.mu.Lock()
	wrote := s.started
	s.mu.Unlock()
	if wrote {
		s.sync()
	}
}

// stop ends the syncing, and waits for what is under way.
func (s *syncer) stop() error {
	s.mu.Lock()
	s.stopped = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	s.busy.Lock()
	defer s.busy.Unlock()
	return s.err
}
