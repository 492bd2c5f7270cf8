package portertest

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"strconv"
	"time"
)

// tooMany answers a call that is over one of the application's limits.
func (c *call) tooMany() *reply {
	problem := c.m.translate("This endpoint has been requested too many times. Try again later.")
	r := message(http.StatusTooManyRequests, object{{"error", problem}})
	if c.m.cfg.atLeast(18, 5) {
		r.header.Set("Retry-After", "60")
	}
	return r
}

// limitedRead refuses a read that is over the limit of its endpoint.
func (c *call) limitedRead(endpoint string, u *user) *reply {
	if !c.m.readLimited(endpoint, u) {
		return nil
	}
	return c.tooMany()
}

// throttled counts a request against the global throttle, and lets f answer it
// unless it is over the limit. f may return nil.
func (c *call) throttled(f func() *reply) *reply {
	h, r := c.countGlobally()
	if r != nil {
		return r
	}
	r = f()
	if r != nil && r.status != http.StatusTooManyRequests {
		maps.Copy(r.header, h)
	}
	return r
}

// countGlobally returns headers for the answer, and the refusal of a request that
// is over the limit.
func (c *call) countGlobally() (http.Header, *reply) {
	t := c.m.cfg.throttle
	if t.n <= 0 || t.period <= 0 {
		return nil, nil
	}
	name, key := "throttle_unauthenticated_api", "ip"
	if tok := c.m.tokens[c.credential()]; tok != nil && !tok.expired && !tok.revoked && tok.has("api", "read_api") {
		name, key = "throttle_authenticated_api", fmt.Sprintf("user:%d", tok.user.id)
	}
	n := c.m.count("global:"+key, t.period)
	now := c.m.now()
	reset := time.Unix(0, (now.UnixNano()/int64(t.period)+1)*int64(t.period)).UTC()

	h := http.Header{}
	h.Set("RateLimit-Name", name)
	h.Set("RateLimit-Limit", strconv.Itoa(int(math.Ceil(float64(t.n)*60/t.period.Seconds()))))
	h.Set("RateLimit-Observed", strconv.Itoa(n))
	h.Set("RateLimit-Remaining", strconv.Itoa(max(t.n-n, 0)))
	h.Set("RateLimit-Reset", strconv.FormatInt(reset.Unix(), 10))
	if n <= t.n {
		if !c.m.cfg.atLeast(18, 6) {
			return nil, nil
		}
		return h, nil
	}
	r := text(http.StatusTooManyRequests, "Retry later\n")
	if c.m.cfg.atLeast(13, 7) {
		r.header.Set("Retry-After", strconv.Itoa(int(math.Ceil(reset.Sub(now).Seconds()))))
	}
	if c.m.cfg.atLeast(13, 8) {
		maps.Copy(r.header, h)
		r.header.Set("RateLimit-ResetTime", reset.Format(http.TimeFormat))
	}
	return nil, r
}
