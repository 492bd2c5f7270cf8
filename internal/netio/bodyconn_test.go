package netio

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A countingConn counts its writes. It has no ReadFrom, so only TLS may be
// above it.
type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countingConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// The records of TLS, of 16 KiB at most, are joined before they are written.
func TestBodyJoinsRecords(t *testing.T) {
	cert, pool := exampleCertificate()
	const size = 8 << 20
	r := route{"https", ""}
	s := newResetServer(t, r, cert, false, func(p *peer) {
		readRequest(p.r)
		p.answer(2, "no")
		p.r.ReadByte() // until the client closes
	})
	var writes atomic.Int64
	tr := r.transport(pool, longLinger, func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := s.dial(ctx, network, addr)
		return countingConn{conn, &writes}, err
	})
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://example.com/", random(size))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = size
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	// With minPiece it would be as many as there are records, and more.
	if n := writes.Load(); n > size/minPiece/2 {
		t.Errorf("%d writes for %d bytes", n, size)
	}
}

// Closing a connection in the middle of a write over TLS does not wait for
// that write: there is no time to say goodbye.
func TestCloseInterruptsWrite(t *testing.T) {
	cert, pool := exampleCertificate()
	synctest.Test(t, func(t *testing.T) {
		r := route{"https", ""}
		tr := r.transport(pool, longLinger, func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			go func() {
				if top, err := r.accept(there, cert); err == nil {
					io.ReadFull(top, make([]byte, 100<<10)) // and nothing more
				}
			}()
			return here, nil
		})
		conn, err := tr.Post.DialTLSContext(t.Context(), "tcp", "example.com:443")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := conn.(io.ReaderFrom).ReadFrom(random(1 << 30))
			done <- err
		}()
		synctest.Wait() // the write is stuck
		start := time.Now()
		conn.Close()
		if err := <-done; !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("error is %v", err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("it took %v", d)
		}
	})
}

// Many upload at the same time, and some of their connections are reset at any
// byte. Those are told at once, and of the others every byte arrives.
func TestUploadStress(t *testing.T) {
	cert, pool := exampleCertificate()
	for _, r := range routes() {
		t.Run(r.String(), func(t *testing.T) {
			t.Parallel()
			s := newResetServer(t, r, cert, false, answerWithSum)
			tr := r.transport(pool, longLinger, s.dial)
			defer tr.CloseIdleConnections()
			var wg sync.WaitGroup
			for worker := range 6 {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(1, uint64(worker)))
					for i := range 4 {
						if err := uploadAnything(t.Context(), rnd, tr, r.scheme); err != nil {
							t.Errorf("upload %d of worker %d: %v", i, worker, err)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

const resetAfter = "Reset-After" // so many bytes of the body

func answerWithSum(p *peer) {
	req, err := http.ReadRequest(p.r)
	if err != nil {
		return
	}
	if n, err := strconv.ParseInt(req.Header.Get(resetAfter), 10, 64); err == nil {
		io.CopyN(io.Discard, req.Body, n)
		return
	}
	h := sha256.New()
	io.Copy(h, req.Body)
	sum := hex.EncodeToString(h.Sum(nil))
	p.answer(len(sum), sum)
}

// uploadAnything sends a body of any size, of a known length or not, to
// answerWithSum, and may ask for a reset.
func uploadAnything(ctx context.Context, rnd *rand.Rand, tr http.RoundTripper, scheme string) error {
	size := rnd.Int64N(2 << 20)
	sent := sha256.New()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, scheme+"://example.com/", io.TeeReader(random(size), sent))
	if err != nil {
		return err
	}
	if req.ContentLength = size; rnd.IntN(3) == 0 {
		req.ContentLength = -1
	}
	reset := rnd.IntN(2) == 0
	if reset {
		req.Header.Set(resetAfter, fmt.Sprint(rnd.Int64N(size+1)))
	}
	start := time.Now()
	resp, err := tr.RoundTrip(req)
	if d := time.Since(start); d > tooLate {
		return fmt.Errorf("took %v: %v", d, err)
	}
	if reset {
		if err == nil {
			return fmt.Errorf("status %d from a connection that was reset", resp.StatusCode)
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != hex.EncodeToString(sent.Sum(nil)) {
		return fmt.Errorf("other bytes arrived: %s, %v", got, err)
	}
	return nil
}
