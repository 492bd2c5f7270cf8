package porter

import (
	"io"
	"sync"
)

// A ring hands bytes from one goroutine to another, which may be some behind, so
// that both work at the same time. Like an io.Pipe, either side may end it at any
// moment.
//
// To wake a goroutine costs as much as inflating a KiB or more. So the reader sleeps
// until the ring is half full, or nothing more comes, and the writer until it is
// half empty. They never sleep both.
type ring struct {
	mu    sync.Mutex
	turn  sync.Cond // for whoever sleeps
	buf   []byte
	start int   // of what is in it
	n     int   // bytes in it
	werr  error // why nothing more is written; nil if more may be
	rerr  error // why nothing more is read
}

func newRing(size int) *ring {
	r := &ring{buf: make([]byte, size)}
	r.turn.L = &r.mu
	return r
}

// Read returns the error that the writing ended with once all was read.
func (r *ring) Read(p []byte) (int, error) {
	b, err := r.filled()
	n := copy(p, b)
	r.took(n)
	return n, err
}

// filled returns some of what is in the ring, or why there will be no more.
func (r *ring) filled() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n == 0 {
		for r.n < len(r.buf)/2 && r.werr == nil {
			r.turn.Wait()
		}
	}
	if r.n == 0 {
		return nil, r.werr
	}
	return r.buf[r.start:min(r.start+r.n, len(r.buf))], nil
}

func (r *ring) took(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.start = (r.start + n) % len(r.buf)
	if r.n -= n; r.n <= len(r.buf)/2 {
		r.turn.Signal()
	}
}

// Write fails with the error that the reading ended with.
func (r *ring) Write(p []byte) (n int, err error) {
	for n < len(p) {
		b, err := r.room()
		if err != nil {
			return n, err
		}
		k := copy(b, p[n:])
		r.put(k)
		n += k
	}
	return n, nil
}

// ReadFrom writes what src brings, up to the end of src or of the reading.
func (r *ring) ReadFrom(src io.Reader) (n int64, err error) {
	for {
		b, err := r.room()
		if err != nil {
			return n, err
		}
		k, err := src.Read(b)
		r.put(k)
		n += int64(k)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// room returns some of the room in the ring, or why it is of no use any more.
func (r *ring) room() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n == len(r.buf) {
		for r.n > len(r.buf)/2 && r.rerr == nil {
			r.turn.Wait()
		}
	}
	if r.rerr != nil {
		return nil, r.rerr
	}
	end := r.start + r.n
	if end >= len(r.buf) {
		return r.buf[end-len(r.buf) : r.start], nil
	}
	return r.buf[end:], nil
}

func (r *ring) put(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n += n; r.n >= len(r.buf)/2 {
		r.turn.Signal()
	}
}

// endWriting says that nothing more comes, and why: io.EOF if that was all.
func (r *ring) endWriting(err error) { r.end(&r.werr, err) }

// endReading says that nothing more is wanted, and why.
func (r *ring) endReading(err error) { r.end(&r.rerr, err) }

func (r *ring) end(side *error, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if *side == nil {
		*side = err
		r.turn.Broadcast()
	}
}
