package diskio

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
	// nextSync is how long the disk is left alone between two syncs; about as
	// much has to be downloaded again after a loss of power. A slow disk is left
	// alone slowness times as long as it took.
	nextSync = 5 * time.Second
	slowness = 4
)

// A syncer has a file that is being written reach the disk from time to time,
// in the background, and notes what has come there.
type syncer struct {
	file    *os.File
	written func() Extents // in the file
	note    func(Extents)

	busy sync.Mutex // held while the file is being synced

	mu      sync.Mutex    // for what follows
	more    bool          // was written since the last sync began
	pause   time.Duration // before the next sync
	timer   *time.Timer   // of the next sync, or of the one under way
	stopped bool
	err     error
}

// wrote tells that more was written to the file. The error is that of an
// earlier sync: some file systems report only then that they are full.
func (s *syncer) wrote() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.more = true
	s.plan()
	return s.err
}

// plan sets the time of the next sync, if there is something to sync.
func (s *syncer) plan() {
	if s.more && s.timer == nil && s.err == nil && !s.stopped {
		s.timer = time.AfterFunc(max(s.pause, firstSync), s.sync)
	}
}

// sync syncs what was written, and notes it. After an error it does nothing: a
// second sync would not tell what the first one lost.
func (s *syncer) sync() {
	s.busy.Lock()
	defer s.busy.Unlock()
	s.mu.Lock()
	ended := s.stopped || s.err != nil || !s.more
	if !ended {
		s.more = false
	}
	s.mu.Unlock()
	if ended {
		return
	}
	written := s.written() // before the sync, which need not have what comes meanwhile
	start := time.Now()
	err := s.file.Sync()
	switch {
	case err == nil:
		s.note(written)
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, syscall.EINVAL):
		err = nil // of such a disk nothing is ever noted
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	s.pause = max(nextSync, slowness*time.Since(start))
	s.timer = nil
	s.plan()
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
