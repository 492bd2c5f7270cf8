package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/clitest"
	"github.com/seed-5d77b939/porter/portertest"
)

// secrets are what a signed URL or a request's header would show.
var secrets = regexp.MustCompile(`(?i)signature|X-Amz|PRIVATE-TOKEN|` + regexp.QuoteMeta(portertest.Token))

func TestObserve(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "spans.json")
	var out bytes.Buffer
	code := run(t.Context(), []string{"-spans", file}, &out, &out)
	clitest.Ended(t, out.String(), code, 0, "Moved team/app to platform/app.",
		`porter_retries_total{instance_role="source",op="export"} 1`,
		`porter_transferred_bytes_total{instance_role="source",op="download"} 8.388608e+06`,
		`porter_transferred_bytes_total{instance_role="destination",op="upload"} 8.388608e+06`,
		`porter_operation_seconds_count{instance_role="destination",op="import",outcome="done"} 1`,
		`porter_operations_running{instance_role="source",op="export"} 0`)

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if found := secrets.FindString(string(text) + out.String()); found != "" {
		t.Errorf("spans or metrics hold %q", found)
	}
	parents, seen := map[string]string{}, map[string]int{}
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var s struct {
			Name                string
			SpanContext, Parent struct{ SpanID string }
			Events              []struct{ Name string }
		}
		if err := d.Decode(&s); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen[s.Name]++
		parents[s.Name] = s.Parent.SpanID
		if s.Name == "migrate" {
			parents["of all"] = s.SpanContext.SpanID
		}
		for _, ev := range s.Events {
			seen[s.Name+": "+ev.Name]++
		}
	}
	for _, name := range []string{"look", "export", "download", "upload", "import", "HTTP GET", "HTTP POST"} {
		if seen[name] == 0 || parents[name] != parents["of all"] {
			t.Errorf("%d spans of %s, the last below %s, not below %s", seen[name], name, parents[name], parents["of all"])
		}
	}
	if seen["export: retry"] != 1 || seen["import: status"] < 2 {
		t.Errorf("seen: %v", seen)
	}
}

func TestListen(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	told := make(chan string, 1)
	out := &clitest.Trigger{Text: "Ctrl-C"}
	out.F = func() { told <- out.String() }
	ended := make(chan int)
	go func() { ended <- run(ctx, []string{"-listen", "127.0.0.1:0"}, out, out) }()
	url := regexp.MustCompile(`http://\S+/metrics`).FindString(<-told)
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if want := `porter_retries_total{instance_role="source",op="export"} 1`; err != nil || !strings.Contains(string(b), want) {
		t.Errorf("scraped %s, %v", b, err)
	}
	cancel()
	code := <-ended
	clitest.Ended(t, out.String(), code, 130, "Interrupted.")
}

func TestEnds(t *testing.T) {
	t.Parallel()
	clitest.Misused(t, run, "arguments", "group/app")
	clitest.Misused(t, run, "flag", "-none")
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		ctx  context.Context
		args []string
		code int
		want string
	}{
		{canceled, nil, 130, "Interrupted."},
		{t.Context(), []string{"-listen", "nonsense"}, 1, "nonsense"},
		{t.Context(), []string{"-spans", filepath.Join(t.TempDir(), "none", "f")}, 1, "none"},
	} {
		var out bytes.Buffer
		code := run(tt.ctx, tt.args, &out, &out)
		clitest.Ended(t, out.String(), code, tt.code, tt.want)
	}
}

// told makes the events of an operation that begins at a time of seconds.
func told(op porter.Op, project string, at int, events ...porter.Event) []porter.Event {
	begin := time.Unix(int64(at), 0)
	events = append([]porter.Event{{Kind: porter.EventStarted}}, events...)
	for i := range events {
		events[i].Op, events[i].Project, events[i].Time = op, project, begin.Add(time.Duration(i)*time.Second)
	}
	return events
}

func TestEvents(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m := newMetrics(reg, "x")
	recorder := tracetest.NewSpanRecorder()
	s := newSpans(t.Context(), trace.NewTracerProvider(trace.WithSpanProcessor(recorder)).Tracer("test"))
	failed := errors.New("it failed")
	var events []porter.Event
	// A download is broken off, and downloads again what it had.
	events = append(events, told(porter.OpDownload, "a", 0, porter.Event{Kind: porter.EventProgress, Bytes: 70, Total: 100},
		porter.Event{Kind: porter.EventRetry, Attempt: 1, Err: failed}, porter.Event{Kind: porter.EventProgress, Bytes: 40, Total: 100},
		porter.Event{Kind: porter.EventProgress, Bytes: 100, Total: 100}, porter.Event{Kind: porter.EventDone, ID: 7})...)
	// Two look alike, and one that has not ended.
	events = append(events, told(porter.OpLook, "a", 0)...)
	events = append(events, told(porter.OpLook, "a", 0, porter.Event{Kind: porter.EventFailed, Err: failed})...)
	events = append(events, told(porter.OpExport, "a", 0, porter.Event{Kind: porter.EventPaced, Delay: time.Minute})...)
	events = append(events, porter.Event{Kind: porter.EventRetry, Op: porter.OpImport, Project: "b", Err: failed}) // it has ended
	for _, ev := range events {
		m.observe(ev)
		s.observe(ev)
	}
	var out bytes.Buffer
	if err := show(&out, reg); err != nil {
		t.Fatal(err)
	}
	clitest.Ended(t, out.String(), 0, 0,
		`porter_transferred_bytes_total{instance_role="x",op="download"} 130`,
		`porter_operation_seconds_sum{instance_role="x",op="download",outcome="done"} 5`,
		`porter_operation_seconds_count{instance_role="x",op="look",outcome="failed"} 1`,
		`porter_operations_running{instance_role="x",op="look"} 1`,
		`porter_operations_running{instance_role="x",op="export"} 1`,
		`porter_pauses_total{instance_role="x",op="export"} 1`)
	if strings.Contains(out.String(), `op="import"`) {
		t.Errorf("an operation that nobody began is counted:\n%s", &out)
	}
	ended := recorder.Ended()
	if len(ended) != 2 || len(m.open) != 2 || len(s.open) != 2 {
		t.Fatalf("%d spans have ended; open: %v, %v", len(ended), m.open, s.open)
	}
	if d := ended[0]; d.EndTime().Sub(d.StartTime()) != 5*time.Second || len(d.Events()) != 1 || d.Status().Code != codes.Unset {
		t.Errorf("span of the download: %v", d)
	}
	if status := ended[1].Status(); status.Code != codes.Error || status.Description != failed.Error() {
		t.Errorf("status of the failed look: %v", status)
	}
}

// TestQueries sends the whole URL, and leaves the request as it was.
func TestQueries(t *testing.T) {
	t.Parallel()
	const url = "http://127.0.0.1/archive.tar.gz?X-Amz-Signature=secret"
	recorder := tracetest.NewSpanRecorder()
	var sent string
	rt := traced(roundTripper(func(req *http.Request) (*http.Response, error) {
		sent = req.URL.String()
		return nil, errors.New("no answer")
	}), trace.NewTracerProvider(trace.WithSpanProcessor(recorder)))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rt.RoundTrip(req); err == nil || sent != url || req.URL.String() != url {
		t.Errorf("sent %s, kept %s, error %v", sent, req.URL, err)
	}
	for _, a := range recorder.Ended()[0].Attributes() {
		if strings.Contains(a.Value.String(), "secret") {
			t.Errorf("%s holds the signature: %s", a.Key, a.Value.String())
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
