package porter

import (
	"math"
	"sync"
	"time"

	"github.com/seed-5d77b939/porter/internal/diskio"
)

// A chunking says when a download uses more connections than one, and for how
// much at a time.
type chunking struct {
	// More connections are for a store that needs long for each: when reading has
	// waited for so long, and brought fewer than fast bytes a second. A connection
	// that is faster than 1 Gbit/s is no long wire, and on the loopback more of them
	// only cost. They are not worth the while when less than least bytes are missing.
	wait  time.Duration
	fast  float64
	least int64
	// Each connection takes so many bytes at a time: enough that a round trip does
	// not count, and less towards the end, so that all end at about the same time.
	min, max int64
}

var defaultChunking = chunking{wait: 100 * time.Millisecond, fast: 128 << 20, least: 8 << 20, min: 2 << 20, max: 32 << 20}

// chunks hands out what is missing of an archive, the front first.
type chunks struct {
	chunking
	mu      sync.Mutex
	there   diskio.Extents
	missing diskio.Extents // and handed to nobody
	taken   int            // chunks that somebody has
	changed chan struct{}  // closed and replaced when somebody gives one back
}

// newChunks hands out what is missing in places between off and size, which is -1
// if it is not known.
func newChunks(c chunking, there diskio.Extents, off, size int64) *chunks {
	if size < 0 {
		size = math.MaxInt64
	}
	return &chunks{chunking: c, there: there, missing: there.Gaps(off, size), changed: make(chan struct{})}
}

// take hands out what is missing first, to one of so many. If others have the
// rest, it returns what is closed when one of them is done; if there is none,
// nil.
func (c *chunks) take(among int) (e diskio.Extent, others <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := int64(math.MaxInt64)
	if among > 1 {
		n = min(max(c.missing.Len()/int64(2*among), c.min), c.max)
	}
	e = c.missing.Take(n)
	switch {
	case e.Len() > 0:
		c.taken++
	case c.taken > 0:
		others = c.changed
	}
	return e, others
}

// done gives back what was taken, of which rest is still missing.
func (c *chunks) done(rest diskio.Extent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.missing.Add(rest)
	c.taken--
	close(c.changed)
	c.changed = make(chan struct{})
}

// wrote notes what is there, and returns how much that is in all.
func (c *chunks) wrote(off int64, n int) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.there.Add(diskio.Extent{From: off, To: off + int64(n)})
	return c.there.Len()
}

// total returns how much is there.
func (c *chunks) total() int64 { return c.wrote(0, 0) }

// left returns how much nobody has been handed yet.
func (c *chunks) left() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.missing.Len()
}
