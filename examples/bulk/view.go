package main

import (
	"time"

	"github.com/seed-5d77b939/porter"
)

// A step is how far the work on a project has come.
type step string

// The steps, in their order; those from done on are ends.
const (
	stepWaiting     step = "waiting" // not begun
	stepExporting   step = "exporting"
	stepDownloading step = "downloading" // bulk export
	stepMoving      step = "moving"      // bulk migrate: downloading and uploading
	stepImporting   step = "importing"
	stepDone        step = "done"
	stepIncomplete  step = "incomplete"  // there, but not all of it
	stepInterrupted step = "interrupted" // GitLab goes on with it
	stepFailed      step = "failed"
)

func (s step) ended() bool {
	switch s {
	case stepDone, stepIncomplete, stepInterrupted, stepFailed:
		return true
	}
	return false
}

// A project is the work on one project, as views show it.
type project struct {
	Name    string           // as the user gave it, or its path if a group was listed
	Target  string           // full path at the destination; empty for an export
	File    string           // of the archive; empty for a migration
	ID      porter.ProjectID // 0 if not known
	Step    step
	Earlier bool      // it was done by an earlier run, says the journal
	Begun   time.Time // zero if it has not
	Ended   time.Time // zero if it has not
	Bytes   int64     // of the archive, once it is known
	Lost    []string  // what is incomplete, for people
	// Unproven is of what -prove could not tell whether it is complete.
	Unproven []string
	Err      error // why it failed or was interrupted
}

// A view shows a run. Its methods are called one at a time. It knows a project
// by its Name and Target, which do not change.
type view interface {
	begin(begin)                  // once, before any work
	change(project)               // a project has come to another step
	event(project, porter.Event)  // what the library tells meanwhile
	end([]project, time.Duration) // once; in the order in which the projects were given
}

// begin is what is known before any work.
type begin struct {
	Migrate  bool
	Projects []project     // in the order given; those that an earlier run has done are done
	Bound    time.Duration // how long GitLab's limits make it at least
	Pacing   porter.Pacing // of the clients; 0 is the default, negative no limit
}

// views are several of them.
type views []view

func (vs views) begin(b begin) {
	for _, v := range vs {
		v.begin(b)
	}
}

func (vs views) change(p project) {
	for _, v := range vs {
		v.change(p)
	}
}

func (vs views) event(p project, ev porter.Event) {
	for _, v := range vs {
		v.event(p, ev)
	}
}

func (vs views) end(projects []project, elapsed time.Duration) {
	for _, v := range vs {
		v.end(projects, elapsed)
	}
}
