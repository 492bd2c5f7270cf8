package pace

import (
	"net/http"
	"strconv"
	"time"
)

// A throttle is GitLab's limit for all requests of a user, as answers tell of
// it since 18.6, and refusals since 13.8. The zero throttle limits nothing.
type throttle struct {
	spare int       // how many requests are left for polls
	reset time.Time // when all of them can be made again, by the local clock
}

// throttleOf returns the throttle that an answer tells of. A tenth of it is kept
// for what is no poll, such as an export to schedule.
func throttleOf(h http.Header, clock *Clock) (t throttle, ok bool) {
	if h["Ratelimit-Remaining"] == nil {
		return t, false
	}
	remaining, errRemaining := strconv.Atoi(h.Get("Ratelimit-Remaining"))
	observed, errObserved := strconv.Atoi(h.Get("Ratelimit-Observed"))
	reset, errReset := strconv.ParseInt(h.Get("Ratelimit-Reset"), 10, 64)
	if errRemaining != nil || errObserved != nil || errReset != nil {
		return t, false
	}
	left := time.Unix(reset, 0).Sub(clock.Now())
	if left <= 0 || left > 24*time.Hour {
		return t, false // a proxy's, which counts the seconds that are left
	}
	return throttle{remaining - (remaining+observed)/10, time.Now().Add(left)}, true
}

// share returns how many of limit polls a minute the throttle allows, at least
// one, and how long none at all. What is left is spread until the reset.
func (t *throttle) share(limit int, now time.Time) (int, time.Duration) {
	left := t.reset.Sub(now)
	switch {
	case left <= 0:
		return limit, 0
	case t.spare <= 0:
		return limit, left
	}
	perMinute := float64(t.spare) / left.Minutes()
	return int(max(1, min(perMinute, float64(limit)))), 0
}
