package diskio

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// A shortWriter takes all but the last byte of a write, and counts the writes.
type shortWriter struct {
	err    error
	writes int
}

func (w *shortWriter) Write(b []byte) (int, error) {
	w.writes++
	return len(b) - 1, w.err
}

func TestCopy(t *testing.T) {
	content := strings.Repeat("0123456789", PieceSize/4)
	broken := errors.New("broken")
	pieces := func() io.Reader { return iotest.HalfReader(strings.NewReader(content)) }

	var b bytes.Buffer
	if n, err := Copy("op", &b, iotest.DataErrReader(pieces())); n != int64(len(content)) || err != nil || b.String() != content {
		t.Errorf("copied %d of %d bytes: %v", n, len(content), err)
	}
	b.Reset()
	n, err := Copy("op", &b, io.MultiReader(pieces(), iotest.ErrReader(broken)))
	if n != int64(len(content)) || err != broken || b.String() != content {
		t.Errorf("a read failed: %d of %d bytes: %v", n, len(content), err)
	}
	for werr, want := range map[error]string{nil: "op: short write", broken: "op: broken"} {
		w := &shortWriter{err: werr}
		if n, err := Copy("op", w, pieces()); n != PieceSize-1 || w.writes != 1 || err == nil || err.Error() != want {
			t.Errorf("a write failed: %d bytes in %d writes: %v", n, w.writes, err)
		}
	}
}
