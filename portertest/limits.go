package portertest

import (
	"fmt"
	"time"
)

// limits count what GitLab limits.
type limits struct {
	*settings
	windows map[string]*window
}

// window counts calls in one stretch of the clock.
type window struct {
	start int64
	n     int
}

// count adds a call under key and returns how many there have been in the
// present window. Windows are aligned to the clock, not to the first call.
func (s *limits) count(key string, period time.Duration) int {
	start := s.now().UnixNano() / int64(period)
	w := s.windows[key]
	if w == nil || w.start != start {
		w = &window{start: start}
		s.windows[key] = w
	}
	w.n++
	return w.n
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

// readLimited counts a read that has a limit of its own since 18.1.
func (s *limits) readLimited(what string, u *user) bool {
	return u != nil && s.cfg.atLeast(18, 1) && s.limited(fmt.Sprintf("%s:%d", what, u.id), 400)
}

func (s *limits) importLimited(u *user) bool {
	return s.cfg.atLeast(12, 8) && s.limited(fmt.Sprintf("project_import:%d", u.id), s.cfg.limits.Imports)
}
