package porter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

const dlPath = "/api/v4/projects/7/export/download"

// dlServer returns a simulator with a finished export of project 7.
func dlServer(t *testing.T, a *portertest.Archive, opts ...portertest.Option) *portertest.Server {
	t.Helper()
	s := portertest.NewServer(append([]portertest.Option{portertest.InMemory(), portertest.NoLimits()}, opts...)...)
	t.Cleanup(s.Close)
	s.AddProject(portertest.Project{ID: 7, Path: "acme/widget", Archive: a})
	s.AddExport("7", "owner")
	return s
}

// dlConnect returns a client that neither paces nor pauses.
func dlConnect(t *testing.T, s *portertest.Server, opts ...porter.Option) *porter.Client {
	t.Helper()
	return connect(t, s, append([]porter.Option{porter.WithoutPacing(), porter.WithRetry(5, porter.ConstantBackoff(0))}, opts...)...)
}

// dlDeliverer is the origin whose answers hold the archive.
func dlDeliverer(m portertest.DownloadMode) string {
	if m == portertest.Redirected {
		return portertest.Storage
	}
	return portertest.GitLab
}

// dlAsked returns the requests for the archive that a client made of an origin.
func dlAsked(s *portertest.Server, origin string) []portertest.Request {
	var asked []portertest.Request
	for _, r := range s.Requests() {
		if r.Origin == origin && r.Method == http.MethodGet && r.Header.Get("User-Agent") != "GitLab" {
			asked = append(asked, r)
		}
	}
	return asked
}

func dlRanges(requests []portertest.Request) []string {
	var ranges []string
	for _, r := range requests {
		ranges = append(ranges, r.Header.Get("Range"))
	}
	return ranges
}

func TestDownloadResumes(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(100 << 10)
	size := archive.Size()
	for name, mode := range dlModes {
		for _, at := range []int64{0, 1, 2, 511, 512, 513, size / 2, size - 1, size} {
			t.Run(fmt.Sprintf("%s cut at %d", name, at), func(t *testing.T) {
				s := dlServer(t, archive, portertest.Downloads(mode))
				cut := s.Inject(portertest.Fault{Origin: dlDeliverer(mode), Method: "GET", Do: portertest.CutResponse(at)})
				var buf bytes.Buffer
				n, err := bytesOf(dlConnect(t, s).DownloadExport(t.Context(), porter.ProjectID(7), &buf, nil))
				if err != nil {
					t.Fatal(err)
				}
				if n != size || sum(buf.Bytes()) != archive.SHA256() {
					t.Errorf("wrote %d other bytes", n)
				}
				if cut.Hits() != 1 {
					t.Errorf("cut %d connections", cut.Hits())
				}
				want := []string{"", fmt.Sprintf("bytes=%d-", at)}
				switch at {
				case 0:
					want[1] = ""
				case size:
					want = want[:1] // everything had come
				}
				asked := dlAsked(s, dlDeliverer(mode))
				if diff := cmp.Diff(want, dlRanges(asked)); diff != "" {
					t.Errorf("ranges asked for:\n%s", diff)
				}
				if mode == portertest.Redirected {
					if n := len(dlAsked(s, portertest.GitLab)); n != 1 {
						t.Errorf("spent %d downloads of GitLab's budget", n)
					}
				}
				for _, r := range asked {
					strong := strings.HasPrefix(r.Header.Get("If-Range"), `"`)
					if ranged := r.Header.Get("Range") != ""; ranged != (r.Header.Get("If-Range") != "") {
						t.Errorf("Range %q with If-Range %q", r.Header.Get("Range"), r.Header.Get("If-Range"))
					} else if ranged && strong != (mode != portertest.FromDisk) {
						t.Errorf("If-Range is %q", r.Header.Get("If-Range"))
					}
					if got := r.Header.Get("Accept-Encoding"); got != "identity" {
						t.Errorf("Accept-Encoding is %q", got)
					}
				}
				if leaks := s.Leaks(); len(leaks) > 0 {
					t.Errorf("credentials reached the storage: %+v", leaks)
				}
			})
		}
	}
}

// A download goes on for as long as every connection brings something.
func TestDownloadManyCuts(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(100 << 10)
	for name, mode := range dlModes {
		t.Run(name, func(t *testing.T) {
			s := dlServer(t, archive, portertest.Downloads(mode))
			cut := s.Inject(portertest.Fault{Origin: dlDeliverer(mode), Method: "GET", Times: -1, Do: portertest.CutResponse(5000)})
			c := dlConnect(t, s, porter.WithRetry(1, porter.ConstantBackoff(0)))
			var buf bytes.Buffer
			if _, err := c.DownloadExport(t.Context(), porter.ProjectID(7), &buf, nil); err != nil {
				t.Fatal(err)
			}
			if sum(buf.Bytes()) != archive.SHA256() {
				t.Error("other bytes")
			}
			if cut.Hits() < 20 {
				t.Errorf("only %d cuts", cut.Hits())
			}
		})
	}
}

func TestDownloadRetriesEnd(t *testing.T) {
	archive := portertest.NewArchive(100 << 10)
	for _, retries := range []int{0, 1, 3} {
		t.Run(strconv.Itoa(retries), func(t *testing.T) {
			s := dlServer(t, archive)
			s.Inject(portertest.Fault{Method: "GET", Path: dlPath, Do: portertest.CutResponse(5000)})
			s.Inject(portertest.Fault{Method: "GET", Path: dlPath, Times: -1, Do: portertest.CutResponse(0)})
			var buf bytes.Buffer
			c := dlConnect(t, s, porter.WithRetry(retries, porter.ConstantBackoff(0)), porter.WithPolling(porter.Polling{Patience: time.Nanosecond}))
			n, err := bytesOf(c.DownloadExport(t.Context(), porter.ProjectID(7), &buf, nil))
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("error: %v", err)
			}
			if want := "download export of 7: broken off at byte 5000"; err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("error %q does not begin with %q", err, want)
			}
			if n != 5000 || !bytes.Equal(buf.Bytes(), archiveBytes(t, archive)[:5000]) {
				t.Errorf("wrote %d bytes", n)
			}
			// The clock of Windows may stand still for longer than that patience.
			if got := len(dlAsked(s, portertest.GitLab)); got != retries+1 && runtime.GOOS != "windows" {
				t.Errorf("asked %d times", got)
			}
		})
	}
}

func TestDownloadWaitsToResume(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(100 << 10)
	header := func(kv ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(kv); i += 2 {
			h.Set(kv[i], kv[i+1])
		}
		return h
	}
	tests := []struct {
		name     string
		mode     portertest.DownloadMode
		then     []portertest.Action // what comes after the connection is cut
		atLeast  time.Duration
		lessThan time.Duration
		asked    int
	}{
		{"backoff", portertest.FromDisk, nil, time.Second, 2 * time.Second, 2},
		{"503", portertest.FromDisk, []portertest.Action{portertest.Respond(503, nil, "")}, 2 * time.Second, 3 * time.Second, 3},
		{"503 of storage", portertest.Redirected, []portertest.Action{portertest.Respond(503, nil, "<Error><Code>SlowDown</Code></Error>")},
			2 * time.Second, 3 * time.Second, 3},
		{"503 with Retry-After", portertest.Redirected, []portertest.Action{portertest.Respond(503, header("Retry-After", "40"), "")},
			41 * time.Second, 42 * time.Second, 3},
		{"429 with Retry-After", portertest.FromDisk, []portertest.Action{portertest.Respond(429, header("Retry-After", "60"), "{}")},
			61 * time.Second, 62 * time.Second, 3},
		{"429 without", portertest.FromDisk, []portertest.Action{portertest.Respond(429, nil, "{}")}, time.Second, 62 * time.Second, 3},
		{"500, 502, 504", portertest.Proxied,
			[]portertest.Action{portertest.Respond(500, nil, ""), portertest.Respond(502, nil, ""), portertest.Respond(504, nil, "")},
			4 * time.Second, 5 * time.Second, 5},
		{"a page", portertest.FromDisk, []portertest.Action{portertest.Respond(200, nil, "<title>Back soon</title>")}, 2 * time.Second,
			3 * time.Second, 3},
		{"no answer", portertest.FromDisk, []portertest.Action{portertest.LoseAnswer()}, time.Second, 3 * time.Second, 3},
		{"stalled answer", portertest.Redirected, []portertest.Action{portertest.HoldAnswer(0)}, 2*time.Minute + 2*time.Second,
			2*time.Minute + 3*time.Second, 3},
		{"stalled body", portertest.Proxied, []portertest.Action{portertest.StallResponse(700, 0)}, 2*time.Minute + time.Second,
			2*time.Minute + 3*time.Second, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := dlServer(t, archive, portertest.Downloads(tt.mode))
				actions := append([]portertest.Action{portertest.CutResponse(30000)}, tt.then...)
				for _, do := range actions {
					s.Inject(portertest.Fault{Origin: dlDeliverer(tt.mode), Method: "GET", Do: do})
				}
				c := dlConnect(t, s, porter.WithRetry(4, porter.ConstantBackoff(time.Second)))
				start := time.Now()
				var buf bytes.Buffer
				if _, err := c.DownloadExport(t.Context(), porter.ProjectID(7), &buf, nil); err != nil {
					t.Fatal(err)
				}
				if sum(buf.Bytes()) != archive.SHA256() {
					t.Error("other bytes")
				}
				if took := time.Since(start); took < tt.atLeast || took >= tt.lessThan {
					t.Errorf("took %v, not %v to %v", took, tt.atLeast, tt.lessThan)
				}
				if got := len(dlAsked(s, dlDeliverer(tt.mode))); got != tt.asked {
					t.Errorf("asked %d times, not %d", got, tt.asked)
				}
				s.Close()
			})
		})
	}
}

// GitLab allows one download of a project per minute, and a resumed one counts.
func TestDownloadResumesInItsMinute(t *testing.T) {
	archive := portertest.NewArchive(100 << 10)
	for name, mode := range dlModes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := dlServer(t, archive, portertest.Downloads(mode), portertest.Limits(portertest.RateLimits{Downloads: 1}))
				s.Inject(portertest.Fault{Origin: dlDeliverer(mode), Method: "GET", Do: portertest.CutResponse(30000)})
				start := time.Now() // of a minute: bubbles begin at midnight
				var buf bytes.Buffer
				if _, err := connect(t, s).DownloadExport(t.Context(), porter.ProjectID(7), &buf, nil); err != nil {
					t.Fatal(err)
				}
				if sum(buf.Bytes()) != archive.SHA256() {
					t.Error("other bytes")
				}
				took := time.Since(start)
				if mode == portertest.Redirected && took > 2*time.Second {
					t.Errorf("took %v although the signed URL costs nothing", took)
				}
				if mode != portertest.Redirected && (took < time.Minute || took > 65*time.Second) {
					t.Errorf("took %v, not the minute that GitLab makes one wait", took)
				}
				for _, r := range s.Requests() {
					if r.Status == http.StatusTooManyRequests {
						t.Error("went over GitLab's limit")
					}
				}
				s.Close()
			})
		})
	}
}

// An archive that moves to another storage in the middle of its download is
// waited for as at the start.
func TestDownloadResumesNotReady(t *testing.T) {
	archive := portertest.NewArchive(100 << 10)
	synctest.Test(t, func(t *testing.T) {
		s := dlServer(t, archive)
		s.Inject(portertest.Fault{Method: "GET", Path: dlPath, Do: portertest.CutResponse(30000)})
		s.Inject(portertest.Fault{Method: "GET", Path: dlPath, Times: 2,
			Do: portertest.Respond(404, nil, `{"message":"The project export file is not available yet"}`)})
		start := time.Now()
		var buf bytes.Buffer
		if _, err := dlConnect(t, s).DownloadExport(t.Context(), porter.ProjectID(7), &buf, nil); err != nil {
			t.Fatal(err)
		}
		if sum(buf.Bytes()) != archive.SHA256() {
			t.Error("other bytes")
		}
		if took := time.Since(start).Truncate(time.Second); took != 2*time.Minute {
			t.Errorf("took %v, not two minutes", took)
		}
		s.Close()
	})
}

func TestDownloadSignedURLExpires(t *testing.T) {
	archive := portertest.NewArchive(300 << 10)
	synctest.Test(t, func(t *testing.T) {
		s := dlServer(t, archive, portertest.Downloads(portertest.Redirected), portertest.Limits(portertest.RateLimits{Downloads: 1}))
		s.Inject(portertest.Fault{Origin: portertest.Storage, Do: portertest.CutResponse(250_000)})
		s.Inject(portertest.Fault{Origin: portertest.GitLab, Skip: 1, Do: portertest.Respond(503, nil, "")})
		r, err := connect(t, s).OpenExport(t.Context(), porter.ProjectID(7))
		if err != nil {
			t.Fatal(err)
		}
		s.Advance(11 * time.Minute)
		got, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if sum(got) != archive.SHA256() {
			t.Error("other bytes")
		}
		var asked []string
		for _, r := range s.Requests() {
			asked = append(asked, fmt.Sprintf("%s %d %s", r.Origin, r.Status, r.Header.Get("Range")))
		}
		want := []string{
			"gitlab 302 ", "storage 200 ",
			"storage 403 bytes=250000-",
			"gitlab 503 bytes=250000-", // and the storage need not be asked again
			"gitlab 302 bytes=250000-", "storage 206 bytes=250000-",
		}
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Errorf("requests:\n%s", diff)
		}
		if leaks := s.Leaks(); len(leaks) > 0 {
			t.Errorf("credentials reached the storage: %+v", leaks)
		}
		r.Close()
		s.Close()
	})
}

// A new export takes the place of the one that is being downloaded.
func TestDownloadArchiveReplaced(t *testing.T) {
	t.Parallel()
	for name, mode := range dlModes {
		for _, size := range []int64{300 << 10, 200 << 10, 400 << 10} {
			t.Run(fmt.Sprintf("%s by one of %d", name, size), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					old := portertest.NewArchive(300 << 10)
					s := dlServer(t, old, portertest.Downloads(mode))
					s.Inject(portertest.Fault{Origin: dlDeliverer(mode), Method: "GET", Do: portertest.CutResponse(250_000)})
					c := dlConnect(t, s)
					r, err := c.OpenExport(t.Context(), porter.ProjectID(7))
					if err != nil {
						t.Fatal(err)
					}
					time.Sleep(2 * time.Second) // dates have whole seconds
					s.ScriptExport("7", portertest.ExportScript{Archive: portertest.NewArchive(size, portertest.ArchiveSeed(2))})
					if err := c.ScheduleExport(t.Context(), porter.ProjectID(7), nil); err != nil {
						t.Fatal(err)
					}
					time.Sleep(2 * time.Second)
					got, err := io.ReadAll(r)
					if !errors.Is(err, porter.ErrArchiveChanged) {
						t.Errorf("error: %v", err)
					}
					if !bytes.Equal(got, archiveBytes(t, old)[:len(got)]) {
						t.Error("bytes of both archives")
					}
					r.Close()
					s.Close()
				})
			})
		}
	}
}

// dlScript answers each download with the next of its handlers, and with the
// last one from then on.
type dlScript struct {
	mu      sync.Mutex
	answers []http.HandlerFunc
	asked   []http.Header
}

func (s *dlScript) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.Header.Clone())
	h := s.answers[min(len(s.asked), len(s.answers))-1]
	s.mu.Unlock()
	h(w, r)
}

func dlScripted(t *testing.T, opts []porter.Option, answers ...http.HandlerFunc) (*porter.Client, *dlScript) {
	t.Helper()
	script := &dlScript{answers: answers}
	s := httptest.NewServer(script)
	t.Cleanup(s.Close)
	c := newClient(t, s.URL, porter.PrivateToken("secret"), append([]porter.Option{
		porter.WithoutPacing(), porter.WithRetry(2, porter.ConstantBackoff(0)),
		porter.WithPolling(porter.Polling{Patience: time.Nanosecond}),
	}, opts...)...)
	return c, script
}

// dlAnswer sends a status, headers ("Name: value") and a body, which is broken
// off after cut bytes unless that is negative. It has the body's length unless
// the headers say "Chunked: yes".
func dlAnswer(status int, body []byte, cut int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		chunked := false
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			if name == "Chunked" {
				chunked = true
				continue
			}
			w.Header().Set(name, value)
		}
		if _, set := w.Header()["Content-Type"]; !set {
			w.Header().Set("Content-Type", "application/octet-stream")
		}
		if !chunked && status != http.StatusNoContent {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		}
		w.WriteHeader(status)
		n := cut
		if n < 0 {
			n = len(body)
			defer http.NewResponseController(w).Flush()
		} else {
			defer panic(http.ErrAbortHandler)
			defer http.NewResponseController(w).Flush()
		}
		w.Write(body[:n])
	}
}

// dlRaw sends bytes as they are and closes the connection.
func dlRaw(head string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		rw.WriteString(strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n")
		rw.Write(body)
		rw.Flush()
		conn.Close()
	}
}

func TestDownloadGluesNothing(t *testing.T) {
	t.Parallel()
	const (
		etag    = `ETag: "v1"`
		weak    = `ETag: W/"12ae32cb1ec02d01eda3581b127c1fee"`
		date    = "Last-Modified: Wed, 01 May 2024 09:41:00 GMT"
		later   = "Last-Modified: Wed, 01 May 2024 09:42:00 GMT"
		chunked = "Chunked: yes"
	)
	archive := archiveBytes(t, portertest.NewArchive(30_000))
	const size, cut = 30_000, 10_000
	first := func(headers ...string) http.HandlerFunc { return dlAnswer(200, archive, cut, headers...) }
	part := func(from, to int, headers ...string) http.HandlerFunc {
		return dlAnswer(206, archive[from:to], -1,
			append([]string{fmt.Sprintf("Content-Range: bytes %d-%d/%d", from, to-1, size)}, headers...)...)
	}
	whole := func(headers ...string) http.HandlerFunc { return dlAnswer(200, archive, -1, headers...) }
	page := dlAnswer(200, []byte("<html><title>Back soon</title></html>"), -1, "Content-Type: text/html")
	hanging := func(w http.ResponseWriter, r *http.Request) {
		dlAnswer(206, archive[cut-1:], -1, "Content-Range: bytes 9999-29999/30000", etag, chunked)(w, r)
		<-r.Context().Done()
	}
	answers := func(h ...http.HandlerFunc) []http.HandlerFunc { return h }

	tests := []struct {
		name    string
		answers []http.HandlerFunc
		want    error    // nil: the archive is whole
		asked   []string // "Range If-Range" of the requests after the first one
	}{
		{"same ETag", answers(first(etag), part(cut, size, etag)), nil, []string{`bytes=10000- "v1"`}},
		{"same date and size", answers(first(date, weak), part(cut, size, date, weak)), nil,
			[]string{`bytes=10000- Wed, 01 May 2024 09:41:00 GMT`}},
		{"ETag goes before date", answers(first(date, etag), part(cut, size, etag, later)), nil, []string{`bytes=10000- "v1"`}},
		{"206 without validators", answers(first(etag), part(cut, size)), nil, []string{`bytes=10000- "v1"`}},
		{"206 with other ETag", answers(first(etag), part(cut, size, `ETag: "v2"`)), porter.ErrArchiveChanged,
			[]string{`bytes=10000- "v1"`}},
		{"206 with other date", answers(first(date), part(cut, size, later)), porter.ErrArchiveChanged,
			[]string{`bytes=10000- Wed, 01 May 2024 09:41:00 GMT`}},
		{"206 with other size", answers(first(etag), dlAnswer(206, archive[cut:], -1, "Content-Range: bytes 10000-29999/30001", etag)),
			porter.ErrArchiveChanged, []string{`bytes=10000- "v1"`}},
		{"206 of unknown size", answers(first(etag), dlAnswer(206, archive[cut:], -1, "Content-Range: bytes 10000-29999/*", etag)), nil,
			[]string{`bytes=10000- "v1"`}},
		{"206 begins earlier", answers(first(etag), part(cut-5, size, etag)), nil, []string{`bytes=10000- "v1"`}},
		{"206 begins later", answers(first(etag), part(cut+5, size, etag), whole(etag)), nil, []string{`bytes=10000- "v1"`, " "}},
		{"206 begins later, and so does the next", answers(first(etag), part(cut+5, size, etag), part(cut+5, size, etag)),
			dlText("other bytes"), []string{`bytes=10000- "v1"`, " "}},
		{"206 of another size", answers(first(etag), dlAnswer(206, archive[cut:], -1, "Content-Range: bytes 10000-29998/29999", etag)),
			porter.ErrArchiveChanged, []string{`bytes=10000- "v1"`}},
		{"206 without range", answers(first(etag), dlAnswer(206, archive[cut:], -1, etag), whole(etag)), nil,
			[]string{`bytes=10000- "v1"`, " "}},
		{"206 with a garbled range", answers(first(etag), dlAnswer(206, archive[cut:], -1, "Content-Range: bytes ten-", etag), whole(etag)),
			nil, []string{`bytes=10000- "v1"`, " "}},
		{"206 of several ranges", answers(first(etag),
			dlAnswer(206, archive[cut:], -1, "Content-Type: multipart/byteranges; boundary=x", etag), whole(etag)), nil,
			[]string{`bytes=10000- "v1"`, " "}},
		{"206 shorter than asked for", answers(first(etag), part(cut, 20_000, etag), part(20_000, size, etag)), nil,
			[]string{`bytes=10000- "v1"`, `bytes=20000- "v1"`}},
		{"206 longer than announced", answers(first(etag),
			dlAnswer(206, append(archive[cut:size:size], "more"...), -1, "Content-Range: bytes 10000-29999/30000", etag, chunked)),
			errDLMore, []string{`bytes=10000- "v1"`}},
		{"200 with same ETag", answers(first(etag), whole(etag)), nil, []string{`bytes=10000- "v1"`}},
		{"200 with same date and size", answers(first(date, weak), whole(date, weak)), nil,
			[]string{`bytes=10000- Wed, 01 May 2024 09:41:00 GMT`}},
		{"200 with other ETag", answers(first(etag), whole(`ETag: "v2"`)), porter.ErrArchiveChanged, []string{`bytes=10000- "v1"`}},
		{"200 with other date", answers(first(date), whole(later)), porter.ErrArchiveChanged,
			[]string{`bytes=10000- Wed, 01 May 2024 09:41:00 GMT`}},
		{"200 with same date, other size", answers(first(date), dlAnswer(200, archive[:size-1], -1, date)), porter.ErrArchiveChanged,
			[]string{`bytes=10000- Wed, 01 May 2024 09:41:00 GMT`}},
		{"200 with same date, no size", answers(first(date), whole(date, chunked)), porter.ErrArchiveChanged,
			[]string{`bytes=10000- Wed, 01 May 2024 09:41:00 GMT`}},
		{"200 without validators", answers(first(etag), whole()), porter.ErrArchiveChanged, []string{`bytes=10000- "v1"`}},
		{"200 that breaks off before the place", answers(first(etag), dlAnswer(200, archive, 500, etag), part(cut, size, etag)), nil,
			[]string{`bytes=10000- "v1"`, `bytes=10000- "v1"`}},
		{"200 that breaks off after the place", answers(first(etag), dlAnswer(200, archive, 15_000, etag), part(15_000, size, etag)), nil,
			[]string{`bytes=10000- "v1"`, `bytes=15000- "v1"`}},
		{"a page, then the rest", answers(first(etag), page, part(cut, size, etag)), nil,
			[]string{`bytes=10000- "v1"`, `bytes=10000- "v1"`}},
		{"nothing but pages", answers(first(etag), page), errDLPage, []string{`bytes=10000- "v1"`, `bytes=10000- "v1"`}},
		{"204, then the rest", answers(first(etag), dlAnswer(204, nil, -1), part(cut, size, etag)), nil,
			[]string{`bytes=10000- "v1"`, `bytes=10000- "v1"`}},
		{"416", answers(first(etag), dlAnswer(416, nil, -1, "Content-Range: bytes */500")), porter.ErrArchiveChanged,
			[]string{`bytes=10000- "v1"`}},
		{"expired", answers(first(etag), dlAnswer(404, []byte(`{"message":"404 Not found or has expired"}`), -1)), porter.ErrExportExpired,
			[]string{`bytes=10000- "v1"`}},
		{"token revoked", answers(first(etag), dlAnswer(401, []byte(`{"message":"401 Unauthorized"}`), -1)), porter.ErrUnauthorized,
			[]string{`bytes=10000- "v1"`}},
		{"forbidden", answers(first(etag), dlAnswer(403, []byte(`{"message":"403 Forbidden"}`), -1)), porter.ErrForbidden,
			[]string{`bytes=10000- "v1"`}},
		{"500, then the rest", answers(first(etag), dlAnswer(500, nil, -1), part(cut, size, etag)), nil,
			[]string{`bytes=10000- "v1"`, `bytes=10000- "v1"`}},
		{"no validator", answers(first(), whole()), io.ErrUnexpectedEOF, nil},
		{"weak ETag only", answers(first(weak), whole(weak)), io.ErrUnexpectedEOF, nil},
		{"malformed validators", answers(first("ETag: v1", "Last-Modified: yesterday"), whole()), io.ErrUnexpectedEOF, nil},
		{"date without size", answers(dlAnswer(200, archive, cut, date, chunked), whole(date)), io.ErrUnexpectedEOF, nil},
		{"chunked and whole", answers(whole(chunked)), nil, nil},
		{"chunked and broken", answers(dlAnswer(200, archive, cut, etag, chunked), part(cut-1, size, etag)), nil,
			[]string{`bytes=9999- "v1"`}},
		{"chunked and broken twice", answers(dlAnswer(200, archive, cut, etag, chunked),
			dlAnswer(206, archive[cut-1:], 5000, "Content-Range: bytes 9999-29999/30000", etag, chunked), part(14_999, size, etag)), nil,
			[]string{`bytes=9999- "v1"`, `bytes=14999- "v1"`}},
		{"chunked and broken at its end", answers(dlAnswer(200, archive, size, etag, chunked), part(size-1, size, etag)), nil,
			[]string{`bytes=29999- "v1"`}},
		{"chunked, and its end never said", answers(dlAnswer(200, archive, cut, etag, chunked), hanging), nil,
			[]string{`bytes=9999- "v1"`}},
		{"HTTP/1.0 with length", answers(dlRaw("HTTP/1.0 200 OK\nContent-Length: 30000", archive)), nil, nil},
		{"HTTP/1.0 without length or validator", answers(dlRaw("HTTP/1.0 200 OK", archive)), io.ErrUnexpectedEOF, nil},
		{"HTTP/1.0 without length", answers(dlRaw("HTTP/1.0 200 OK\n"+etag, archive), part(size-1, size, etag)), nil,
			[]string{`bytes=29999- "v1"`}},
		{"HTTP/1.0 without length, broken", answers(dlRaw("HTTP/1.0 200 OK\n"+etag, archive[:cut]), part(cut-1, size, etag)), nil,
			[]string{`bytes=9999- "v1"`}},
		{"HTTP/1.1 closed without length", answers(dlRaw("HTTP/1.1 200 OK\nConnection: close", archive[:cut])), io.ErrUnexpectedEOF, nil},
		{"broken before the first byte, replaced", answers(dlAnswer(200, []byte("\x1f\x8b another"), 0, `ETag: "v0"`), whole(etag)), nil,
			[]string{" "}},
		{"206 that nobody asked for", answers(part(0, size, etag)), errDLPartial, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, script := dlScripted(t, nil, tt.answers...)
			var buf bytes.Buffer
			n, err := bytesOf(c.DownloadExport(t.Context(), porter.ProjectID(7), &buf, nil))
			switch want := tt.want.(type) {
			case nil:
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(buf.Bytes(), archive) {
					t.Errorf("%d other bytes", n)
				}
			case dlText:
				if err == nil || !strings.Contains(err.Error(), string(want)) {
					t.Errorf("error: %v, not about %q", err, want)
				}
			default:
				if !errors.Is(err, want) {
					t.Errorf("error: %v, not %v", err, want)
				}
			}
			if err != nil && !strings.HasPrefix(err.Error(), "download export of 7: ") {
				t.Errorf("error does not name the operation: %v", err)
			}
			if !bytes.HasPrefix(archive, buf.Bytes()) {
				t.Error("wrote bytes that are not the archive's")
			}
			var asked []string
			for _, h := range script.asked[1:] {
				asked = append(asked, h.Get("Range")+" "+h.Get("If-Range"))
			}
			if diff := cmp.Diff(tt.asked, asked); diff != "" {
				t.Errorf("asked for:\n%s", diff)
			}
		})
	}
}

// dlText is an error that is known by its text only.
type dlText string

func (e dlText) Error() string { return string(e) }

const (
	errDLMore    = dlText("server sent more than the 30000 bytes it announced")
	errDLPage    = dlText("Back soon")
	errDLPartial = dlText("206")
)

func TestDownloadOfNoArchive(t *testing.T) {
	t.Parallel()
	archive := archiveBytes(t, portertest.NewArchive(30_000))
	const message = `{"message":"404 Not found or has expired"}`
	tests := []struct {
		name   string
		answer http.HandlerFunc
		quoted string
	}{
		{"message of 42 bytes", dlAnswer(200, []byte(message), -1, "Content-Type: application/json"), "404 Not found or has expired"},
		{"page", dlAnswer(200, []byte("<!DOCTYPE html>\n<title>Sign in</title>"), -1, "Content-Type: text/html"),
			"<!DOCTYPE html> <title>Sign in</title>"},
		{"empty", dlAnswer(200, nil, -1), "it is empty"},
		{"empty and chunked", dlAnswer(200, nil, -1, "Chunked: yes"), "it is empty"},
		{"half a magic", dlAnswer(200, []byte{0x1f}, -1), "begins with"},
		{"zip", dlAnswer(200, []byte("PK\x03\x04, and so on"), -1), "PK"},
		{"signed URL", dlAnswer(200, []byte("see https://s3.test/a?X-Amz-Signature=secret"), -1), "see https://s3.test/a"},
		{"compressed once more", dlAnswer(200, gzipped(t, archive), -1, "Content-Encoding: gzip"), "compressed it once more"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, script := dlScripted(t, nil, tt.answer)
			check := func(err error) {
				t.Helper()
				if !errors.Is(err, porter.ErrNotArchive) || !strings.Contains(err.Error(), tt.quoted) ||
					strings.Contains(err.Error(), "secret") {
					t.Errorf("error: %v", err)
				}
			}
			var buf bytes.Buffer
			n, err := bytesOf(c.DownloadExport(t.Context(), porter.ProjectID(7), &buf, nil))
			check(err)
			if n != 0 || buf.Len() != 0 {
				t.Errorf("wrote %q", buf.Bytes())
			}
			_, err = c.OpenExport(t.Context(), porter.ProjectID(7))
			check(err)
			dir := t.TempDir()
			_, err = c.DownloadExportFile(t.Context(), porter.ProjectID(7), filepath.Join(dir, "app.tar.gz"), nil)
			check(err)
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("left %v", left)
			}
			if len(script.asked) != 3 {
				t.Errorf("asked %d times", len(script.asked))
			}
		})
	}
}

// A Content-Encoding that only repeats what an archive is does no harm.
func TestDownloadMislabelledEncoding(t *testing.T) {
	archive := archiveBytes(t, portertest.NewArchive(30_000))
	for _, body := range [][]byte{archive, gzipped(t, []byte("tiny"))} {
		c, _ := dlScripted(t, nil, dlAnswer(200, body, -1, "Content-Encoding: gzip", "Content-Type: application/x-gzip"))
		var buf bytes.Buffer
		if _, err := c.DownloadExport(t.Context(), porter.ProjectID(7), &buf, unverified); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(buf.Bytes(), body) {
			t.Error("other bytes")
		}
	}
}

func TestDownloadNotReady(t *testing.T) {
	const text = `{"message":"The project export file is not available yet"}`
	archive := portertest.NewArchive(30_000)
	tests := []struct {
		name  string
		times int // that the file is not available
		opts  []porter.Option
		want  error
		asked int
		took  time.Duration
	}{
		{"twice", 2, nil, nil, 3, 2 * time.Minute},
		{"for good", -1, nil, porter.ErrExportNotReady, 6, 5 * time.Minute},
		{"impatient", -1, []porter.Option{porter.WithPolling(porter.Polling{Patience: 59 * time.Second})}, porter.ErrExportNotReady, 1, 0},
		{"without retries", -1, []porter.Option{porter.WithRetry(0, nil)}, porter.ErrExportNotReady, 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := dlServer(t, archive, portertest.Limits(portertest.RateLimits{Downloads: 1}))
				s.Inject(portertest.Fault{Method: "GET", Path: dlPath, Times: tt.times, Do: portertest.Respond(404, nil, text)})
				start := time.Now()
				var buf bytes.Buffer
				_, err := connect(t, s, tt.opts...).DownloadExport(t.Context(), porter.ProjectID(7), &buf, nil)
				if !errors.Is(err, tt.want) {
					t.Errorf("error: %v", err)
				}
				if err == nil && sum(buf.Bytes()) != archive.SHA256() {
					t.Error("other bytes")
				}
				if err != nil && !errors.Is(err, porter.ErrNotFound) {
					t.Errorf("%v is no ErrNotFound", err)
				}
				if got := len(s.Requests()); got != tt.asked {
					t.Errorf("asked %d times", got)
				}
				if took := time.Since(start).Truncate(10 * time.Second); took != tt.took {
					t.Errorf("took %v", took)
				}
				s.Close()
			})
		})
	}
}

func TestDownloadRefused(t *testing.T) {
	storageError := func(code string) string {
		return "<?xml version=\"1.0\"?><Error><Code>" + code + "</Code><Message>no</Message></Error>"
	}
	tests := []struct {
		name   string
		status int
		body   string
		want   error
	}{
		{"expired", 404, `{"message":"404 Not found or has expired"}`, porter.ErrExportExpired},
		{"object gone", 404, `{"message":"404 Not Found"}`, porter.ErrNotFound},
		{"file gone", 404, "404 page not found\n", porter.ErrNotFound},
		{"storage refuses", 403, storageError("AccessDenied"), porter.ErrForbidden},
		{"token", 401, `{"message":"401 Unauthorized"}`, porter.ErrUnauthorized},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, script := dlScripted(t, nil, dlAnswer(tt.status, []byte(tt.body), -1))
			_, err := c.DownloadExport(t.Context(), porter.ProjectID(7), io.Discard, nil)
			if !errors.Is(err, tt.want) {
				t.Errorf("error: %v", err)
			}
			if len(script.asked) != 1 {
				t.Errorf("asked %d times", len(script.asked))
			}
			if errors.Is(err, porter.ErrExportNotReady) || errors.Is(err, porter.ErrExportExpired) != (tt.want == porter.ErrExportExpired) {
				t.Errorf("is too much: %v", err)
			}
		})
	}
}

func TestExportReader(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(100 << 10)
	open := func(t *testing.T, opts ...portertest.Option) (*porter.ExportReader, *portertest.Server) {
		s := dlServer(t, archive, opts...)
		r, err := dlConnect(t, s).OpenExport(t.Context(), porter.ProjectID(7))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r, s
	}

	t.Run("size and name", func(t *testing.T) {
		for _, tt := range []struct {
			version string
			mode    portertest.DownloadMode
			named   bool
		}{{"18.9", portertest.FromDisk, true}, {"10.6", portertest.FromDisk, true}, {"18.9", portertest.Redirected, false},
			{"18.9", portertest.Proxied, false}} {
			r, _ := open(t, portertest.Version(tt.version), portertest.Downloads(tt.mode))
			if r.Size() != archive.Size() {
				t.Errorf("size %d", r.Size())
			}
			if named := strings.HasSuffix(r.Name(), "_acme_widget_export.tar.gz"); named != tt.named || !named && r.Name() != "" {
				t.Errorf("GitLab %s, mode %d: name %q", tt.version, tt.mode, r.Name())
			}
		}
	})
	t.Run("unknown size", func(t *testing.T) {
		c, _ := dlScripted(t, nil, dlAnswer(200, archiveBytes(t, archive), -1, "Chunked: yes"))
		r, err := c.OpenExport(t.Context(), porter.ProjectID(7))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if r.Size() != -1 {
			t.Errorf("size %d", r.Size())
		}
	})
	t.Run("byte by byte", func(t *testing.T) {
		r, _ := open(t)
		if n, err := r.Read(nil); n != 0 || err != nil {
			t.Errorf("empty read: %d, %v", n, err)
		}
		got, err := io.ReadAll(&oneByteReader{r})
		if err != nil || sum(got) != archive.SHA256() {
			t.Errorf("read %d bytes: %v", len(got), err)
		}
		for range 2 {
			if n, err := r.Read(make([]byte, 10)); n != 0 || err != io.EOF {
				t.Errorf("after the end: %d, %v", n, err)
			}
		}
	})
	t.Run("after an error", func(t *testing.T) {
		s := dlServer(t, archive)
		s.Inject(portertest.Fault{Method: "GET", Path: dlPath, Do: portertest.CutResponse(5000)})
		r, err := dlConnect(t, s, porter.WithRetry(0, nil)).OpenExport(t.Context(), porter.ProjectID(7))
		if err != nil {
			t.Fatal(err)
		}
		_, first := io.Copy(io.Discard, r)
		if !errors.Is(first, io.ErrUnexpectedEOF) {
			t.Errorf("error: %v", first)
		}
		if _, err := r.Read(make([]byte, 1)); err != first {
			t.Errorf("then: %v", err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("after Close", func(t *testing.T) {
		r, _ := open(t)
		if err := errors.Join(r.Close(), r.Close()); err != nil {
			t.Error(err)
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil || err == io.EOF {
			t.Errorf("read %d, %v", n, err)
		}
	})
}

// A reader that is closed, or whose context ends, returns from what it is at.
func TestExportReaderEnds(t *testing.T) {
	archive := portertest.NewArchive(100 << 10)
	t.Run("closed at any moment", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for i := range 30 {
				s := dlServer(t, archive)
				s.Inject(portertest.Fault{Method: "GET", Path: dlPath, Times: -1, Do: portertest.StallResponse(5000, 0),
					// so that it never ends
					Match: func(r *http.Request) bool { return r.Header.Get("Range") == "" }})
				s.Inject(portertest.Fault{Method: "GET", Path: dlPath, Times: -1, Do: portertest.StallResponse(0, 0)})
				r, err := dlConnect(t, s, porter.WithStallTimeout(time.Millisecond),
					porter.WithRetry(1000, porter.ConstantBackoff(0))).OpenExport(t.Context(), porter.ProjectID(7))
				if err != nil {
					t.Fatal(err)
				}
				done := make(chan error)
				go func() {
					_, err := io.Copy(io.Discard, r)
					done <- err
				}()
				time.Sleep(time.Duration(i) * 100 * time.Microsecond)
				r.Close()
				if err := <-done; err == nil {
					t.Error("a closed reader reported the end")
				}
				s.Close()
			}
		})
	})
	t.Run("canceled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := dlServer(t, archive)
			s.Inject(portertest.Fault{Method: "GET", Path: dlPath, Do: portertest.StallResponse(5000, 0)})
			ctx, cancel := context.WithCancelCause(t.Context())
			r, err := dlConnect(t, s).OpenExport(ctx, porter.ProjectID(7))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			defer r.Close()
			why := errors.New("enough")
			time.AfterFunc(time.Second, func() { cancel(why) })
			_, err = io.Copy(io.Discard, r)
			if !errors.Is(err, context.Canceled) || errors.Is(err, why) || !strings.Contains(err.Error(), why.Error()) {
				t.Errorf("error: %v", err)
			}
		})
	})
	t.Run("canceled in the pause", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := dlServer(t, archive)
			s.Inject(portertest.Fault{Method: "GET", Path: dlPath, Do: portertest.CutResponse(5000)})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := dlConnect(t, s, porter.WithRetry(3, porter.ConstantBackoff(time.Hour))).DownloadExport(ctx, porter.ProjectID(7),
				io.Discard, nil)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error: %v", err)
			}
			s.Close()
		})
	})
}

type oneByteReader struct{ r io.Reader }

func (o *oneByteReader) Read(b []byte) (int, error) { return o.r.Read(b[:min(len(b), 1)]) }

// dlWriter accepts so many bytes and then fails.
type dlWriter struct {
	left int
	err  error // nil: writes are short
}

func (w *dlWriter) Write(b []byte) (int, error) {
	n := min(len(b), w.left)
	w.left -= n
	if n < len(b) {
		return n, w.err
	}
	return n, nil
}

func TestDownloadToFailingWriter(t *testing.T) {
	archive := portertest.NewArchive(2 << 20)
	full := errors.New("disk is full")
	for _, tt := range []struct {
		name string
		w    io.Writer
		n    int64
		want error
	}{
		{"at once", &dlWriter{0, full}, 0, full},
		{"in the middle", &dlWriter{1 << 20, full}, 1 << 20, full},
		{"short", &dlWriter{700_000, nil}, 700_000, io.ErrShortWrite},
		{"EOF of its own", &dlWriter{1000, io.EOF}, 1000, io.EOF},
		{"closed file", closedFile(t), 0, os.ErrClosed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := dlServer(t, archive)
			n, err := bytesOf(dlConnect(t, s).DownloadExport(t.Context(), porter.ProjectID(7), tt.w, nil))
			if !errors.Is(err, tt.want) || n != tt.n {
				t.Errorf("wrote %d: %v", n, err)
			}
			if err == nil || !strings.HasPrefix(err.Error(), "download export of 7: ") {
				t.Errorf("error does not name the operation: %v", err)
			}
		})
	}
}

func closedFile(t *testing.T) *os.File {
	f, err := os.Create(filepath.Join(t.TempDir(), "closed"))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	return f
}

// The last event of a download tells its last byte, also after breaks.
func TestDownloadProgress(t *testing.T) {
	archive := portertest.NewArchive(100 << 10)
	for name, mode := range dlModes {
		t.Run(name, func(t *testing.T) {
			s := dlServer(t, archive, portertest.Downloads(mode))
			s.Inject(portertest.Fault{Origin: dlDeliverer(mode), Method: "GET", Times: 3, Do: portertest.CutResponse(20_000)})
			var events []porter.Event
			c := dlConnect(t, s, porter.WithObserver(func(ev porter.Event) { events = append(events, ev) }))
			if _, err := c.DownloadExport(t.Context(), porter.ProjectID(7), io.Discard, nil); err != nil {
				t.Fatal(err)
			}
			var last int64
			retries := 0
			for _, ev := range events {
				switch ev.Kind {
				case porter.EventProgress:
					if ev.Bytes < last || ev.Bytes > ev.Total || ev.Total != archive.Size() {
						t.Errorf("%d of %d bytes after %d", ev.Bytes, ev.Total, last)
					}
					last = ev.Bytes
				case porter.EventRetry:
					retries++
					if ev.Attempt != 1 || ev.Err == nil {
						t.Errorf("retry: %+v", ev)
					}
				}
			}
			if last != archive.Size() || retries != 3 {
				t.Errorf("ends with %d bytes after %d retries", last, retries)
			}
		})
	}
}

func TestExportSource(t *testing.T) {
	archive := portertest.NewArchive(100 << 10)
	s := dlServer(t, archive)
	src := dlConnect(t, s).ExportSource(porter.ProjectPath("acme/widget"))
	if src.Name != "archive.tar.gz" || src.Size != -1 {
		t.Errorf("source %q of %d bytes", src.Name, src.Size)
	}
	for range 2 { // it can be opened again
		rc, err := src.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := rc.(interface{ Size() int64 }).Size(); n != archive.Size() {
			t.Errorf("size %d", n)
		}
		got, err := io.ReadAll(rc)
		if err != nil || sum(got) != archive.SHA256() {
			t.Errorf("read %d bytes: %v", len(got), err)
		}
		rc.Close()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := src.Open(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// The archive that is fetched and the one that is sent are the same, whatever
// breaks on either way.
func TestExportSourceAsImport(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(2 << 20)
	from := dlServer(t, archive, portertest.Downloads(portertest.Redirected))
	from.Inject(portertest.Fault{Origin: portertest.Storage, Times: 2, Do: portertest.CutResponse(90_000)})
	to := portertest.NewServer(portertest.InMemory(), portertest.NoLimits())
	t.Cleanup(to.Close)
	to.Inject(portertest.Fault{Method: "POST", Do: portertest.CutRequest(150_000)})
	imp, err := dlConnect(t, to).StartImport(t.Context(), dlConnect(t, from).ExportSource(porter.ProjectID(7)),
		porter.ImportOptions{Path: "copy"})
	if err != nil {
		t.Fatal(err)
	}
	if st := to.Project(imp.ID.String()); st.ArchiveSHA256 != archive.SHA256() {
		t.Errorf("imported %+v", st)
	}
	posts := slices.DeleteFunc(to.Requests(), func(r portertest.Request) bool { return r.Method != http.MethodPost })
	if len(posts) != 2 || posts[1].ContentLength <= archive.Size() {
		t.Errorf("%d uploads, the last of %d bytes", len(posts), posts[len(posts)-1].ContentLength)
	}
}
