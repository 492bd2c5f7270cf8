package portertest_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed-5d77b939/porter/portertest"
)

// A recordedAnswer is what is noted of a response.
type recordedAnswer struct {
	Status int
	Header map[string]string
	Body   any // "*" for any
}

// diff says what is different about the simulator's answer.
func (gitlab recordedAnswer) diff(sim recordedAnswer) string {
	var ds []string
	if gitlab.Status != sim.Status {
		ds = append(ds, fmt.Sprintf("status %d, simulator %d", gitlab.Status, sim.Status))
	}
	if gitlab.Body != "*" {
		if g, s := recordedJSON(gitlab.Body), recordedJSON(sim.Body); g != s {
			ds = append(ds, fmt.Sprintf("body %s, simulator %s", g, s))
		}
	}
	keys := slices.Sorted(maps.Keys(gitlab.Header))
	for k := range sim.Header {
		if _, ok := gitlab.Header[k]; !ok {
			keys = append(keys, k)
		}
	}
	for _, k := range keys {
		if g, s := gitlab.Header[k], sim.Header[k]; g != s {
			ds = append(ds, fmt.Sprintf("%s %q, simulator %q", k, g, s))
		}
	}
	return strings.Join(ds, " | ")
}

// recordedJSON writes a body, so that two can be compared.
func recordedJSON(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSpace(b.String())
}

// noted are the headers whose values are compared.
var noted = []string{
	"Accept-Ranges", "Allow", "Content-Disposition", "Content-Range", "Content-Transfer-Encoding", "Content-Type",
	"Location", "Ratelimit-Limit", "Ratelimit-Name", "Ratelimit-Observed", "Ratelimit-Remaining", "Retry-After", "Www-Authenticate",
}

var (
	stamp     = regexp.MustCompile(`\d{4}-\d\d-\d\d_\d\d-\d\d-\d{3}`)
	temporary = regexp.MustCompile(`-[0-9a-f]{32}`)
	lacking   = regexp.MustCompile(`permissions: \[.*\]`)
	born      = time.Date(2023, 2, 14, 8, 15, 30, 123e6, time.UTC)
)

// lastFixed is the highest ID that a case knows beforehand.
const lastFixed = 47

// note keeps of an answer what is compared: without what is another each time.
func (p *play) note(resp *http.Response, body []byte) recordedAnswer {
	a := recordedAnswer{Status: resp.StatusCode, Header: map[string]string{}}
	random := ""
	if _, b, ok := strings.Cut(resp.Header.Get("Content-Type"), "boundary="); ok {
		random = b
	}
	plain := func(s string) string {
		s = stamp.ReplaceAllString(p.neutral(s), "<stamp>")
		if random != "" {
			s = strings.ReplaceAll(s, random, "<boundary>")
		}
		return s
	}
	for _, k := range noted {
		if vs, ok := resp.Header[k]; ok {
			a.Header[k] = plain(strings.Join(vs, ", "))
		}
	}
	if l := a.Header["Location"]; strings.HasPrefix(l, "{storage}") {
		a.Header["Location"] = "{storage}/…"
	}
	switch e := resp.Header.Get("Etag"); {
	case e == "" || resp.Header.Get("Content-Type") == "application/json":
	case strings.HasPrefix(e, "W/"):
		a.Header["Etag"] = e
	default:
		a.Header["Etag"] = "strong"
	}
	if a.Header["Ratelimit-Name"] != "" && a.Header["Retry-After"] != "" {
		a.Header["Retry-After"] = "rest of the period"
	}
	for _, k := range []string{"Last-Modified", "Ratelimit-Reset", "Ratelimit-Resettime", "X-Request-Id"} {
		if resp.Header.Get(k) != "" {
			a.Header[k] = "present"
		}
	}
	if k := resp.Header.Get("Content-Type"); resp.StatusCode < 300 && !strings.Contains(k, "json") && !strings.HasPrefix(k, "multipart/") {
		a.Header["Content-Length"] = fmt.Sprint(resp.ContentLength)
	}
	var v any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	switch {
	case len(body) == 0:
	case dec.Decode(&v) == nil && strings.Contains(resp.Header.Get("Content-Type"), "json"):
		a.Body = p.normal("", v)
	case len(body) > 600 || !utf8.Valid(body) || bytes.ContainsRune(body, 0):
		a.Body = digestOf([]byte(plain(string(body))))
	case a.Header["Location"] == "{storage}/…":
		a.Body = "text"
	default:
		a.Body = plain(string(body))
	}
	return a
}

// digestOf stands for a body that is no text.
func digestOf(body []byte) string {
	return fmt.Sprintf("%d bytes, sha256 %.8x", len(body), sha256.Sum256(body))
}

// recordedArchive is what was recorded of the archive that GitLab served, and
// where in it that is. NewArchive has come to make other bytes since then.
var recordedArchive = map[string]int64{
	"65536 bytes, sha256 5fefe0f5d8e1f0a6": 0,
	"536 bytes, sha256 c7ff916c2aa7fd78":   65000,
}

// ofToday returns the answer with today's archive in place of the recorded one.
func (gitlab recordedAnswer) ofToday() recordedAnswer {
	if off, ok := recordedArchive[fmt.Sprint(gitlab.Body)]; ok {
		archive := portertest.NewArchive(65536)
		b := make([]byte, archive.Size()-off)
		archive.ReadAt(b, off)
		gitlab.Body = digestOf(b)
	}
	return gitlab
}

// neutral takes the addresses out of a text.
func (p *play) neutral(s string) string {
	s = strings.ReplaceAll(s, p.base, "{base}")
	if p.storage != "" {
		s = strings.ReplaceAll(s, p.storage, "{storage}")
	}
	return s
}

func (p *play) normal(key string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = p.normal(k, e)
		}
		for _, k := range []string{"project_path", "exception_class"} {
			if v[k] != nil {
				v["id"] = "<id>"
			}
		}
	case []any:
		for i, e := range v {
			v[i] = p.normal(key, e)
		}
	case json.Number:
		if n, err := v.Int64(); key == "id" && err == nil && n > lastFixed {
			return "<id>"
		}
	case string:
		switch key {
		case "correlation_id":
			return "<id>"
		case "created_at", "updated_at":
			if at, err := time.Parse(time.RFC3339, v); err == nil && !at.Equal(born) {
				return "<time>"
			}
		}
		v = lacking.ReplaceAllString(v, "permissions: […]")
		return temporary.ReplaceAllString(p.neutral(v), "-<hex>")
	}
	return v
}
