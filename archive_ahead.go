package porter

import "io"

// An aheadReader reads ahead in a goroutine of its own, so that inflating an
// archive and looking at what is in it take the time of one of the two.
type aheadReader struct {
	full  chan aheadPiece // closed when nothing more comes
	free  chan []byte
	stop  chan struct{}
	piece aheadPiece
	rest  []byte // of the piece
}

type aheadPiece struct {
	b   []byte
	n   int
	err error // after these bytes
}

// Inflating brings no more than 32 KiB at a time. To hand that over each time
// takes a twelfth more CPU time than larger pieces do.
const (
	aheadPieces = 2
	aheadSize   = 128 << 10
)

func newAheadReader(r io.Reader) *aheadReader {
	a := &aheadReader{
		full: make(chan aheadPiece, aheadPieces),
		free: make(chan []byte, aheadPieces),
		stop: make(chan struct{}),
	}
	for range aheadPieces {
		a.free <- make([]byte, aheadSize)
	}
	go a.fill(r)
	return a
}

func (a *aheadReader) fill(r io.Reader) {
	defer close(a.full)
	for {
		select {
		case <-a.stop:
			return
		case b := <-a.free:
			p := a.read(r, b)
			a.full <- p // which has room for all there are
			if p.err != nil {
				return
			}
		}
	}
}

// read fills b, unless nobody waits for it any more.
func (a *aheadReader) read(r io.Reader, b []byte) aheadPiece {
	p := aheadPiece{b: b}
	for p.n < len(b) && p.err == nil {
		select {
		case <-a.stop:
			return p
		default:
		}
		var n int
		n, p.err = r.Read(b[p.n:])
		p.n += n
	}
	return p
}

func (a *aheadReader) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.piece.err != nil {
			return 0, a.piece.err
		}
		if a.piece.b != nil {
			a.free <- a.piece.b
		}
		a.piece = <-a.full
		a.rest = a.piece.b[:a.piece.n]
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// close waits until nothing is read any more.
func (a *aheadReader) close() {
	close(a.stop)
	for range a.full { // until it is closed
	}
}
