package portertest

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// Fault is something that goes wrong with the requests it matches. Empty
// fields match everything.
//
// Where a fault breaks the connection before an answer, bear in mind that a
// net/http client by itself sends a GET again if it had used that connection
// before. The fault then hits two requests, or the second goes well.
type Fault struct {
	Origin string                   // GitLab or Storage
	Method string                   // such as "GET"
	Path   string                   // part of the path, as it was sent
	Match  func(*http.Request) bool // must not read the body

	Skip  int // how many matching requests are spared at first
	Times int // how many are hit then: 0 means one, -1 all

	Do Action
}

// Injection is a fault at work in a Server.
type Injection struct {
	fault Fault
	mu    sync.Mutex
	seen  int
	hits  int
	gone  bool
}

// Hits returns how many requests the fault has hit.
func (i *Injection) Hits() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.hits
}

// Remove ends the fault.
func (i *Injection) Remove() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.gone = true
}

// faults are those at work, in the order in which they were set.
type faults struct {
	mu   sync.Mutex
	list []*Injection
}

// Inject sets a fault. Of several that match a request the one that was set
// first hits it, and the others do not count it.
func (s *faults) Inject(f Fault) *Injection {
	if f.Times == 0 {
		f.Times = 1
	}
	i := &Injection{fault: f}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, i)
	return i
}

// action returns what goes wrong with a request; of most, nothing does.
func (s *faults) action(origin string, r *http.Request) Action {
	s.mu.Lock()
	list := s.list[:len(s.list):len(s.list)]
	s.mu.Unlock()
	for _, i := range list {
		if i.fault.matches(origin, r) && i.hit() {
			return i.fault.Do
		}
	}
	return Action{}
}

func (f *Fault) matches(origin string, r *http.Request) bool {
	return (f.Origin == "" || f.Origin == origin) &&
		(f.Method == "" || f.Method == r.Method) &&
		strings.Contains(r.URL.EscapedPath(), f.Path) &&
		(f.Match == nil || f.Match(r))
}

func (i *Injection) hit() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.gone {
		return false
	}
	i.seen++
	if i.seen <= i.fault.Skip || i.fault.Times >= 0 && i.hits >= i.fault.Times {
		return false
	}
	i.hits++
	return true
}

// Action is what a Fault does to a request.
type Action struct {
	answer *reply // given instead of GitLab's
	early  bool   // without reading the request's body
	delay  time.Duration

	request  point // of the request's body
	response point // of the response's body

	hold     *time.Duration // before the answer; 0 for ever
	lose     bool
	unranged bool
	truncate *int64
	garble   *int64
	chunked  bool
}

// point is a place in a body where the connection is cut or stalls.
type point struct {
	set   bool
	at    int64
	cut   bool
	stall time.Duration // 0 for ever
}

// Respond answers with the given status, header and body once the request's
// body has been read. GitLab never sees the request.
func Respond(status int, header http.Header, body string) Action {
	r := newReply(status, "", []byte(body))
	for k, v := range header {
		r.header[http.CanonicalHeaderKey(k)] = v
	}
	return Action{answer: r}
}

// RespondEarly answers at once, without reading the request's body, and closes
// the connection.
func RespondEarly(status int, header http.Header, body string) Action {
	a := Respond(status, header, body)
	a.early = true
	return a
}

// Delay waits before the request is looked at.
func Delay(d time.Duration) Action { return Action{delay: d} }

// CutRequest breaks the connection off after n bytes of the request's body,
// which may be all of it. GitLab never sees the request. A request whose body
// is shorter is left alone; with n = 0 every request is cut.
func CutRequest(n int64) Action { return Action{request: point{set: true, at: n, cut: true}} }

// StallRequest reads n bytes of the request's body and no more of it for as
// long as d; 0 means until the connection or the server is closed.
func StallRequest(n int64, d time.Duration) Action {
	return Action{request: point{set: true, at: n, stall: d}}
}

// HoldAnswer lets GitLab handle the request and holds the answer back for as
// long as d; 0 means until the connection or the server is closed.
func HoldAnswer(d time.Duration) Action { return Action{hold: &d} }

// LoseAnswer lets GitLab handle the request and breaks the connection off
// instead of answering.
func LoseAnswer() Action { return Action{lose: true} }

// CutResponse breaks the connection off after n bytes of the answer's body.
// An answer that is shorter is left alone.
func CutResponse(n int64) Action { return Action{response: point{set: true, at: n, cut: true}} }

// StallResponse sends n bytes of the answer's body and nothing more for as long
// as d; 0 means until the connection or the server is closed.
func StallResponse(n int64, d time.Duration) Action {
	return Action{response: point{set: true, at: n, stall: d}}
}

// Truncate ends the answer's body after n bytes, as if that were all of it:
// its Content-Length says so too.
func Truncate(n int64) Action { return Action{truncate: &n} }

// Garble inverts the answer's body from byte n on.
func Garble(n int64) Action { return Action{garble: &n} }

// IgnoreRange answers as if no Range had been asked for.
func IgnoreRange() Action { return Action{unranged: true} }

// Chunked sends the answer's body without its length.
func Chunked() Action { return Action{chunked: true} }

// And combines two actions, such as Chunked().And(Truncate(1000)). Where both
// do the same kind of thing, b wins.
func (a Action) And(b Action) Action {
	if b.answer != nil {
		a.answer, a.early = b.answer, b.early
	}
	a.delay += b.delay
	if b.request.set {
		a.request = b.request
	}
	if b.response.set {
		a.response = b.response
	}
	if b.hold != nil {
		a.hold = b.hold
	}
	if b.truncate != nil {
		a.truncate = b.truncate
	}
	if b.garble != nil {
		a.garble = b.garble
	}
	a.lose = a.lose || b.lose
	a.unranged = a.unranged || b.unranged
	a.chunked = a.chunked || b.chunked
	return a
}
