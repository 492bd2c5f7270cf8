package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/seed-5d77b939/porter"
)

// countInterval is the time between two counts.
const countInterval = time.Minute

// lines shows a run in a pipe or a log: a line for each change, and a count
// once a minute.
type lines struct {
	stop, stopped chan struct{}

	mu    sync.Mutex
	out   io.Writer
	tally *tally
}

func newLines(out io.Writer) view {
	return &lines{out: out, stop: make(chan struct{}), stopped: make(chan struct{})}
}

func (l *lines) begin(b begin) {
	l.tally = newTally(b)
	text := fmt.Sprintf("%s: %s", b.command(), l.tally.counts)
	if b.Bound > 0 {
		text += fmt.Sprintf("; GitLab's limits make it %s at least", span(b.Bound))
	}
	l.line(text)
	go l.run()
}

func (l *lines) change(p project) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally.change(p)
	l.line(title(p) + ": " + happened(p))
}

// event tells the first of several retries. Of waits for a turn there are too
// many; the counts tell them.
func (l *lines) event(p project, ev porter.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ev.Kind == porter.EventRetry && l.tally.of(p).again.IsZero() {
		l.line(printable(fmt.Sprintf("%s: trying again in %s: %v", title(p), span(ev.Delay), ev.Err)))
	}
	l.tally.event(p, ev)
}

func (l *lines) end([]project, time.Duration) {
	close(l.stop)
	<-l.stopped
}

func (l *lines) run() {
	defer close(l.stopped)
	tick := time.NewTicker(countInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.count()
		case <-l.stop:
			return
		}
	}
}

func (l *lines) count() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.line(l.tally.counts.String() + "; " + l.tally.budget(now) + "; " + l.tally.forecast(now))
}

func (l *lines) line(text string) {
	fmt.Fprintln(l.out, time.Now().Format(time.DateTime), text)
}
