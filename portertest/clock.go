package portertest

import "time"

// timestamp is how the API writes times.
func (s *Server) timestamp(t time.Time) string {
	return t.In(s.cfg.zone).Format("2006-01-02T15:04:05.000Z07:00")
}

// Now returns the time by the server's clock.
func (s *Server) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

// Advance moves the server's clock forward. Jobs, expiry, rate limits and Date
// headers follow it at once; it returns when the requests that GitLab was due
// to make by itself have been made, such as to an upload[url]. A fault's
// duration is not touched: that is real time.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	s.offset += d
	s.settle()
	pending := s.startedErrands()
	s.mu.Unlock()
	for _, done := range pending {
		<-done
	}
}

// now needs s.mu.
func (s *Server) now() time.Time { return time.Now().Add(s.offset).UTC() }

// settle brings everything up to date that does not follow from the time
// alone: what the end of an import changes, and GitLab's own requests. It
// needs s.mu.
func (s *Server) settle() {
	if s.closed {
		return
	}
	now := s.now()
	s.settleImports(now)
	s.settleErrands(now)
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
