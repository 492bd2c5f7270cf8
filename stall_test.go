package porter_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

const stallTimeout = 20 * time.Second

// stallLab is an instance in a bubble, with an archive ready, and a client of
// it that tries again after a second.
func stallLab(t *testing.T, archive *portertest.Archive, opts ...porter.Option) (*portertest.Server, *porter.Client) {
	t.Helper()
	s := portertest.NewServer(portertest.InMemory(), portertest.NoLimits())
	t.Cleanup(s.Close)
	s.AddProject(portertest.Project{Path: "acme/app", Archive: archive})
	s.AddExport("acme/app", "owner")
	return s, connect(t, s, append([]porter.Option{
		porter.WithoutPacing(), porter.WithStallTimeout(stallTimeout), porter.WithRetry(2, porter.ConstantBackoff(time.Second)),
	}, opts...)...)
}

// slowReader and slowWriter take their time for every piece, of which there
// are several in an archive of a MiB.
type slowReader struct {
	r io.Reader
	d time.Duration
}

func (s slowReader) Read(b []byte) (int, error) {
	time.Sleep(s.d)
	return s.r.Read(b[:min(len(b), 64<<10)])
}

type slowWriter struct {
	w io.Writer
	d time.Duration
}

func (s slowWriter) Write(b []byte) (int, error) {
	time.Sleep(s.d)
	return s.w.Write(b)
}

func TestStalls(t *testing.T) {
	archive := portertest.NewArchive(1 << 20)
	download := func(ctx context.Context, c *porter.Client) error {
		var buf bytes.Buffer
		_, err := c.DownloadExport(ctx, porter.ProjectPath("acme/app"), &buf, nil)
		if err == nil && sum(buf.Bytes()) != archive.SHA256() {
			err = errors.New("other bytes")
		}
		return err
	}
	get := func(ctx context.Context, c *porter.Client) error {
		_, err := c.GetExport(ctx, porter.ProjectPath("acme/app"))
		return err
	}
	upload := func(ctx context.Context, c *porter.Client) error {
		_, err := c.StartImport(ctx, porter.ReaderSource(archive.NewReader(), archive.Size()), porter.ImportOptions{Path: "copy"})
		return err
	}
	schedule := func(ctx context.Context, c *porter.Client) error {
		return c.ScheduleExport(ctx, porter.ProjectPath("acme/app"), nil)
	}
	const once, again = stallTimeout, stallTimeout + time.Second
	tests := []struct {
		name     string
		fault    portertest.Fault
		call     func(context.Context, *porter.Client) error
		want     error
		after    time.Duration
		requests int // of the fault's method
	}{
		{"no answer to a GET", portertest.Fault{Method: "GET", Do: portertest.HoldAnswer(0)}, get, nil, again, 2},
		{"no answer ever", portertest.Fault{Method: "GET", Times: -1, Do: portertest.HoldAnswer(0)}, get, porter.ErrStalled,
			3*stallTimeout + 2*time.Second, 3},
		{"JSON stalls", portertest.Fault{Method: "GET", Do: portertest.StallResponse(10, 0)}, get, nil, again, 2},
		{"JSON stalls at once", portertest.Fault{Method: "GET", Do: portertest.StallResponse(0, 0)}, get, nil, again, 2},
		{"download stalls", portertest.Fault{Method: "GET", Path: "download", Do: portertest.StallResponse(300_000, 0)}, download, nil, again, 2},
		{"download never begins", portertest.Fault{Method: "GET", Path: "download", Do: portertest.HoldAnswer(0)}, download, nil, again, 2},
		{"upload stalls", portertest.Fault{Method: "POST", Do: portertest.StallRequest(300_000, 0)}, upload, nil, again, 2},
		{"no answer to an upload", portertest.Fault{Method: "POST", Do: portertest.HoldAnswer(0)}, upload, porter.ErrOutcomeUnknown, 3 * once, 1},
		{"no answer to a schedule, which is under way", portertest.Fault{Method: "POST", Do: portertest.HoldAnswer(0)}, schedule,
			porter.ErrOutcomeUnknown, 3 * once, 1},
		{"error page stalls",
			portertest.Fault{Method: "GET", Times: -1,
				Do: portertest.Respond(404, nil, `{"message":"404 Project Not Found"}`).And(portertest.StallResponse(20, 0))}, get, porter.ErrNotFound,
			once, 1},
		{"slow answer", portertest.Fault{Method: "GET", Do: portertest.HoldAnswer(stallTimeout - time.Second)}, get, nil,
			stallTimeout - time.Second, 1},
		{"slow answer to an upload", portertest.Fault{Method: "POST", Do: portertest.HoldAnswer(3*stallTimeout - time.Second)}, upload, nil,
			3*stallTimeout - time.Second, 1},
		{"download pauses", portertest.Fault{Method: "GET", Path: "download", Do: portertest.StallResponse(300_000, stallTimeout-time.Second)},
			download, nil, stallTimeout - time.Second, 1},
		{"upload pauses", portertest.Fault{Method: "POST", Do: portertest.StallRequest(300_000, stallTimeout-time.Second)}, upload, nil,
			stallTimeout - time.Second, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := stallLab(t, archive)
				s.Inject(tt.fault)
				start := time.Now()
				err := tt.call(t.Context(), c)
				if !errors.Is(err, tt.want) {
					t.Errorf("error is %v, want %v", err, tt.want)
				}
				if tt.want == porter.ErrOutcomeUnknown && !errors.Is(err, porter.ErrStalled) {
					t.Errorf("error %v does not say that it stalled", err)
				}
				if got := time.Since(start); got < tt.after || got > tt.after+100*time.Millisecond {
					t.Errorf("took %v, want %v", got, tt.after)
				}
				requests := 0
				for _, r := range s.Requests() {
					if r.Method == tt.fault.Method {
						requests++
					}
				}
				if requests != tt.requests {
					t.Errorf("%d requests, want %d", requests, tt.requests)
				}
			})
		})
	}
}

// Only the network can stall: a slow source or reader is the caller's business,
// and so is how long a transfer takes as a whole.
func TestSlowIsNoStall(t *testing.T) {
	archive := portertest.NewArchive(1 << 20)
	const slow = 3 * stallTimeout
	calls := map[string]func(context.Context, *porter.Client) error{
		"source": func(ctx context.Context, c *porter.Client) error {
			_, err := c.StartImport(ctx, porter.ReaderSource(slowReader{archive.NewReader(), slow}, archive.Size()),
				porter.ImportOptions{Path: "copy"})
			return err
		},
		"opening a source": func(ctx context.Context, c *porter.Client) error {
			_, err := c.StartImport(ctx, porter.Source{Name: "a.gz", Size: archive.Size(), Open: func(context.Context) (io.ReadCloser, error) {
				time.Sleep(slow)
				return io.NopCloser(archive.NewReader()), nil
			}}, porter.ImportOptions{Path: "copy"})
			return err
		},
		"writer": func(ctx context.Context, c *porter.Client) error {
			_, err := c.DownloadExport(ctx, porter.ProjectPath("acme/app"), slowWriter{io.Discard, slow}, nil)
			return err
		},
		"reader": func(ctx context.Context, c *porter.Client) error {
			r, err := c.OpenExport(ctx, porter.ProjectPath("acme/app"))
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = io.Copy(io.Discard, slowReader{r, slow})
			return err
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := stallLab(t, archive, porter.WithRetry(0, nil))
				start := time.Now()
				if err := call(t.Context(), c); err != nil {
					t.Error(err)
				}
				if got := time.Since(start); got < slow {
					t.Errorf("took %v, which was not slow", got)
				}
				if got := len(s.Requests()); got != 1 {
					t.Errorf("%d requests", got)
				}
			})
		})
	}
}

// A transfer that goes on, however slowly, is left alone.
func TestSlowTransfers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pieces = 30
		slowBody := roundTripper(func(req *http.Request) (*http.Response, error) {
			if req.Body != nil {
				defer req.Body.Close()
				for range pieces {
					time.Sleep(stallTimeout - time.Second)
					if _, err := io.CopyN(io.Discard, req.Body, 10); err != nil {
						return nil, err
					}
				}
				return retryAnswer(201, nil, `{"id":1,"import_status":"scheduled"}`)(req)
			}
			resp, err := retryAnswer(200, nil, "")(req)
			resp.Body = io.NopCloser(slowReader{io.MultiReader(bytes.NewReader([]byte("\x1f\x8b")), &dripping{pieces}), stallTimeout - time.Second})
			resp.ContentLength = 2 + pieces
			return resp, err
		})
		c := retryClient(t, slowBody, 0, nil, porter.WithStallTimeout(stallTimeout))
		start := time.Now()
		if _, err := c.DownloadExport(t.Context(), porter.ProjectID(1), io.Discard, unverified); err != nil {
			t.Error(err)
		}
		if _, err := c.StartImport(t.Context(), porter.ReaderSource(bytes.NewReader(make([]byte, 1000)), 1000),
			porter.ImportOptions{Path: "a"}); err != nil {
			t.Error(err)
		}
		if got := time.Since(start); got < 2*pieces*(stallTimeout-time.Second) {
			t.Errorf("took only %v", got)
		}
	})
}

// dripping yields n bytes, one at a time.
type dripping struct{ n int }

func (d *dripping) Read(b []byte) (int, error) {
	if d.n == 0 {
		return 0, io.EOF
	}
	d.n--
	return copy(b, "x"), nil
}

// The longer time for an answer is over once its headers are there.
func TestStallAfterAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := stallLab(t, portertest.NewArchive(1<<20))
		s.Inject(portertest.Fault{Method: "POST", Do: portertest.StallResponse(10, 0)})
		var sent time.Time
		src := porter.Source{Size: 64 << 10, Open: func(context.Context) (io.ReadCloser, error) {
			// So slow that the timer has fired for nothing when all is read.
			r := slowReader{io.LimitReader(zeros{}, 64<<10), 3 * stallTimeout / 2}
			return io.NopCloser(readerFunc(func(b []byte) (int, error) {
				n, err := r.Read(b)
				sent = time.Now()
				return n, err
			})), nil
		}}
		_, err := c.StartImport(t.Context(), src, porter.ImportOptions{Path: "copy"})
		if !errors.Is(err, porter.ErrStalled) {
			t.Errorf("error is %v", err)
		}
		if d := time.Since(sent); d < stallTimeout || d > stallTimeout+time.Second {
			t.Errorf("stalled for %v, want %v", d, stallTimeout)
		}
	})
}

// Without a stall timeout, or with one that never comes, only the context ends
// a stalled request.
func TestStallTimeoutOff(t *testing.T) {
	for _, d := range []time.Duration{0, math.MaxInt64} {
		for _, call := range []string{"status", "import"} {
			synctest.Test(t, func(t *testing.T) {
				s, c := stallLab(t, portertest.NewArchive(1<<20), porter.WithStallTimeout(d))
				s.Inject(portertest.Fault{Do: portertest.HoldAnswer(0)})
				ctx, cancel := context.WithTimeout(t.Context(), 48*time.Hour)
				defer cancel()
				start := time.Now()
				if err := hintCalls[call](ctx, c); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, porter.ErrStalled) {
					t.Errorf("%v: %s: error is %v", d, call, err)
				}
				if got := time.Since(start); got != 48*time.Hour {
					t.Errorf("%v: %s: gave up after %v", d, call, got)
				}
			})
		}
	}
}

// A context that ends while a request hangs is why it ended, at every point.
func TestCanceledWhileStalled(t *testing.T) {
	errBudget := errors.New("budget spent")
	archive := portertest.NewArchive(1 << 20)
	for name, do := range map[string]portertest.Action{
		"answer": portertest.HoldAnswer(0), "body": portertest.StallResponse(10, 0), "request": portertest.StallRequest(0, 0),
	} {
		for _, call := range []string{"schedule", "status", "download", "import", "import status"} {
			t.Run(name+"/"+call, func(t *testing.T) {
				if name == "request" && call != "import" || name == "body" && call == "schedule" {
					t.Skip("has no body that counts")
				}
				synctest.Test(t, func(t *testing.T) {
					s, c := stallLab(t, archive)
					s.Inject(portertest.Fault{Times: -1, Do: do})
					ctx, cancel := context.WithCancelCause(t.Context())
					defer cancel(nil)
					time.AfterFunc(5*time.Second, func() { cancel(errBudget) })
					start := time.Now()
					err := hintCalls[call](ctx, c)
					if !errors.Is(err, context.Canceled) || errors.Is(err, errBudget) || !strings.Contains(err.Error(), errBudget.Error()) ||
						errors.Is(err, porter.ErrNoAnswer) {
						t.Errorf("error is %v", err)
					}
					if got := time.Since(start); got > 6*time.Second {
						t.Errorf("returned after %v", got)
					}
				})
			})
		}
	}
}
