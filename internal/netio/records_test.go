package netio

import (
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A sink keeps what is written to it, without a lock: the race detector tells
// if two write at the same time.
type sink struct {
	net.Conn
	writes []string
	err    error
}

func (s *sink) Write(b []byte) (int, error) {
	s.writes = append(s.writes, string(b))
	return len(b), s.err
}

func TestJoin(t *testing.T) {
	s := new(sink)
	c := &recordConn{Conn: s}
	records := func(b []byte) (int, error) {
		for i := range b {
			c.Write(b[i : i+1])
		}
		return len(b), nil
	}
	c.Write([]byte("greeting"))
	for _, piece := range []string{"abc", "de"} {
		if n, err := c.join([]byte(piece), records); n != len(piece) || err != nil {
			t.Errorf("%s: %d, %v", piece, n, err)
		}
	}
	c.Write([]byte("alert"))
	c.forget()
	c.join([]byte("fgh"), records)
	if diff := cmp.Diff([]string{"greeting", "abc", "de", "alert", "fgh"}, s.writes); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}

// The error of TLS goes before that of the network, and neither leaves the
// connection holding anything back.
func TestJoinErrors(t *testing.T) {
	errTLS, errNetwork := errors.New("tls"), errors.New("network")
	for _, test := range []struct{ tls, network, want error }{
		{nil, errNetwork, errNetwork}, {errTLS, nil, errTLS}, {errTLS, errNetwork, errTLS},
	} {
		s := &sink{err: test.network}
		c := &recordConn{Conn: s}
		n, err := c.join([]byte("abc"), func(b []byte) (int, error) {
			c.Write(b[:2])
			return 2, test.tls
		})
		if n != 2 || err != test.want {
			t.Errorf("%v, %v: got %d, %v", test.tls, test.network, n, err)
		}
		c.Write([]byte("alert"))
		if diff := cmp.Diff([]string{"ab", "alert"}, s.writes); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
	}
}

// TLS writes while a piece is sent, too: it answers some records while it
// reads. Whatever is joined with what, every record is sent once and whole, and
// those of each writer in their order.
func TestJoinStress(t *testing.T) {
	const readers, each, piece = 4, 2000, 50
	s := new(sink)
	c := &recordConn{Conn: s}
	record := func(writer, n int) []byte {
		return binary.BigEndian.AppendUint32([]byte{byte(writer)}, uint32(n))
	}
	var wg sync.WaitGroup
	for w := range readers {
		wg.Go(func() {
			for n := range each {
				c.Write(record(w, n))
			}
		})
	}
	wg.Go(func() {
		for n := 0; n < each; n += piece {
			c.join(nil, func([]byte) (int, error) {
				for i := range piece {
					c.Write(record(readers, n+i))
				}
				return 0, nil
			})
			if n%7 == 0 {
				c.forget()
			}
		}
	})
	wg.Wait()
	next := make([]int, readers+1)
	for b := []byte(strings.Join(s.writes, "")); len(b) > 0; b = b[5:] {
		w, n := int(b[0]), int(binary.BigEndian.Uint32(b[1:]))
		if n != next[w] {
			t.Fatalf("record %d of writer %d where %d was due", n, w, next[w])
		}
		next[w]++
	}
	for w, n := range next {
		if n != each {
			t.Errorf("%d records of writer %d", n, w)
		}
	}
}
