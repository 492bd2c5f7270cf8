package portertest

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	exportBucket = "gitlab-exports" // where GitLab keeps archives, not public
	signedFor    = 10 * time.Minute // how long GitLab's signed URLs are good
	amzDate      = "20060102T150405Z"
)

// Object is what a test or GitLab put into the object storage.
type Object struct {
	Path        string // of its URL
	Size        int64
	SHA256      string // in hex
	ContentType string
	Modified    time.Time
}

type storedObject struct {
	Object
	etag    string
	content *Archive
}

// Object returns what was put under a path of StorageURL, such as
// "/backups/app.tar.gz", or nil if nothing was. GitLab's own archives are not
// among it.
func (s *Server) Object(path string) *Object {
	s.lock()
	defer s.unlock()
	if o := s.objects[path]; o != nil {
		c := o.Object
		return &c
	}
	return nil
}

// AddObject puts an archive into the object storage, for anyone to read, and
// returns its URL.
func (s *Server) AddObject(path, contentType string, a *Archive) string {
	s.lock()
	defer s.unlock()
	s.store(&storedObject{
		Object:  Object{Path: path, Size: a.Size(), SHA256: a.SHA256(), ContentType: contentType},
		content: a,
	})
	return s.StorageURL + path
}

func (s *Server) store(o *storedObject) {
	o.Modified = s.now()
	o.etag = etag(o.Path, o.Modified)
	s.objects[o.Path] = o
}

// SignedURL returns a URL that allows one method on a path of the object
// storage for some time. Unsigned requests are allowed too, except to GitLab's
// own archives, so that a test needs this only where the signature matters.
func (s *Server) SignedURL(method, path string, d time.Duration) string {
	return s.signedURL(method, path, s.Now(), d)
}

func (s *Server) signedURL(method, path string, now time.Time, d time.Duration) string {
	q := url.Values{}
	q.Set("X-Amz-Algorithm", "AWS4-HMAC-SHA256")
	q.Set("X-Amz-Credential", "AKIAPORTERTEST/"+now.UTC().Format("20060102")+"/eu-west-1/s3/aws4_request")
	q.Set("X-Amz-Date", now.UTC().Format(amzDate))
	q.Set("X-Amz-Expires", strconv.Itoa(int(d.Seconds())))
	q.Set("X-Amz-SignedHeaders", "host")
	q.Set("X-Amz-Signature", s.signature(method, path, q))
	u := url.URL{Path: path, RawQuery: q.Encode()}
	return s.StorageURL + u.String()
}

func (s *Server) signature(method, path string, q url.Values) string {
	m := hmac.New(sha256.New, s.secret)
	fmt.Fprintf(m, "%s\n%s\n%s\n%s", method, path, q.Get("X-Amz-Date"), q.Get("X-Amz-Expires"))
	return hex.EncodeToString(m.Sum(nil))
}

// etag is strong and differs between any two objects, whatever is in them.
func etag(path string, t time.Time) string {
	sum := md5.Sum(fmt.Appendf(nil, "%s %d", path, t.UnixNano()))
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// serveStorage is the object storage.
func (s *Server) serveStorage(w http.ResponseWriter, r *http.Request) {
	s.lock()
	id := s.nextRequestID()
	s.unlock()
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
func (s *Server) denied(r *http.Request) *reply {
	q := r.URL.Query()
	signed := q.Has("X-Amz-Signature")
	switch {
	case r.Header.Get("Authorization") != "" && signed:
		return xmlError(http.StatusBadRequest, "InvalidArgument", "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified")
	case r.Header.Get("Authorization") != "":
		return xmlError(http.StatusBadRequest, "InvalidArgument", "Unsupported Authorization Type")
	case !signed:
		if private(r.URL.Path) {
			return xmlError(http.StatusForbidden, "AccessDenied", "Access Denied")
		}
		return nil
	case !hmac.Equal([]byte(q.Get("X-Amz-Signature")), []byte(s.signature(r.Method, r.URL.Path, q))):
		return xmlError(http.StatusForbidden, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your key and signing method.")
	}
	from, _ := time.Parse(amzDate, q.Get("X-Amz-Date"))
	seconds, _ := strconv.Atoi(q.Get("X-Amz-Expires"))
	if !s.Now().Before(from.Add(time.Duration(seconds) * time.Second)) {
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

func (s *Server) serveObject(w http.ResponseWriter, r *http.Request) {
	o := s.object(r.URL.Path)
	if o == nil {
		xmlError(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.").write(w, r)
		return
	}
	h := w.Header()
	h.Set("ETag", o.etag)
	h.Set("Content-Type", o.ContentType)
	http.ServeContent(w, r, "", o.Modified, o.content.NewReader())
}

// object finds an object that was put into the storage or one of GitLab's
// archives.
func (s *Server) object(path string) *storedObject {
	s.lock()
	defer s.unlock()
	if o := s.objects[path]; o != nil {
		return o
	}
	if f := s.ownFile(path); f != nil && !f.lost {
		return &storedObject{
			Object:  Object{Path: path, ContentType: "application/gzip", Modified: f.stored},
			etag:    etag(path, f.stored),
			content: f.content,
		}
	}
	return nil
}

// ownFile finds a file that GitLab itself keeps in the storage.
func (s *Server) ownFile(key string) *storedFile {
	for _, j := range s.exports {
		if j.file.key == key && j.hasBytes(s.now()) {
			return &j.file
		}
	}
	for _, e := range s.relations {
		for i := range e.files {
			if e.files[i].key == key && reached(e.ended, s.now()) {
				return e.file(i)
			}
		}
	}
	return nil
}

// putObject spools a body to a file, so that it can be read again.
func (s *Server) putObject(w http.ResponseWriter, r *http.Request) {
	name, err := s.spoolFile()
	if err != nil {
		panic(err)
	}
	f, err := os.Create(name)
	if err != nil {
		panic(err)
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), r.Body)
	f.Close()
	if err != nil {
		os.Remove(name)
		panic(http.ErrAbortHandler) // the sender is gone
	}
	content, err := FileArchive(name)
	if err != nil {
		panic(err)
	}
	o := &storedObject{
		Object:  Object{Path: r.URL.Path, Size: n, SHA256: hex.EncodeToString(sum.Sum(nil)), ContentType: r.Header.Get("Content-Type")},
		content: content,
	}
	s.lock()
	s.spooled = append(s.spooled, content)
	s.store(o)
	s.unlock()
	w.Header().Set("ETag", o.etag)
	w.WriteHeader(http.StatusOK)
}

// removeSpool deletes what putObject has kept.
func (s *Server) removeSpool() {
	for _, a := range s.spooled {
		a.Close()
	}
	if s.spool != "" {
		os.RemoveAll(s.spool)
	}
}

func (s *Server) spoolFile() (string, error) {
	s.lock()
	defer s.unlock()
	if s.spool == "" {
		dir, err := os.MkdirTemp("", "portertest")
		if err != nil {
			return "", err
		}
		s.spool = dir
	}
	s.lastSpool++
	return filepath.Join(s.spool, strconv.Itoa(s.lastSpool)), nil
}
