package portertest

import (
	"io"
	"net/http"
	"strconv"
	"time"
)

// middleware notes every request in the log, and lets go wrong what a fault says.
type middleware struct {
	log    *requestLog
	faults *faults
	now    func() time.Time
}

// wrap makes the handler of an origin.
func (m *middleware) wrap(origin string, h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &responseWriter{w: w, r: r, now: m.now, entry: m.log.record(m.now(), origin, r), act: m.faults.action(origin, r)}
		defer x.entry.end()
		x.serve(h)
	})
}

// responseWriter is what handlers write their answer to.
type responseWriter struct {
	w      http.ResponseWriter
	r      *http.Request
	now    func() time.Time
	entry  *logEntry
	act    Action
	status int   // 0 until the header is written
	sent   int64 // bytes of the body
}

func (x *responseWriter) serve(h http.HandlerFunc) {
	if x.act.delay > 0 {
		x.stall(x.act.delay)
	}
	if p := x.act.request; p.set && p.cut && p.at == 0 {
		abort()
	}
	if x.act.unranged {
		x.r.Header.Del("Range") // the log has its own
	}
	body := x.r.Body
	x.r.Body = &requestBody{ReadCloser: body, x: x}
	if body == http.NoBody {
		x.entry.edit(func(r *Request) { r.Complete = true })
	}
	if a := x.act.answer; a != nil {
		if x.act.early {
			x.w.Header().Set("Connection", "close")
		} else if _, err := io.Copy(io.Discard, x.r.Body); err != nil {
			abort()
		}
		a.write(x, x.r)
	} else {
		h(x, x.r)
	}
	if x.act.lose {
		abort()
	}
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
}

// abort breaks the connection off.
func abort() { panic(http.ErrAbortHandler) }

// stall waits for d, or if that is 0 for the end of the connection or of the
// server, which also end a shorter wait.
func (x *responseWriter) stall(d time.Duration) {
	var timeout <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case <-timeout:
	case <-x.r.Context().Done():
		abort()
	}
}

func (x *responseWriter) Header() http.Header { return x.w.Header() }

func (x *responseWriter) WriteHeader(status int) {
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
	h.Set("Date", x.now().Format(http.TimeFormat))
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
	x.entry.edit(func(r *Request) { r.Status = status })
	x.w.WriteHeader(status)
	if x.act.chunked {
		x.flush() // or net/http counts the bytes of a short answer itself
	}
	x.reach(0)
}

func (x *responseWriter) Write(p []byte) (int, error) {
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

func (x *responseWriter) send(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	// Noted first, so that a client that has it all finds it in the log.
	x.sent += int64(len(p))
	x.entry.edit(func(r *Request) { r.Sent = x.sent })
	_, err := x.w.Write(p)
	return err
}

// reach is called when n bytes of the answer's body have been written.
func (x *responseWriter) reach(n int64) {
	p := x.act.response
	if !p.set || p.at != n {
		return
	}
	x.flush()
	if p.cut {
		abort()
	}
	x.stall(p.stall)
}

func (x *responseWriter) flush() { http.NewResponseController(x.w).Flush() }

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
	x    *responseWriter
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
	b.x.entry.edit(func(r *Request) {
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
		abort()
	}
	b.x.stall(pt.stall)
}
