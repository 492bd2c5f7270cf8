package porter

import (
	"context"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// Pacing holds the limits that GitLab sets per user and minute. Zero fields
// stand for what a client has already, which at first are GitLab's defaults.
type Pacing struct {
	Exports   int // exports scheduled per minute; the default is 6
	Imports   int // imports started per minute; the default is 6
	Downloads int // downloads of one project per minute; the default is 1
}

func (p *Pacing) setDefaults() {
	if p.Exports == 0 {
		p.Exports = 6
	}
	if p.Imports == 0 {
		p.Imports = 6
	}
	if p.Downloads == 0 {
		p.Downloads = 1
	}
}

// serverClock tells the instance's time from the Date of its answers. It runs
// on the monotonic clock, so that a jump of the local one changes nothing.
type serverClock struct {
	mu     sync.Mutex
	date   string        // the last that was new
	server time.Time     // what it says, rounded down to a second
	local  time.Time     // when it arrived
	jumped time.Duration // whole minutes by which the clock has jumped so far
}

func (c *serverClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.time()
}

// steady is now without its jumps: the minutes begin as the server's do, but
// go on from where they were. A request is on its way while the clock jumps,
// and must not be forgotten in another hour.
func (c *serverClock) steady() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.time().Add(-c.jumped)
}

// time needs c.mu.
func (c *serverClock) time() time.Time {
	if c.local.IsZero() {
		return time.Now()
	}
	return c.server.Add(time.Since(c.local))
}

// jump is how far the clock must be off to be another one. A Date that was
// long on its way is not so late.
const jump = 30 * time.Second

// learn takes in the Date of an answer. Of the answers of one second the first
// tells the time best, so the others are left out.
func (c *serverClock) learn(h http.Header) {
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

// untilNextMinute is how long the present window of GitLab's limits lasts.
func (c *serverClock) untilNextMinute() time.Duration {
	now := c.now()
	return now.Truncate(time.Minute).Add(time.Minute).Sub(now)
}

// A pacer hands out turns as GitLab counts them: so many for each minute of
// the server's clock, without its jumps. Turns are given in the order in which
// they were asked for.
type pacer struct {
	clock  *serverClock
	mu     sync.Mutex
	used   map[window]int
	shared map[string]bool // wider budgets that the server turned out to count
}

// A budget is what GitLab counts a request against.
type budget struct {
	key   string // "" is none
	limit int    // requests per minute
	// wider is the key of a budget that some servers count instead, "" if
	// none does: from 14.10 to 17.9 downloads are counted per namespace.
	wider string
}

// downloadBudget is what a download of the project counts against.
func (c *Client) downloadBudget(label string) budget {
	label = strings.ToLower(label)
	return budget{
		key:   "download of " + label,
		limit: c.cfg.pacing.Downloads,
		wider: "downloads from " + path.Dir(label), // "." for all IDs
	}
}

type window struct {
	key    string
	minute int64 // since the epoch
}

func newPacer(clock *serverClock) *pacer {
	return &pacer{clock: clock, used: make(map[window]int), shared: make(map[string]bool)}
}

// edge is how near to the end of a minute a request may still arrive in the
// next one, so that it must count in both: the Date header has whole seconds,
// and a request takes its time.
const edge = 2 * time.Second

// A turn is the right to make one request.
type turn struct {
	p       *pacer
	b       budget
	minutes []int64 // those it was counted in
}

// reserve takes the first free turn and returns how long to wait for it.
func (p *pacer) reserve(b budget) (*turn, time.Duration) {
	t := &turn{p: p, b: b}
	return t, t.renew()
}

// renew gives the turn back for the first free one and returns how long to
// wait for that.
func (t *turn) renew() time.Duration {
	p, now := t.p, t.p.clock.steady()
	p.mu.Lock()
	defer p.mu.Unlock()
	t.count(-1)
	first := minuteOf(now)
	for w := range p.used {
		if w.minute < first-1 {
			delete(p.used, w)
		}
	}
	for m := first; ; m++ {
		t.minutes = []int64{m}
		if m == first && minuteOf(now.Add(edge)) > m {
			t.minutes = append(t.minutes, m+1)
		}
		if t.free() {
			t.count(1)
			return max(0, time.Unix(m*60, 0).Sub(now))
		}
	}
}

// free reports whether none of the turn's minutes is used up. It needs p.mu.
func (t *turn) free() bool {
	for _, m := range t.minutes {
		if t.p.used[window{t.b.key, m}] >= t.b.limit ||
			t.p.shared[t.b.wider] && t.p.used[window{t.b.wider, m}] >= t.b.limit {
			return false
		}
	}
	return true
}

// count adds n to the use of the turn's minutes. It needs p.mu.
func (t *turn) count(n int) {
	for _, m := range t.minutes {
		for _, key := range []string{t.b.key, t.b.wider} {
			w := window{key, m}
			if key == "" {
				continue
			}
			if t.p.used[w] += n; t.p.used[w] <= 0 {
				delete(t.p.used, w)
			}
		}
	}
}

// due reports whether the turn's minute has come.
func (t *turn) due() bool { return t.minutes[0] == minuteOf(t.p.clock.steady()) }

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// settle counts the turn as the server did, by what came of the request. A
// nil turn was not paced.
func (t *turn) settle(o outcome) {
	switch {
	case t == nil:
	case !o.counted():
		t.giveBack()
	case o.fault == noFault:
		t.landed()
		if o.limited() {
			t.exhausted(!o.answer.retryAfter)
		}
	}
}

// giveBack returns a turn that was not used.
func (t *turn) giveBack() {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.count(-1)
	t.minutes = nil
}

// landed counts the turn in the minute in which the server really answered:
// after a long upload, or if its clock was not known yet, it is another one.
func (t *turn) landed() {
	now := minuteOf(t.p.clock.steady())
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	if !slices.Contains(t.minutes, now) {
		t.count(-1)
		t.minutes = []int64{now}
		t.count(1)
	}
}

// exhausted notes that the server refused: others of this user used the
// minute up. If it may be an old server and we used the wider budget in this
// minute, the others are our own requests, and that is the budget to keep to.
func (t *turn) exhausted(old bool) {
	now := minuteOf(t.p.clock.steady())
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	own := t.p.used[window{t.b.key, now}]
	if old && t.b.wider != "" && t.p.used[window{t.b.wider, now}] > own {
		t.p.shared[t.b.wider] = true
	}
	t.p.used[window{t.b.key, now}] = max(t.b.limit, own)
}

// pace waits for a turn. A nil turn means that this request is not paced.
func (c *Client) pace(ctx context.Context, project string, b budget) (*turn, error) {
	if b.key == "" || c.cfg.unpaced {
		return nil, nil
	}
	t, d := c.pacer.reserve(b)
	for d > 0 {
		c.cfg.logger.InfoContext(ctx, "waiting for a turn", "project", project, "delay", d)
		c.emit(ctx, Event{Kind: EventPaced, Project: project, Delay: d})
		if err := sleep(ctx, d); err != nil {
			t.giveBack()
			return nil, err
		}
		if t.due() {
			break
		}
		d = t.renew() // the server's clock turned out to be another one
	}
	return t, nil
}
