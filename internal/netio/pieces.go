package netio

import (
	"io"
	"time"
)

const (
	// maxPiece is how much of a body is written at a time. net/http would write
	// 32 KiB; fewer and larger writes save time and CPU time (`go run
	// ./benchmarks`, "upload, http").
	maxPiece = 512 << 10
	// minPiece is what a slow connection gets: a stall is noticed between two
	// pieces, so one must not take as long as a stall.
	minPiece  = 16 << 10
	slowPiece = 100 * time.Millisecond
)

// A writeFunc writes as the method of an io.Writer.
type writeFunc func([]byte) (int, error)

// sendPieces writes what r holds, in pieces that grow as long as the
// connection takes them quickly.
func sendPieces(write writeFunc, r io.Reader) (n int64, err error) {
	buf := make([]byte, maxPiece)
	size := minPiece
	for {
		m, rerr := r.Read(buf[:size])
		if m > 0 {
			start := time.Now()
			w, err := write(buf[:m])
			n += int64(w)
			if err != nil {
				return n, err
			}
			if time.Since(start) < slowPiece {
				size = min(2*size, maxPiece)
			} else {
				size = max(size/2, minPiece)
			}
		}
		if rerr == io.EOF {
			return n, nil
		}
		if rerr != nil {
			return n, rerr
		}
	}
}
