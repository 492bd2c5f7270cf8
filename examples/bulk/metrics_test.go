package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "bulk.prom")
	synctest.Test(t, func(t *testing.T) {
		s := tell(newMetrics(file))
		s.middle()
		wantText(t, readMetrics(t, file), `
bulk_archive_bytes_total{command="export"} 0
bulk_duration_seconds{command="export"} 90
bulk_failed_projects{code="not_found",command="export"} 1
bulk_projects{command="export",step="done"} 1
bulk_projects{command="export",step="downloading"} 1
bulk_projects{command="export",step="exporting"} 2
bulk_projects{command="export",step="failed"} 1
bulk_projects{command="export",step="importing"} 0
bulk_projects{command="export",step="incomplete"} 0
bulk_projects{command="export",step="interrupted"} 0
bulk_projects{command="export",step="moving"} 0
bulk_projects{command="export",step="waiting"} 2
bulk_running{command="export"} 1
`)
		s.finish()
		wantText(t, readMetrics(t, file), `
bulk_archive_bytes_total{command="export"} 2.097152e+07
bulk_duration_seconds{command="export"} 100
bulk_failed_projects{code="not_found",command="export"} 1
bulk_last_run_success{command="export"} 0
bulk_last_run_timestamp_seconds{command="export"} 9.466849e+08
bulk_projects{command="export",step="done"} 2
bulk_projects{command="export",step="downloading"} 0
bulk_projects{command="export",step="exporting"} 0
bulk_projects{command="export",step="failed"} 1
bulk_projects{command="export",step="importing"} 0
bulk_projects{command="export",step="incomplete"} 1
bulk_projects{command="export",step="interrupted"} 1
bulk_projects{command="export",step="moving"} 0
bulk_projects{command="export",step="waiting"} 2
bulk_running{command="export"} 0
`)
	})
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("%v beside the file, %v", left, err)
	}
}

// readMetrics returns the values of a file, without the help.
func readMetrics(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), "# HELP ") != strings.Count(string(text), "# TYPE ") {
		t.Errorf("a metric has no help:\n%s", text)
	}
	return regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(string(text), "")
}

func value(t *testing.T, file, name string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + `\{command="migrate"\} (.*)$`).FindStringSubmatch(readMetrics(t, file))
	if m == nil {
		return "none"
	}
	return m[1]
}

// What is known of the last run stays while another runs, and of the last success
// while others fail.
func TestMetricsOfLastRun(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "bulk.prom")
	if err := os.WriteFile(file, []byte("no metrics"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		run := func(to step, want ...string) {
			t.Helper()
			v := newMetrics(file)
			p := project{Name: "a", Target: "b", Step: stepWaiting}
			v.begin(begin{Migrate: true, Projects: []project{p}})
			if got := value(t, file, lastTime); got != want[0] {
				t.Errorf("while it runs, the last ended at %s, want %s", got, want[0])
			}
			time.Sleep(time.Minute)
			p.Step = to
			v.change(p)
			v.end([]project{p}, time.Minute)
			for i, name := range []string{lastTime, lastSuccess, lastGood} {
				if got := value(t, file, name); got != want[i+1] {
					t.Errorf("%s is %s, want %s", name, got, want[i+1])
				}
			}
		}
		run(stepFailed, "none", "9.4668486e+08", "0", "none")
		run(stepDone, "9.4668486e+08", "9.4668492e+08", "1", "9.4668492e+08")
		run(stepIncomplete, "9.4668492e+08", "9.4668498e+08", "0", "9.4668492e+08")
		if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o644 && runtime.GOOS != "windows" {
			t.Errorf("%v, %v: the collector, another user, can't read it", fi, err)
		}
	})
}

// A run of many hours writes its file four times a minute at most, and tells once
// that it can't.
func TestMetricsUnwritable(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "no such folder", "bulk.prom")
	synctest.Test(t, func(t *testing.T) {
		var told bytes.Buffer
		v := newMetrics(file).(*metrics)
		v.stderr = &told
		if v.begin(begin{}); told.Len() == 0 {
			t.Error("it tells only at the end")
		}
		many(v, 300)
		if text := told.String(); strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "error: -metrics: ") {
			t.Errorf("it told %q", text)
		}
	})
}

func TestMetricsInterval(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "bulk.prom")
	synctest.Test(t, func(t *testing.T) {
		v := newMetrics(file).(*metrics)
		v.stderr = io.Discard
		v.begin(begin{})
		writes := map[time.Time]bool{}
		for range 600 {
			time.Sleep(100 * time.Millisecond)
			v.event(project{}, porter.Event{})
			writes[v.written] = true
		}
		if len(writes) != 5 {
			t.Errorf("%d files in a minute, want one each 15 s and that of the beginning", len(writes))
		}
	})
}
