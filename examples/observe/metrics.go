package main

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-5d77b939/porter"
)

// metrics counts what a client does, for Prometheus. No label names a project:
// a thousand of them would be a thousand series.
type metrics struct {
	running *prometheus.GaugeVec
	seconds *prometheus.HistogramVec
	bytes   *prometheus.CounterVec
	retries *prometheus.CounterVec
	waited  *prometheus.CounterVec

	mu   sync.Mutex // operations tell at the same time
	open map[operation]*progress
}

// An operation is known by what it does to which project, at the instance of
// one client.
type operation struct {
	op      porter.Op
	project string
}

// A progress is what is known of an operation that has not ended.
type progress struct {
	begun []time.Time // of several that are alike, which end in any order
	bytes int64
}

// newMetrics registers the metrics. Series of an instance bear its name, such as
// "source".
func newMetrics(reg prometheus.Registerer, instance string) *metrics {
	reg = prometheus.WrapRegistererWith(prometheus.Labels{"instance_role": instance}, reg)
	m := &metrics{
		running: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "porter_operations_running", Help: "Operations that have not ended.",
		}, []string{"op"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "porter_operation_seconds", Help: "How long operations took that have ended, waits included.",
			Buckets: []float64{.1, 1, 10, 60, 600, 3600, 6 * 3600, 24 * 3600},
		}, []string{"op", "outcome"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "porter_transferred_bytes_total", Help: "Bytes that moved, those of retried transfers included.",
		}, []string{"op"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "porter_retries_total", Help: "Requests and transfers that were tried again.",
		}, []string{"op"}),
		waited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "porter_pauses_total", Help: "Pauses for a turn by the rate limits, or longer ones for something else, as told every 30 seconds.",
		}, []string{"op"}),
		open: map[operation]*progress{},
	}
	reg.MustRegister(m.running, m.seconds, m.bytes, m.retries, m.waited)
	return m
}

// observe is for porter.WithObserver.
func (m *metrics) observe(ev porter.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, op := operation{ev.Op, ev.Project}, ev.Op.String()
	p := m.open[o]
	if p == nil && ev.Kind == porter.EventStarted {
		p = &progress{}
		m.open[o] = p
	}
	if p == nil {
		return // an event outside of operations
	}
	switch ev.Kind {
	case porter.EventStarted:
		p.begun = append(p.begun, ev.Time)
		m.running.WithLabelValues(op).Inc()
	case porter.EventProgress:
		if ev.Bytes > p.bytes { // a retried transfer takes bytes back
			m.bytes.WithLabelValues(op).Add(float64(ev.Bytes - p.bytes))
		}
		p.bytes = ev.Bytes
	case porter.EventRetry:
		m.retries.WithLabelValues(op).Inc()
	case porter.EventPaced:
		m.waited.WithLabelValues(op).Inc()
	case porter.EventDone, porter.EventFailed:
		m.running.WithLabelValues(op).Dec()
		m.seconds.WithLabelValues(op, string(ev.Kind)).Observe(ev.Time.Sub(p.begun[0]).Seconds())
		if p.begun = p.begun[1:]; len(p.begun) == 0 {
			delete(m.open, o)
		}
	}
}
