package portertest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestResponseFaults checks each fault of an answer against a download.
func TestResponseFaults(t *testing.T) {
	everyTransport(t, func(t *testing.T, s *Server) {
		content := smallOf(widget(s))
		s.AddExport("7", "owner")
		inverted := func(from int) string {
			b := []byte(content)
			for i := from; i < len(b); i++ {
				b[i] = ^b[i]
			}
			return string(b)
		}
		for _, tt := range []struct {
			name   string
			do     Action
			body   string
			broken bool
			length string // Content-Length
		}{
			{"none", Action{}, content, false, "20480"},
			{"cut at once", CutResponse(0), "", true, "20480"},
			{"cut after one byte", CutResponse(1), content[:1], true, "20480"},
			{"cut", CutResponse(10000), content[:10000], true, "20480"},
			{"cut before the last byte", CutResponse(20479), content[:20479], true, "20480"},
			{"cut beyond", CutResponse(30000), content, false, "20480"},
			{"stall", StallResponse(10000, 5*time.Millisecond), content, false, "20480"},
			{"stall at once", StallResponse(0, 5*time.Millisecond), content, false, "20480"},
			{"truncate", Truncate(10000), content[:10000], false, "10000"},
			{"truncate to nothing", Truncate(0), "", false, "0"},
			{"truncate beyond", Truncate(30000), content, false, "20480"},
			{"garble", Garble(0), inverted(0), false, "20480"},
			{"garble the end", Garble(20000), inverted(20000), false, "20480"},
			{"chunked", Chunked(), content, false, ""},
			{"truncate unseen", Chunked().And(Truncate(10000)), content[:10000], false, ""},
			{"cut while chunked", Chunked().And(CutResponse(10000)), content[:10000], true, ""},
			{"range ignored", IgnoreRange(), content, false, "20480"},
			{"late", HoldAnswer(5 * time.Millisecond), content, false, "20480"},
			{"later", Delay(5 * time.Millisecond), content, false, "20480"},
		} {
			i := s.Inject(Fault{Origin: GitLab, Method: "GET", Path: "/download", Do: tt.do})
			a := download(t, s)
			if a.status != 200 || a.body != tt.body || (a.err != nil) != tt.broken || a.header.Get("Content-Length") != tt.length {
				t.Errorf("%s: got %d, %d bytes, length %q, %v; want %d bytes, length %q",
					tt.name, a.status, len(a.body), a.header.Get("Content-Length"), a.err, len(tt.body), tt.length)
			}
			if i.Hits() != 1 {
				t.Errorf("%s: %d hits", tt.name, i.Hits())
			}
			rs := s.Requests()
			if r := rs[len(rs)-1]; r.Status != 200 || r.Sent != int64(len(tt.body)) {
				t.Errorf("%s: the log says %d and %d bytes", tt.name, r.Status, r.Sent)
			}
		}
	}, NoLimits())
}

// TestIgnoreRange checks that a store that does not know ranges sends all.
func TestIgnoreRange(t *testing.T) {
	everyTransport(t, func(t *testing.T, s *Server) {
		content := smallOf(widget(s))
		s.AddExport("7", "owner")
		signed := download(t, s).header.Get("Location")
		s.Inject(Fault{Origin: Storage, Do: IgnoreRange()})
		for _, want := range []answer{{status: 200, body: content}, {status: 206, body: content[100:200]}} {
			a := do(t, s, request{method: "GET", path: signed, header: map[string]string{"Range": "bytes=100-199"}})
			if a.status != want.status || a.body != want.body {
				t.Errorf("got %d and %d bytes, want %d and %d", a.status, len(a.body), want.status, len(want.body))
			}
		}
		rs := s.Requests()
		if got := rs[len(rs)-2].Header.Get("Range"); got != "bytes=100-199" {
			t.Errorf("the log says that %q was asked for", got)
		}
	}, Downloads(Redirected), NoLimits())
}

// TestPerConnection checks how long the object storage needs for an object.
func TestPerConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(InMemory(), PerConnection(1<<10))
		defer s.Close()
		archive := BytesArchive([]byte(smallArchive))
		url := s.AddObject("/public/app.tar.gz", "application/gzip", archive)
		start := time.Now()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if a := do(t, s, request{method: "GET", path: url}); int64(len(a.body)) != archive.Size() {
					t.Errorf("got %d bytes", len(a.body))
				}
			})
		}
		wg.Wait()
		if took, want := time.Since(start), time.Duration(archive.Size())*time.Second>>10; took != want {
			t.Errorf("took %v, want %v", took, want)
		}
	})
}

// TestRequestFaults checks each fault of a request against an import.
func TestRequestFaults(t *testing.T) {
	body, ct := form(plain("path", "new"), file("x.tar.gz", smallArchive))
	everyTransport(t, func(t *testing.T, s *Server) {
		for _, tt := range []struct {
			name   string
			do     Action
			status int // 0 for a broken connection
			made   bool
			read   int64
		}{
			{"none", Action{}, 201, true, int64(len(body))},
			{"cut at once", CutRequest(0), 0, false, 0},
			{"cut", CutRequest(10000), 0, false, 10000},
			{"cut before the last byte", CutRequest(int64(len(body)) - 1), 0, false, int64(len(body)) - 1},
			{"cut after the last byte", CutRequest(int64(len(body))), 0, false, int64(len(body))},
			{"stall", StallRequest(10000, 5*time.Millisecond), 201, true, int64(len(body))},
			{"stall at once", StallRequest(0, 5*time.Millisecond), 201, true, int64(len(body))},
			{"lost answer", LoseAnswer(), 0, true, int64(len(body))},
			{"other answer", Respond(502, nil, "GitLab is not responding\n"), 502, false, int64(len(body))},
			{"early answer", RespondEarly(413, nil, "no\n"), 413, false, 0},
			{"other answer, lost", Respond(502, nil, "").And(LoseAnswer()), 0, false, int64(len(body))},
		} {
			s.RemoveProject("owner/new")
			s.Inject(Fault{Method: "POST", Path: "projects/import", Do: tt.do})
			a, err := try(t, s, request{method: "POST", path: "projects/import", header: as(Token, "Content-Type", ct),
				body: strings.NewReader(body)})
			if (err != nil) != (tt.status == 0) || a.status != tt.status {
				t.Errorf("%s: got %d, %v; want %d", tt.name, a.status, err, tt.status)
			}
			if got := s.Project("owner/new") != nil; got != tt.made {
				t.Errorf("%s: project made: %t", tt.name, got)
			}
			rs := s.Requests()
			if r := rs[len(rs)-1]; r.BodyBytes != tt.read || tt.made && !r.Complete || r.Status != tt.status {
				t.Errorf("%s: the log says %d bytes, complete %t, status %d", tt.name, r.BodyBytes, r.Complete, r.Status)
			}
		}
	}, NoLimits())
}

// start makes a request, and sends how it ended.
func start(s *Server, req *http.Request) <-chan error {
	ended := make(chan error, 1)
	go func() {
		resp, err := s.Transport().RoundTrip(req)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		ended <- err
	}()
	return ended
}

// TestEndlessStalls checks that a stall ends with the client, or if the server
// cannot see that, with the server.
func TestEndlessStalls(t *testing.T) {
	for name, act := range map[string]Action{
		"response": StallResponse(100, 0),
		"answer":   HoldAnswer(0),
		"delay":    Delay(1000 * time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			everyTransport(t, func(t *testing.T, s *Server) {
				widget(s)
				s.AddExport("7", "owner")
				server := stall(t, s, act, "GET", "projects/7/export/download", nil)
				select {
				case <-server.Done():
				case <-time.After(time.Minute):
					t.Error("the server goes on")
				}
			})
		})
	}
	t.Run("request", func(t *testing.T) { // of which the server does not see the end
		everyTransport(t, func(t *testing.T, s *Server) {
			widget(s)
			stall(t, s, StallRequest(0, 0), "POST", "projects/7/export", strings.NewReader("x"))
		})
	})
}

// stall makes a request that stalls, cancels it, and returns its context at the
// server.
func stall(t *testing.T, s *Server, act Action, method, path string, body io.Reader) context.Context {
	t.Helper()
	seen := make(chan context.Context, 1)
	s.Inject(Fault{Match: func(r *http.Request) bool { seen <- r.Context(); return true }, Do: act})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.URL+"/api/v4/"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Private-Token", Token)
	ended := start(s, req)
	server := <-seen
	select {
	case err := <-ended:
		t.Fatalf("no stall: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	return server
}

func TestFaultMatching(t *testing.T) {
	inMemory(t, nil, func(t *testing.T, s *Server) {
		widget(s)
		teapot := Respond(418, http.Header{"retry-after": {"5"}}, "teapot")
		status := func(path string) int { return get(t, s, path).status }
		run := func(path string, n int) (got []int) {
			for range n {
				got = append(got, status(path))
			}
			return got
		}
		check := func(name string, f Fault, want ...int) {
			t.Helper()
			f.Do = teapot
			i := s.Inject(f)
			defer i.Remove()
			if diff := cmp.Diff(want, run("projects/7/export", len(want))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		check("once", Fault{}, 418, 200, 200)
		check("twice", Fault{Times: 2}, 418, 418, 200)
		check("always", Fault{Times: -1}, 418, 418, 418)
		check("skip", Fault{Skip: 2}, 200, 200, 418, 200)
		check("skip, then always", Fault{Skip: 1, Times: -1}, 200, 418, 418)
		check("origin", Fault{Origin: Storage}, 200)
		check("method", Fault{Method: "POST"}, 200)
		check("path", Fault{Path: "/import"}, 200)
		check("escaped path", Fault{Path: "projects/7/exp", Origin: GitLab, Method: "GET"}, 418)
		check("function", Fault{Match: func(r *http.Request) bool { return r.Header.Get("Private-Token") == "" }}, 200)

		a := s.Inject(Fault{Do: Respond(500, nil, "a")})
		b := s.Inject(Fault{Do: Respond(501, nil, "b")})
		if diff := cmp.Diff([]int{500, 501, 200}, run("projects/7/export", 3)); diff != "" {
			t.Errorf("two faults (-want +got):\n%s", diff)
		}
		if a.Hits() != 1 || b.Hits() != 1 {
			t.Errorf("hits: %d, %d", a.Hits(), b.Hits())
		}
		s.Inject(Fault{Do: teapot})
		if got := get(t, s, "projects/7/export"); got.header.Get("Retry-After") != "5" || got.header.Get("Date") == "" {
			t.Errorf("header: %v", got.header)
		}
		s.Inject(Fault{Method: "HEAD", Do: teapot})
		if got := do(t, s, request{method: "HEAD", path: "projects/7/export", header: asOwner}); got.status != 418 || got.body != "" {
			t.Errorf("HEAD: %d %q", got.status, got.body)
		}
	})
}

// TestEarlyAnswerNeedsNoBody checks that RespondEarly is heard by a client that
// does not send anything.
func TestEarlyAnswerNeedsNoBody(t *testing.T) {
	everyTransport(t, func(t *testing.T, s *Server) {
		s.Inject(Fault{Do: RespondEarly(503, nil, "early")})
		silent, w := io.Pipe()
		defer w.Close()
		a := do(t, s, request{method: "POST", path: "projects/import", header: asOwner, body: silent, length: 1000})
		a.want(t, 503, "early")
	})
}
