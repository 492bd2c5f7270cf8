package porter

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"time"

	"github.com/seed-5d77b939/porter/internal/netio"
)

// A payload is the body of one attempt of a POST, and knows how much of it
// was taken. Its type hides the file in it from the transport.
type payload struct {
	contentType string
	size        int64 // -1 if unknown
	single      bool  // cannot be read again
	small       bool  // held in memory

	r        io.Reader
	cancel   context.CancelFunc // ends the source's context
	closer   io.Closer
	progress *progress // nil if there is nothing to report
	watch    *netio.Watchdog

	mu       sync.Mutex
	taken    int64
	whole    bool
	stopped  bool
	err      error
	closing  bool
	answered *reach        // when the answer came; nil if that is not known
	closed   chan struct{} // closed when the source is
	turn     chan struct{} // holds one element while the source is read or closed
}

// newPayload returns a small body that is held in memory.
func newPayload(contentType string, b []byte) *payload {
	return &payload{
		contentType: contentType,
		size:        int64(len(b)),
		small:       true,
		r:           bytes.NewReader(b),
		cancel:      func() {},
		closer:      io.NopCloser(nil),
		closed:      make(chan struct{}),
		turn:        make(chan struct{}, 1),
	}
}

var errPayloadStopped = errors.New("request was answered already")

func (p *payload) Read(b []byte) (int, error) {
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	p.mu.Lock()
	stopped, whole := p.stopped, p.whole
	if !stopped {
		p.watch.Disarm() // a slow source is no stall of the connection
	}
	p.mu.Unlock()
	switch {
	case stopped && whole: // an error would break the connection that the answer is on
		return 0, io.EOF
	case stopped:
		return 0, errPayloadStopped
	}
	n, err := p.r.Read(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken += int64(n)
	switch {
	case err == io.EOF, p.size >= 0 && p.taken == p.size:
		p.whole = true
	case err != nil && !p.stopped: // else it fails because it was stopped
		p.err = err
	}
	switch {
	case p.stopped:
	case p.whole:
		p.watch.ArmForAnswer()
	default:
		p.watch.Arm()
	}
	return n, err
}

// closePatience is how long a source whose context has ended may take to
// return from a Read before it is closed all the same, which makes a pipe or
// a socket return.
const closePatience = 250 * time.Millisecond

// Close ends the reading and closes the source. The transport may be in the
// middle of a Read when the answer comes early, and few readers bear to be
// closed meanwhile.
func (p *payload) Close() error {
	p.mu.Lock()
	first := !p.closing
	p.closing, p.stopped = true, true
	p.mu.Unlock()
	if !first {
		<-p.closed
		return nil
	}
	defer close(p.closed)
	p.cancel()
	t := time.NewTimer(closePatience)
	defer t.Stop()
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-t.C:
	}
	return p.closer.Close()
}

// stop ends the reading: the request has its answer, or will never have one.
func (p *payload) stop() {
	p.mu.Lock()
	p.stopped = true
	p.watch.Disarm()
	p.mu.Unlock()
	p.Close()
	if p.progress != nil {
		p.progress.end()
	}
}

// started reports whether any byte of the source may be gone.
func (p *payload) started() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken > 0
}

// attach makes p the body of req, and notes how much of it was taken when the
// answer comes: what is taken later changes nothing about that answer.
func (p *payload) attach(req *http.Request) *http.Request {
	trace := &httptrace.ClientTrace{
		GotFirstResponseByte: func() {
			r := p.reach(nil, true)
			p.note(&r)
		},
		Got1xxResponse: func(int, textproto.MIMEHeader) error {
			p.note(nil) // the answer itself is still to come
			return nil
		},
	}
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), trace))
	req.Body, req.ContentLength = p, p.size
	req.Header.Set("Content-Type", p.contentType)
	return req
}

func (p *payload) note(r *reach) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answered = r
}

// reachAtAnswer returns how far the request had come when its answer came. A
// small body is sent together with its header.
func (p *payload) reachAtAnswer() reach {
	if p.small {
		return whole
	}
	p.mu.Lock()
	noted := p.answered
	p.mu.Unlock()
	if noted != nil {
		return *noted
	}
	return p.reach(nil, true)
}

// reach returns how far the request has come, which failed with err, nil if it
// has not. If a write failed, GitLab has not all of it: the end is missing. A
// chunked body is followed by one more chunk, which GitLab need not wait for.
// A nil payload is that of a GET. What was not sent has not come anywhere.
func (p *payload) reach(err error, sent bool) reach {
	if !sent {
		return unsent
	}
	if p == nil {
		return whole
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var op *net.OpError
	switch cut := p.size >= 0 && errors.As(err, &op) && op.Op == "write"; {
	case p.taken == 0:
		return unsent
	case p.whole && !cut:
		return whole
	}
	return partly
}

// failure returns what went wrong with the source, if that is why the request failed.
func (p *payload) failure() error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}
