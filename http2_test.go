package porter_test

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/seed-5d77b939/porter"
)

// Types of HTTP/2 frames, and the flags that matter here.
const (
	frameData, frameHeaders, frameReset, frameSettings, frameGoAway = 0, 1, 3, 4, 7

	flagAck, flagEndStream, flagEndHeaders = 1, 1, 4
)

// refusingServer speaks just enough HTTP/2 to refuse the first stream it has
// received whole and to answer the others with the project of an import. It
// returns its address, a transport for it, and how many streams came.
func refusingServer(t *testing.T, refuse func(stream uint32) (frame byte, of uint32, payload []byte)) (string, http.RoundTripper,
	*atomic.Int32) {
	ts := httptest.NewUnstartedServer(nil)
	ts.EnableHTTP2 = true
	ts.StartTLS()
	defer ts.Close()
	tr := ts.Client().Transport.(*http.Transport).Clone()
	t.Cleanup(tr.CloseIdleConnections)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: ts.TLS.Certificates, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	streams := new(atomic.Int32)
	serve := func(conn net.Conn) {
		defer conn.Close()
		send := func(kind, flags byte, stream uint32, payload []byte) {
			b := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
			b = binary.BigEndian.AppendUint32(append(b, flags), stream)
			conn.Write(append(b, payload...))
		}
		r := bufio.NewReader(conn)
		r.Discard(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
		send(frameSettings, 0, 0, nil)
		for {
			var h [9]byte
			if _, err := io.ReadFull(r, h[:]); err != nil {
				return
			}
			length, kind, flags, stream := binary.BigEndian.Uint32(h[:])>>8, h[3], h[4], binary.BigEndian.Uint32(h[5:])
			if _, err := r.Discard(int(length)); err != nil {
				return
			}
			switch {
			case kind == frameSettings && flags&flagAck == 0:
				send(frameSettings, flagAck, 0, nil)
			case kind > frameHeaders || flags&flagEndStream == 0:
			case streams.Add(1) == 1:
				kind, of, payload := refuse(stream)
				send(kind, 0, of, payload)
			default:
				send(frameHeaders, flagEndHeaders, stream, []byte{0x88}) // :status 200
				send(frameData, flagEndStream, stream, []byte(`{"id":9,"path_with_namespace":"owner/app","import_status":"scheduled"}`))
			}
		}
	}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return "https://" + ln.Addr().String(), tr, streams
}

// What an HTTP/2 server has refused to look at is sent again, though it was
// sent whole. What it may have looked at is not.
func TestRefusedStream(t *testing.T) {
	t.Parallel()
	reset := func(code byte) func(uint32) (byte, uint32, []byte) {
		return func(stream uint32) (byte, uint32, []byte) { return frameReset, stream, []byte{0, 0, 0, code} }
	}
	tests := []struct {
		name   string
		refuse func(uint32) (byte, uint32, []byte)
		again  bool
	}{
		{"REFUSED_STREAM", reset(7), true},
		{"GOAWAY", func(uint32) (byte, uint32, []byte) { return frameGoAway, 0, make([]byte, 8) }, true},
		{"INTERNAL_ERROR", reset(2), false},
		{"PROTOCOL_ERROR", reset(1), false},
	}
	calls := map[string]func(*porter.Client) (*porter.Import, error){
		"file": func(c *porter.Client) (*porter.Import, error) {
			return c.StartImport(t.Context(), sourceOf(smallArchive), porter.ImportOptions{Path: "app"})
		},
		"URL": func(c *porter.Client) (*porter.Import, error) {
			return c.StartImportFromURL(t.Context(), "https://store.test/a.tar.gz", porter.ImportOptions{Path: "app"})
		},
	}
	for _, tt := range tests {
		for name, call := range calls {
			addr, tr, streams := refusingServer(t, tt.refuse)
			c := newClient(t, addr, nil, porter.WithTransport(tr), porter.WithRetry(2, porter.ConstantBackoff(0)))
			imp, err := call(c)
			if (err == nil) != tt.again || (imp != nil) != tt.again {
				t.Errorf("%s of a %s: got %+v, %v", tt.name, name, imp, err)
			}
			if want := map[bool]int32{true: 2, false: 1}[tt.again]; streams.Load() != want {
				t.Errorf("%s of a %s: sent %d times, want %d", tt.name, name, streams.Load(), want)
			}
		}
	}
}
