package diskio

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Parts that are added and taken at random are those that a map of the bytes has.
func TestExtents(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	const size = 40
	x := Extents{{3, 9}}
	if e := x.Take(math.MaxInt64); e != (Extent{3, 9}) || len(x) > 0 {
		t.Errorf("took %v, and left %v", e, x)
	}
	for range 500 {
		var x Extents
		var there [size]bool
		for range rnd.IntN(12) {
			if rnd.IntN(4) == 0 {
				e := x.Take(int64(1 + rnd.IntN(5)))
				for i := e.From; i < e.To; i++ {
					if !there[i] || slices.Contains(there[:i], true) {
						t.Fatalf("%d of %v is not the first that is there", i, e)
					}
					there[i] = false
				}
			} else {
				from := rnd.Int64N(size)
				e := Extent{from, from + rnd.Int64N(size-from+1)}
				var want int64
				for i := e.From; i < e.To; i++ {
					if !there[i] {
						want++
					}
					there[i] = true
				}
				if n := x.Add(e); n != want {
					t.Fatalf("%d bytes of %v were new, not %d", want, e, n)
				}
			}
			checkExtents(t, x, there[:], 0, size)
			from := rnd.Int64N(size)
			to := from + rnd.Int64N(size-from+1)
			within := make([]bool, size)
			copy(within[from:to], there[from:to])
			checkExtents(t, x.Within(from, to), within, 0, size)
			for i := from; i < to; i++ {
				within[i] = !within[i]
			}
			checkExtents(t, x.Gaps(from, to), within, 0, size)
		}
	}
}

func checkExtents(t *testing.T, x Extents, there []bool, from, to int64) {
	t.Helper()
	got := make([]bool, len(there))
	last := int64(-1)
	for _, e := range x {
		if e.From <= last || e.Len() <= 0 || e.From < from || e.To > to {
			t.Fatalf("%v are not in order", x)
		}
		last = e.To
		for i := e.From; i < e.To; i++ {
			got[i] = true
		}
	}
	var n int64
	for _, b := range there {
		if b {
			n++
		}
	}
	front := slices.Index(there, false)
	if front < 0 {
		front = len(there)
	}
	if !slices.Equal(got, there) || x.Len() != n || x.Front() != int64(front) {
		t.Fatalf("%v, %d bytes, front %d: want %v", x, x.Len(), x.Front(), there)
	}
}
