package netio

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// random returns size bytes, always the same ones.
func random(size int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{}), size)
}

// Pieces grow on a fast connection, and shrink again when it becomes slow, so
// that a slow one is not taken for a stalled one.
func TestSendPieces(t *testing.T) {
	const k = 1 << 10
	fast, slow := slowPiece/10, slowPiece
	for _, test := range []struct {
		name  string
		takes []time.Duration // of each write, the last one of all others
		size  int64
		want  []int
	}{
		{"fast", []time.Duration{fast}, 2000 * k, []int{16 * k, 32 * k, 64 * k, 128 * k, 256 * k, 512 * k, 512 * k, 480 * k}},
		{"slow", []time.Duration{slow}, 70 * k, []int{16 * k, 16 * k, 16 * k, 16 * k, 6 * k}},
		{"slower", []time.Duration{fast, fast, fast, slow}, 400 * k,
			[]int{16 * k, 32 * k, 64 * k, 128 * k, 64 * k, 32 * k, 16 * k, 16 * k, 16 * k, 16 * k}},
		{"slow at first", []time.Duration{slow, fast}, 100 * k, []int{16 * k, 16 * k, 32 * k, 36 * k}},
		{"empty", []time.Duration{fast}, 0, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got []int
				var sent bytes.Buffer
				n, err := sendPieces(func(b []byte) (int, error) {
					time.Sleep(test.takes[min(len(got), len(test.takes)-1)])
					got = append(got, len(b))
					return sent.Write(b)
				}, random(test.size))
				if err != nil || n != test.size {
					t.Errorf("sent %d bytes, %v; want %d", n, err, test.size)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("pieces (-want +got):\n%s", diff)
				}
				want, _ := io.ReadAll(random(test.size))
				if !bytes.Equal(sent.Bytes(), want) {
					t.Error("other bytes were sent than read")
				}
			})
		})
	}
}

func TestSendPiecesErrors(t *testing.T) {
	broken := errors.New("broken")
	all := func(b []byte) (int, error) { return len(b), nil }
	n, err := sendPieces(all, io.MultiReader(bytes.NewReader(make([]byte, 10)), iotest.ErrReader(broken)))
	if n != 10 || err != broken {
		t.Errorf("reading fails after 10 bytes: %d, %v", n, err)
	}
	n, err = sendPieces(func(b []byte) (int, error) { return 3, broken }, bytes.NewReader(make([]byte, 10)))
	if n != 3 || err != broken {
		t.Errorf("writing fails after 3 bytes: %d, %v", n, err)
	}
	n, err = sendPieces(all, iotest.DataErrReader(bytes.NewReader(make([]byte, 10))))
	if n != 10 || err != nil {
		t.Errorf("the end comes with the last bytes: %d, %v", n, err)
	}
}
