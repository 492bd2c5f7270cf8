// Package pace keeps requests within the limits that GitLab sets per minute.
package pace

import (
	"net/http"
	"sync"
	"time"
)

// A Clock tells the instance's time from the Date of its answers. It runs
// on the monotonic clock, so that a jump of the local one changes nothing.
type Clock struct {
	mu     sync.Mutex
	date   string        // the last that was new
	server time.Time     // what it says, rounded down to a second
	local  time.Time     // when it arrived
	jumped time.Duration // whole minutes by which the clock has jumped so far
}

// Now returns the instance's time, the local one before anything was learned.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.time()
}

// steady is Now without its jumps: the minutes begin as the server's do, but
// go on from where they were. A request is on its way while the clock jumps,
// and must not be forgotten in another hour.
func (c *Clock) steady() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.time().Add(-c.jumped)
}

// time needs c.mu.
func (c *Clock) time() time.Time {
	if c.local.IsZero() {
		return time.Now()
	}
	return c.server.Add(time.Since(c.local))
}

// jump is how far the clock must be off to be another one. A Date that was
// long on its way is not so late.
const jump = 30 * time.Second

// Learn takes in the Date of an answer. Of the answers of one second the first
// tells the time best, so the others are left out.
func (c *Clock) Learn(h http.Header) {
	date := h.Get("Date")
	c.mu.Lock()
	defer c.mu.Unlock()
	if date == c.date {
		return
	}
	t, err := http.ParseTime(date)
	if err != nil {
		return
	}
	if old := c.time(); c.local.IsZero() || t.Sub(old).Abs() > jump {
		c.jumped += time.Duration(minuteOf(t)-minuteOf(old)) * time.Minute
	}
	c.date, c.server, c.local = date, t, time.Now()
}

// UntilNextMinute is how long the present window of GitLab's limits lasts.
func (c *Clock) UntilNextMinute() time.Duration {
	now := c.Now()
	return now.Truncate(time.Minute).Add(time.Minute).Sub(now)
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }
