package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed-5d77b939/porter"
)

// allSteps are the steps in their order.
var allSteps = []step{
	stepWaiting, stepExporting, stepDownloading, stepMoving, stepImporting, stepDone, stepIncomplete, stepInterrupted, stepFailed,
}

// A tally is what the views of a running run know of it.
type tally struct {
	begin
	began    time.Time
	projects map[key]*known
	counts   counts
	begun    map[step][]time.Time // when exports and imports began, of late
	grid     time.Time            // when some minute of GitLab's limits begins
	ends     []time.Time          // when projects ended, in this run
}

type key struct{ name, target string }

// counts are how many projects are in each step.
type counts map[step]int

// String leaves out the steps without projects: "waiting 3, done 4".
func (c counts) String() string {
	var parts []string
	for _, s := range allSteps {
		if n := c[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", s, n))
		}
	}
	return strings.Join(parts, ", ")
}

func (c counts) ended() (n int) {
	for s, m := range c {
		if s.ended() {
			n += m
		}
	}
	return n
}

// known is what is known of one project.
type known struct {
	project
	turn     time.Time // until when it waits for its turn
	again    time.Time // until when it waits to try again
	transfer transfer
}

// A transfer is one that runs.
type transfer struct {
	since        time.Time // zero if none runs
	upload       bool
	from         int64 // where it began
	bytes, total int64 // total is at most 0 if it is not known
}

// command is what the user has asked for.
func (b begin) command() string {
	if b.Migrate {
		return "migrate"
	}
	return "export"
}

func newTally(b begin) *tally {
	t := &tally{begin: b, began: time.Now(), projects: map[key]*known{}, counts: counts{}, begun: map[step][]time.Time{}}
	for _, p := range b.Projects {
		if k := t.of(p); k.Step == "" {
			k.project = p
			t.counts[p.Step]++
		}
	}
	return t
}

func (t *tally) of(p project) *known {
	id := key{p.Name, p.Target}
	if t.projects[id] == nil {
		t.projects[id] = &known{}
	}
	return t.projects[id]
}

func (t *tally) change(p project) {
	now := time.Now()
	k := t.of(p)
	switch {
	case p.Step == stepExporting && k.Step == stepWaiting && now.Sub(k.turn) < time.Minute && !k.turn.After(now):
		t.begun[p.Step] = append(t.begun[p.Step], k.turn) // it shows only when GitLab is asked for its status
	case p.Step == stepExporting && k.Step == stepWaiting, p.Step == stepImporting && k.Step == stepMoving:
		t.begun[p.Step] = append(t.begun[p.Step], now)
	case p.Step.ended() && !k.Step.ended():
		t.ends = append(t.ends, now)
	}
	if k.Step != "" {
		t.counts[k.Step]--
	}
	t.counts[p.Step]++
	*k = known{project: p}
}

func (t *tally) event(p project, ev porter.Event) {
	now := time.Now()
	k := t.of(p)
	switch ev.Kind {
	case porter.EventPaced:
		k.turn = now.Add(ev.Delay)
		if p.Step == stepWaiting {
			t.grid = k.turn
		}
	case porter.EventRetry:
		k.again = now.Add(ev.Delay)
	case porter.EventProgress:
		k.again = time.Time{}
		k.transfer.event(ev, now)
	}
}

// event takes the bytes of a transfer. A migration shows its upload once that
// has begun, because the download is ahead of it.
func (t *transfer) event(ev porter.Event, now time.Time) {
	upload := ev.Op == porter.OpUpload
	switch {
	case t.since.IsZero() || upload && !t.upload:
		*t = transfer{since: now, upload: upload, from: ev.Bytes, total: t.total}
	case t.upload && !upload:
		return
	}
	t.bytes = ev.Bytes
	if ev.Total > 0 {
		t.total = ev.Total
	}
}

// thisMinute returns how many exports or imports have begun in the minute by
// which GitLab counts. Turns come when one begins, give or take a second; until
// there was any it is that of this clock.
func (t *tally) thisMinute(s step, now time.Time) int {
	start := now.Truncate(time.Minute)
	if !t.grid.IsZero() {
		start = now.Add(-((now.Sub(t.grid)%time.Minute + time.Minute) % time.Minute))
	}
	start = start.Add(-time.Second)
	t.begun[s] = slices.DeleteFunc(t.begun[s], func(at time.Time) bool { return at.Before(start) })
	return len(t.begun[s])
}

// turns returns how many projects wait for their turn, and when the next comes.
func (t *tally) turns(now time.Time) (n int, next time.Time) {
	for _, k := range t.projects {
		if k.turn.After(now) {
			if n++; n == 1 || k.turn.Before(next) {
				next = k.turn
			}
		}
	}
	return n, next
}

// retries returns how many projects wait to try again.
func (t *tally) retries(now time.Time) (n int) {
	for _, k := range t.projects {
		if k.again.After(now) {
			n++
		}
	}
	return n
}

// transfers returns the projects of which bytes move, the oldest transfer first.
func (t *tally) transfers() []*known {
	var running []*known
	for _, k := range t.projects {
		if !k.transfer.since.IsZero() {
			running = append(running, k)
		}
	}
	slices.SortFunc(running, func(a, b *known) int {
		return cmp.Or(a.transfer.since.Compare(b.transfer.since), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Target, b.Target))
	})
	return running
}

// enough is how many projects have to end before it can be told how fast they do.
const enough = 5

// end returns when the run ends: at the earliest, by GitLab's limits, for those
// that have not begun; and about, by how fast others ended, zero while that is
// not known. A run may be slower than its limits, but not faster.
func (t *tally) end(now time.Time) (earliest, about time.Time) {
	all := 0
	for _, p := range t.begin.Projects {
		if !p.Earlier {
			all++
		}
	}
	earliest = now
	if all > 0 {
		earliest = now.Add(time.Duration(float64(t.Bound) * float64(t.counts[stepWaiting]) / float64(all)))
	}
	if len(t.ends) < enough {
		return earliest, time.Time{}
	}
	about = now.Add(t.each(now) * time.Duration(all-len(t.ends)))
	if about.Before(earliest) {
		about = earliest
	}
	return earliest, about
}

// each returns how long it takes for one more project to end, of late: at first
// few do, because GitLab works on many at a time.
func (t *tally) each(now time.Time) time.Duration {
	took := now.Sub(t.ends[0])
	late := slices.IndexFunc(t.ends, func(at time.Time) bool { return now.Sub(at) < took/2 })
	if late < 0 {
		return took / time.Duration(len(t.ends)-1)
	}
	return took / 2 / time.Duration(len(t.ends)-late)
}

// budget says how much of GitLab's limits is used, and who waits for them.
func (t *tally) budget(now time.Time) string {
	parts := []string{limited("exports", t.thisMinute(stepExporting, now), cmp.Or(t.Pacing.Exports, 6))}
	if t.Migrate {
		parts = append(parts, limited("imports", t.thisMinute(stepImporting, now), cmp.Or(t.Pacing.Imports, 6)))
	}
	text := "this minute: " + strings.Join(parts, ", ")
	if n, next := t.turns(now); n > 0 {
		text += fmt.Sprintf("; next turn in %s, %d in line", span(next.Sub(now)), n)
	}
	if n := t.retries(now); n > 0 {
		text += fmt.Sprintf("; retrying %d", n)
	}
	return text
}

func limited(what string, n, limit int) string {
	if limit < 0 {
		return fmt.Sprintf("%s %d", what, n)
	}
	return fmt.Sprintf("%s %d of %d", what, n, limit)
}

// forecast says when the run ends, as far as that can be known.
func (t *tally) forecast(now time.Time) string {
	earliest, about := t.end(now)
	switch {
	case about.IsZero() && !earliest.After(now):
		return "too early to say when it ends"
	case about.IsZero():
		return "ends at " + moment(earliest, now) + " at the earliest, by GitLab's limits"
	}
	return "ends at about " + moment(about, now)
}
