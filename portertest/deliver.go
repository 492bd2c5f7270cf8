package portertest

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"sync"
	"time"
)

// Upload is an archive that GitLab sent to an upload[url].
type Upload struct {
	Time    time.Time
	Project string // its full path
	Method  string
	URL     string
	Status  int    // of the answer, 0 if there was none
	Size    int64  // bytes sent
	SHA256  string // of what was sent, in hex
	OK      bool   // whether GitLab takes it for a success
	Err     string // why there was no answer
}

// Uploads returns the uploads to upload[url] that have ended, in that order.
func (s *Server) Uploads() []Upload {
	s.lock()
	defer s.unlock()
	return append([]Upload(nil), s.uploads...)
}

// planUpload lets a job end with the upload of its archive.
func (s *Server) planUpload(j *exportJob) {
	due := j.finished
	j.finished = time.Time{}
	s.planErrand(due, func() { s.deliver(j) })
}

func (s *Server) deliver(j *exportJob) {
	s.lock()
	if !j.failed.IsZero() { // it failed before there was anything to send
		s.unlock()
		return
	}
	u := Upload{Time: s.now(), Project: j.project.fullPath(), Method: j.run.UploadMethod, URL: j.run.UploadURL}
	gone := !j.hasBytes(s.now())
	typed := s.cfg.atLeast(12, 0)
	// Streamed from object storage, GitLab takes nothing but 200 for success.
	strict := s.cfg.mode != FromDisk && s.cfg.atLeast(15, 5)
	s.unlock()

	switch {
	case gone:
		u.Err = "the archive was deleted"
	case j.script.Fault == UploadFails:
		u.Err = "the script says so"
	default:
		s.transmit(&u, j.file.content, typed)
	}
	u.OK = u.Status == http.StatusOK || !strict && u.Status/100 == 2

	s.lock()
	defer s.unlock()
	j.finished = s.now()
	if u.OK && !s.cfg.atLeast(14, 0) {
		s.removeFiles(j.project, j.user) // not only j's, or an older one would come to light
	}
	s.uploads = append(s.uploads, u)
}

// transmit sends an archive and notes in u what came of it.
func (s *Server) transmit(u *Upload, a *Archive, typed bool) {
	sum := sha256.New()
	body := &countingReader{r: io.TeeReader(a.NewReader(), sum)}
	req, err := http.NewRequestWithContext(s.ctx, u.Method, u.URL, body)
	if err != nil {
		u.Err = err.Error()
		return
	}
	read := make(chan struct{}) // closed once nothing more is read of the body
	req.Body = &closeFunc{body, sync.OnceFunc(func() { close(read) })}
	req.ContentLength = a.Size()
	req.Header.Set("User-Agent", "GitLab")
	if typed {
		req.Header.Set("Content-Type", "application/gzip")
	}
	resp, err := s.outbound.RoundTrip(req)
	if err != nil {
		u.Err = err.Error()
		return
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	<-read // the storage may have answered early
	u.Status = resp.StatusCode
	if body.whole() {
		u.Size, u.SHA256 = a.Size(), hex.EncodeToString(sum.Sum(nil))
	}
}

// closeFunc is a reader that tells when it is closed.
type closeFunc struct {
	io.Reader
	close func()
}

func (c *closeFunc) Close() error {
	c.close()
	return nil
}
