package main

import (
	"context"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed-5d77b939/porter"
)

// spans makes an OpenTelemetry span of each operation of a client. Events have
// no context, so the spans are those of one: make a client for it by
// Client.With, which costs nothing.
type spans struct {
	ctx    context.Context // their parent is its span
	tracer trace.Tracer

	mu   sync.Mutex // operations tell at the same time
	open map[operation][]*span
}

type span struct {
	trace.Span
	bytes int64
}

func newSpans(ctx context.Context, tracer trace.Tracer) *spans {
	return &spans{ctx: ctx, tracer: tracer, open: map[operation][]*span{}}
}

// observe is for porter.WithObserver.
func (s *spans) observe(ev porter.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := operation{ev.Op, ev.Project}
	if ev.Kind == porter.EventStarted {
		_, begun := s.tracer.Start(s.ctx, ev.Op.String(), trace.WithTimestamp(ev.Time),
			trace.WithAttributes(attribute.String("porter.project", ev.Project)))
		s.open[o] = append(s.open[o], &span{Span: begun})
		return
	}
	if len(s.open[o]) == 0 {
		return // an event outside of operations
	}
	// Of several that are alike, nobody can tell whose event it is.
	at := s.open[o][0]
	tell := func(name string, attrs ...attribute.KeyValue) {
		at.AddEvent(name, trace.WithTimestamp(ev.Time), trace.WithAttributes(attrs...))
	}
	switch ev.Kind {
	case porter.EventStatus:
		tell("status", attribute.String("porter.status", ev.Status))
	case porter.EventProgress:
		at.bytes = ev.Bytes // too many to tell each
	case porter.EventRetry:
		tell("retry", attribute.Int("porter.attempt", ev.Attempt), attribute.String("porter.delay", ev.Delay.String()),
			attribute.String("exception.message", ev.Err.Error()))
	case porter.EventPaced:
		tell("paced", attribute.String("porter.delay", ev.Delay.String()))
	case porter.EventDone, porter.EventFailed:
		at.end(ev)
		if s.open[o] = s.open[o][1:]; len(s.open[o]) == 0 {
			delete(s.open, o)
		}
	}
}

func (s *span) end(ev porter.Event) {
	if ev.ID != 0 {
		s.SetAttributes(attribute.Int64("porter.project_id", int64(ev.ID)))
	}
	if s.bytes > 0 {
		s.SetAttributes(attribute.Int64("porter.bytes", s.bytes))
	}
	if ev.Err != nil {
		s.SetStatus(codes.Error, ev.Err.Error())
	}
	s.End(trace.WithTimestamp(ev.Time))
}
