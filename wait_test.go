package porter_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// pollStep makes the answer to one poll: of an export or import status, a
// three-digit HTTP status (with a Retry-After in seconds after a slash), or
// one of the words below.
func pollStep(req *http.Request, step string) (*http.Response, error) {
	code, retryAfter, _ := strings.Cut(step, "/")
	if n, err := strconv.Atoi(code); err == nil {
		resp := httpmock.NewStringResponse(n, `{"message":"`+code+` as told"}`)
		resp.Header.Set("Content-Type", "application/json")
		if retryAfter != "" {
			resp.Header.Set("Retry-After", retryAfter)
		}
		resp.Request = req
		return resp, nil
	}
	switch step {
	case "dead":
		return nil, errors.New("connection refused")
	case "html":
		resp := httpmock.NewStringResponse(200, "<html><title>Be right back</title>")
		resp.Header.Set("Content-Type", "text/html")
		return resp, nil
	case "garbage":
		return httpmock.NewStringResponse(200, `{"id":"x"`), nil
	case "broken":
		resp := httpmock.NewStringResponse(200, "")
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"id":42,`), errReader{}))
		return resp, nil
	case "hang":
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	key := "export_status"
	if strings.HasSuffix(req.URL.Path, "/import") {
		key = "import_status"
	}
	return httpmock.NewStringResponse(200, fmt.Sprintf(`{"id":42,"path_with_namespace":"group/app",%q:%q}`, key, step)), nil
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// polled is a GitLab that answers polls with one step after another, the last
// one for good.
type polled struct {
	mu    sync.Mutex
	start time.Time
	times []time.Duration // since the start, of each poll
}

func (p *polled) polls() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.times)
}

// pollSteps returns a client of a GitLab that takes the given steps, such as
// "none*3 started finished". It polls every 30 seconds.
func pollSteps(t *testing.T, steps string, opts ...porter.Option) (*porter.Client, *polled) {
	t.Helper()
	var all []string
	for step := range strings.FieldsSeq(steps) {
		step, times, _ := strings.Cut(step, "*")
		n := 1
		if times != "" {
			n, _ = strconv.Atoi(times)
		}
		all = append(all, slices.Repeat([]string{step}, n)...)
	}
	p := &polled{start: time.Now()}
	mock := httpmock.NewMockTransport()
	mock.RegisterNoResponder(func(req *http.Request) (*http.Response, error) {
		p.mu.Lock()
		n := len(p.times)
		p.times = append(p.times, time.Since(p.start))
		p.mu.Unlock()
		return pollStep(req, all[min(n, len(all)-1)])
	})
	c := newClient(t, "https://gitlab.example.com", porter.PrivateToken("token"), append([]porter.Option{
		porter.WithTransport(mock),
		porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(30 * time.Second)}),
	}, opts...)...)
	return c, p
}

// ending describes how a wait ended: nothing for success, else what the error
// is.
func ending(err error) string {
	var (
		exp  *porter.ExportError
		imp  *porter.ImportError
		wait *porter.WaitError
		api  *porter.APIError
	)
	var is []string
	if errors.As(err, &exp) {
		is = append(is, "ExportError "+string(exp.Export.Status))
	}
	if errors.As(err, &imp) {
		is = append(is, "ImportError "+string(imp.Import.Status))
	}
	if errors.As(err, &wait) {
		is = append(is, "WaitError "+wait.Status)
	}
	if errors.Is(err, porter.ErrExportExpired) {
		is = append(is, "ErrExportExpired")
	}
	if errors.Is(err, porter.ErrOutcomeUnknown) {
		is = append(is, "ErrOutcomeUnknown")
	}
	if errors.As(err, &api) {
		is = append(is, strconv.Itoa(api.StatusCode))
	}
	if err != nil && is == nil {
		is = append(is, err.Error())
	}
	return strings.Join(is, ", ")
}

// A Grace of 10 minutes ends with the poll after 20 that are 30 seconds
// apart, a Patience of 5 with the one after 10.
func TestWatchExport(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		steps string
		polls int
		want  string
	}{
		{"finished at once", "finished", 1, ""},
		{"queued", "queued finished", 2, ""},
		{"started", "started finished", 2, ""},
		{"regenerating", "regeneration_in_progress finished", 2, ""},
		{"unknown", "after_export_action finished", 2, ""},
		{"none at first", "none started finished", 3, ""},
		{"none, then finished without being seen", "none*5 finished", 6, ""},
		{"stale failure", "failed started finished", 3, ""},
		{"stale failure, then finished without being seen", "failed*5 finished", 6, ""},
		{"502 at first", "502 none finished", 3, ""},

		{"none past Grace", "none", 21, "WaitError none, ErrExportExpired"},
		{"failed past Grace", "failed", 21, "ExportError failed"},
		{"late failure", "none*20 failed", 21, "ExportError failed"},
		{"finished past Grace", "none*20 502 finished", 22, ""},
		{"queued past Grace", "none*20 502 queued finished", 23, ""},
		{"started past Grace", "failed*20 502 started finished", 23, ""},
		{"regenerating past Grace", "none*20 502 regeneration_in_progress finished", 23, ""},
		{"unknown past Grace", "none*20 502 exploding finished", 23, ""},
		{"none past Grace, after an outage", "none*20 502 none", 22, "WaitError none, ErrExportExpired"},
		{"picked up as Grace ends", "none*20 queued none started finished", 24, ""},
		{"picked up just in time", "none*19 queued none started*30 finished", 52, ""},

		{"seen, then none", "started none", 3, "ExportError none"},
		{"seen queued, then none", "queued none", 3, "ExportError none"},
		{"seen regenerating, then none", "regeneration_in_progress none", 3, "ExportError none"},
		{"seen unknown, then none", "after_export_action none", 3, "ExportError none"},
		{"none was a replica's", "started none started finished", 4, ""},
		{"none was a replica's, twice", "started none started none started finished", 6, ""},
		{"none, then finished", "started none finished", 3, ""},
		{"none, then failed", "started none failed", 3, "ExportError failed"},
		{"none, an outage, then none", "started none 502 none", 4, "ExportError none"},
		{"none at first does not count", "none started none started finished", 5, ""},
		{"seen, then failed", "queued failed", 2, "ExportError failed"},
		{"four hours", "none started*480 regeneration_in_progress finished", 483, ""},

		{"401", "started 401", 2, "WaitError started, 401"},
		{"403", "started 403", 2, "WaitError started, 403"},
		{"404", "404", 1, "WaitError , 404"},
		{"404 after none", "none 404", 2, "WaitError none, 404"},
		{"404 of a running one", "started 404", 3, "WaitError started, 404"},
		{"404 was a replica's", "started 404 started 404 finished", 5, ""},
		{"404 and none of a running one", "started 404 none", 3, "ExportError none"},
		{"408", "408 started 408 finished", 4, ""},
		{"530 of Cloudflare", "530 started 530 finished", 4, ""},
		{"400", "none 400", 2, "WaitError none, 400"},
		{"410", "started 410", 2, "WaitError started, 410"},
		{"501", "started 501", 2, "WaitError started, 501"},
		{"304", "started 304", 2, "WaitError started, 304"},

		{"429", "started 429 finished", 3, ""},
		{"500", "started 500*9 finished", 11, ""},
		{"503 and 504", "started 503 504 finished", 4, ""},
		{"dead network", "started dead*9 finished", 11, ""},
		{"a proxy's page", "html started html finished", 4, ""},
		{"garbage", "garbage started garbage*3 finished", 6, ""},
		{"broken answers", "broken started broken finished", 4, ""},
		{"mixed troubles", "started dead 502 html garbage 429 finished", 7, ""},
		{"trouble just short of Patience", "started 502*10 finished", 12, ""},
		{"trouble for Patience", "started 502*11 finished", 12, "WaitError started, 502"},
		{"dead for Patience", "dead", 11, "WaitError "},
		{"a page for Patience", "html", 11, "WaitError , 200"},
		{"a success resets Patience", "started 502*10 started 502*10 started dead*10 finished", 34, ""},
		{"trouble before the end of trouble", "started 502*5 403", 7, "WaitError started, 403"},
		{"trouble counts for Grace", "502*10 none*10 none", 21, "WaitError none, ErrExportExpired"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, gitlab := pollSteps(t, tt.steps)
				var err error
				var last *porter.Export
				for exp, e := range c.WatchExport(t.Context(), porter.ProjectPath("group/app")) {
					if err != nil {
						t.Fatalf("%v came after the error", exp)
					}
					if (exp == nil) == (e == nil) {
						t.Fatalf("got %v with %v", exp, e)
					}
					last, err = exp, e
				}
				if got := ending(err); got != tt.want {
					t.Errorf("ended with %q, want %q: %v", got, tt.want, err)
				}
				if err == nil && last.Status != porter.ExportFinished {
					t.Errorf("ended with %q", last.Status)
				}
				if n := gitlab.polls(); n != tt.polls {
					t.Errorf("%d polls, want %d", n, tt.polls)
				}
				var wait *porter.WaitError
				if errors.As(err, &wait) {
					got := *wait
					got.Err = nil
					want := porter.WaitError{Op: "export", Project: "group/app", Status: wait.Status, Polls: tt.polls,
						Elapsed: time.Duration(tt.polls-1) * 30 * time.Second}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("WaitError (-want +got):\n%s", diff)
					}
				}
			})
		})
	}
}

func TestWatchImport(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		steps string
		polls int
		want  string
	}{
		{"finished", "finished", 1, ""},
		{"the usual way", "scheduled started*3 finished", 5, ""},
		{"unknown", "thinking finished", 2, ""},
		{"failed", "scheduled failed", 2, "ImportError failed"},
		{"failed at once", "failed", 1, "ImportError failed"},
		{"canceled", "started canceled", 2, "ImportError canceled"},
		{"none at first", "none*3 scheduled finished", 5, ""},
		{"none past Grace", "none", 21, "ImportError none"},
		{"none after it was seen", "started none", 3, "ImportError none"},
		{"none was a replica's", "started none started finished", 4, ""},
		{"a day", "scheduled started*2880 finished", 2882, ""},
		{"404 of a running one", "started 404", 3, "WaitError started, 404"},
		{"404 was a replica's", "started 404 started finished", 4, ""},
		{"502 for Patience", "started 502", 12, "WaitError started, 502"},
		{"502 for a while", "started 502*10 finished", 12, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, gitlab := pollSteps(t, tt.steps)
				imp, err := c.WaitForImport(t.Context(), porter.ProjectID(42))
				if got := ending(err); got != tt.want {
					t.Errorf("ended with %q, want %q: %v", got, tt.want, err)
				}
				if imp == nil || err == nil && imp.Status != porter.ImportFinished {
					t.Errorf("last answer is %+v", imp)
				}
				if n := gitlab.polls(); n != tt.polls {
					t.Errorf("%d polls, want %d", n, tt.polls)
				}
			})
		})
	}
}

// The last answer comes with the error, and ExportError tells it too.
func TestWaitForExportLastAnswer(t *testing.T) {
	for steps, want := range map[string]porter.ExportStatus{
		"started none":    porter.ExportNone,
		"queued failed":   porter.ExportFailed,
		"started 404":     porter.ExportStarted,
		"started dead":    porter.ExportStarted,
		"queued finished": porter.ExportFinished,
		"404":             "",
	} {
		synctest.Test(t, func(t *testing.T) {
			c, _ := pollSteps(t, steps)
			exp, err := c.WaitForExport(t.Context(), porter.ProjectPath("group/app"))
			var got porter.ExportStatus
			if exp != nil {
				got = exp.Status
			}
			if got != want {
				t.Errorf("%s: last answer is %q, want %q", steps, got, want)
			}
			var failed *porter.ExportError
			if errors.As(err, &failed) && failed.Export != exp {
				t.Errorf("%s: ExportError holds another answer", steps)
			}
		})
	}
}

func TestWaitContext(t *testing.T) {
	t.Parallel()
	spent := errors.New("export budget spent")
	tests := []struct {
		name  string
		steps string
		opts  []porter.Option
		ctx   func(context.Context) (context.Context, context.CancelFunc)
		is    []error
		text  string
	}{
		{
			name:  "ended before",
			steps: "started",
			ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				return ctx, cancel
			},
			is:   []error{context.Canceled},
			text: `wait for export of group/app: context canceled (no status seen after 0s, 0 polls; GitLab goes on with it)`,
		},
		{
			name:  "deadline with a cause",
			steps: "started",
			ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeoutCause(ctx, 2*time.Hour, spent)
			},
			is: []error{context.DeadlineExceeded},
			text: `wait for export of group/app: export budget spent: context deadline exceeded (status "started" after 2h0m0s, 241 polls; ` +
				`GitLab goes on with it)`,
		},
		{
			name:  "deadline",
			steps: "queued",
			ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, time.Minute)
			},
			is:   []error{context.DeadlineExceeded},
			text: `wait for export of group/app: context deadline exceeded (status "queued" after 1m0s, 3 polls; GitLab goes on with it)`,
		},
		{
			name:  "canceled in a pause",
			steps: "started",
			ctx:   cancelAfter(45*time.Second, nil),
			is:    []error{context.Canceled},
			text:  `wait for export of group/app: context canceled (status "started" after 45s, 2 polls; GitLab goes on with it)`,
		},
		{
			name:  "canceled with a cause",
			steps: "started",
			ctx:   cancelAfter(45*time.Second, spent),
			is:    []error{context.Canceled},
			text: `wait for export of group/app: export budget spent: context canceled (status "started" after 45s, 2 polls; GitLab goes on ` +
				`with it)`,
		},
		{
			name:  "canceled in a poll",
			steps: "started hang",
			ctx:   cancelAfter(45*time.Second, nil),
			is:    []error{context.Canceled},
			text:  `wait for export of group/app: context canceled (status "started" after 45s, 2 polls; GitLab goes on with it)`,
		},
		{
			name:  "canceled in the pause after a failure",
			steps: "502",
			ctx:   cancelAfter(45*time.Second, nil),
			is:    []error{context.Canceled},
			text:  `wait for export of group/app: context canceled (no status seen after 45s, 2 polls; GitLab goes on with it)`,
		},
		{
			name:  "canceled in a long Retry-After",
			steps: "429/3600",
			ctx:   cancelAfter(30*time.Minute, nil),
			is:    []error{context.Canceled},
			text:  `wait for export of group/app: context canceled (no status seen after 30m0s, 1 poll; GitLab goes on with it)`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := pollSteps(t, tt.steps, tt.opts...)
				ctx, cancel := tt.ctx(t.Context())
				defer cancel()
				_, err := c.WaitForExport(ctx, porter.ProjectPath("group/app"))
				var wait *porter.WaitError
				if !errors.As(err, &wait) {
					t.Fatalf("error is %v", err)
				}
				if err.Error() != tt.text {
					t.Errorf("got  %s\nwant %s", err, tt.text)
				}
				for _, target := range tt.is {
					if !errors.Is(err, target) {
						t.Errorf("error is not %v", target)
					}
				}
				if errors.Is(err, spent) {
					t.Error("the cause is in the chain")
				}
			})
		})
	}
}

func cancelAfter(d time.Duration, cause error) func(context.Context) (context.Context, context.CancelFunc) {
	return func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancelCause(ctx)
		stop := time.AfterFunc(d, func() { cancel(cause) })
		return ctx, func() { stop.Stop(); cancel(nil) }
	}
}

// A pause may not outlast its context even if the context ends at any other
// moment of a wait.
func TestWaitCanceledAnywhere(t *testing.T) {
	for d := time.Duration(0); d < 3*time.Minute; d += 7 * time.Second {
		synctest.Test(t, func(t *testing.T) {
			c, _ := pollSteps(t, "none 502 started dead hang", porter.WithStallTimeout(0))
			ctx, cancel := cancelAfter(d, nil)(t.Context())
			defer cancel()
			start := time.Now()
			_, err := c.WaitForExport(ctx, porter.ProjectID(42))
			if !errors.Is(err, context.Canceled) || time.Since(start) != d {
				t.Errorf("canceled after %v, ended after %v: %v", d, time.Since(start), err)
			}
		})
	}
}

func TestWaitLastLook(t *testing.T) {
	tests := []struct {
		name     string
		backoff  porter.Backoff
		steps    string
		deadline time.Duration
		times    []time.Duration // of the polls, in seconds
		want     string
	}{
		{"just before the end", porter.ConstantBackoff(30 * time.Second), "started", 70 * time.Second, []time.Duration{0, 30, 60, 69},
			"WaitError started"},
		{"finds the export finished", porter.ConstantBackoff(30 * time.Second), "started*3 finished", 70 * time.Second,
			[]time.Duration{0, 30, 60, 69}, ""},
		{"moved forward", porter.ConstantBackoff(time.Hour), "started finished", 20 * time.Minute, []time.Duration{0, 1199}, ""},
		{"moved forward from within the last second", porter.ConstantBackoff(30 * time.Second), "started",
			60*time.Second + 500*time.Millisecond, []time.Duration{0, 30, 59}, "WaitError started"},
		{"after a failure", porter.ConstantBackoff(time.Hour), "502 finished", 20 * time.Minute, []time.Duration{0, 1199}, ""},
		{"not before Retry-After is over", porter.ConstantBackoff(time.Second), "429/3600 finished", 20 * time.Minute, []time.Duration{0},
			"WaitError "},
		{"after Retry-After", porter.ConstantBackoff(time.Hour), "503/60 finished", 20 * time.Minute, []time.Duration{0, 1199}, ""},
		{"no room for one", porter.ConstantBackoff(30 * time.Second), "started", time.Second, []time.Duration{0}, "WaitError started"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, gitlab := pollSteps(t, tt.steps, porter.WithPolling(porter.Polling{Backoff: tt.backoff}))
				ctx, cancel := context.WithTimeout(t.Context(), tt.deadline)
				defer cancel()
				_, err := c.WaitForExport(ctx, porter.ProjectID(42))
				if got := ending(err); got != tt.want {
					t.Errorf("ended with %q: %v", got, err)
				}
				var times []time.Duration
				for _, at := range gitlab.times {
					times = append(times, at.Truncate(time.Second)/time.Second)
				}
				if diff := cmp.Diff(tt.times, times); diff != "" {
					t.Errorf("polls (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestWaitRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, gitlab := pollSteps(t, "started 429/90 429/5 503/60 502 finished")
		if _, err := c.WaitForExport(t.Context(), porter.ProjectID(42)); err != nil {
			t.Fatal(err)
		}
		want := []time.Duration{0, 30 * time.Second, 2 * time.Minute, 150 * time.Second, 210 * time.Second, 4 * time.Minute}
		if diff := cmp.Diff(want, gitlab.times); diff != "" {
			t.Errorf("polls (-want +got):\n%s", diff)
		}
	})
}

// Half an hour takes at most 70 polls, and its end is found out within 30
// seconds.
// A 429 that does not say how long to wait means until the next minute of the
// server's clock.
func TestWaitLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := stallLab(t, nil, userPolling)
		s.Inject(portertest.Fault{Method: "GET", Times: 2, Do: portertest.Respond(429, nil, "Retry later\n")})
		if _, err := c.WaitForExport(t.Context(), porter.ProjectPath("acme/app")); err != nil {
			t.Fatal(err)
		}
		asked := s.Requests()
		for i, r := range asked[1:] {
			if r.Time.Truncate(time.Minute) == asked[i].Time.Truncate(time.Minute) {
				t.Errorf("asked at %v and at %v", asked[i].Time, r.Time)
			}
		}
	})
}

// A pause that GitLab asked for does not use patience up.
func TestWaitAfterLongPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := stallLab(t, nil, userPolling, porter.WithPolling(porter.Polling{Patience: 2 * time.Minute}))
		later := http.Header{"Retry-After": {"600"}}
		s.Inject(portertest.Fault{Method: "GET", Do: portertest.Respond(429, later, "Retry later\n")})
		s.Inject(portertest.Fault{Method: "GET", Do: portertest.Respond(502, nil, "GitLab is not responding")})
		if _, err := c.WaitForExport(t.Context(), porter.ProjectPath("acme/app")); err != nil {
			t.Error(err)
		}
		// Between failures, too, but those use it up.
		for range 3 {
			s.Inject(portertest.Fault{Method: "GET", Times: 5, Do: portertest.Respond(502, nil, "GitLab is not responding")})
			s.Inject(portertest.Fault{Method: "GET", Do: portertest.Respond(429, later, "Retry later\n")})
		}
		start := time.Now()
		if _, err := c.WaitForExport(t.Context(), porter.ProjectPath("acme/app")); ending(err) != "WaitError , 502" {
			t.Errorf("error is %v", err)
		}
		if d := time.Since(start); d < 12*time.Minute || d > 13*time.Minute {
			t.Errorf("gave up after %v", d)
		}
	})
}

// Lost turns never end a wait. Its context does.
func TestWaitOnlyLimited(t *testing.T) {
	for name, header := range map[string]http.Header{"told when to come back": {"Retry-After": {"60"}}, "not told": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := stallLab(t, nil, userPolling)
				s.Inject(portertest.Fault{Method: "GET", Times: -1, Do: portertest.Respond(429, header, "Retry later\n")})
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Hour)
				defer cancel()
				var wait *porter.WaitError
				_, err := c.WaitForExport(ctx, porter.ProjectPath("acme/app"))
				if !errors.As(err, &wait) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error is %v", err)
				}
				// Spread over the next five minutes it is one in three and a half.
				if wait.Polls < 60 || wait.Polls > 150 {
					t.Errorf("%d polls", wait.Polls)
				}
			})
		})
	}
}

// Whatever the delays are, patience ends.
func TestWaitPatienceEnds(t *testing.T) {
	later := http.Header{"Retry-After": {"600"}}
	for name, tt := range map[string]struct {
		polling porter.Polling
		header  http.Header
	}{
		"long delays":         {porter.Polling{Backoff: porter.ConstantBackoff(10 * time.Minute)}, nil},
		"no patience":         {porter.Polling{Patience: time.Nanosecond}, nil},
		"GitLab wants pauses": {porter.Polling{}, later},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := stallLab(t, nil, userPolling, porter.WithPolling(tt.polling))
				s.Inject(portertest.Fault{Method: "GET", Times: -1, Do: portertest.Respond(503, tt.header, "")})
				ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
				defer cancel()
				var wait *porter.WaitError
				if _, err := c.WaitForExport(ctx, porter.ProjectPath("acme/app")); !errors.As(err, &wait) || ctx.Err() != nil ||
					wait.Polls > 2 {
					t.Errorf("error is %v", err)
				}
			})
		})
	}
}

func TestWaitDefaultPolling(t *testing.T) {
	t.Parallel()
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			polls := 0
			mock := httpmock.NewMockTransport()
			mock.RegisterNoResponder(func(req *http.Request) (*http.Response, error) {
				polls++
				if time.Since(start) < 30*time.Minute {
					return pollStep(req, "started")
				}
				return pollStep(req, "finished")
			})
			c := newClient(t, "https://gitlab.example.com", nil, porter.WithTransport(mock))
			if _, err := c.WaitForExport(t.Context(), porter.ProjectID(42)); err != nil {
				t.Fatal(err)
			}
			if late := time.Since(start) - 30*time.Minute; late > 30*time.Second || polls > 70 {
				t.Errorf("%d polls, found out %v late", polls, late)
			}
		})
	}
}

// A poll that is never answered is given up and made again.
func TestWaitStalledPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, gitlab := pollSteps(t, "started hang finished")
		if _, err := c.WaitForExport(t.Context(), porter.ProjectID(42)); err != nil {
			t.Fatal(err)
		}
		want := []time.Duration{0, 30 * time.Second, 3 * time.Minute}
		if diff := cmp.Diff(want, gitlab.times); diff != "" {
			t.Errorf("polls (-want +got):\n%s", diff)
		}
	})
}

// WithRetry says nothing about a wait, which tries again by itself.
func TestWaitWithoutRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, gitlab := pollSteps(t, "started 502*5 dead finished", porter.WithRetry(0, nil))
		if _, err := c.WaitForExport(t.Context(), porter.ProjectID(42)); err != nil {
			t.Fatal(err)
		}
		if n := gitlab.polls(); n != 8 {
			t.Errorf("%d polls", n)
		}
	})
}

func TestWaitTokenSource(t *testing.T) {
	tests := []struct {
		name   string
		outage time.Duration
		want   string
	}{
		{"fails for a while", 4 * time.Minute, ""},
		{"fails for too long", 20 * time.Minute, "WaitError started"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vault := errors.New("vault is sealed")
				start := time.Now()
				mock := httpmock.NewMockTransport()
				mock.RegisterNoResponder(func(req *http.Request) (*http.Response, error) {
					if got, want := req.Header.Get("Authorization"), "Bearer "+time.Since(start).String(); got != want {
						t.Errorf("token is %q, want %q", got, want)
					}
					if time.Since(start) < 10*time.Minute {
						return pollStep(req, "started")
					}
					return pollStep(req, "finished")
				})
				auth := porter.TokenSource(func(context.Context) (string, error) {
					if d := time.Since(start) - time.Minute; d > 0 && d < tt.outage {
						return "", vault
					}
					return time.Since(start).String(), nil
				})
				c := newClient(t, "https://gitlab.example.com", auth, porter.WithTransport(mock),
					porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(20 * time.Second)}))
				_, err := c.WaitForExport(t.Context(), porter.ProjectID(42))
				if got := ending(err); got != tt.want {
					t.Errorf("ended with %q: %v", got, err)
				}
				if err != nil && !errors.Is(err, vault) {
					t.Errorf("error is not the token source's: %v", err)
				}
			})
		})
	}
}

// A loop that is left polls no more, and a new one begins anew.
func TestWatchExportLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, gitlab := pollSteps(t, "queued started none started finished")
		watch := c.WatchExport(t.Context(), porter.ProjectID(42))
		for exp, err := range watch {
			if err != nil {
				t.Fatal(err)
			}
			if exp.Status == porter.ExportStarted {
				break
			}
		}
		time.Sleep(time.Hour)
		if n := gitlab.polls(); n != 2 {
			t.Errorf("%d polls, want 2", n)
		}
		var rest []porter.ExportStatus
		for exp, err := range watch {
			if err != nil {
				t.Fatal(err)
			}
			rest = append(rest, exp.Status)
		}
		if diff := cmp.Diff([]porter.ExportStatus{"none", "started", "finished"}, rest); diff != "" {
			t.Errorf("statuses (-want +got):\n%s", diff)
		}
	})
}

func TestWatchBadReference(t *testing.T) {
	c, gitlab := pollSteps(t, "finished")
	for _, ref := range []porter.ProjectRef{nil, porter.ProjectID(0), porter.ProjectPath("app"), porter.ProjectPath("a/../b")} {
		n := 0
		for exp, err := range c.WatchExport(t.Context(), ref) {
			if n++; exp != nil || err == nil {
				t.Errorf("%v: got %v and %v", ref, exp, err)
			}
		}
		for imp, err := range c.WatchImport(t.Context(), ref) {
			if n++; imp != nil || err == nil {
				t.Errorf("%v: got %v and %v", ref, imp, err)
			}
		}
		if n != 2 {
			t.Errorf("%v: %d pairs, want 2", ref, n)
		}
	}
	if n := gitlab.polls(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// Status changes are logged at Info, unknown statuses once each at Warn.
func TestWaitLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		logger := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo}))
		c, _ := pollSteps(t, "none*2 odd*3 started odd even*2 odd started 502 finished", porter.WithLogger(logger))
		if _, err := c.WaitForExport(t.Context(), porter.ProjectPath("group/app")); err != nil {
			t.Fatal(err)
		}
		var got []string
		for dec := json.NewDecoder(&out); dec.More(); {
			var line struct{ Level, Msg, Project, Status string }
			if err := dec.Decode(&line); err != nil {
				t.Fatal(err)
			}
			got = append(got, strings.TrimSpace(strings.Join([]string{line.Level, line.Msg, line.Project, line.Status}, " ")))
		}
		want := []string{
			"INFO export status group/app none",
			"INFO export status group/app odd",
			"WARN unknown status taken for a running job group/app odd",
			"INFO export status group/app started",
			"INFO export status group/app odd",
			"INFO export status group/app even",
			"WARN unknown status taken for a running job group/app even",
			"INFO export status group/app odd",
			"INFO export status group/app started",
			"WARN poll failed group/app",
			"INFO export status group/app finished",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

// A finished import that left relations out is no error of a wait.
func TestWaitForImportIncomplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := portertest.NewServer(portertest.InMemory(), portertest.RealTiming())
		defer s.Close()
		s.AddGroup("new")
		s.ScriptImport("new/app", portertest.ImportScript{FailedRelations: []portertest.FailedRelation{{RelationName: "issues"}}})
		var out bytes.Buffer
		c := connect(t, s, porter.WithLogger(slog.New(slog.NewTextHandler(&out, nil))), userPolling)
		src := porter.Source{Name: "app.tar.gz", Size: -1, Open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(portertest.NewArchive(64 << 10).NewReader()), nil
		}}
		started, err := c.StartImport(t.Context(), src, porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("new")})
		if err != nil {
			t.Fatal(err)
		}
		imp, err := c.WaitForImport(t.Context(), started.ID)
		if err != nil || imp.Complete() || len(imp.FailedRelations) != 1 {
			t.Errorf("got %+v and %v", imp, err)
		}
		if !strings.Contains(out.String(), "import left relations out") {
			t.Errorf("nothing was logged of it:\n%s", out.String())
		}
	})
}
