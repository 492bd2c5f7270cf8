package porter_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// A retryStep is what happens to one request.
type retryStep func(*http.Request) (*http.Response, error)

// A retryScript is a network on which the requests of one method meet one step
// each, and then succeed. Others are told that no export runs.
type retryScript struct {
	method string
	steps  []retryStep

	mu     sync.Mutex
	bodies []string // that arrived whole
	times  []time.Time
}

func (s *retryScript) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	if req.Method != s.method {
		return retryAnswer(200, nil, `{"id":7,"export_status":"none"}`)(req)
	}
	s.mu.Lock()
	n := len(s.times)
	s.times = append(s.times, time.Now())
	s.mu.Unlock()
	if n < len(s.steps) {
		return s.steps[n](req)
	}
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	s.bodies = append(s.bodies, string(body))
	s.mu.Unlock()
	if strings.HasSuffix(req.URL.Path, "/export") && req.Method == http.MethodPost {
		return retryAnswer(202, nil, `{"message":"202 Accepted"}`)(req)
	}
	return retryAnswer(201, nil, `{"id":7,"path_with_namespace":"acme/app","import_status":"scheduled","export_status":"none"}`)(req)
}

// retryAnswer answers once the request's body has arrived.
func retryAnswer(status int, header http.Header, body string) retryStep {
	return func(req *http.Request) (*http.Response, error) {
		if req.Body != nil {
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return nil, err
			}
		}
		return retryAnswerEarly(status, header, body)(req)
	}
}

// retryAnswerEarly answers without reading the request's body.
func retryAnswerEarly(status int, header http.Header, body string) retryStep {
	return func(req *http.Request) (*http.Response, error) {
		if header == nil {
			header = http.Header{}
		}
		return &http.Response{
			StatusCode: status, Header: header, Request: req,
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		}, nil
	}
}

// retryAnswerPartly answers when the request's body has come in part.
func retryAnswerPartly(status int) retryStep {
	return func(req *http.Request) (*http.Response, error) {
		if req.Body != nil {
			io.CopyN(io.Discard, req.Body, 1)
		}
		return retryAnswerEarly(status, nil, "")(req)
	}
}

// retryFail breaks the connection off after n bytes of the request's body,
// or after all of it if n is negative.
func retryFail(n int64, err error) retryStep {
	return func(req *http.Request) (*http.Response, error) {
		if req.Body != nil && n < 0 {
			io.Copy(io.Discard, req.Body)
		} else if req.Body != nil && n > 0 {
			io.CopyN(io.Discard, req.Body, n)
		}
		return nil, err
	}
}

// retryBrokenAnswer breaks the connection off in the middle of the answer.
func retryBrokenAnswer(req *http.Request) (*http.Response, error) {
	resp, err := retryAnswer(201, nil, "")(req)
	if err == nil {
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"id":7,"import_`), iotest.ErrReader(io.ErrUnexpectedEOF)))
		resp.ContentLength = -1
	}
	return resp, err
}

// retryHang never answers.
func retryHang(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		io.Copy(io.Discard, req.Body)
	}
	<-req.Context().Done()
	return nil, context.Cause(req.Context())
}

// retryKinds are the kinds of requests of the table of what is tried again.
var retryKinds = []struct {
	name   string
	method string
	send   func(context.Context, *porter.Client) error
}{
	{"GET", http.MethodGet, func(ctx context.Context, c *porter.Client) error {
		_, err := c.GetExport(ctx, porter.ProjectPath("acme/app"))
		return err
	}},
	{"schedule", http.MethodPost, func(ctx context.Context, c *porter.Client) error {
		return c.ScheduleExport(ctx, porter.ProjectPath("acme/app"), nil)
	}},
	{"import", http.MethodPost, func(ctx context.Context, c *porter.Client) error {
		_, err := c.StartImport(ctx, porter.ReaderSource(strings.NewReader(retryArchive), int64(len(retryArchive))), retryOptions)
		return err
	}},
	{"single-pass import", http.MethodPost, func(ctx context.Context, c *porter.Client) error {
		_, err := c.StartImport(ctx, porter.ReaderSource(io.MultiReader(strings.NewReader(retryArchive)), int64(len(retryArchive))),
			retryOptions)
		return err
	}},
}

var (
	retryArchive = strings.Repeat("\x1f\x8b archive ", 100)
	retryOptions = porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("acme")}
)

var errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}

// TestRetry is the table of what is tried again.
func TestRetry(t *testing.T) {
	t.Parallel()
	const (
		again   = iota // and succeeds
		turn           // again, as often as it takes
		ends           // with the failure itself
		unknown        // with ErrOutcomeUnknown
		none           // not possible
	)
	reset := errors.New("connection reset by peer")
	gone := &url.Error{Op: "Get", URL: "https://gitlab.example.com/?token=SECRET", Err: io.EOF}
	tests := []struct {
		name string
		step retryStep
		want [4]int // by retryKinds
	}{
		{"refused connection", retryFail(0, errRefused), [4]int{again, again, again, again}},
		{"broken before the body was sent", retryFail(0, reset), [4]int{again, again, again, again}},
		{"broken in the middle of the body", retryFail(1, reset), [4]int{none, again, again, ends}},
		{"broken after the body was sent", retryFail(-1, gone), [4]int{again, unknown, unknown, unknown}},
		{"no answer", retryHang, [4]int{again, unknown, unknown, unknown}},
		{"429", retryAnswer(429, nil, "Retry later\n"), [4]int{turn, turn, turn, ends}},
		{"early 429", retryAnswerEarly(429, nil, "Retry later\n"), [4]int{turn, turn, turn, turn}},
		{"502", retryAnswer(502, nil, "GitLab is not responding"), [4]int{again, unknown, unknown, unknown}},
		{"503", retryAnswer(503, nil, ""), [4]int{again, unknown, unknown, unknown}},
		{"504", retryAnswer(504, nil, "deadline exceeded"), [4]int{again, unknown, unknown, unknown}},
		{"524 of Cloudflare", retryAnswer(524, nil, "<title>A timeout occurred</title>"), [4]int{again, unknown, unknown, unknown}},
		{"last write failed", retryFail(-1, &net.OpError{Op: "write", Err: syscall.EPIPE}), [4]int{again, again, again, ends}},
		{"500", retryAnswer(500, nil, `{"message":"500 Internal Server Error"}`), [4]int{again, ends, ends, ends}},
		{"501", retryAnswer(501, nil, ""), [4]int{ends, ends, ends, ends}},
		{"400", retryAnswer(400, nil, `{"error":"path is missing"}`), [4]int{ends, ends, ends, ends}},
		{"401", retryAnswer(401, nil, `{"message":"401 Unauthorized"}`), [4]int{ends, ends, ends, ends}},
		{"403", retryAnswer(403, nil, `{"message":"403 Forbidden"}`), [4]int{ends, ends, ends, ends}},
		{"404", retryAnswer(404, nil, `{"message":"404 Project Not Found"}`), [4]int{ends, ends, ends, ends}},
		{"408", retryAnswer(408, nil, ""), [4]int{again, unknown, unknown, unknown}},
		{"425", retryAnswer(425, nil, ""), [4]int{again, again, again, ends}},
		{"507", retryAnswer(507, nil, ""), [4]int{again, ends, ends, ends}},
		{"530 of Cloudflare", retryAnswer(530, nil, ""), [4]int{again, unknown, unknown, unknown}},
		{"early 502", retryAnswerPartly(502), [4]int{none, unknown, again, ends}},
		{"early 503", retryAnswerPartly(503), [4]int{none, unknown, again, ends}},
		{"early 504", retryAnswerPartly(504), [4]int{none, unknown, again, ends}},
		{"early 408", retryAnswerPartly(408), [4]int{none, unknown, again, ends}},
		{"early 522 of Cloudflare", retryAnswerPartly(522), [4]int{none, unknown, again, ends}},
		{"early 500", retryAnswerPartly(500), [4]int{none, ends, ends, ends}},
		{"409", retryAnswer(409, nil, `{"message":"409 Conflict: Resource lock"}`), [4]int{ends, ends, ends, ends}},
		{"413", retryAnswerEarly(413, nil, "entity is too large"), [4]int{ends, ends, ends, ends}},
		{"422", retryAnswer(422, nil, `{"message":{"error":"You need to upload"}}`), [4]int{ends, ends, ends, ends}},
		{"redirect to nowhere", retryAnswer(301, nil, ""), [4]int{ends, ends, ends, ends}},
		{"redirect to a malformed place", retryAnswer(302, http.Header{"Location": {"https://[SECRET"}}, ""),
			[4]int{ends, ends, ends, ends}},
		{"redirect to another scheme", retryAnswer(302, http.Header{"Location": {"ftp://elsewhere/"}}, ""), [4]int{ends, ends, ends, ends}},
		{"redirect from https", retryAnswer(302, http.Header{"Location": {"http://gitlab.example.com/"}}, ""),
			[4]int{ends, ends, ends, ends}},
		{"no such host", retryFail(0, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}),
			[4]int{ends, ends, ends, ends}},
		{"no name server", retryFail(0, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "server misbehaving", IsTemporary: true}}),
			[4]int{again, again, again, again}},
		{"client certificate required", retryFail(0, &net.OpError{Op: "remote error", Err: tls.AlertError(116)}),
			[4]int{ends, ends, ends, ends}},
		{"client certificate refused, once the request was sent", retryFail(-1, &net.OpError{Op: "remote error", Err: tls.AlertError(42)}),
			[4]int{ends, ends, ends, ends}},
		{"TLS version refused", retryFail(0, &net.OpError{Op: "remote error", Err: tls.AlertError(70)}), [4]int{ends, ends, ends, ends}},
		{"TLS that failed inside the server", retryFail(0, &net.OpError{Op: "remote error", Err: tls.AlertError(80)}),
			[4]int{again, again, again, again}},
		{"unknown authority", retryFail(0, &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}),
			[4]int{ends, ends, ends, ends}},
		{"wrong host", retryFail(0, x509.HostnameError{Certificate: &x509.Certificate{}, Host: "gitlab.example.com"}),
			[4]int{ends, ends, ends, ends}},
		{"expired certificate", retryFail(0, x509.CertificateInvalidError{Reason: x509.Expired}), [4]int{ends, ends, ends, ends}},
		{"HTTP where HTTPS should be", retryFail(0, http.ErrSchemeMismatch), [4]int{ends, ends, ends, ends}},
		{"answer breaks off", retryBrokenAnswer, [4]int{again, none, unknown, unknown}},
		{"200 with a page", retryAnswer(200, nil, "<title>Sign in</title>"), [4]int{ends, ends, unknown, unknown}},
		{"200 with nothing", retryAnswer(200, nil, ""), [4]int{ends, ends, unknown, unknown}},
		{"204", retryAnswer(204, nil, ""), [4]int{ends, ends, unknown, unknown}},
		{"200 with a refusal", retryAnswer(200, nil, `{"message":"404 Namespace Not Found"}`), [4]int{ends, ends, ends, ends}},
	}
	const retries = 3
	for _, tt := range tests {
		for i, kind := range retryKinds {
			t.Run(tt.name+"/"+kind.name, func(t *testing.T) {
				if tt.want[i] == none {
					t.Skip("cannot happen")
				}
				synctest.Test(t, func(t *testing.T) {
					// One failure is overcome, and a lasting one ends it.
					for _, times := range []int{1, 10} {
						script := &retryScript{method: kind.method}
						for range times {
							script.steps = append(script.steps, tt.step)
						}
						var events []porter.Event
						c := retryClient(t, script, retries, &events)
						err := kind.send(t.Context(), c)
						requests := 1
						switch {
						case tt.want[i] == turn, tt.want[i] == again && times == 1:
							requests = 1 + times
							if err != nil {
								t.Errorf("%d failures: %v", times, err)
							}
						case tt.want[i] == again:
							requests = 1 + retries
							fallthrough
						default:
							if err == nil {
								t.Error("no error")
							}
						}
						if got := errors.Is(err, porter.ErrOutcomeUnknown); tt.want[i] != again && tt.want[i] != turn &&
							got != (tt.want[i] == unknown) {
							t.Errorf("outcome unknown: %v, error %v", got, err)
						}
						if strings.Contains(fmt.Sprint(err), "SECRET") {
							t.Errorf("error tells a secret: %v", err)
						}
						if len(script.times) != requests {
							t.Errorf("%d failures: %d requests, want %d; error %v", times, len(script.times), requests, err)
						}
						events = slices.CompactFunc(events, func(a, b porter.Event) bool { return a.Attempt == b.Attempt }) // heartbeats
						if len(events) != requests-1 {
							t.Errorf("%d events, want %d: %+v", len(events), requests-1, events)
						}
						for n, ev := range events[:min(len(events), len(script.times)-1)] {
							if ev.Attempt != n+1 || ev.Err == nil || ev.Project != "acme/app" ||
								ev.Delay != script.times[n+1].Sub(script.times[n])-retryHung(tt.name) {
								t.Errorf("event %d is %+v, and the next request came after %v", n, ev,
									script.times[n+1].Sub(script.times[n]))
							}
						}
						if kind.name == "import" && len(script.bodies) > 0 && !strings.Contains(script.bodies[0], retryArchive) {
							t.Error("the archive was not sent again whole")
						}
					}
				})
			})
		}
	}
}

// retryHung is how long a request of that row goes unanswered.
func retryHung(name string) time.Duration {
	if name == "no answer" {
		return 2 * time.Minute
	}
	return 0
}

// retryClient returns an unpaced client on rt that waits 7 seconds to try
// again and collects its events about that.
func retryClient(t *testing.T, rt http.RoundTripper, retries int, events *[]porter.Event, opts ...porter.Option) *porter.Client {
	t.Helper()
	return newClient(t, "https://gitlab.example.com", porter.PrivateToken("glpat-portertest-SECRET"), append([]porter.Option{
		porter.WithTransport(rt),
		porter.WithoutPacing(),
		porter.WithRetry(retries, porter.ConstantBackoff(7*time.Second)),
		porter.WithObserver(func(ev porter.Event) {
			if ev.Kind == porter.EventRetry && events != nil {
				*events = append(*events, ev)
			}
		}),
	}, opts...)...)
}

func TestRetryDelays(t *testing.T) {
	at := func(s string) string { return "Mon, 05 May 2025 " + s + " GMT" }
	tests := []struct {
		name       string
		status     int
		retryAfter string // none if empty
		date       string
		want       time.Duration
	}{
		{"429, whole interval", 429, "60", at("10:00:48"), time.Minute},
		{"429, remainder", 429, "3", at("10:00:48"), 3 * time.Second},
		{"429, at once", 429, "0", at("10:00:48"), 7 * time.Second},
		{"429, date by the server's clock", 429, at("10:02:00"), at("10:00:48"), 72 * time.Second},
		{"429, date that has passed", 429, at("10:00:00"), at("10:00:48"), 7 * time.Second},
		{"429, Go duration", 429, "1m0s", at("10:00:48"), time.Minute},
		{"429, until the next minute", 429, "", at("10:00:48"), 12 * time.Second},
		{"429, at the very minute", 429, "", at("10:00:00"), time.Minute},
		{"429, in its last second", 429, "", at("10:00:59"), time.Second},
		{"429, without any clock", 429, "", "", time.Minute}, // the bubble begins at midnight
		{"429, garbage", 429, "soon", at("10:00:48"), 12 * time.Second},
		{"429, negative", 429, "-5", at("10:00:48"), 7 * time.Second},
		{"503, longer than the backoff", 503, "30", "", 30 * time.Second},
		{"503, shorter than the backoff", 503, "1", "", 7 * time.Second},
		{"503, load shedding", 503, "0", "", 7 * time.Second},
		{"503, none", 503, "", at("10:00:48"), 7 * time.Second},
		{"502", 502, "", "", 7 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := http.Header{}
				if tt.retryAfter != "" {
					h.Set("Retry-After", tt.retryAfter)
				}
				if tt.date != "" {
					h.Set("Date", tt.date)
				}
				script := &retryScript{method: http.MethodGet, steps: []retryStep{retryAnswer(tt.status, h, "")}}
				var events []porter.Event
				start := time.Now()
				if err := retryKinds[0].send(t.Context(), retryClient(t, script, 1, &events)); err != nil {
					t.Fatal(err)
				}
				if got := time.Since(start); got != tt.want {
					t.Errorf("waited %v, want %v", got, tt.want)
				}
				for i, ev := range events {
					var api *porter.APIError
					if left := tt.want - time.Duration(i)*30*time.Second; ev.Delay != left || ev.Attempt != 1 || !errors.As(ev.Err, &api) ||
						api.StatusCode != tt.status {
						t.Errorf("event %+v", ev)
					}
				}
				if want := int((tt.want + 30*time.Second - 1) / (30 * time.Second)); len(events) != want {
					t.Errorf("%d events, want %d", len(events), want)
				}
			})
		})
	}
}

// The waits grow as the backoff says, however failures of different kinds
// alternate, and all share one budget.
func TestRetryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := &retryScript{method: http.MethodGet, steps: []retryStep{
			retryFail(0, errRefused), retryBrokenAnswer, retryAnswer(502, nil, ""), retryBrokenAnswer, retryFail(0, errRefused),
			retryBrokenAnswer,
		}}
		var waits []time.Duration
		var last time.Time
		c := retryClient(t, script, 4, nil, porter.WithRetry(4, func(n int) time.Duration { return time.Duration(n+1) * time.Second }))
		err := retryKinds[0].send(t.Context(), c)
		if !errors.Is(err, errRefused) {
			t.Errorf("error is %v, want that of the last attempt", err)
		}
		for i, at := range script.times {
			if i > 0 {
				waits = append(waits, at.Sub(last))
			}
			last = at
		}
		want := []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second}
		if diff := cmp.Diff(want, waits); diff != "" {
			t.Errorf("waits (-want +got):\n%s", diff)
		}
	})
}

func TestRetrySwitchedOff(t *testing.T) {
	for _, kind := range retryKinds {
		t.Run(kind.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, step := range []retryStep{retryFail(0, errRefused), retryAnswer(429, nil, ""), retryAnswerEarly(503, nil, "")} {
					script := &retryScript{method: kind.method, steps: []retryStep{step}}
					var events []porter.Event
					start := time.Now()
					if err := kind.send(t.Context(), retryClient(t, script, 0, &events)); err == nil {
						t.Error("no error")
					}
					if len(script.times) != 1 || len(events) != 0 || time.Since(start) != 0 {
						t.Errorf("%d requests, events %v, after %v", len(script.times), events, time.Since(start))
					}
				}
			})
		})
	}
}

// A canceled context ends every pause at once, and the error tells both why it
// ended and what was to be tried again.
func TestRetryCanceled(t *testing.T) {
	var errBudget = errors.New("budget spent")
	steps := map[string]retryStep{"refused": retryFail(0, errRefused), "429": retryAnswer(429, nil, "Retry later\n")}
	for name, step := range steps {
		for _, kind := range retryKinds {
			if name == "429" && kind.name == "single-pass import" {
				continue // ends it
			}
			t.Run(name+"/"+kind.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					script := &retryScript{method: kind.method, steps: []retryStep{step}}
					ctx, cancel := context.WithCancelCause(t.Context())
					start := time.Now()
					time.AfterFunc(3*time.Second, func() { cancel(errBudget) })
					err := kind.send(ctx, retryClient(t, script, 5, nil))
					if got := time.Since(start); got != 3*time.Second {
						t.Errorf("returned after %v", got)
					}
					if !errors.Is(err, context.Canceled) || errors.Is(err, errBudget) || !strings.Contains(err.Error(), errBudget.Error()) {
						t.Errorf("error %v does not say why it ended", err)
					}
					var api *porter.APIError
					if !errors.Is(err, errRefused) && !errors.As(err, &api) {
						t.Errorf("error %v does not say what failed", err)
					}
					if len(script.times) != 1 {
						t.Errorf("%d requests", len(script.times))
					}
				})
			})
		}
	}
}

// So does the error of a download that waits for its turn, or for its archive.
func TestDownloadCanceledInPause(t *testing.T) {
	for name, tt := range map[string]struct {
		step retryStep
		want error
	}{
		"turn":    {retryAnswer(502, nil, ""), nil},
		"archive": {retryAnswer(404, nil, `{"message":"The project export file is not available yet"}`), porter.ErrExportNotReady},
	} {
		synctest.Test(t, func(t *testing.T) {
			script := &retryScript{method: http.MethodGet, steps: []retryStep{tt.step}}
			c := newClient(t, "https://git.test", nil, porter.WithTransport(script))
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			_, err := c.DownloadExport(ctx, porter.ProjectID(7), io.Discard, nil)
			var api *porter.APIError
			if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &api) || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%s: error is %v", name, err)
			}
			if len(script.times) != 1 {
				t.Errorf("%s: %d requests", name, len(script.times))
			}
		})
	}
}

// A context that has ended makes no request.
func TestRetryCanceledBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, kind := range retryKinds {
		t.Run(kind.name, func(t *testing.T) {
			script := &retryScript{method: kind.method}
			if err := kind.send(ctx, retryClient(t, script, 5, nil)); !errors.Is(err, context.Canceled) {
				t.Errorf("error is %v", err)
			}
			if len(script.times) != 0 {
				t.Errorf("%d requests", len(script.times))
			}
		})
	}
}

// A schedule whose answer is lost is not sent again; if the export runs, it
// has succeeded.
func TestRetryLostSchedule(t *testing.T) {
	for status, ok := range map[string]bool{"none": false, "failed": false, "finished": false, "queued": true, "started": true,
		"regeneration_in_progress": true} {
		t.Run(status, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				posts := 0
				rt := roundTripper(func(req *http.Request) (*http.Response, error) {
					if req.Method == http.MethodPost {
						posts++
						return retryFail(-1, io.ErrUnexpectedEOF)(req)
					}
					return retryAnswer(200, nil, `{"id":7,"export_status":"`+status+`"}`)(req)
				})
				err := retryKinds[1].send(t.Context(), retryClient(t, rt, 5, nil))
				if ok != (err == nil) || !ok && !errors.Is(err, porter.ErrOutcomeUnknown) {
					t.Errorf("error is %v", err)
				}
				if posts != 1 {
					t.Errorf("sent %d times", posts)
				}
			})
		})
	}
}

// What a source gets from its own server is not the destination's answer.
func TestRetrySourceFails(t *testing.T) {
	t.Parallel()
	for _, status := range []int{500, 503} { // a 429 is waited for
		for _, way := range []string{"import", "migrate", "migrate without spool"} {
			t.Run(fmt.Sprintf("%d, %s", status, way), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					src, dst := migratePair(t, nil, portertest.InMemory())
					src.AddExport("team/app", "owner")
					from, to := connectAs(t, src, portertest.Token), connectAs(t, dst, portertest.Token)
					src.Inject(portertest.Fault{Path: "/export/download", Do: portertest.CutResponse(5000)})
					src.Inject(portertest.Fault{Path: "/export/download", Times: -1, Do: portertest.Respond(status, nil, "x")})
					var err error
					switch way {
					case "import":
						_, err = to.Import(t.Context(), from.ExportSource(migrateApp),
							porter.ImportOptions{Path: "app", Namespace: intoNew.Namespace})
					default:
						_, err = porter.Migrate(t.Context(), from, migrateApp, to,
							porter.MigrateOptions{Import: intoNew, NoSpool: way != "migrate"})
					}
					if !strings.Contains(fmt.Sprint(err), fmt.Sprintf(": %d x", status)) || errors.Is(err, porter.ErrOutcomeUnknown) {
						t.Errorf("error is %v", err)
					}
					var api *porter.APIError
					if !errors.As(err, &api) || api.StatusCode != status {
						t.Errorf("answer is %v", api)
					}
					if n := len(uploads(dst)); n > 1 {
						t.Errorf("uploaded %d times", n)
					}
					checkNothingImported(t, dst)
					var budget int // which a POST that never came whole does not use
					for range 6 {
						start := time.Now()
						to.StartImportFromURL(t.Context(), "https://storage.test/a.tar.gz", porter.ImportOptions{Path: "x"})
						if time.Since(start) < time.Second {
							budget++
						}
					}
					if budget != 6 {
						t.Errorf("%d imports are left in this minute, want 6", budget)
					}
				})
			})
		}
	}
}
