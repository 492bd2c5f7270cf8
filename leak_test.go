package porter_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// leakOperations are the operations of a client, each on the project team/app
// or on an archive of it.
func leakOperations(archive *portertest.Archive) map[string]func(ctx context.Context, dir string, c *porter.Client) error {
	app := porter.ProjectPath("team/app")
	into := porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("new")}
	source := func() porter.Source { return sourceOf(archive) }
	return map[string]func(ctx context.Context, dir string, c *porter.Client) error{
		"ScheduleExport": func(ctx context.Context, _ string, c *porter.Client) error {
			return c.ScheduleExport(ctx, app, nil)
		},
		"GetExport": func(ctx context.Context, _ string, c *porter.Client) error {
			_, err := c.GetExport(ctx, app)
			return err
		},
		"WatchExport, left early": func(ctx context.Context, _ string, c *porter.Client) error {
			for _, err := range c.WatchExport(ctx, app) {
				return err
			}
			return nil
		},
		"WaitForExport": func(ctx context.Context, _ string, c *porter.Client) error {
			_, err := c.WaitForExport(ctx, app)
			return err
		},
		"OpenExport, read in part": func(ctx context.Context, _ string, c *porter.Client) error {
			r, err := c.OpenExport(ctx, app)
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = io.CopyN(io.Discard, r, 100<<10)
			return err
		},
		"DownloadExport": func(ctx context.Context, _ string, c *porter.Client) error {
			_, err := c.DownloadExport(ctx, app, io.Discard, nil)
			return err
		},
		"ExportTo": func(ctx context.Context, _ string, c *porter.Client) error {
			_, err := c.ExportTo(ctx, app, new(bytes.Buffer), nil)
			return err
		},
		"ExportToFile": func(ctx context.Context, dir string, c *porter.Client) error {
			_, err := c.ExportToFile(ctx, app, filepath.Join(dir, "app.tar.gz"), nil)
			return err
		},
		"StartImport": func(ctx context.Context, _ string, c *porter.Client) error {
			_, err := c.StartImport(ctx, source(), into)
			return err
		},
		"StartImport, read once": func(ctx context.Context, _ string, c *porter.Client) error {
			_, err := c.StartImport(ctx, porter.ReaderSource(io.MultiReader(archive.NewReader()), -1), into)
			return err
		},
		"Import": func(ctx context.Context, _ string, c *porter.Client) error {
			_, err := c.Import(ctx, source(), into)
			return err
		},
		"Import of an export": func(ctx context.Context, _ string, c *porter.Client) error {
			_, err := c.Import(ctx, c.ExportSource(app), into)
			return err
		},
		"Migrate": func(ctx context.Context, dir string, c *porter.Client) error {
			_, err := porter.Migrate(ctx, c, app, c, porter.MigrateOptions{Import: into, SpoolDir: dir})
			return err
		},
		"Migrate without spool": func(ctx context.Context, _ string, c *porter.Client) error {
			_, err := porter.Migrate(ctx, c, app, c, porter.MigrateOptions{Import: into, NoSpool: true})
			return err
		},
	}
}

// TestNothingLeaks runs every operation to every kind of end, and counts the
// goroutines and connections that are left. The bubble ends with a failure if
// a goroutine stays for ever.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	always := func(do portertest.Action) portertest.Fault { return portertest.Fault{Times: -1, Do: do} }
	posts := func(do portertest.Action) portertest.Fault {
		return portertest.Fault{Method: "POST", Times: -1, Do: do}
	}
	ends := []struct {
		name    string
		fault   portertest.Fault
		timeout time.Duration
		opts    []portertest.Option
	}{
		{name: "well"},
		{name: "refused", fault: always(portertest.Respond(403, nil, "no"))},
		{name: "refused early", fault: posts(portertest.RespondEarly(413, nil, "no"))},
		{name: "with long pages", fault: always(portertest.Respond(502, nil, strings.Repeat("<html>", 100<<10)))},
		{name: "redirected in a circle", fault: always(portertest.Respond(302, http.Header{"Location": {"/"}}, ""))},
		{name: "answers cut", fault: always(portertest.CutResponse(70 << 10))},
		{name: "every connection cut", fault: always(portertest.LoseAnswer())},
		{name: "requests cut", fault: posts(portertest.CutRequest(70 << 10))},
		{name: "unanswered", fault: always(portertest.HoldAnswer(0))},
		{name: "canceled in an answer", fault: always(portertest.StallResponse(70<<10, 0)), timeout: 100 * time.Millisecond},
		{name: "canceled in a request", fault: posts(portertest.StallRequest(70<<10, 0)), timeout: 100 * time.Millisecond},
		{name: "canceled before an answer", fault: always(portertest.HoldAnswer(0)), timeout: 50 * time.Millisecond},
		{name: "canceled while it waits", timeout: 100 * time.Millisecond,
			opts: []portertest.Option{portertest.Timing(portertest.Timings{Assemble: time.Hour, Import: time.Hour})}},
		{name: "garbage", fault: always(portertest.Respond(200, nil, "<html>")), timeout: 200 * time.Millisecond},
	}
	archive := portertest.NewArchive(1 << 20)
	for name, operation := range leakOperations(archive) {
		for _, end := range ends {
			t.Run(name+" ends "+end.name, func(t *testing.T) {
				dir := t.TempDir()
				synctest.Test(t, func(t *testing.T) {
					s := portertest.NewServer(append([]portertest.Option{portertest.InMemory(), portertest.NoLimits()}, end.opts...)...)
					s.AddProject(portertest.Project{Path: "team/app", Archive: archive})
					s.AddGroup("new")
					s.AddExport("team/app", "owner")
					if end.fault.Times != 0 {
						s.Inject(end.fault)
					}
					tr := s.Transport().Clone()
					var conns atomic.Int32
					tr.DialContext = countConns(&conns, tr.DialContext)
					c := connect(t, s, porter.WithTransport(tr), porter.WithoutPacing(), porter.WithRetry(1, porter.ConstantBackoff(0)),
						porter.WithStallTimeout(time.Second),
						porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(5 * time.Millisecond),
							Patience: 20 * time.Millisecond, Grace: time.Minute}))
					ctx, cancel := t.Context(), context.CancelFunc(func() {})
					if end.timeout > 0 {
						ctx, cancel = context.WithTimeout(ctx, end.timeout)
					}
					start := time.Now()
					err := operation(ctx, dir, c)
					took := time.Since(start)
					cancel()
					if end.name == "well" && err != nil {
						t.Error(err)
					}
					if end.timeout > 0 && took > end.timeout {
						t.Errorf("returned after %v", took)
					}
					tr.CloseIdleConnections()
					s.Close()
					synctest.Wait()
					if n := conns.Load(); n != 0 {
						t.Errorf("%d connections are open", n)
					}
					if left := leftGoroutines(); len(left) > 0 {
						t.Errorf("%d goroutines are left:\n%s", len(left), strings.Join(left, "\n\n"))
					}
				})
			})
		}
	}
}

// leftGoroutines returns the stacks of the goroutines of this module or of
// net/http that run in the test's bubble, but for its own.
func leftGoroutines() []string {
	buf := make([]byte, 1<<20)
	all := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") // its own is the first
	bubble := regexp.MustCompile(`synctest bubble \d+\]`).FindString(all[0])
	var left []string
	for _, stack := range all[1:] {
		head, _, _ := strings.Cut(stack, "\n")
		if strings.Contains(head, bubble) && (strings.Contains(stack, "/porter.") || strings.Contains(stack, "net/http.(*persistConn)")) {
			left = append(left, stack)
		}
	}
	return left
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// countConns counts the connections of dial that are open.
func countConns(n *atomic.Int32, dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		n.Add(1)
		return &countedConn{Conn: conn, n: n}, nil
	}
}

type countedConn struct {
	net.Conn
	n      *atomic.Int32
	closed atomic.Bool
}

func (c *countedConn) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.n.Add(-1)
	}
	return c.Conn.Close()
}
