package pace

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/seed-5d77b939/porter/internal/wait"
)

// A Pacer hands out turns as GitLab counts them: so many for each minute of
// the server's clock, without its jumps. Turns are given in the order in which
// they were asked for.
type Pacer struct {
	clock  *Clock
	mu     sync.Mutex
	used   map[window]int
	shared map[string]bool // wider budgets that the server turned out to count
}

// A Budget is what GitLab counts a request against.
type Budget struct {
	Key   string // "" is none
	Limit int    // requests per minute
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
	return &Pacer{clock: clock, used: make(map[window]int), shared: make(map[string]bool)}
}

// edge is how near to the end of a minute a request may still arrive in the
// next one, so that it must count in both: the Date header has whole seconds,
// and a request takes its time.
const edge = 2 * time.Second

// A Turn is the right to make one request.
type Turn struct {
	p       *Pacer
	b       Budget
	minutes []int64 // those it was counted in
}

// reserve takes the first free turn and returns how long to wait for it.
func (p *Pacer) reserve(b Budget) (*Turn, time.Duration) {
	t := &Turn{p: p, b: b}
	return t, t.renew()
}

// renew gives the turn back for the first free one and returns how long to
// wait for that.
func (t *Turn) renew() time.Duration {
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

// due reports whether the turn's minute has come.
func (t *Turn) due() bool { return t.minutes[0] == minuteOf(t.p.clock.steady()) }

// Wait waits for a turn, the first that is free, and tells how long each wait
// will be before it begins. The error is the context's.
func (p *Pacer) Wait(ctx context.Context, b Budget, tell func(delay time.Duration)) (*Turn, error) {
	t, d := p.reserve(b)
	for d > 0 {
		tell(d)
		if err := wait.Sleep(ctx, d); err != nil {
			t.NotSent()
			return nil, err
		}
		if t.due() {
			break
		}
		d = t.renew() // the server's clock turned out to be another one
	}
	return t, nil
}

// NotSent returns a turn that was not used.
func (t *Turn) NotSent() {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.count(-1)
	t.minutes = nil
}

// Counted counts the turn in the minute in which the server really answered:
// after a long upload, or if its clock was not known yet, it is another one.
func (t *Turn) Counted() {
	now := minuteOf(t.p.clock.steady())
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	if !slices.Contains(t.minutes, now) {
		t.count(-1)
		t.minutes = []int64{now}
		t.count(1)
	}
}

// Refused counts the turn, and notes that the server refused: others of this
// user used the minute up. If it may be an old server and we used the wider budget in this
// minute, the others are our own requests, and that is the budget to keep to.
func (t *Turn) Refused(old bool) {
	t.Counted()
	now := minuteOf(t.p.clock.steady())
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	own := t.p.used[window{t.b.Key, now}]
	if old && t.b.Wider != "" && t.p.used[window{t.b.Wider, now}] > own {
		t.p.shared[t.b.Wider] = true
	}
	t.p.used[window{t.b.Key, now}] = max(t.b.Limit, own)
}
