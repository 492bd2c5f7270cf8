package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
)

func TestSummary(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tell(views{})
		s.middle()
		s.finish()
		var out bytes.Buffer
		writeSummary(&out, s.projects, 100*time.Second)
		wantText(t, out.String(), `
Failed: 1
  group/gone: schedule export of group/gone: POST /api/v4/projects/group%2Fgone/export: 404 Project Not Found (request 01Hgone)

Incomplete, there but not all of it: 1
  group/site: 2 issues; 1 label

Interrupted, GitLab goes on with what it has begun: 1
  group/lib

Not begun: 2
  group/docs, group/last

2 done, 1 incomplete, 1 interrupted, 2 not begun, 1 failed; 1 of them by an earlier run. 20.0 MiB in 1m40s.
`)
	})
}

func TestSummaryOfNothing(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	writeSummary(&out, nil, 0)
	wantText(t, out.String(), "0 done. 0.0 B in 0s.\n")
}

func TestSummaryOfProof(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	writeSummary(&out, []project{
		{Name: "a/b", Step: stepDone, Unproven: []string{"pipelines", "repository"}},
		{Name: "a/c", Step: stepDone},
		{Name: "a/d", Step: stepIncomplete, Lost: []string{"100 of 250 issues lost in the export"},
			Unproven: []string{"pipelines", "repository"}},
		{Name: "a/e", Step: stepDone, Earlier: true, Unproven: []string{"labels"}},
	}, time.Minute)
	wantText(t, out.String(), `
Incomplete, there but not all of it: 1
  a/d: 100 of 250 issues lost in the export

Not wholly proven, because not all could be counted: 3
  labels
    a/e
  pipelines, repository
    a/b, a/d

3 done, 1 incomplete; 1 of them by an earlier run. 0.0 B in 1m0s.
`)
}

// Failures that differ in what is the project's own are one, with all names.
func TestSummaryGroups(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		projects := many(views{}, 300)
		projects = append(projects,
			project{Name: "7", ID: 7, Target: "new/seven", Step: stepFailed, Err: &porter.WaitError{Op: "import", Project: "new/seven",
				Err: fmt.Errorf("project 7: %w", porter.ErrStalled)}},
			project{Name: "8", ID: 8, Target: "new/eight", Step: stepFailed, Err: &porter.WaitError{Op: "import", Project: "new/eight",
				Polls: 12, Status: "started", Elapsed: time.Hour,
				Err: fmt.Errorf("project 8: %w", porter.ErrStalled)}},
			project{Name: "big", Step: stepFailed, Err: fmt.Errorf("%w: 10 bytes at 2026-11-26T23:00:00Z", porter.ErrTooLarge)},
			project{Name: "bigger", Step: stepFailed, Err: fmt.Errorf("%w: 1000 bytes at 2026-11-27T01:00:00Z", porter.ErrTooLarge)},
			project{Name: "x", Step: stepFailed},
			project{Name: "y", Step: stepExporting, Err: context.Canceled},
		)
		var out bytes.Buffer
		writeSummary(&out, projects, time.Hour)
		text := out.String()
		if got := strings.Count(text, "404 Project Not Found"); got != 1 {
			t.Errorf("the error of all is told %d times", got)
		}
		for i := range 300 {
			if name := fmt.Sprintf("group/p%03d", i); strings.Count(text, name) != 1 {
				t.Errorf("%s is there %d times", name, strings.Count(text, name))
			}
		}
		head := `
Failed: 305
  300 times: schedule export of …: POST /api/v4/projects/…/export: 404 Project Not Found
    group/p000, group/p001, group/p002, group/p003, group/p004, group/p005, group/p006, group/p007,
`
		tail := `
  2 times: wait for import of …: project …: stalled: no byte moved within the stall timeout (worth another run)
    7, 8
  2 times: archive too large: 10 bytes at 2026-11-26T23:00:00Z
    big, bigger
  x: for an unknown reason

Interrupted, GitLab goes on with what it has begun: 1
  y

0 done, 1 interrupted, 305 failed. 0.0 B in 1h0m0s.
`
		if !strings.HasPrefix(text, head[1:]) || !strings.HasSuffix(text, tail) {
			t.Errorf("got:\n%s\nwant:%s    …%s", text, head, tail)
		}
	})
}

// What is a part of another word is not the project's own.
func TestWithoutNames(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"port", "export of port failed", "export of … failed"},
		{"a/b", "x a/b/c a/b: /projects/a%2Fb/export a/bc", "x …/c …: /projects/…/export a/bc"},
		{"404", "project 404: 4040", "project …: 4040"},
		{"a", "a a a", "… … …"},
		{"a.b", "axb a.b.", "axb …."},
		{"", "as it is", "as it is"},
	} {
		if got := withoutNames(project{Name: tt.name, Err: fmt.Errorf("%s", tt.text)}); got != tt.want {
			t.Errorf("%q in %q: %q, want %q", tt.name, tt.text, got, tt.want)
		}
	}
}
