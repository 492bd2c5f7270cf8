package porter

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
	"testing/synctest"
)

// Whatever sizes both sides use, what comes out is what went in, and then the
// writer's error.
func TestRing(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 100 {
		want := make([]byte, rng.IntN(4000))
		for i := range want {
			want[i] = byte(rng.Uint32())
		}
		r, cause := newRing(2+rng.IntN(100)), errors.New("cut")
		copied := rng.IntN(2) == 0
		sizes := rand.New(rand.NewPCG(seed, rng.Uint64()))
		go func() {
			rest := want
			for len(rest) > 0 {
				n := min(1+sizes.IntN(200), len(rest))
				var m int64
				var err error
				if copied {
					m, err = r.ReadFrom(iotest.OneByteReader(bytes.NewReader(rest[:n])))
				} else {
					var k int
					k, err = r.Write(rest[:n])
					m = int64(k)
				}
				if m != int64(n) || err != nil {
					t.Errorf("seed %d: wrote %d of %d: %v", seed, m, n, err)
				}
				rest = rest[n:]
			}
			r.endWriting(cause)
		}()
		var got []byte
		var err error
		for err == nil {
			b := make([]byte, 1+rng.IntN(200))
			var n int
			n, err = r.Read(b)
			got = append(got, b[:n]...)
		}
		if err != cause || !bytes.Equal(got, want) {
			t.Fatalf("seed %d: read %d bytes of %d, equal %v, then %v", seed, len(got), len(want), bytes.Equal(got, want), err)
		}
	}
}

// Whoever sleeps is woken once it is worth the while, or the other side has ended.
func TestRingSleeps(t *testing.T) {
	const size = 8
	ended := errors.New("ended")
	for name, tt := range map[string]struct {
		before  func(r *ring)
		sleeper func(r *ring) (int, error)
		enough  func(r *ring) // wakes it
		little  func(r *ring) // does not
		end     func(r *ring, err error)
	}{
		"reader": {
			before:  func(r *ring) {},
			sleeper: func(r *ring) (int, error) { return r.Read(make([]byte, size)) },
			little:  func(r *ring) { r.Write(make([]byte, size/2-1)) },
			enough:  func(r *ring) { r.Write(make([]byte, 1)) },
			end:     (*ring).endWriting,
		},
		"writer": {
			before:  func(r *ring) { r.Write(make([]byte, size)) },
			sleeper: func(r *ring) (int, error) { return r.Write(make([]byte, 1)) },
			little:  func(r *ring) { r.Read(make([]byte, size/2-1)) },
			enough:  func(r *ring) { r.Read(make([]byte, 1)) },
			end:     (*ring).endReading,
		},
		"writer from a reader": {
			before:  func(r *ring) { r.Write(make([]byte, size)) },
			sleeper: func(r *ring) (int, error) { n, err := r.ReadFrom(bytes.NewReader([]byte{1})); return int(n), err },
			little:  func(r *ring) { r.Read(make([]byte, size/2-1)) },
			enough:  func(r *ring) { r.Read(make([]byte, 1)) },
			end:     (*ring).endReading,
		},
	} {
		for how, wake := range map[string]func(r *ring){
			"enough": tt.enough,
			"end":    func(r *ring) { tt.end(r, ended) },
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRing(size)
					tt.before(r)
					awake := make(chan error, 1)
					go func() {
						_, err := tt.sleeper(r)
						awake <- err
					}()
					synctest.Wait()
					if how == "enough" {
						tt.little(r)
						synctest.Wait()
					}
					select {
					case err := <-awake:
						t.Fatalf("awake too early: %v", err)
					default:
					}
					wake(r)
					err := <-awake
					if how == "enough" && err != nil || how == "end" && err != ended {
						t.Errorf("got %v", err)
					}
				})
			})
		}
	}
}

// What was written before the end is read, and the first reason of an end stays.
func TestRingEnds(t *testing.T) {
	first := errors.New("first")
	r := newRing(8)
	r.Write([]byte("abc"))
	r.endWriting(first)
	r.endWriting(io.EOF)
	b, err := io.ReadAll(r)
	if string(b) != "abc" || err != first {
		t.Errorf("got %q, %v", b, err)
	}
	r.endReading(first)
	r.endReading(io.EOF)
	if n, err := r.Write([]byte("x")); n != 0 || err != first {
		t.Errorf("got %d, %v", n, err)
	}
	if n, err := r.ReadFrom(iotest.ErrReader(io.ErrNoProgress)); n != 0 || err != first {
		t.Errorf("got %d, %v", n, err)
	}
	r = newRing(8)
	if n, err := r.ReadFrom(iotest.DataErrReader(bytes.NewReader([]byte("abcdef")))); n != 6 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if n, err := r.ReadFrom(iotest.ErrReader(io.ErrNoProgress)); n != 0 || err != io.ErrNoProgress {
		t.Errorf("got %d, %v", n, err)
	}
}
