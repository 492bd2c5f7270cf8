package pace

import (
	"math/rand/v2"
	"time"
)

// A crowd is a budget that others of the user use as well, as a refusal has
// told. If all of them asked for all that they want as soon as a minute begins, the
// same ones could win every minute. So its turns are taken one by one, from
// another moment on each minute. A nil crowd is nobody else.
type crowd struct {
	until int64     // the last minute for which that is assumed
	at    time.Time // the next turn, not before
}

// crowdTime is for how many minutes after a refusal others are expected.
const crowdTime = 10

// lateness is how late in a minute the first turn is taken at most. Half of the
// minutes begin at once: one who never did would never win against one who
// always does.
const lateness = 10 * time.Second

// crowd notes that others used the budget in the minute now. It needs p.mu.
func (p *Pacer) crowd(key string, now int64) {
	if p.crowds[key] == nil {
		p.crowds[key] = new(crowd)
	}
	p.crowds[key].until = now + crowdTime
}

// next returns when the next turn may be taken, the zero time if at once.
func (c *crowd) next(now time.Time) time.Time {
	if c == nil || c.until < minuteOf(now) {
		return time.Time{}
	}
	if minute := now.Truncate(time.Minute); c.at.Before(minute) {
		c.at = minute.Add(max(0, rand.N(2*lateness)-lateness))
	}
	return c.at
}

// took notes that a turn was taken.
func (c *crowd) took(now time.Time, limit int) {
	if c != nil {
		c.at = now.Add(apart(limit))
	}
}

// apart is how long after one turn of a crowd the next one is taken: all fit
// in the first half of a minute.
func apart(limit int) time.Duration { return time.Minute / 2 / time.Duration(limit) }
