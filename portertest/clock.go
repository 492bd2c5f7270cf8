package portertest

import "time"

// timestamp is how the API writes times.
func (s *Server) timestamp(t time.Time) string {
	return t.In(s.cfg.zone).Format("2006-01-02T15:04:05.000Z07:00")
}

// Now returns the time by the server's clock.
func (s *Server) Now() time.Time {
	s.lock()
	defer s.unlock()
	return s.now()
}

// Advance moves the server's clock forward. Jobs, expiry, rate limits and Date
// headers follow it at once; it returns when the requests that GitLab was due
// to make by itself have been made, such as to an upload[url]. A fault's
// duration is not touched: that is real time.
func (s *Server) Advance(d time.Duration) {
	s.lock()
	s.offset += d
	s.settle()
	pending := s.startedErrands()
	s.unlock()
	for _, done := range pending {
		<-done
	}
}

// lock guards the server's state and brings it up to date. Until unlock the
// clock stands still, so that an answer tells of one moment.
func (s *Server) lock() {
	s.mu.Lock()
	s.settle()
}

func (s *Server) unlock() { s.mu.Unlock() }

// now needs s.lock.
func (s *Server) now() time.Time { return s.moment }

// settle looks at the clock, and does what does not follow from the time
// alone: what the end of an import changes, and GitLab's own requests.
func (s *Server) settle() {
	s.moment = time.Now().Add(s.offset).UTC()
	if s.closed {
		return
	}
	s.settleImports()
	s.settleErrands()
}

// nextMinuteOfHour returns the first time after t at which the hourly job of
// the given minute runs.
func nextMinuteOfHour(t time.Time, minute int) time.Time {
	at := t.Truncate(time.Hour).Add(time.Duration(minute) * time.Minute)
	if !at.After(t) {
		at = at.Add(time.Hour)
	}
	return at
}
