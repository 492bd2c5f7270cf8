package portertest

import (
	"encoding/xml"
	"net/http"
	"strings"
	"time"
)

// storageServer is the object storage as its clients see it.
type storageServer struct{ m *model }

func (s *storageServer) serve(w http.ResponseWriter, r *http.Request) {
	id := s.m.newCorrelationID()
	w.Header().Set("Server", "AmazonS3")
	w.Header().Set("X-Amz-Request-Id", id)
	w.Header().Set("X-Amz-Id-2", "porter"+id)
	if problem := s.denied(r); problem != nil {
		problem.write(w, r)
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		s.serveObject(w, r)
	case http.MethodPut, http.MethodPost:
		s.putObject(w, r)
	default:
		xmlError(http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.").write(w, r)
	}
}

// denied checks the signature of a request.
func (s *storageServer) denied(r *http.Request) *reply {
	q := r.URL.Query()
	signed := q.Has("X-Amz-Signature")
	switch {
	case r.Header.Get("Authorization") != "" && signed:
		return xmlError(http.StatusBadRequest, "InvalidArgument", "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, "+
			"Signature query string parameter or the Authorization header should be specified")
	case r.Header.Get("Authorization") != "":
		return xmlError(http.StatusBadRequest, "InvalidArgument", "Unsupported Authorization Type")
	case !signed && private(r.URL.Path):
		return xmlError(http.StatusForbidden, "AccessDenied", "Access Denied")
	case !signed:
		return nil
	}
	switch until, ok := s.m.signedUntil(r.Method, r.URL.Path, q); {
	case !ok:
		return xmlError(http.StatusForbidden, "SignatureDoesNotMatch",
			"The request signature we calculated does not match the signature you provided. Check your key and signing method.")
	case !s.m.Now().Before(until):
		return xmlError(http.StatusForbidden, "AccessDenied", "Request has expired")
	}
	return nil
}

// private reports whether a path is in GitLab's own bucket.
func private(path string) bool { return strings.HasPrefix(path, "/"+exportBucket+"/") }

func xmlError(status int, code, msg string) *reply {
	type awsError struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}
	body, err := xml.Marshal(awsError{Code: code, Message: msg})
	if err != nil {
		panic(err)
	}
	return newReply(status, "application/xml", append([]byte(xml.Header), body...))
}

func (s *storageServer) serveObject(w http.ResponseWriter, r *http.Request) {
	o := s.m.object(r.URL.Path)
	if o == nil {
		xmlError(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.").write(w, r)
		return
	}
	h := w.Header()
	h.Set("ETag", o.etag)
	h.Set("Content-Type", o.ContentType)
	s.m.lock()
	rate := s.m.cfg.perConn
	s.m.unlock()
	if rate > 0 {
		w = &slowWriter{w, r.Context().Done(), rate, time.Now()}
	}
	http.ServeContent(w, r, "", o.Modified, o.content.NewReader())
}

// A slowWriter writes so many bytes a second, until the connection ends.
type slowWriter struct {
	http.ResponseWriter
	ended <-chan struct{}
	rate  int64
	next  time.Time // when the next byte may be written
}

func (w *slowWriter) Write(b []byte) (int, error) {
	w.next = w.next.Add(time.Duration(int64(len(b)) * int64(time.Second) / w.rate))
	t := time.NewTimer(time.Until(w.next))
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.ended:
		abort()
	}
	return w.ResponseWriter.Write(b)
}

func (s *storageServer) putObject(w http.ResponseWriter, r *http.Request) {
	o, err := s.m.put(r.URL.Path, r.Header.Get("Content-Type"), r.Body)
	if err != nil {
		abort() // the sender is gone
	}
	w.Header().Set("ETag", o.etag)
	w.WriteHeader(http.StatusOK)
}
