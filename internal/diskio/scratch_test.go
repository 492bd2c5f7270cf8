package diskio

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

// TestScratch does at random what can be done, and compares with a slice.
func TestScratch(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	for range 20 {
		s := NewScratch(dir, "")
		var want []byte
		for range 200 {
			switch n := rnd.IntN(1 << rnd.IntN(21)); rnd.IntN(4) {
			case 0:
				cut := rnd.IntN(len(want) + 1)
				want = want[:cut]
				s.Truncate(int64(cut))
			case 1:
				off := rnd.IntN(len(want) + 2)
				got := make([]byte, n)
				k, err := s.ReadAt(got, int64(off))
				wanted := want[min(off, len(want)):]
				if !bytes.Equal(got[:k], wanted[:min(n, len(wanted))]) || (err != nil) != (n > len(wanted)) || err != nil && err != io.EOF {
					t.Fatalf("%d bytes at %d of %d: got %d, %v", n, off, len(want), k, err)
				}
			default:
				b := make([]byte, n)
				for i := range b {
					b[i] = byte(rnd.Uint32())
				}
				want = append(want, b...)
				if k, err := s.Write(b); k != n || err != nil {
					t.Fatalf("wrote %d of %d, %v", k, n, err)
				}
			}
			if s.Size() != int64(len(want)) || cap(s.tail) > 2*scratchMemory {
				t.Fatalf("size %d, want %d; %d bytes in memory", s.Size(), len(want), cap(s.tail))
			}
		}
		got, err := io.ReadAll(io.NewSectionReader(s, 0, s.Size()))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(want), err)
		}
		s.Close()
		s.Close()
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestScratchInMemory makes no file for a few bytes.
func TestScratchInMemory(t *testing.T) {
	s := NewScratch(t.TempDir()+"/none", "choose another")
	defer s.Close()
	small := make([]byte, scratchMemory)
	if _, err := s.Write(small); err != nil {
		t.Error(err)
	}
	_, err := s.Write(small[:1])
	if err == nil || !strings.HasPrefix(err.Error(), "scratch: ") || !strings.HasSuffix(err.Error(), "; choose another") {
		t.Errorf("though there is no folder, the error is %v", err)
	}
	if _, err := s.ReadAt(small, -1); err == nil {
		t.Error("negative offset: no error")
	}
}
