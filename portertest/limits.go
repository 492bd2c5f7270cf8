package portertest

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"strconv"
	"time"
)

// window counts calls in one stretch of the clock.
type window struct {
	start int64
	n     int
}

// count adds a call under key and returns how many there have been in the
// present window. Windows are aligned to the clock, not to the first call.
func (s *Server) count(key string, period time.Duration) int {
	start := s.now().UnixNano() / int64(period)
	w := s.windows[key]
	if w == nil || w.start != start {
		w = &window{start: start}
		s.windows[key] = w
	}
	w.n++
	return w.n
}

// limited counts a call against an application limit and returns the refusal
// if it is over.
func (s *Server) limited(key string, limit int) *reply {
	if limit <= 0 || s.count(key, time.Minute) <= limit {
		return nil
	}
	r := message(http.StatusTooManyRequests, object{{"error", s.translate("This endpoint has been requested too many times. Try again later.")}})
	if s.cfg.atLeast(18, 5) {
		r.header.Set("Retry-After", "60")
	}
	return r
}

func (s *Server) exportLimited(u *user, p *project) *reply {
	if !s.cfg.atLeast(12, 6) {
		return nil
	}
	key := fmt.Sprintf("project_export:%d", u.id)
	if !s.cfg.atLeast(13, 2) {
		key += fmt.Sprintf(":%d", p.id)
	}
	return s.limited(key, s.cfg.limits.Exports)
}

func (s *Server) downloadLimited(u *user, p *project) *reply {
	if !s.cfg.atLeast(12, 6) {
		return nil
	}
	scope := fmt.Sprintf("project:%d", p.id)
	if s.cfg.atLeast(14, 10) && !s.cfg.atLeast(17, 10) {
		scope = fmt.Sprintf("namespace:%d", p.ns.id)
	}
	return s.limited(fmt.Sprintf("project_download_export:%d:%s", u.id, scope), s.cfg.limits.Downloads)
}

func (s *Server) importLimited(u *user) *reply {
	if !s.cfg.atLeast(12, 8) {
		return nil
	}
	return s.limited(fmt.Sprintf("project_import:%d", u.id), s.cfg.limits.Imports)
}

// throttled counts a request against the global throttle and has f answer it,
// unless it is over the limit. f may return nil, and then somebody else answers.
func (c *call) throttled(f func(*call) *reply) *reply {
	h, r := c.countGlobally()
	if r != nil {
		return r
	}
	r = f(c)
	if r != nil && r.status != http.StatusTooManyRequests {
		maps.Copy(r.header, h)
	}
	return r
}

// countGlobally returns headers for the answer, and the refusal if the request
// is over the limit.
func (c *call) countGlobally() (http.Header, *reply) {
	t := c.s.cfg.throttle
	if t.n <= 0 || t.period <= 0 {
		return nil, nil
	}
	name, key := "throttle_unauthenticated_api", "ip"
	if tok := c.s.tokens[c.credential()]; tok != nil && !tok.expired && !tok.revoked && tok.has("api", "read_api") {
		name, key = "throttle_authenticated_api", fmt.Sprintf("user:%d", tok.user.id)
	}
	n := c.s.count("global:"+key, t.period)
	now := c.s.now()
	reset := time.Unix(0, (now.UnixNano()/int64(t.period)+1)*int64(t.period)).UTC()

	h := http.Header{}
	h.Set("RateLimit-Name", name)
	h.Set("RateLimit-Limit", strconv.Itoa(int(math.Ceil(float64(t.n)*60/t.period.Seconds()))))
	h.Set("RateLimit-Observed", strconv.Itoa(n))
	h.Set("RateLimit-Remaining", strconv.Itoa(max(t.n-n, 0)))
	h.Set("RateLimit-Reset", strconv.FormatInt(reset.Unix(), 10))
	if n <= t.n {
		if !c.s.cfg.atLeast(18, 6) {
			return nil, nil
		}
		return h, nil
	}
	r := text(http.StatusTooManyRequests, "Retry later\n")
	if c.s.cfg.atLeast(13, 7) {
		r.header.Set("Retry-After", strconv.Itoa(int(math.Ceil(reset.Sub(now).Seconds()))))
	}
	if c.s.cfg.atLeast(13, 8) {
		maps.Copy(r.header, h)
		r.header.Set("RateLimit-ResetTime", reset.Format(http.TimeFormat))
	}
	return nil, r
}
