package portertest

import (
	"net/url"
	"slices"
	"time"
)

// FailedRelation is an item that an import could not restore.
type FailedRelation struct {
	RelationName     string
	LineNumber       int // of the item, from 0; a negative one is sent as null
	Source           string
	ExceptionClass   string
	ExceptionMessage string // sent by old versions only
}

// ImportScript says how one import goes.
type ImportScript struct {
	// Error makes the import fail. It is the whole import_error.
	Error           string
	FailedRelations []FailedRelation
	// LoseItems is how many records of a relation, such as "issues", the import
	// leaves out. It tells of those that are in FailedRelations.
	LoseItems map[string]int
	Disabled  []string // features that are off in the new project, as in Project
	Canceled  bool     // the import ends as canceled
	Stuck     bool     // the import is never picked up

	Timing *Timings // how long it takes, if not what the server says
}

// importJob is the import that made a project.
type importJob struct {
	script      ImportScript
	project     *project
	user        *user
	correlation string
	overrides   url.Values
	upload      upload
	original    string // the path that it is to take over from another project

	started  time.Time
	ended    time.Time // zero until it is known
	fetched  time.Time // when an import by URL ends if that is no slower
	err      string    // of a failed import
	failures []failure
}

// failure is a FailedRelation on record.
type failure struct {
	FailedRelation
	id int64
	at time.Time
}

func (j *importJob) status(now time.Time) string {
	switch {
	case reached(j.ended, now) && j.err != "":
		return "failed"
	case reached(j.ended, now) && j.script.Canceled:
		return "canceled"
	case reached(j.ended, now):
		return "finished"
	case reached(j.started, now):
		return "started"
	}
	return "scheduled"
}

func (j *importJob) errorAt(now time.Time) string {
	if !reached(j.ended, now) {
		return ""
	}
	return j.err
}

// failuresAt returns at most 100 failures, the newest first.
func (j *importJob) failuresAt(now time.Time) []failure {
	if !reached(j.ended, now) {
		return nil
	}
	fs := slices.Clone(j.failures)
	slices.Reverse(fs)
	return fs[:min(len(fs), 100)]
}
