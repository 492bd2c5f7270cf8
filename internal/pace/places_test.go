package pace

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// newPlace returns a holder of a place among some.
func newPlace(limit int, among ...*Places) *Holder {
	p := new(Place)
	for _, in := range among {
		p.Among(in, limit)
	}
	return p.Holder()
}

// had reports whether what was asked for is given.
func had(given <-chan struct{}) bool {
	if given == nil {
		return true
	}
	select {
	case <-given:
		return true
	default:
		return false
	}
}

func TestPlacesInOrder(t *testing.T) {
	in := new(Places)
	first := newPlace(1, in)
	if !had(first.Take()) {
		t.Fatal("the only one has to wait")
	}
	var holders []*Holder
	var given []<-chan struct{}
	for range 5 {
		h := newPlace(1, in)
		holders = append(holders, h)
		given = append(given, h.Take())
	}
	holders[1].End() // leaves no gap
	first.Give()
	order := []int{0, 2, 3, 4}
	for n, i := range order {
		for j := range holders {
			if want := j != 1 && j <= i; had(given[j]) != want {
				t.Fatalf("after %d were served, %d has its place: %v", n, j, !want)
			}
		}
		holders[i].End()
		holders[i].End() // once is enough
	}
	if n := in.Taken(); n != 0 {
		t.Errorf("%d are taken", n)
	}
}

// Who gave its place back for a while comes before those who asked later.
func TestPlacesAtOldPlace(t *testing.T) {
	in := new(Places)
	a, b, c := newPlace(1, in), newPlace(1, in), newPlace(1, in)
	a.Take()
	b.Take()
	a.Give() // b's turn
	waits := c.Take()
	again := a.Take()
	b.End()
	if !had(again) || had(waits) {
		t.Errorf("the earlier has it: %v, the later: %v", had(again), had(waits))
	}
	if c.TryTake(); !had(again) || had(waits) {
		t.Error("one that tried has it")
	}
}

// Clients of one family may have limits of their own.
func TestPlacesWithOtherLimits(t *testing.T) {
	in := new(Places)
	free := []*Holder{newPlace(0, in), newPlace(0, in), newPlace(0, in)}
	for _, h := range free {
		if !had(h.Take()) {
			t.Fatal("waits without a limit")
		}
	}
	two := newPlace(2, in)
	given, four := two.Take(), newPlace(4, in)
	behind := four.Take()
	free[0].End()
	if had(given) || had(behind) {
		t.Error("served with two taken, or overtook")
	}
	free[1].End()
	if !had(given) || !had(behind) {
		t.Error("waits with one taken")
	}
	// Of two limits the lower one holds.
	p := new(Place)
	p.Among(in, 0)
	p.Among(in, 2)
	p.Among(in, 9)
	if h := p.Holder(); had(h.Take()) {
		t.Error("the higher limit holds")
	}
}

// The holders of one place have it together.
func TestPlaceShared(t *testing.T) {
	in := new(Places)
	p := new(Place)
	p.Among(in, 1)
	down, up, other := p.Holder(), p.Holder(), newPlace(1, in)
	if !had(down.Take()) || !had(up.Take()) || in.Taken() != 1 {
		t.Fatalf("%d are taken", in.Taken())
	}
	waits := other.Take()
	down.Give()
	if had(waits) {
		t.Error("given away while half of it is in use")
	}
	up.Give()
	if !had(waits) {
		t.Error("not given back by the last")
	}
	first, second := down.Take(), up.Take()
	other.End()
	if !had(first) || !had(second) {
		t.Error("one of two that waited for the same place has none")
	}
	down.End()
	up.End()
	if down.Take() != nil || in.Taken() != 0 {
		t.Errorf("%d are taken after the end", in.Taken())
	}
}

// A place that is lent is given back by whom it was lent to.
func TestPlaceLent(t *testing.T) {
	in := new(Places)
	p := new(Place)
	p.Among(in, 1)
	down, up, other := p.Holder(), p.Holder(), newPlace(1, in)
	up.Take()
	up.Lend()
	if in.Taken() != 1 {
		t.Error("given back with nobody to lend it to")
	}
	down.Take()
	waits := other.Take()
	down.Give()
	if !had(waits) {
		t.Fatal("not given back")
	}
	given := up.Take()
	if had(given) {
		t.Error("reclaimed at once from another")
	}
	other.End()
	if !had(given) {
		t.Error("not given once it is free")
	}
	up.End()
	if n := in.Taken(); n != 0 {
		t.Errorf("%d are taken", n)
	}
}

// A place that turns out to be among others too is not held while they are
// waited for.
func TestPlaceAmongOthers(t *testing.T) {
	a, b := new(Places), new(Places)
	inB := newPlace(1, b)
	inB.Take()
	p := new(Place)
	p.Among(a, 1)
	up, down := p.Holder(), p.Holder()
	up.Take()
	p.Among(b, 1)
	given := down.Take()
	if had(given) || a.Taken() != 0 {
		t.Errorf("given: %v; %d are taken meanwhile", had(given), a.Taken())
	}
	c := new(Places)
	p.Among(c, 1) // while it waits
	inB.End()
	if !had(given) || a.Taken() != 1 || b.Taken() != 1 || c.Taken() != 1 {
		t.Errorf("given: %v; %d, %d and %d are taken", had(given), a.Taken(), b.Taken(), c.Taken())
	}
	up.End()
	down.End()
	if n := a.Taken() + b.Taken() + c.Taken(); n != 0 {
		t.Errorf("%d are taken", n)
	}
}

// Whatever they do, nobody waits for ever, no limit is exceeded, and at the
// end all is free.
func TestPlacesAtRandom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		pools := []*Places{new(Places), new(Places), new(Places)}
		var wg sync.WaitGroup
		for i := range 200 {
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			wg.Go(func() { useAtRandom(t, random, pools) })
		}
		wg.Wait()
		for _, in := range pools {
			if in.Taken() != 0 || len(in.line) != 0 {
				t.Errorf("%d are taken, %d wait", in.Taken(), len(in.line))
			}
		}
	})
}

// useAtRandom has two holders of a place do what they may, in any order.
func useAtRandom(t *testing.T, random *rand.Rand, pools []*Places) {
	p := new(Place)
	for _, i := range random.Perm(len(pools))[:1+random.IntN(2)] {
		p.Among(pools[i], 2)
	}
	var wg sync.WaitGroup
	for range 2 {
		h, random := p.Holder(), rand.New(rand.NewPCG(random.Uint64(), 0))
		wg.Go(func() {
			defer h.End()
			for range 10 {
				switch random.IntN(6) {
				case 0:
					h.TryTake()
				case 1:
					h.Give()
				case 2:
					h.Lend()
				case 3:
					h.Take() // and gives it back while it waits
				case 4:
					p.Among(pools[random.IntN(len(pools))], 2)
				case 5:
					if given := h.Take(); given != nil {
						<-given
					}
				}
				time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond)
				for _, in := range pools {
					if n := in.Taken(); n > 2 {
						t.Errorf("%d are taken", n)
					}
				}
			}
		})
	}
	wg.Wait()
}
