package pace

import (
	"cmp"
	"slices"
	"sync"
)

// Places are taken by those who do something of which only so much may be done
// at a time. Who has asked first is served first, and nobody overtakes.
type Places struct {
	taken int
	line  []*Place // who waits, in the order of asking
}

// A Place is one among each of some Places: all of them or none. Those who do
// one thing together, such as the halves of a transfer, share it as its
// holders: it is taken as long as one of them has it.
type Place struct {
	wants   []want
	order   int64 // of asking, the first time; 0 before
	holders int   // who have it or wait for it
	lent    int   // those of them who have it for the others only
	taken   bool
	given   chan struct{} // closed once it is given; nil if it is not waited for
}

// A want is one of Places of which fewer than limit must be taken; 0 is any
// number.
type want struct {
	in    *Places
	limit int
}

// places guards all Places, as a Place may be among several; asked is how many
// have been asked for. The order is one for all: who is first in it is first
// in each of its lines, so that no two wait for each other.
var (
	places sync.Mutex
	asked  int64
)

// Taken returns how many places are taken.
func (in *Places) Taken() int {
	places.Lock()
	defer places.Unlock()
	return in.taken
}

// serve gives the first in line their places. It needs the lock.
func (in *Places) serve() {
	for len(in.line) > 0 && in.line[0].take() {
		p := in.line[0]
		close(p.given)
		p.given = nil
		p.leave()
	}
}

// Among has the place be one of in too; nil is none. If it is taken, and there
// is none in there, it is given back and waited for: who had one and waited for
// another could do so for ever. Of two limits for the same Places the lower one
// holds.
func (p *Place) Among(in *Places, limit int) {
	places.Lock()
	defer places.Unlock()
	w := want{in, limit}
	same := slices.IndexFunc(p.wants, func(w want) bool { return w.in == in })
	switch {
	case in == nil:
	case same >= 0:
		if old := p.wants[same].limit; p.order == 0 && limit > 0 && (old == 0 || limit < old) {
			p.wants[same] = w
		}
	case p.taken:
		p.free()
		p.wants = append(p.wants, w)
		p.ask()
	case p.given != nil:
		p.leave()
		p.wants = append(p.wants, w)
		p.queue()
	default:
		p.wants = append(p.wants, w)
	}
}

// ask takes the place, or queues for it. It needs the lock, as do those below.
func (p *Place) ask() {
	if p.taken || p.given != nil {
		return
	}
	if p.order == 0 {
		asked++
		p.order = asked
	}
	if !p.take() {
		p.given = make(chan struct{})
		p.queue()
	}
}

// take takes the place if there is one and nobody comes before, and reports
// whether.
func (p *Place) take() bool {
	for _, w := range p.wants {
		if w.limit > 0 && (w.in.taken >= w.limit || len(w.in.line) > 0 && byOrder(w.in.line[0], p) < 0) {
			return false
		}
	}
	for _, w := range p.wants {
		w.in.taken++
	}
	p.taken = true
	return true
}

// free gives the place back.
func (p *Place) free() {
	p.taken = false
	for _, w := range p.wants {
		w.in.taken--
	}
	for _, w := range p.wants {
		w.in.serve()
	}
}

// queue has the place waited for, where it was if it was asked for before.
func (p *Place) queue() {
	for _, w := range p.wants {
		if w.limit > 0 {
			i, _ := slices.BinarySearchFunc(w.in.line, p, byOrder)
			w.in.line = slices.Insert(w.in.line, i, p)
		}
	}
}

// leave has the place not waited for any more.
func (p *Place) leave() {
	for _, w := range p.wants {
		if i, waits := slices.BinarySearchFunc(w.in.line, p, byOrder); waits {
			w.in.line = slices.Delete(w.in.line, i, i+1)
		}
	}
	for _, w := range p.wants {
		w.in.serve()
	}
}

func byOrder(a, b *Place) int { return cmp.Compare(a.order, b.order) }
