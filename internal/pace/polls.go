package pace

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/seed-5d77b939/porter/internal/wait"
)

// Polls shares among many waits how often they may poll together in any
// minute.
type Polls struct {
	clock    *Clock
	mu       sync.Mutex
	waits    int
	made     []time.Time // the polls of the last minute
	queue    []*poll     // who waits, in the order in which they came
	turns    int         // given to one of them so far
	timer    *time.Timer // for the next of these
	throttle throttle
}

// A poll is one that has to wait.
type poll struct {
	limit int
	pause time.Duration // since the last one of the same wait
	given chan struct{}
}

// NewPolls returns what shares polls. The throttle's clock is clock.
func NewPolls(clock *Clock) *Polls { return &Polls{clock: clock} }

// Learn takes in what an answer tells of the limit for all requests. The clock
// has learned from it before.
func (p *Polls) Learn(h http.Header) {
	t, ok := throttleOf(h, p.clock)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.throttle = t
}

// Wait waits until one more poll stays within limit polls a minute. The wait
// that asks has paused for so long; 0 is one that begins. The error is the
// context's.
func (p *Polls) Wait(ctx context.Context, limit int, pause time.Duration) error {
	q := p.ask(limit, pause)
	if q == nil {
		return nil
	}
	err := wait.For(ctx, q.given)
	if err != nil {
		p.leave(q)
	}
	return err
}

// Join counts a wait that begins, and the function that it returns one that ends.
func (p *Polls) Join() (leave func()) {
	p.add(1)
	return func() { p.add(-1) }
}

func (p *Polls) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waits += n
}

// Scarce reports whether each wait has less than four polls a minute.
func (p *Polls) Scarce(limit int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit, _ = p.throttle.share(limit, time.Now())
	return 4*p.waits > limit
}

// ask returns nil if the poll may be made at once.
func (p *Polls) ask(limit int, pause time.Duration) *poll {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); len(p.queue) == 0 && p.delay(now, limit, false) <= 0 {
		p.count(now)
		return nil
	}
	q := &poll{limit, pause, make(chan struct{})}
	p.queue = append(p.queue, q)
	p.serve()
	return q
}

func (p *Polls) leave(q *poll) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.queue, q); i >= 0 {
		p.queue = slices.Delete(p.queue, i, i+1)
	}
}

// serve lets polls be made as they come due. It needs p.mu.
func (p *Polls) serve() {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	for len(p.queue) > 0 {
		i, now := p.next(), time.Now()
		q := p.queue[i]
		if d := p.delay(now, q.limit, true); d > 0 {
			p.timer = time.AfterFunc(d, func() {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.serve()
			})
			return
		}
		p.queue = slices.Delete(p.queue, i, i+1)
		p.turns++
		p.count(now)
		close(q.given)
	}
}

// count counts a poll. It needs p.mu.
func (p *Polls) count(now time.Time) {
	p.made = append(p.made, now)
	p.throttle.spare-- // until its answer tells
}

// next chooses whose turn it is. Of two turns one goes to who came first, so
// that nobody waits for ever, and one to who has paused least, so that a new job
// is looked at soon, however many old ones there are. It needs p.mu.
func (p *Polls) next() int {
	best := 0
	if p.turns%2 == 0 {
		return best
	}
	for i, q := range p.queue {
		if q.pause < p.queue[best].pause {
			best = i
		}
	}
	return best
}

// delay is how long it takes until there is room for one more poll. Where some
// wait they are made one by one, and not all as soon as there is room. It needs
// p.mu.
func (p *Polls) delay(now time.Time, limit int, oneByOne bool) time.Duration {
	limit, d := p.throttle.share(limit, now)
	n := p.lastMinute(now)
	if n >= limit {
		d = max(d, p.made[n-limit].Add(time.Minute).Sub(now))
	}
	if n > 0 && oneByOne {
		d = max(d, p.made[n-1].Add(time.Minute/time.Duration(limit)).Sub(now))
	}
	return d
}

// lastMinute returns how many polls were made in the last minute, and forgets
// the others. It needs p.mu.
func (p *Polls) lastMinute(now time.Time) int {
	old := 0
	for old < len(p.made) && now.Sub(p.made[old]) >= time.Minute {
		old++
	}
	p.made = p.made[old:]
	return len(p.made)
}
