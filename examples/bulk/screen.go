package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-colorable"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
)

// frameInterval is the time between two pictures.
const frameInterval = 200 * time.Millisecond

// What terminals erase, from the cursor on. The screen is not erased before it
// is written anew: it would flicker, and some keep a copy of a window that is
// erased whole.
const (
	eraseLine  = "\x1b[K"
	eraseBelow = "\x1b[J"
)

// A screen shows a run on a terminal: some lines at the bottom that are drawn
// again and again, and above them what went wrong. It changes no mode of the
// terminal, so that a program that is killed leaves it as it was.
//
// What draws is a goroutine of its own: a terminal that is stopped with Ctrl-S
// does not stop the work.
type screen struct {
	out  io.Writer
	size func() (width, height int)
	bar  mpb.BarFiller // only the goroutine's
	last string        // what it has drawn

	stop, stopped chan struct{}

	mu     sync.Mutex
	tally  *tally
	scroll []string // lines to go above, not yet written
}

// newScreen returns a view on a terminal.
func newScreen(out *os.File) view {
	return screenOn(colorable.NewColorable(out), func() (int, int) {
		width, height, err := term.GetSize(int(out.Fd()))
		if err != nil || width <= 0 || height <= 0 {
			return 80, 24 // some serial lines do not know
		}
		return width, height
	})
}

func screenOn(out io.Writer, size func() (width, height int)) *screen {
	bar := mpb.BarStyle().Lbound("|").Rbound("|").Build()
	return &screen{out: out, size: size, bar: bar, stop: make(chan struct{}), stopped: make(chan struct{})}
}

func (s *screen) begin(b begin) {
	s.tally = newTally(b)
	go s.run()
}

func (s *screen) change(p project) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally.change(p)
	if p.Step == stepFailed || p.Step == stepIncomplete {
		s.scroll = append(s.scroll, time.Now().Format(time.TimeOnly)+" "+printable(p.Name)+" "+inShort(p))
	}
}

func (s *screen) event(p project, ev porter.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally.event(p, ev)
}

// end leaves what has scrolled, and the cursor below it.
func (s *screen) end([]project, time.Duration) {
	close(s.stop)
	<-s.stopped
}

func (s *screen) run() {
	defer close(s.stopped)
	tick := time.NewTicker(frameInterval)
	defer tick.Stop()
	s.draw(s.frame)
	for {
		select {
		case <-tick.C:
			s.draw(s.frame)
		case <-s.stop:
			s.draw(func(time.Time, int, int) []string { return nil })
			return
		}
	}
}

// draw writes the lines that scroll, and below them the frame. The cursor waits
// at its first character: there it stays when a window that gets narrower
// breaks the lines anew, so that all of them can be erased. The last column is
// left alone, because some terminals wrap a line that is full, and one line for
// what scrolls.
func (s *screen) draw(frame func(now time.Time, width, height int) []string) {
	width, height := s.size()
	s.mu.Lock()
	scroll, lines := s.scroll, frame(time.Now(), width-1, height-1)
	s.scroll = nil
	s.mu.Unlock()

	var b bytes.Buffer
	for _, line := range scroll {
		b.WriteString(cut(line, width-1) + eraseLine + "\n")
	}
	for i, line := range lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(cut(line, width-1) + eraseLine)
	}
	b.WriteString(eraseBelow + "\r")
	if len(lines) > 1 {
		fmt.Fprintf(&b, "\x1b[%dA", len(lines)-1)
	}
	if picture := fmt.Sprint(width, height, b.String()); len(scroll) > 0 || picture != s.last {
		s.out.Write(b.Bytes())
		s.last = picture
	}
}

// frame returns the lines at the bottom, not more than there is room for.
func (s *screen) frame(now time.Time, width, height int) []string {
	t := s.tally
	lines := []string{
		fmt.Sprintf("%s: %d of %d ended in %s", t.command(), t.counts.ended(), len(t.projects), span(now.Sub(t.began))),
		"  " + t.counts.String(),
		"  " + t.budget(now),
		"  " + t.forecast(now),
	}
	running := t.transfers()
	bars := len(running)
	if room := height - len(lines); bars > room {
		bars = max(room-1, 0)
	}
	for _, k := range running[:bars] {
		lines = append(lines, s.transfer(k, now, width))
	}
	if more := len(running) - bars; more > 0 {
		lines = append(lines, fmt.Sprintf("  and %d more transfers", more))
	}
	return lines[:min(len(lines), max(height, 0))]
}

// transfer is the line of a running transfer.
func (s *screen) transfer(k *known, now time.Time, width int) string {
	t := k.transfer
	var b strings.Builder
	b.WriteString("  " + pad(title(k.project), min(max(width/3, 12), 40)))
	if t.total > 0 {
		fmt.Fprintf(&b, " %3d%% of %10s", min(t.bytes, t.total)*100/t.total, cli.Size(t.total))
	} else {
		fmt.Fprintf(&b, "         %10s", cli.Size(t.bytes))
	}
	if d := now.Sub(t.since); d >= time.Second {
		fmt.Fprintf(&b, " %10s/s", cli.Size(int64(float64(max(t.bytes-t.from, 0))/d.Seconds())))
	} else {
		fmt.Fprintf(&b, " %12s", "")
	}
	if rest := min(width-columns(b.String())-1, 40); t.total > 0 && rest >= 8 {
		b.WriteByte(' ')
		s.bar.Fill(&b, decor.Statistics{AvailableWidth: rest, Total: t.total, Current: min(t.bytes, t.total)})
	}
	return b.String()
}
