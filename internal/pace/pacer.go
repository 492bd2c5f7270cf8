package pace

import (
	"slices"
	"sync"
	"time"
)

// A Pacer hands out turns as GitLab counts them: so many for each minute of
// the server's clock, without its jumps. Who has asked first is served first.
// A turn is given when it can be used, and none is kept for later, so that who
// waits no more leaves no gap.
type Pacer struct {
	clock  *Clock
	mu     sync.Mutex
	asked  int64 // how many turns so far
	used   map[window]int
	shared map[string]bool    // wider budgets that the server turned out to count
	lines  map[string][]*Turn // who waits, by the budget that is counted, in the order of asking
	crowds map[string]*crowd  // by the budget that is counted
}

// A Budget is what GitLab counts a request against.
type Budget struct {
	Key   string // "" is none
	Limit int    // requests per minute, at least one
	// Wider is the key of a budget that some servers count instead, "" if
	// none does: from 14.10 to 17.9 downloads are counted per namespace.
	Wider string
}

type window struct {
	key    string
	minute int64 // since the epoch
}

// NewPacer returns a pacer that goes by clock.
func NewPacer(clock *Clock) *Pacer {
	return &Pacer{
		clock:  clock,
		used:   make(map[window]int),
		shared: make(map[string]bool),
		lines:  make(map[string][]*Turn),
		crowds: make(map[string]*crowd),
	}
}

// edge is how near to the end of a minute a request may still arrive in the
// next one, so that it must count in both: the Date header has whole seconds,
// and a request takes its time.
const edge = 2 * time.Second

// A Turn is the right to make one request.
type Turn struct {
	p       *Pacer
	b       Budget
	place   int64         // in the order of asking
	given   chan struct{} // closed once it is given
	minutes []int64       // those it was counted in
}

// take gives the turn if there is one, and reports whether. It needs p.mu.
func (t *Turn) take(now time.Time) bool {
	t.minutes = []int64{minuteOf(now)}
	if next := minuteOf(now.Add(edge)); next > t.minutes[0] {
		t.minutes = append(t.minutes, next)
	}
	if !t.free() || t.p.crowds[t.line()].next(now).After(now) {
		t.minutes = nil
		return false
	}
	t.count(1)
	t.p.crowds[t.line()].took(now, t.b.Limit)
	close(t.given)
	return true
}

// free reports whether none of the turn's minutes is used up. It needs p.mu.
func (t *Turn) free() bool {
	for _, m := range t.minutes {
		if t.p.used[window{t.b.Key, m}] >= t.b.Limit ||
			t.p.shared[t.b.Wider] && t.p.used[window{t.b.Wider, m}] >= t.b.Limit {
			return false
		}
	}
	return true
}

// count adds n to the use of the turn's minutes. It needs p.mu.
func (t *Turn) count(n int) {
	for _, m := range t.minutes {
		for _, key := range []string{t.b.Key, t.b.Wider} {
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

// countIn counts the turn in other minutes than before. It needs p.mu.
func (t *Turn) countIn(minutes ...int64) {
	t.count(-1)
	t.minutes = minutes
	t.count(1)
}

// NotSent gives back a turn that was not used, or is waited for no more.
func (t *Turn) NotSent() {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.leave()
	t.countIn()
	t.p.serve(t.line())
}

// Counted counts the turn in the minute in which the server really answered:
// after a long upload, or if its clock was not known yet, it is another one.
func (t *Turn) Counted() {
	now := minuteOf(t.p.clock.steady())
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.countedIn(now)
}

// countedIn needs p.mu.
func (t *Turn) countedIn(now int64) {
	if !slices.Contains(t.minutes, now) {
		t.countIn(now)
		t.p.serve(t.line())
	}
}

// Refused counts the turn, and notes that the server refused: others of this
// user used the minute up. If it may be an old server and we used the wider budget in this
// minute, the others are our own requests, and that is the budget to keep to.
func (t *Turn) Refused(old bool) {
	now := minuteOf(t.p.clock.steady())
	p := t.p
	p.mu.Lock()
	defer p.mu.Unlock()
	t.countedIn(now)
	own := p.used[window{t.b.Key, now}]
	if old && t.b.Wider != "" && p.used[window{t.b.Wider, now}] > own {
		p.share(t.b.Wider)
	} else {
		p.crowd(t.line(), now)
	}
	p.used[window{t.b.Key, now}] = max(t.b.Limit, own)
}

// forget drops what is over. It needs p.mu.
func (p *Pacer) forget(now int64) {
	for w := range p.used {
		if w.minute < now-1 {
			delete(p.used, w)
		}
	}
	for key, c := range p.crowds {
		if c.until < now {
			delete(p.crowds, key)
		}
	}
}
