package portertest

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// FailedRelation is an item that an import could not restore.
type FailedRelation struct {
	RelationName     string
	LineNumber       int // 0 is sent as null
	Source           string
	ExceptionClass   string
	ExceptionMessage string // sent by old versions only
}

// ImportScript says how one import goes.
type ImportScript struct {
	// Error makes the import fail. It is the whole import_error.
	Error           string
	FailedRelations []FailedRelation
	Canceled        bool // the import ends as canceled
	Stuck           bool // the import is never picked up

	Timing *Timings // how long it takes, if not what the server says
}

// ScriptImport sets how the next imports to a full path go, one script each;
// those for "" are for any path that has none of its own.
func (s *Server) ScriptImport(path string, scripts ...ImportScript) {
	s.lock()
	defer s.unlock()
	key := strings.ToLower(strings.Trim(path, "/"))
	s.importScripts[key] = append(s.importScripts[key], scripts...)
}

func (s *Server) importScript(path string) ImportScript {
	for _, key := range []string{strings.ToLower(path), ""} {
		if q := s.importScripts[key]; len(q) > 0 {
			s.importScripts[key] = q[1:]
			return q[0]
		}
	}
	return ImportScript{}
}

// importJob is the import that made a project.
type importJob struct {
	script      ImportScript
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
	settled  bool
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

func (j *importJob) failedAt(now time.Time) []FailedRelation {
	var rs []FailedRelation
	for _, f := range j.failuresAt(now) {
		rs = append(rs, f.FailedRelation)
	}
	return rs
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

// planImport sets the times of an import and what becomes of it.
func (s *Server) planImport(p *project, now time.Time) {
	j := p.imp
	t := s.cfg.timings
	if j.script.Timing != nil {
		t = *j.script.Timing
	}
	j.started = now.Add(t.ImportQueue)
	j.ended = j.started.Add(t.Import)
	for _, f := range j.script.FailedRelations {
		s.lastFailure++
		j.failures = append(j.failures, failure{f, s.lastFailure, j.ended})
	}
	switch {
	case j.script.Error != "":
		j.err = j.script.Error
	case j.script.Canceled:
	case j.upload.problem != nil:
		j.err = importFailure(p, j.upload.problem.Error())
	case j.user.bot:
		j.err = importFailure(p, "Error adding importer user to Project members. Validation failed: User project bots cannot be added to other groups / projects")
	}
	// The sweep that ends what takes too long.
	patience := 24 * time.Hour
	if !s.cfg.atLeast(14, 1) {
		patience = 15 * time.Hour
	}
	sweep := nextMinuteOfHour(now.Add(patience), 15)
	if j.script.Stuck {
		j.started = time.Time{}
	}
	if j.script.Stuck || j.ended.After(sweep) {
		j.ended = sweep
		j.err = fmt.Sprintf("Import timed out. Import took longer than %d seconds", int(patience.Seconds()))
	} else if j.upload.from != "" {
		j.fetched, j.ended = j.ended, time.Time{}
		s.planErrand(j.started, func() { s.fetch(p) })
	}
}

// filtered is what GitLab hides from an import_error: all that looks like a path.
var filtered = regexp.MustCompile(`[^\s]*/[^\s]*`)

func importFailure(p *project, detail string) string {
	// The two spaces are left by an empty URL.
	return fmt.Sprintf("Error importing repository  into %s - %s", p.fullPath(), filtered.ReplaceAllString(detail, "[FILTERED]"))
}

// settleImports does what the end of an import does to projects.
func (s *Server) settleImports() {
	for _, p := range s.sortedProjects() {
		j := p.imp
		if j == nil || j.settled || !reached(j.ended, s.now()) {
			continue
		}
		j.settled = true
		if j.err == "" && !j.script.Canceled {
			s.finishImport(p)
		}
	}
}

func (s *Server) finishImport(p *project) {
	j := p.imp
	if d, ok := j.overrides["description"]; ok {
		p.description = d[0]
	}
	if v := j.overrides.Get("visibility"); v != "" && !slices.Contains(s.cfg.restricted, v) {
		p.visibility = v
	}
	if j.original == "" {
		return
	}
	old := s.projectAt(p.ns.path + "/" + j.original)
	switch {
	case old == nil:
	case p.ns.role(j.user) < Owner:
		j.err = importFailure(p, fmt.Sprintf("User %s (%d) cannot overwrite a project in %s", j.user.username, j.user.id, p.ns.base()))
	default:
		delete(s.projects, old.id) // renamed, and queued for deletion
		p.path, p.name = old.path, old.name
	}
}
