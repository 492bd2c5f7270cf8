package pace

// A Holder is one of those who share a Place. A nil one needs none.
type Holder struct {
	p     *Place
	has   bool // or waits for it
	lends bool
	ended bool
}

// Holder returns another holder of the place, who does not have it yet.
func (p *Place) Holder() *Holder { return &Holder{p: p} }

// Take takes the place, or waits for it until the channel is closed. The
// channel is nil if the holder has the place now, and if it has ended.
func (h *Holder) Take() <-chan struct{} {
	if h == nil {
		return nil
	}
	places.Lock()
	defer places.Unlock()
	if h.ended {
		return nil
	}
	if !h.has {
		h.has = true
		h.p.holders++
	}
	h.unlend()
	h.p.ask()
	return h.p.given
}

// TryTake takes the place if that can be done at once, and reports whether.
func (h *Holder) TryTake() bool {
	if h.Take() == nil {
		return true
	}
	h.Give()
	return false
}

// Give gives the place back, or waits for it no more. It may be taken again,
// and is waited for then where it was.
func (h *Holder) Give() {
	if h == nil {
		return
	}
	places.Lock()
	defer places.Unlock()
	h.give()
}

// End is the last Give.
func (h *Holder) End() {
	places.Lock()
	defer places.Unlock()
	h.ended = true
	h.give()
}

// Lend leaves the place to the other holders, who may be yet to come: when
// the last of them gives it back, so does h. Take has it back.
func (h *Holder) Lend() {
	if h == nil {
		return
	}
	places.Lock()
	defer places.Unlock()
	if h.has && !h.lends {
		h.lends = true
		h.p.lent++
	}
}

// unlend needs the lock, as does give.
func (h *Holder) unlend() {
	if h.lends {
		h.lends = false
		h.p.lent--
	}
}

func (h *Holder) give() {
	if !h.has {
		return
	}
	h.has = false
	h.unlend()
	p := h.p
	if p.holders--; p.holders > p.lent {
		return
	}
	if p.taken {
		p.free()
	} else if p.given != nil {
		p.given = nil
		p.leave()
	}
}
