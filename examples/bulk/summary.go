package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
)

// totals are what a run has come to.
type totals struct {
	counts  counts
	earlier int            // done by an earlier run
	bytes   int64          // of the archives of this one
	codes   map[string]int // how many failed with each
}

func sum(projects []project) totals {
	t := totals{counts: counts{}, codes: map[string]int{}}
	for _, p := range projects {
		t.counts[p.Step]++
		switch {
		case p.Earlier:
			t.earlier++
		case p.Step == stepDone, p.Step == stepIncomplete:
			t.bytes += p.Bytes
		case p.Step == stepFailed:
			t.codes[codeOf(p.Err)]++
		}
	}
	return t
}

// writeSummary says what became of every project, the worst first.
func writeSummary(w io.Writer, projects []project, elapsed time.Duration) {
	by := map[step][]project{}
	for _, p := range projects {
		s := p.Step
		if !s.ended() && s != stepWaiting {
			s = stepInterrupted
		}
		by[s] = append(by[s], p)
	}
	if failed := by[stepFailed]; len(failed) > 0 {
		fmt.Fprintf(w, "Failed: %d\n", len(failed))
		for _, f := range failures(failed) {
			f.write(w)
		}
		fmt.Fprintln(w)
	}
	if there := by[stepIncomplete]; len(there) > 0 {
		fmt.Fprintf(w, "Incomplete, there but not all of it: %d\n", len(there))
		for _, p := range there {
			fmt.Fprintf(w, "  %s: %s\n", title(p), cli.Printable(cmp.Or(strings.Join(p.Lost, "; "), "GitLab does not say what is missing")))
		}
		fmt.Fprintln(w)
	}
	writeUnproven(w, projects)
	if left := by[stepInterrupted]; len(left) > 0 {
		fmt.Fprintf(w, "Interrupted, GitLab goes on with what it has begun: %d\n", len(left))
		writeNames(w, left)
	}
	if left := by[stepWaiting]; len(left) > 0 {
		fmt.Fprintf(w, "Not begun: %d\n", len(left))
		writeNames(w, left)
	}
	writeCounts(w, by, sum(projects), elapsed)
}

// writeUnproven says of what it is not known whether it is complete.
func writeUnproven(w io.Writer, projects []project) {
	by := map[string][]project{}
	n := 0
	for _, p := range projects {
		if len(p.Unproven) > 0 {
			what := strings.Join(p.Unproven, ", ")
			by[what] = append(by[what], p)
			n++
		}
	}
	if n == 0 {
		return
	}
	fmt.Fprintf(w, "Not wholly proven, because not all could be counted: %d\n", n)
	for _, what := range slices.Sorted(maps.Keys(by)) {
		fmt.Fprintf(w, "  %s\n", cli.Printable(what))
		names(w, "    ", by[what])
	}
	fmt.Fprintln(w)
}

func writeCounts(w io.Writer, by map[step][]project, t totals, elapsed time.Duration) {
	parts := []string{fmt.Sprintf("%d done", len(by[stepDone]))}
	for _, c := range []struct {
		of   step
		text string
	}{{stepIncomplete, "incomplete"}, {stepInterrupted, "interrupted"}, {stepWaiting, "not begun"}, {stepFailed, "failed"}} {
		if n := len(by[c.of]); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, c.text))
		}
	}
	text := strings.Join(parts, ", ")
	if t.earlier > 0 {
		text += fmt.Sprintf("; %d of them by an earlier run", t.earlier)
	}
	fmt.Fprintf(w, "%s. %s in %s.\n", text, cli.Size(t.bytes), elapsed.Round(time.Second))
}

// A failure is what went wrong with some projects in the same way.
type failure struct {
	text      string
	retryable bool
	projects  []project
}

// failures puts equal ones together, the most frequent first. It tells the
// numbers of the first.
func failures(failed []project) []*failure {
	var all []*failure
	of := map[string]*failure{}
	for _, p := range failed {
		_, retryable := porter.Retryable(p.Err)
		text := withoutNames(p)
		id := fmt.Sprint(codeOf(p.Err), retryable, numbers.ReplaceAllString(text, "0"))
		if of[id] == nil {
			of[id] = &failure{text: text, retryable: retryable && p.Err != nil}
			all = append(all, of[id])
		}
		of[id].projects = append(of[id].projects, p)
	}
	slices.SortStableFunc(all, func(a, b *failure) int { return len(b.projects) - len(a.projects) })
	return all
}

func (f *failure) write(w io.Writer) {
	hint := ""
	if f.retryable {
		hint = " (worth another run)"
	}
	if len(f.projects) == 1 {
		p := f.projects[0]
		fmt.Fprintf(w, "  %s: %s%s\n", title(p), why(p), hint)
		return
	}
	fmt.Fprintf(w, "  %d times: %s%s\n", len(f.projects), f.text, hint)
	names(w, "    ", f.projects)
}

func why(p project) string {
	if p.Err == nil {
		return "for an unknown reason"
	}
	return cli.Printable(p.Err.Error())
}

// asides are what makes errors differ that are the same, and so do numbers:
// of projects, bytes, times.
var (
	asides  = regexp.MustCompile(` \((request|correlation ID|status|no status seen) [^)]*\)`)
	numbers = regexp.MustCompile(`\d+`)
)

// withoutNames returns why a project failed, without what is its own.
func withoutNames(p project) string {
	text := asides.ReplaceAllString(why(p), "")
	own := []string{p.File, p.Target, p.Name}
	if p.ID > 0 {
		own = append(own, p.ID.String())
	}
	slices.SortStableFunc(own, func(a, b string) int { return len(b) - len(a) })
	for _, s := range own {
		for _, form := range []string{s, s, url.PathEscape(s), url.PathEscape(s)} {
			text = replaceWord(text, cli.Printable(form))
		}
	}
	return text
}

// replaceWord puts "…" for a name, where it is not a part of another word. Of
// two that share a separator it finds the first.
func replaceWord(text, name string) string {
	if name == "" || !strings.Contains(text, name) { // to compile takes longer than to look
		return text
	}
	word := regexp.MustCompile(`(^|[^\pL\pN._-])` + regexp.QuoteMeta(name) + `($|[^\pL\pN_-])`)
	return word.ReplaceAllString(text, "${1}…${2}")
}

// summaryWidth is how long the lines with names get.
const summaryWidth = 100

func writeNames(w io.Writer, projects []project) {
	names(w, "  ", projects)
	fmt.Fprintln(w)
}

// names names projects, as many in a line as fit.
func names(w io.Writer, indent string, projects []project) {
	line := indent
	for i, p := range projects {
		name := cli.Printable(p.Name)
		if i < len(projects)-1 {
			name += ","
		}
		if line != indent && columns(line)+columns(name) > summaryWidth {
			fmt.Fprintln(w, strings.TrimRight(line, " "))
			line = indent
		}
		line += name + " "
	}
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}
