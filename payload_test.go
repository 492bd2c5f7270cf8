package porter

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/seed-5d77b939/porter/internal/netio"
)

// GitLab's answer ends a payload, and may come before the transport has asked
// what comes after the last byte. If that was an error, it would close the
// connection before the rest of the answer has come.
func TestPayloadEnds(t *testing.T) {
	c, err := NewClient("http://gitlab.test", nil)
	if err != nil {
		t.Fatal(err)
	}
	open := func(f form) *payload {
		ctx, w := netio.NewWatchdog(t.Context(), 0)
		p, err := f.open(ctx, &c.core, "app")
		if err != nil {
			t.Fatal(err)
		}
		p.watch = w
		return p
	}
	for _, size := range []int64{5, -1} {
		f := form{source: ReaderSource(bytes.NewReader([]byte("hello")), size)}
		p := open(f)
		head, tail, _, err := f.envelope()
		if err != nil {
			t.Fatal(err)
		}
		for n := len(head) + len("hello") + len(tail); n > 0; {
			m, err := p.Read(make([]byte, n))
			if n -= m; err != nil && (n > 0 || err != io.EOF) {
				t.Fatalf("size %d: %d bytes before the end: %v", size, n, err)
			}
		}
		if p.reach(nil, true) != whole {
			t.Errorf("size %d: was not sent whole", size)
		}
		p.stop()
		if n, err := p.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("size %d: read %d, %v after the answer", size, n, err)
		}
	}

	p := open(form{source: ReaderSource(bytes.NewReader([]byte("hello")), 5)})
	p.stop()
	if _, err := p.Read(make([]byte, 1)); !errors.Is(err, errPayloadStopped) {
		t.Errorf("before the end: %v", err)
	}
}
