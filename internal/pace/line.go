package pace

import (
	"cmp"
	"slices"
	"time"
)

// Ask asks for a turn. One that was refused, lost, is asked for again at its
// old place; nil is none.
func (p *Pacer) Ask(b Budget, lost *Turn) *Turn {
	now := p.clock.steady()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget(minuteOf(now))
	t := &Turn{p: p, b: b, given: make(chan struct{})}
	if lost != nil {
		t.place = lost.place
	} else {
		p.asked++
		t.place = p.asked
	}
	key := t.line()
	i, _ := slices.BinarySearchFunc(p.lines[key], t, byPlace)
	p.lines[key] = slices.Insert(p.lines[key], i, t)
	p.serve(key)
	return t
}

// Given is closed once the turn is given.
func (t *Turn) Given() <-chan struct{} { return t.given }

// Left is how long the turn still has to be waited for, as far as can be known
// now; 0 once it is given. Who waits asks when that is over, which moves the
// line.
func (t *Turn) Left() time.Duration {
	p, now := t.p, t.p.clock.steady()
	p.mu.Lock()
	defer p.mu.Unlock()
	key := t.line()
	p.serve(key)
	ahead, waits := slices.BinarySearchFunc(p.lines[key], t, byPlace)
	if !waits {
		return 0
	}
	m := minuteOf(now)
	room := max(0, t.b.Limit-p.used[window{key, m}])
	if next := p.crowds[key].next(now); ahead < room && next.After(now) {
		return next.Sub(now) + time.Duration(ahead)*apart(t.b.Limit)
	}
	if ahead >= room {
		ahead -= room
	}
	m += 1 + int64((ahead+p.used[window{key, m + 1}])/t.b.Limit)
	return time.Unix(m*60, 0).Sub(now)
}

// line is the budget that the server counts, and in whose line the turn is
// waited for. It needs p.mu.
func (t *Turn) line() string {
	if t.p.shared[t.b.Wider] {
		return t.b.Wider
	}
	return t.b.Key
}

func byPlace(a, b *Turn) int { return cmp.Compare(a.place, b.place) }

// serve gives the first in line their turns, as many as there are. It needs p.mu.
func (p *Pacer) serve(key string) {
	line, now := p.lines[key], p.clock.steady()
	for len(line) > 0 && line[0].take(now) {
		line = line[1:]
	}
	p.setLine(key, line)
}

// leave takes the turn out of its line, if it is in it. It needs p.mu.
func (t *Turn) leave() {
	key := t.line()
	line := t.p.lines[key]
	if i, waits := slices.BinarySearchFunc(line, t, byPlace); waits {
		t.p.setLine(key, slices.Delete(line, i, i+1))
	}
}

func (p *Pacer) setLine(key string, line []*Turn) {
	if len(line) == 0 {
		delete(p.lines, key)
		return
	}
	p.lines[key] = line
}

// share notes that the server counts the wider budget. Who waited for a part of
// it now waits in its line. It needs p.mu.
func (p *Pacer) share(wider string) {
	p.shared[wider] = true
	for key, line := range p.lines {
		if key != wider && line[0].b.Wider == wider {
			delete(p.lines, key)
			p.lines[wider] = append(p.lines[wider], line...)
		}
	}
	slices.SortFunc(p.lines[wider], byPlace)
}
