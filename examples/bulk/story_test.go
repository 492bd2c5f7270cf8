package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/seed-5d77b939/porter"
)

// Golden texts have times of day in them, and were cut as in a Western locale.
func init() {
	time.Local = time.UTC
	runewidth.DefaultCondition.EastAsianWidth = false
}

// golden returns what a view should show of the story.
func golden(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// notFound is GitLab's answer to the export of a project that is not there.
func notFound(path string) error {
	return fmt.Errorf("schedule export of group/%s: %w", path, &porter.APIError{
		StatusCode: 404, Method: "POST", URL: "https://gitlab.example.com/api/v4/projects/group%2F" + path + "/export",
		Message: "404 Project Not Found", RequestID: "01H" + path,
	})
}

// A story is a run that a view is told, and goes on as far as a test wants it to.
// It needs a bubble of testing/synctest.
type story struct {
	view     view
	projects []project
	began    time.Time
}

// tell begins a run of seven exports, of which an earlier run has done one.
func tell(v view) *story {
	s := &story{view: v, began: time.Now()}
	for _, name := range []string{"old", "app", "site", "gone", "lib", "docs", "last"} {
		s.projects = append(s.projects, project{Name: "group/" + name, File: "group/" + name + ".tar.gz", Step: stepWaiting})
	}
	s.projects[0].Step, s.projects[0].Earlier, s.projects[0].Bytes = stepDone, true, 1<<30
	v.begin(begin{Projects: append([]project(nil), s.projects...), Bound: time.Hour})
	return s
}

// at lets the time pass until so long after the beginning.
func (s *story) at(d time.Duration) { time.Sleep(time.Until(s.began.Add(d))) }

// project returns the one of this name.
func (s *story) project(name string) *project {
	for i := range s.projects {
		if s.projects[i].Name == "group/"+name {
			return &s.projects[i]
		}
	}
	panic(name)
}

func (s *story) change(name string, to step, set func(*project)) {
	p := s.project(name)
	p.Step = to
	if p.Begun.IsZero() {
		p.Begun = time.Now()
	}
	if to.ended() {
		p.Ended = time.Now()
	}
	if set != nil {
		set(p)
	}
	s.view.change(*p)
}

func (s *story) event(name string, ev porter.Event) {
	ev.Project = "group/" + name
	s.view.event(*s.project(name), ev)
}

// middle tells the first 92 seconds.
func (s *story) middle() {
	s.event("site", porter.Event{Kind: porter.EventPaced, Delay: 30 * time.Second})
	s.event("lib", porter.Event{Kind: porter.EventPaced, Delay: 30 * time.Second})
	s.event("docs", porter.Event{Kind: porter.EventPaced, Delay: 150 * time.Second})
	s.at(time.Second)
	s.change("app", stepExporting, nil)
	bad := &porter.APIError{StatusCode: 502, Method: "GET", URL: "https://gitlab.example.com/api/v4/projects/group%2Fapp/export"}
	s.event("app", porter.Event{Kind: porter.EventRetry, Attempt: 1, Delay: 2 * time.Second, Err: bad})
	s.event("app", porter.Event{Kind: porter.EventRetry, Attempt: 2, Delay: 4 * time.Second, Err: bad})
	s.at(10 * time.Second)
	s.change("gone", stepFailed, func(p *project) { p.Err = notFound("gone") })
	s.at(35 * time.Second)
	s.change("site", stepExporting, nil)
	s.at(52 * time.Second)
	s.change("lib", stepExporting, nil)
	s.at(90 * time.Second)
	s.change("app", stepDownloading, nil)
	s.event("app", porter.Event{Kind: porter.EventProgress, Bytes: 0, Total: 20 << 20})
	s.at(92 * time.Second)
	s.event("app", porter.Event{Kind: porter.EventProgress, Bytes: 5 << 20, Total: 20 << 20})
}

// finish tells the rest: an interruption, at 100 seconds.
func (s *story) finish() {
	s.at(95 * time.Second)
	s.change("app", stepDone, func(p *project) { p.ID, p.Bytes = 42, 20<<20 })
	s.change("site", stepIncomplete, func(p *project) { p.Lost = []string{"2 issues", "1 label"} })
	s.at(100 * time.Second)
	ended := fmt.Errorf("wait for export of group/lib: %w", context.Canceled)
	s.change("lib", stepInterrupted, func(p *project) { p.Err = ended })
	s.view.end(s.projects, time.Since(s.began))
}

// many tells of a run of so many projects that all fail alike, one each second.
func many(v view, n int) []project {
	var projects []project
	for i := range n {
		projects = append(projects, project{Name: fmt.Sprintf("group/p%03d", i), Step: stepWaiting})
	}
	v.begin(begin{Projects: append([]project(nil), projects...)})
	for i := range projects {
		time.Sleep(time.Second)
		p := &projects[i]
		p.Step, p.Err = stepFailed, notFound(fmt.Sprintf("p%03d", i))
		v.change(*p)
	}
	v.end(projects, time.Duration(n)*time.Second)
	return projects
}

var errNoDisk = errors.New("no disk")
