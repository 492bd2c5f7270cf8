package portertest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"time"
)

// exchange is one request and its answer on their way through the log and the
// scripted faults. It is the http.ResponseWriter that handlers write to.
type exchange struct {
	s      *Server
	w      http.ResponseWriter
	r      *http.Request
	rec    *Request
	act    Action
	status int   // 0 until the header is written
	sent   int64 // bytes of the body
}

// origin makes the handler of one of the server's two origins.
func (s *Server) origin(name string, h func(http.ResponseWriter, *http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.begin() {
			panic(http.ErrAbortHandler)
		}
		defer s.wg.Done()
		defer reportPanic()
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(s.ctx, cancel)()
		r = r.WithContext(ctx)

		x := &exchange{s: s, w: w, r: r, rec: s.record(name, r)}
		if act := s.fault(name, r); act != nil {
			x.act = *act
		}
		x.serve(h)
	})
}

// reportPanic keeps a fault of the simulator itself from passing for a broken
// connection.
func reportPanic() {
	if v := recover(); v != nil {
		if v != http.ErrAbortHandler {
			fmt.Fprintf(os.Stderr, "portertest: %v\n%s", v, debug.Stack())
		}
		panic(http.ErrAbortHandler)
	}
}

func (x *exchange) serve(h func(http.ResponseWriter, *http.Request)) {
	if x.act.delay > 0 {
		x.stall(x.act.delay)
	}
	if p := x.act.request; p.set && p.cut && p.at == 0 {
		x.abort()
	}
	body := x.r.Body
	x.r.Body = &requestBody{ReadCloser: body, x: x}
	if body == http.NoBody {
		x.s.edit(x.rec, func(r *Request) { r.Complete = true })
	}
	if a := x.act.answer; a != nil {
		if x.act.early {
			x.w.Header().Set("Connection", "close")
		} else if _, err := io.Copy(io.Discard, x.r.Body); err != nil {
			x.abort()
		}
		a.write(x, x.r)
	} else {
		h(x, x.r)
	}
	if x.act.lose {
		x.abort()
	}
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
}

// abort breaks the connection off.
func (x *exchange) abort() { panic(http.ErrAbortHandler) }

// stall waits for d, or if that is 0 for the end of the connection or of the
// server, which also end a shorter wait.
func (x *exchange) stall(d time.Duration) {
	var timeout <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case <-timeout:
	case <-x.r.Context().Done():
		x.abort()
	}
}

func (x *exchange) Header() http.Header { return x.w.Header() }

func (x *exchange) WriteHeader(status int) {
	if x.status != 0 {
		return
	}
	x.status = status
	if x.act.lose {
		return
	}
	if x.act.hold != nil {
		x.stall(*x.act.hold)
	}
	h := x.w.Header()
	h.Set("Date", x.s.Now().Format(http.TimeFormat))
	if t := x.act.truncate; t != nil {
		if n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64); err == nil && n > *t {
			h.Set("Content-Length", strconv.FormatInt(*t, 10))
		}
	}
	if x.act.chunked {
		h.Del("Content-Length")
	}
	if x.r.ProtoMajor > 1 {
		h.Del("Connection") // is of one hop, and net/http would make a GOAWAY of it
	}
	x.s.edit(x.rec, func(r *Request) { r.Status = status })
	x.w.WriteHeader(status)
	if x.act.chunked {
		x.flush() // or net/http counts the bytes of a short answer itself
	}
	x.reach(0)
}

func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	if x.act.lose {
		return len(p), nil
	}
	total := len(p)
	if t := x.act.truncate; t != nil {
		p = p[:min(int64(len(p)), max(*t-x.sent, 0))]
	}
	if g := x.act.garble; g != nil && x.sent+int64(len(p)) > *g {
		p = garbled(p, max(*g-x.sent, 0))
	}
	if at := x.act.response.at; x.act.response.set && x.sent < at && x.sent+int64(len(p)) >= at {
		k := at - x.sent
		if err := x.send(p[:k]); err != nil {
			return 0, err
		}
		x.reach(at)
		p = p[k:]
	}
	if err := x.send(p); err != nil {
		return 0, err
	}
	return total, nil
}

func (x *exchange) send(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	// Noted first, so that a client that has it all finds it in the log.
	x.sent += int64(len(p))
	x.s.edit(x.rec, func(r *Request) { r.Sent = x.sent })
	_, err := x.w.Write(p)
	return err
}

// reach is called when n bytes of the answer's body have been written.
func (x *exchange) reach(n int64) {
	p := x.act.response
	if !p.set || p.at != n {
		return
	}
	x.flush()
	if p.cut {
		x.abort()
	}
	x.stall(p.stall)
}

func (x *exchange) flush() { http.NewResponseController(x.w).Flush() }

func garbled(p []byte, from int64) []byte {
	q := append([]byte(nil), p...)
	for i := from; i < int64(len(q)); i++ {
		q[i] ^= 0xff
	}
	return q
}

// requestBody counts a request's body into the log, and cuts or stalls it.
type requestBody struct {
	io.ReadCloser
	x    *exchange
	read int64
}

func (b *requestBody) Read(p []byte) (int, error) {
	pt := b.x.act.request
	if pt.set && pt.at == 0 && b.read == 0 {
		b.reach(pt)
	}
	short := pt.set && b.read < pt.at
	if short {
		p = p[:min(int64(len(p)), pt.at-b.read)]
	}
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	b.x.s.edit(b.x.rec, func(r *Request) {
		r.BodyBytes = b.read
		r.Complete = r.Complete || err == io.EOF
	})
	if short && b.read == pt.at {
		b.reach(pt)
	}
	return n, err
}

// reach is called when the body has been read up to pt.
func (b *requestBody) reach(pt point) {
	b.x.act.request.set = false // once is enough
	if pt.cut {
		b.x.abort()
	}
	b.x.stall(pt.stall)
}
