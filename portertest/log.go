package portertest

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// The origins of a Server, as they appear in its log and in faults.
const (
	GitLab  = "gitlab"
	Storage = "storage"
)

// maxLoggedBody is how much of a request's body the log keeps, if it is not
// an upload.
const maxLoggedBody = 64 << 10

// Request is what the server saw of one request.
type Request struct {
	Time             time.Time // by the server's clock
	Origin           string    // GitLab or Storage
	Proto            string
	Method           string
	Host             string
	Path             string // still escaped, as it was sent
	RawQuery         string
	Header           http.Header
	ContentLength    int64 // -1 if not given
	TransferEncoding []string

	// Of a form, multipart or not: its plain fields in order.
	Fields [][2]string
	// Of a multipart form's file.
	FileName        string // as it was sent, with any directory
	FileContentType string
	FileSize        int64
	FileSHA256      string // in hex, once the file has been read to its end

	Body      []byte // the beginning of any other body
	BodyBytes int64  // of the body that were read
	Complete  bool   // whether the body was read to its end

	Status int   // of the answer, 0 if none was begun
	Sent   int64 // bytes of the answer's body that were written, if not received
}

// Field returns the first value of a form field, "" if it was not sent.
func (r *Request) Field(name string) string {
	for _, f := range r.Fields {
		if f[0] == name {
			return f[1]
		}
	}
	return ""
}

// requestLog has what was asked of either origin, in order of arrival.
type requestLog struct {
	mu      sync.Mutex
	keep    int // how many of them; 0 is all
	entries []*Request
	onEnd   func(Request) // may be nil
}

// Requests returns what either origin was asked so far, in order of arrival,
// including requests still in progress and those of GitLab itself to its
// object storage. With KeepRequests they are the last ones.
func (s *requestLog) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.last()
	rs := make([]Request, len(kept))
	for i, r := range kept {
		rs[i] = r.clone()
	}
	return rs
}

// clone returns a copy that does not change with r.
func (r *Request) clone() Request {
	c := *r
	c.Fields, c.Body = slices.Clone(r.Fields), slices.Clone(r.Body)
	return c
}

// last returns what is kept.
func (s *requestLog) last() []*Request {
	if s.keep > 0 && len(s.entries) > s.keep {
		return s.entries[len(s.entries)-s.keep:]
	}
	return s.entries
}

// Leaks returns the requests to the object storage that carried credentials
// meant for GitLab. There should never be any.
func (s *requestLog) Leaks() []Request {
	var leaks []Request
	for _, r := range s.Requests() {
		if r.Origin == Storage && r.hasCredentials() {
			leaks = append(leaks, r)
		}
	}
	return leaks
}

func (r *Request) hasCredentials() bool {
	for _, k := range []string{"Private-Token", "Authorization", "Job-Token", "Deploy-Token", "Sudo"} {
		if r.Header.Get(k) != "" {
			return true
		}
	}
	return strings.Contains(r.RawQuery, "private_token=") || strings.Contains(r.RawQuery, "access_token=")
}

// record adds a request that arrives now.
func (s *requestLog) record(now time.Time, origin string, r *http.Request) *logEntry {
	rec := &Request{
		Time: now, Origin: origin, Proto: r.Proto, Method: r.Method, Host: r.Host,
		Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery, Header: r.Header.Clone(),
		ContentLength: r.ContentLength, TransferEncoding: slices.Clone(r.TransferEncoding),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keep > 0 && len(s.entries) >= 2*s.keep { // not each time, or it would be copied each time
		s.entries = slices.Clone(s.last())
	}
	s.entries = append(s.entries, rec)
	return &logEntry{s, rec}
}

// logEntry is a request whose end is still to be noted.
type logEntry struct {
	log *requestLog
	req *Request
}

func (e *logEntry) edit(change func(*Request)) {
	e.log.mu.Lock()
	defer e.log.mu.Unlock()
	change(e.req)
}

// end notes that the server is done with the request.
func (e *logEntry) end() {
	if e.log.onEnd == nil {
		return
	}
	e.log.mu.Lock()
	r := e.req.clone()
	e.log.mu.Unlock()
	e.log.onEnd(r)
}
