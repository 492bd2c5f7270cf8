package portertest

import "time"

// errand is a request that GitLab makes by itself, when a job gets there.
type errand struct {
	due     time.Time
	run     func() // without s.lock
	timer   *time.Timer
	started bool
	done    chan struct{}
}

// planErrand has run called at its time, by the server's clock.
func (s *Server) planErrand(due time.Time, run func()) {
	e := &errand{due: due, run: run, done: make(chan struct{})}
	s.errands = append(s.errands, e)
	e.timer = time.AfterFunc(due.Sub(s.now()), func() {
		s.lock() // brings it about
		s.unlock()
	})
}

// settleErrands starts those that are due.
func (s *Server) settleErrands() {
	for _, e := range s.errands {
		if e.started || !reached(e.due, s.now()) {
			continue
		}
		e.started = true
		e.timer.Stop()
		s.wg.Go(func() {
			defer close(e.done)
			e.run()
		})
	}
}

// startedErrands returns what to wait for until all that were started are done.
func (s *Server) startedErrands() []chan struct{} {
	var started []chan struct{}
	for _, e := range s.errands {
		if e.started {
			started = append(started, e.done)
		}
	}
	return started
}

func (s *Server) stopErrands() {
	for _, e := range s.errands {
		e.timer.Stop()
	}
}
