package portertest

import (
	"fmt"
	"io"
	"net/http"
	"time"
)

// diskETag is what GitLab says of every file on its own disk: the hash of an
// empty body.
const diskETag = `W/"12ae32cb1ec02d01eda3581b127c1fee"`

// download answers GET and HEAD /projects/:id/export/download.
func (c *call) download() *reply {
	s := c.s
	u, p, r := c.exportProject()
	if r != nil {
		return r
	}
	if r := s.downloadLimited(u, p); r != nil {
		return r
	}
	j := s.latestFile(p, u)
	switch {
	case j == nil || !j.hasBytes(s.now()) && !s.cfg.atLeast(13, 12):
		return message(http.StatusNotFound, "404 Not found or has expired")
	case !j.hasBytes(s.now()):
		return message(http.StatusNotFound, "The project export file is not available yet")
	}
	return c.deliverFile(&j.file)
}

// storedFile is a file that GitLab made and keeps where the server's
// DownloadMode says.
type storedFile struct {
	name    string // which a download suggests
	key     string // in the object storage
	stored  time.Time
	content *Archive
	lost    bool // its bytes are gone
}

// deliverFile answers with a file.
func (c *call) deliverFile(f *storedFile) *reply {
	s := c.s
	switch {
	case s.cfg.mode == FromDisk:
		return s.fromDisk(f)
	case f.lost:
		return message(http.StatusNotFound, "404 Not Found")
	}
	if s.cfg.mode == Proxied {
		signed := s.signedURL(c.r.Method, f.key, s.now(), signedFor)
		return sends(func(w http.ResponseWriter, r *http.Request) { s.proxy(w, r, signed) })
	}
	signed := s.signedURL(http.MethodGet, f.key, s.now(), signedFor)
	r := text(http.StatusFound, "This resource has been moved temporarily to "+signed)
	if c.r.Method != http.MethodGet {
		r = text(http.StatusSeeOther, "An alternate resource is located at "+signed)
	}
	r.header.Set("Location", signed)
	return r
}

// afterGitLab marks an answer of the front server's to a request that GitLab
// has answered before.
func afterGitLab(r *reply) *reply {
	r.front = false
	return r
}

func (s *Server) fromDisk(f *storedFile) *reply {
	if f.lost {
		return afterGitLab(frontServer(http.StatusNotFound, "404 page not found"))
	}
	contentType, disposition := "application/octet-stream", fmt.Sprintf(`attachment; filename="%[1]s"; filename*=UTF-8''%[1]s`, f.name)
	if !s.cfg.atLeast(10, 7) {
		disposition = "attachment; filename=" + f.name
	}
	if !s.cfg.atLeast(11, 3) {
		contentType = "application/gzip"
	}
	return sends(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", contentType)
		h.Set("Content-Disposition", disposition)
		h.Set("Content-Transfer-Encoding", "binary")
		if r.Method != http.MethodHead {
			h.Set("ETag", diskETag)
		}
		http.ServeContent(w, r, "", f.stored, f.content.NewReader())
	})
}

// proxy passes a download, or its headers alone, through from the object storage.
func (s *Server) proxy(w http.ResponseWriter, r *http.Request, signed string) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, signed, nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("User-Agent", "GitLab")
	req.Header.Set("Accept-Encoding", "identity")
	for _, k := range []string{"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		if v := r.Header.Values(k); len(v) > 0 {
			req.Header[k] = v
		}
	}
	resp, err := s.outbound.RoundTrip(req)
	if err != nil {
		frontServer(http.StatusInternalServerError, "Internal Server Error").write(w, r)
		return
	}
	defer resp.Body.Close()
	for k, v := range resp.Header {
		switch k {
		case "Cache-Control", "Expires", "Date", "Pragma":
		default:
			w.Header()[k] = v
		}
	}
	if resp.Header.Get("ETag") == "" && r.Method != http.MethodHead {
		w.Header().Set("ETag", diskETag)
	}
	w.WriteHeader(resp.StatusCode)
	// A broken storage connection leaves the answer short of its
	// Content-Length, and net/http then closes the connection.
	io.Copy(w, resp.Body)
}
