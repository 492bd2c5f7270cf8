package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/seed-5d77b939/porter"
)

func withTransfers(int) porter.Option {
	return func() porter.Option { return porter.WithUserAgent("") }()
}

type tmpLines struct{ out io.Writer }

func (l tmpLines) begin(b begin) { fmt.Fprintln(l.out, "begin", len(b.Projects), b.Bound) }
func (l tmpLines) change(p project) {
	fmt.Fprintln(l.out, time.Now().Format("05.000"), p.Name, p.Step, p.Err)
}
func (l tmpLines) event(p project, e porter.Event) {
	if e.Kind == porter.EventPaced {
		fmt.Fprintln(l.out, p.Name, "paced", e.Delay)
	}
}
func (l tmpLines) end(p []project, d time.Duration) {}

func newScreen(out *os.File) view { return tmpLines{out} }
func newLines(out io.Writer) view { return tmpLines{out} }
func newJSON(out io.Writer) view  { return tmpLines{out} }
func newMetrics(file string) view { return views{} }
func writeSummary(w io.Writer, projects []project, elapsed time.Duration) {
	n := map[step]int{}
	for _, p := range projects {
		n[p.Step]++
	}
	fmt.Fprintln(w, n, elapsed)
}
