package diskio

import (
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckSpace(t *testing.T) {
	dir := t.TempDir()
	free, known := FreeSpace(dir)
	if !known || free <= 0 {
		t.Skipf("%d bytes free, known: %v", free, known)
	}
	for _, need := range []int64{-1, 0, 1} {
		if err := CheckSpace(dir, need); err != nil {
			t.Errorf("%d bytes: %v", need, err)
		}
	}
	if err := CheckSpace(dir, math.MaxInt64); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), dir+" has ") {
		t.Errorf("got %v", err)
	}
	if err := CheckSpace(filepath.Join(dir, "missing"), math.MaxInt64); err != nil { // whatever is wrong, it is told elsewhere
		t.Errorf("got %v", err)
	}
}
