package main

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
)

// waitingFor returns a tally of so many projects that wait, by limits of an hour.
func waitingFor(n int) (*tally, []project) {
	var projects []project
	for i := range n {
		projects = append(projects, project{Name: fmt.Sprint(i), Step: stepWaiting})
	}
	return newTally(begin{Projects: slices.Clone(projects), Bound: time.Hour}), projects
}

// Until enough has ended only the limits are told, and the end is never told
// earlier than they allow.
func TestForecast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tally, projects := waitingFor(60)
		end := func(i int, to step) {
			projects[i].Step = to
			tally.change(projects[i])
		}
		want := func(text string) {
			t.Helper()
			if got := tally.forecast(time.Now()); got != text {
				t.Errorf("after %s: %s, want %s", time.Since(tally.began), got, text)
			}
		}
		want("ends at 01:00 (in 1h0m) at the earliest, by GitLab's limits")
		for i := range 4 {
			end(i, stepFailed) // at once, so that it says nothing of the others
		}
		want("ends at 00:56 (in 56m) at the earliest, by GitLab's limits")
		end(4, stepFailed)
		want("ends at about 00:55 (in 55m)")
		for i := range 25 {
			time.Sleep(2 * time.Minute)
			end(5+i, stepDone)
		}
		want("ends at about 01:47 (in 58m)") // 13 in the last 25 minutes, 30 to go
		for i := range 30 {
			end(30+i, stepExporting)
		}
		time.Sleep(24 * time.Hour) // of which nobody knew
		want("ends at about 3 Jan 02:31 (in 25h41m)")
		for i := range 30 {
			end(30+i, stepDone)
		}
		want("ends at about 00:50 (in 0s)")
	})
}

// A run that an earlier one has done has nothing to wait for.
func TestForecastOfNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tally := newTally(begin{Projects: []project{{Name: "a", Step: stepDone, Earlier: true}}, Bound: time.Hour})
		if got := tally.forecast(time.Now()); got != "too early to say when it ends" {
			t.Error(got)
		}
	})
}

func TestBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		projects := []project{{Name: "a", Target: "x/a", Step: stepWaiting}, {Name: "b", Target: "x/b", Step: stepWaiting}}
		tally := newTally(begin{Migrate: true, Projects: slices.Clone(projects), Pacing: porter.Pacing{Exports: 30, Imports: -1}})
		want := func(text string) {
			t.Helper()
			if got := tally.budget(time.Now()); got != text {
				t.Errorf("%s, want %s", got, text)
			}
		}
		change := func(i int, to step) {
			projects[i].Step = to
			tally.change(projects[i])
		}
		want("this minute: exports 0 of 30, imports 0")
		tally.event(projects[1], porter.Event{Kind: porter.EventPaced, Delay: 90 * time.Second}) // minutes begin at 30 s
		tally.event(projects[0], porter.Event{Kind: porter.EventRetry, Delay: 10 * time.Second})
		want("this minute: exports 0 of 30, imports 0; next turn in 1m30s, 1 in line; retrying 1")
		change(0, stepExporting)
		want("this minute: exports 1 of 30, imports 0; next turn in 1m30s, 1 in line")
		time.Sleep(30 * time.Second)
		want("this minute: exports 0 of 30, imports 0; next turn in 1m0s, 1 in line")
		change(0, stepMoving)
		change(0, stepImporting)
		want("this minute: exports 0 of 30, imports 1; next turn in 1m0s, 1 in line")
		time.Sleep(65 * time.Second)
		change(1, stepExporting) // which began with its turn, 5 s ago
		want("this minute: exports 1 of 30, imports 0")
		time.Sleep(54 * time.Second)
		want("this minute: exports 1 of 30, imports 0")
		time.Sleep(time.Second + time.Millisecond)
		want("this minute: exports 0 of 30, imports 0")
	})
}

// A migration shows its upload, once that has begun.
func TestTransferOfMigration(t *testing.T) {
	t.Parallel()
	progress := func(op porter.Op, n, total int64) porter.Event {
		return porter.Event{Kind: porter.EventProgress, Op: op, Bytes: n, Total: total}
	}
	down, up := porter.OpDownload, porter.OpUpload
	for _, tt := range []struct {
		events []porter.Event
		want   int64
	}{
		{[]porter.Event{progress(down, 5, 10)}, 5},
		{[]porter.Event{progress(down, 5, 10), progress(down, 2, 10)}, 2},
		{[]porter.Event{progress(down, 5, 10), progress(up, 1, -1), progress(down, 8, 10)}, 1},
		{[]porter.Event{progress(up, 5, 10), progress(up, 0, 10)}, 0},
	} {
		p := project{Name: "a/b", Target: "x/b", Step: stepMoving}
		tally := newTally(begin{Migrate: true, Projects: []project{p}})
		for _, ev := range tt.events {
			tally.event(p, ev)
		}
		if got := tally.transfers()[0].transfer; got.bytes != tt.want || got.total != 10 {
			t.Errorf("%v: %d of %d, want %d of 10", tt.events, got.bytes, got.total, tt.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"group/app":          "group/app",
		"a\x1b[2J\x07\nb\tc": "a?[2J? b c",
		"\u202egnp.exe":      "?gnp.exe",
		"日本 é":               "日本 é",
		"\xff\xfe":           "??",
	} {
		if got := printable(s); got != want {
			t.Errorf("printable(%q) = %q, want %q", s, got, want)
		}
	}
	for columns, want := range map[int]string{0: "", 1: "…", 4: "日…", 5: "日本…", 6: "日本語", -3: ""} {
		if got := cut("日本語", columns); got != want {
			t.Errorf("%d columns: %q, want %q", columns, got, want)
		}
	}
}
