package diskio

import (
	"cmp"
	"slices"
)

// An Extent is a part of a file: the bytes from From on, before To.
type Extent struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Len returns how many bytes it has.
func (e Extent) Len() int64 { return e.To - e.From }

// Extents are parts of a file: in order, none empty, and none touching another.
type Extents []Extent

// Add adds a part and returns how many bytes of it were not there.
func (x *Extents) Add(e Extent) int64 {
	if e.Len() <= 0 {
		return 0
	}
	first, _ := slices.BinarySearchFunc(*x, e.From, func(o Extent, from int64) int { return cmp.Compare(o.To, from) })
	last, added := first, e.Len()
	for last < len(*x) && (*x)[last].From <= e.To {
		o := (*x)[last]
		added -= max(0, min(o.To, e.To)-max(o.From, e.From))
		last++
	}
	if last > first {
		e = Extent{min(e.From, (*x)[first].From), max(e.To, (*x)[last-1].To)}
	}
	*x = slices.Replace(*x, first, last, e)
	return added
}

// Take takes the first n bytes, or what the first part has, away and returns
// them. Of none it returns an empty one.
func (x *Extents) Take(n int64) (e Extent) {
	if len(*x) == 0 {
		return e
	}
	e = (*x)[0]
	e.To = e.From + min(n, e.Len())
	if (*x)[0].From = e.To; (*x)[0].Len() == 0 {
		*x = slices.Delete(*x, 0, 1)
	}
	return e
}

// Front returns how many bytes there are from the beginning on without a gap.
func (x Extents) Front() int64 {
	if len(x) == 0 || x[0].From > 0 {
		return 0
	}
	return x[0].To
}

// Len returns how many bytes there are.
func (x Extents) Len() (n int64) {
	for _, e := range x {
		n += e.Len()
	}
	return n
}

// Within returns the parts between two places of the file.
func (x Extents) Within(from, to int64) (within Extents) {
	for _, e := range x {
		within.Add(Extent{max(e.From, from), min(e.To, to)})
	}
	return within
}

// Gaps returns what is missing between two places of the file.
func (x Extents) Gaps(from, to int64) (gaps Extents) {
	for _, e := range x.Within(from, to) {
		gaps.Add(Extent{from, e.From})
		from = e.To
	}
	gaps.Add(Extent{from, to})
	return gaps
}
