package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/seed-5d77b939/porter"
)

// repeatStatus is how often a status is shown that does not change.
const repeatStatus = time.Minute

// A Display shows people what an operation is doing: a bar for each transfer
// on a terminal, plain lines in a pipe or log. Close it before printing
// anything else.
type Display struct {
	w        io.Writer
	terminal bool
	start    time.Time

	mu     sync.Mutex
	bars   *mpb.Progress // nil while nothing is transferred
	bar    map[string]*mpb.Bar
	tenth  map[string]int64 // of each transfer, as last shown in a line
	status string
	told   time.Time
}

// NewDisplay returns a Display that writes to w.
func NewDisplay(w io.Writer) *Display {
	d := &Display{w: w, start: time.Now(), bar: map[string]*mpb.Bar{}, tenth: map[string]int64{}}
	if f, ok := w.(*os.File); ok {
		d.terminal = term.IsTerminal(int(f.Fd()))
	}
	return d
}

// Observer returns an observer for a client whose jobs and transfers are to be
// called by these names, such as "export" and "download".
func (d *Display) Observer(job, transfer string) func(porter.Event) {
	return func(ev porter.Event) {
		d.mu.Lock()
		defer d.mu.Unlock()
		switch ev.Kind {
		case porter.EventStatus:
			d.showStatus(job, ev)
		case porter.EventProgress:
			if d.terminal {
				d.showBar(transfer, ev)
			} else {
				d.showTenth(transfer, ev)
			}
		case porter.EventRetry:
			d.line("%s: trying again in %s: %v", ev.Project, ev.Delay.Round(100*time.Millisecond), ev.Err)
		case porter.EventPaced:
			d.line("%s: waiting %s, for GitLab's rate limit or until it is worth looking", ev.Project, ev.Delay.Round(100*time.Millisecond))
		}
	}
}

// Close ends the bars.
func (d *Display) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.endBars()
}

func (d *Display) showStatus(job string, ev porter.Event) {
	d.endBars() // a job is only waited for before or after a transfer
	s := job + ": " + ev.Status
	if s == d.status && time.Since(d.told) < repeatStatus {
		return
	}
	d.status, d.told = s, time.Now()
	d.line("%s", s)
}

func (d *Display) showBar(transfer string, ev porter.Event) {
	if d.bars == nil {
		d.bars = mpb.New(mpb.WithOutput(d.w), mpb.WithRefreshRate(100*time.Millisecond))
	}
	bar := d.bar[transfer]
	if bar == nil {
		// A total of 0 lets the bar end when Close says so: a transfer that is
		// tried again takes bytes back.
		bar = d.bars.New(0, mpb.BarStyle().Rbound("|").Lbound("|"),
			mpb.PrependDecorators(decor.Name(transfer, decor.WCSyncSpaceR)),
			mpb.AppendDecorators(
				decor.Meta(decor.Counters(decor.SizeB1024(0), "% .1f / % .1f", decor.WCSyncSpace), inBytes.Replace),
				decor.Meta(decor.AverageSpeed(decor.SizeB1024(0), "% .1f", decor.WCSyncSpace), inBytes.Replace),
			))
		d.bar[transfer] = bar
	}
	bar.SetTotal(max(ev.Total, 0), false)
	bar.SetCurrent(ev.Bytes)
}

func (d *Display) showTenth(transfer string, ev porter.Event) {
	if ev.Total <= 0 || d.tenth[transfer] == ev.Bytes*10/ev.Total {
		return
	}
	d.tenth[transfer] = ev.Bytes * 10 / ev.Total
	d.line("%s: %d %% of %s", transfer, ev.Bytes*100/ev.Total, Size(ev.Total))
}

// line prints a line, above the bars if there are any.
func (d *Display) line(format string, args ...any) {
	s := fmt.Sprintf("%7s  ", time.Since(d.start).Round(100*time.Millisecond)) + fmt.Sprintf(format, args...) + "\n"
	if d.bars != nil {
		io.WriteString(d.bars, s)
		return
	}
	io.WriteString(d.w, s)
}

func (d *Display) endBars() {
	if d.bars == nil {
		return
	}
	for _, bar := range d.bar {
		bar.Abort(false)
	}
	d.bars.Wait()
	d.bars = nil
	clear(d.bar)
}

// inBytes corrects the unit of small sizes, for which decor writes b, as if
// they were bits.
var inBytes = strings.NewReplacer(" b", " B")

// Size formats a number of bytes.
func Size(n int64) string { return inBytes.Replace(fmt.Sprintf("% .1f", decor.SizeB1024(n))) }
