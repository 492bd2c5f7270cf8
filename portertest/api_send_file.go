package portertest

import (
	"fmt"
	"io"
	"net/http"
)

// diskETag is what GitLab says of every file on its own disk: the hash of an
// empty body.
const diskETag = `W/"12ae32cb1ec02d01eda3581b127c1fee"`

// sendFile answers with a file, from where the DownloadMode says that it is.
func (c *call) sendFile(f *storedFile) *reply {
	m := c.m
	switch {
	case m.cfg.mode == FromDisk:
		return c.fromDisk(f)
	case f.lost:
		return message(http.StatusNotFound, "404 Not Found")
	}
	if m.cfg.mode == Proxied {
		signed := m.signedURL(c.r.Method, f.key, m.now(), signedFor)
		return sends(func(w http.ResponseWriter, r *http.Request) { c.out.proxy(w, r, signed) })
	}
	signed := m.signedURL(http.MethodGet, f.key, m.now(), signedFor)
	r := text(http.StatusFound, "This resource has been moved temporarily to "+signed)
	if c.r.Method != http.MethodGet {
		r = text(http.StatusSeeOther, "An alternate resource is located at "+signed)
	}
	r.header.Set("Location", signed)
	return r
}

// afterGitLab marks an answer of Workhorse to a request that GitLab has seen.
func afterGitLab(r *reply) *reply {
	r.workhorse = false
	return r
}

func (c *call) fromDisk(f *storedFile) *reply {
	if f.lost {
		return afterGitLab(workhorseReply(http.StatusNotFound, "404 page not found"))
	}
	contentType := "application/octet-stream"
	disposition := fmt.Sprintf(`attachment; filename="%[1]s"; filename*=UTF-8''%[1]s`, f.name)
	if !c.m.cfg.atLeast(10, 7) {
		disposition = "attachment; filename=" + f.name
	}
	if !c.m.cfg.atLeast(11, 3) {
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
func (s *outbound) proxy(w http.ResponseWriter, r *http.Request, signed string) {
	req, err := s.request(r.Context(), r.Method, signed, nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	for _, k := range []string{"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		if v := r.Header.Values(k); len(v) > 0 {
			req.Header[k] = v
		}
	}
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		workhorseReply(http.StatusInternalServerError, "Internal Server Error").write(w, r)
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
