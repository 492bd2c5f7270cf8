package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/seed-5d77b939/porter"
)

// metricsInterval is the least time between two files of one run.
const metricsInterval = 15 * time.Second

// metrics writes a run to a file for the textfile collector of Prometheus's
// node_exporter, and replaces it in one move.
type metrics struct {
	file     string
	stderr   io.Writer
	command  string
	began    time.Time
	written  time.Time
	err      error // of the last attempt to write
	told     bool  // that it can't be written
	projects map[key]project
	last     map[string]float64 // of the last run that has ended
}

// What is known of the last run that has ended stays in the file while another
// runs, or was killed.
const (
	lastTime    = "bulk_last_run_timestamp_seconds"
	lastSuccess = "bulk_last_run_success"
	lastGood    = "bulk_last_success_timestamp_seconds"
)

var lastHelp = map[string]string{
	lastTime:    "When the last run ended.",
	lastSuccess: "Whether the last run that has ended left all projects done and complete.",
	lastGood:    "When the last run ended that was a success.",
}

func newMetrics(file string) view {
	return &metrics{file: file, stderr: os.Stderr, projects: map[key]project{}}
}

func (m *metrics) begin(b begin) {
	m.command, m.began = b.command(), time.Now()
	m.last = m.lastRun()
	for _, p := range b.Projects {
		m.projects[key{p.Name, p.Target}] = p
	}
	m.write(true, 0)
	m.complain() // not only in the morning
}

func (m *metrics) change(p project) {
	m.projects[key{p.Name, p.Target}] = p
	m.now()
}

func (m *metrics) event(project, porter.Event) { m.now() }

// now writes the file, if it is time to.
func (m *metrics) now() {
	if time.Since(m.written) >= metricsInterval {
		m.write(true, time.Since(m.began))
	}
}

func (m *metrics) end(projects []project, elapsed time.Duration) {
	for _, p := range projects {
		m.projects[key{p.Name, p.Target}] = p
	}
	now := float64(time.Now().UnixMilli()) / 1000
	m.last[lastTime], m.last[lastSuccess] = now, 0
	if len(m.projects) == sum(projects).counts[stepDone] {
		m.last[lastSuccess], m.last[lastGood] = 1, now
	}
	m.write(false, elapsed)
	m.complain()
}

func (m *metrics) complain() {
	if m.err != nil && !m.told {
		m.told = true
		fmt.Fprintln(m.stderr, "error: -metrics:", m.err)
	}
}

func (m *metrics) write(running bool, elapsed time.Duration) {
	m.written = time.Now()
	registry := prometheus.NewRegistry()
	r := prometheus.WrapRegistererWith(prometheus.Labels{"command": m.command}, registry)
	gauge := func(name, help string, v float64) {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		g.Set(v)
		r.MustRegister(g)
	}
	t := sum(slices.Collect(maps.Values(m.projects)))
	steps := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "bulk_projects", Help: "Projects in each step."}, []string{"step"})
	for _, s := range allSteps {
		steps.WithLabelValues(string(s)).Set(float64(t.counts[s]))
	}
	failed := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "bulk_failed_projects", Help: "Projects that failed, by the code of their error."}, []string{"code"})
	for code, n := range t.codes {
		failed.WithLabelValues(code).Set(float64(n))
	}
	bytes := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "bulk_archive_bytes_total", Help: "Bytes of the archives of the projects that the run has done."})
	bytes.Add(float64(t.bytes))
	r.MustRegister(steps, failed, bytes)
	gauge("bulk_running", "Whether a run has begun and not ended.", map[bool]float64{true: 1}[running])
	gauge("bulk_duration_seconds", "How long the run has taken so far.", elapsed.Seconds())
	for name, v := range m.last {
		gauge(name, lastHelp[name], v)
	}
	m.err = prometheus.WriteToTextfile(m.file, registry)
}

// lastRun reads what the file says of the last run. A file that makes no sense
// is replaced.
func (m *metrics) lastRun() map[string]float64 {
	last := map[string]float64{}
	f, err := os.Open(m.file)
	if err != nil {
		return last
	}
	defer f.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, _ := parser.TextToMetricFamilies(io.LimitReader(f, 1<<20))
	for name := range lastHelp {
		for _, metric := range families[name].GetMetric() {
			for _, l := range metric.GetLabel() {
				if l.GetName() == "command" && l.GetValue() == m.command {
					last[name] = metric.GetGauge().GetValue()
				}
			}
		}
	}
	return last
}
