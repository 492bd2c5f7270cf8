package portertest

import (
	"fmt"
	"maps"
	"time"
)

// limits count what GitLab limits.
type limits struct {
	*settings
	windows map[string]*window
	sweep   time.Time // when windows that are over are dropped
}

// window counts calls in one stretch of the clock.
type window struct {
	start int64
	n     int
	end   time.Time
}

// count adds a call under key and returns how many there have been in the
// present window. Windows are aligned to the clock, not to the first call.
func (s *limits) count(key string, period time.Duration) int {
	start := s.now().UnixNano() / int64(period)
	s.forget()
	w := s.windows[key]
	if w == nil || w.start != start {
		w = &window{start: start, end: time.Unix(0, (start+1)*int64(period))}
		s.windows[key] = w
	}
	w.n++
	return w.n
}

// forget drops the windows that are over, once in ten minutes.
func (s *limits) forget() {
	now := s.now()
	if now.Before(s.sweep) {
		return
	}
	s.sweep = now.Add(10 * time.Minute)
	maps.DeleteFunc(s.windows, func(_ string, w *window) bool { return reached(w.end, now) })
}

// limited counts a call against a limit by the minute and reports whether it is
// over.
func (s *limits) limited(key string, limit int) bool {
	return limit > 0 && s.count(key, time.Minute) > limit
}

func (s *limits) exportLimited(u *user, p *project) bool {
	if !s.cfg.atLeast(12, 6) {
		return false
	}
	key := fmt.Sprintf("project_export:%d", u.id)
	if !s.cfg.atLeast(13, 2) {
		key += fmt.Sprintf(":%d", p.id)
	}
	return s.limited(key, s.cfg.limits.Exports)
}

func (s *limits) downloadLimited(u *user, p *project) bool {
	if !s.cfg.atLeast(12, 6) {
		return false
	}
	scope := fmt.Sprintf("project:%d", p.id)
	if s.cfg.atLeast(14, 10) && !s.cfg.atLeast(17, 10) {
		scope = fmt.Sprintf("namespace:%d", p.ns.id)
	}
	return s.limited(fmt.Sprintf("project_download_export:%d:%s", u.id, scope), s.cfg.limits.Downloads)
}

// readLimits are those of reads that have a limit of their own since 18.1.
var readLimits = map[string]struct {
	n      int
	period time.Duration
}{
	"groups/:id":          {400, time.Minute},
	"groups/:id/projects": {600, time.Minute},
	"projects":            {2000, 10 * time.Minute},
	"projects/:id":        {400, time.Minute},
}

// readLimited counts a read by a user.
func (s *limits) readLimited(endpoint string, u *user) bool {
	limit := readLimits[endpoint]
	return u != nil && s.cfg.atLeast(18, 1) && s.count(fmt.Sprintf("%s:%d", endpoint, u.id), limit.period) > limit.n
}

func (s *limits) importLimited(u *user) bool {
	return s.cfg.atLeast(12, 8) && s.limited(fmt.Sprintf("project_import:%d", u.id), s.cfg.limits.Imports)
}
