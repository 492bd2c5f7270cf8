package porter

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// A validator tells whether two answers brought the same archive.
type validator struct {
	ETag     string `json:"etag,omitempty"`          // strong, or empty
	Modified string `json:"last_modified,omitempty"` // as the server wrote it
	Size     int64  `json:"size"`                    // -1 if unknown
}

func validatorOf(h http.Header, size int64) validator {
	v := validator{ETag: h.Get("ETag"), Modified: h.Get("Last-Modified"), Size: size}
	// GitLab sends the same weak ETag for every file on its disk.
	if !strongETag.MatchString(v.ETag) {
		v.ETag = ""
	}
	if _, err := http.ParseTime(v.Modified); err != nil {
		v.Modified = ""
	}
	return v
}

var strongETag = regexp.MustCompile(`^"[!#-~\x80-\xff]+"$`)

// ifRange returns what to send as If-Range, "" if nothing would hold.
func (v validator) ifRange() string {
	switch {
	case v.ETag != "":
		return v.ETag
	case v.Size >= 0:
		return v.Modified
	}
	return ""
}

// resumable reports whether the archive can be continued by a later call.
func (v validator) resumable() bool { return v.Size > 0 && v.ifRange() != "" }

// contradicts reports whether o is certainly another archive.
func (v validator) contradicts(o validator) bool {
	switch {
	case v.Size >= 0 && o.Size >= 0 && v.Size != o.Size:
		return true
	case v.ETag != "" && o.ETag != "":
		return v.ETag != o.ETag
	case v.Modified != "" && o.Modified != "":
		return v.Modified != o.Modified
	}
	return false
}

// confirms reports whether o is certainly the same archive.
func (v validator) confirms(o validator) bool {
	if v.contradicts(o) {
		return false
	}
	if v.ETag != "" && o.ETag != "" {
		return true
	}
	return v.Modified != "" && o.Modified != "" && v.Size >= 0 && o.Size >= 0
}

// lengthOf returns the length of an answer's body, or -1 if it is not known.
// Answers that were made by hand, as in tests, leave it at zero.
func lengthOf(resp *http.Response) int64 {
	if resp.ContentLength == 0 && resp.Header.Get("Content-Length") == "" {
		return -1
	}
	return resp.ContentLength
}

// contentRange returns where a partial answer begins and how long the whole is.
func contentRange(resp *http.Response) (at, size int64, ok bool) {
	s, found := strings.CutPrefix(resp.Header.Get("Content-Range"), "bytes ")
	span, total, found2 := strings.Cut(s, "/")
	first, _, found3 := strings.Cut(span, "-")
	if !found || !found2 || !found3 {
		return 0, 0, false
	}
	at, err := strconv.ParseInt(first, 10, 64)
	if err != nil || at < 0 {
		return 0, 0, false
	}
	if total == "*" {
		return at, -1, true
	}
	size, err = strconv.ParseInt(total, 10, 64)
	if err != nil || size < 0 {
		return 0, 0, false
	}
	return at, size, true
}

// partHeader asks for the bytes from off on, before to.
func partHeader(off, to int64, v validator) http.Header {
	h := rangeHeader(0, v)
	h.Set("Range", fmt.Sprintf("bytes=%d-%d", off, to-1))
	h.Set("If-Range", v.ifRange())
	return h
}

// rangeHeader asks for the bytes as they are: an archive that was compressed
// on the way would not be the one whose size and validator are known.
func rangeHeader(off int64, v validator) http.Header {
	h := http.Header{"Accept-Encoding": {"identity"}}
	if off > 0 {
		h.Set("Range", fmt.Sprintf("bytes=%d-", off))
		h.Set("If-Range", v.ifRange())
	}
	return h
}
