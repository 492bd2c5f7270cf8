package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/seed-5d77b939/porter"
)

// codes are the stable codes of errors. The first that matches is an error's,
// so those that say more come first.
var codes = []struct {
	code    string
	matches func(error) bool
}{
	{"outcome_unknown", is(porter.ErrOutcomeUnknown)},
	{"wrong_namespace", is(porter.ErrWrongNamespace)},
	{"will_fail", is(porter.ErrWillFail)},
	{"project_exists", is(porter.ErrProjectExists)},
	{"export_failed", as[*porter.ExportError]},
	{"import_failed", as[*porter.ImportError]},
	{"archive_damaged", is(porter.ErrArchiveDamaged)},
	{"archive_changed", is(porter.ErrArchiveChanged)},
	{"unimportable", is(porter.ErrUnimportable)},
	{"not_archive", is(porter.ErrNotArchive)},
	{"too_large", is(porter.ErrTooLarge)},
	{"source_consumed", is(porter.ErrSourceConsumed)},
	{"export_in_progress", is(porter.ErrExportInProgress)},
	{"export_not_ready", is(porter.ErrExportNotReady)},
	{"export_expired", is(porter.ErrExportExpired)},
	{"rate_limited", is(porter.ErrRateLimited)},
	{"unauthorized", is(porter.ErrUnauthorized)},
	{"forbidden", is(porter.ErrForbidden)},
	{"not_found", is(porter.ErrNotFound)},
	{"conflict", is(porter.ErrConflict)},
	{"api_error", as[*porter.APIError]},
	{"stalled", is(porter.ErrStalled)},
	{"no_answer", is(porter.ErrNoAnswer)},
	{"disk_full", is(syscall.ENOSPC)},
	{"file_error", as[*fs.PathError]},
	{"timeout", is(context.DeadlineExceeded)},
	{"canceled", is(context.Canceled)},
	{"other", func(error) bool { return true }},
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func as[E error](err error) bool { return errors.As(err, new(E)) }

func codeOf(err error) string {
	for _, c := range codes {
		if c.matches(err) {
			return c.code
		}
	}
	return ""
}

// jsonHelp is what the help says of -json.
const jsonHelp = `-json writes one JSON object a line to standard output, each with "type" and
"time" (RFC 3339). Fields that are empty are left out, and more may be added.

  begin    command, projects, earlier (done by an earlier run), bound_seconds
           (how long GitLab's limits make it at least)
  project  a project has come to another step, or was in it at the beginning or
           the end: project, target, file, id, step, earlier, begun, ended,
           bytes, lost (texts), unproven (what -prove could not count), error
  turn     it waits for its turn: project, target, step, delay_seconds
  retry    it is tried again: project, target, step, delay_seconds, error
  summary  the last line: projects, earlier, steps (how many there are in each),
           errors (how many failed with each code), bytes, elapsed_seconds

A step is one of waiting, exporting, downloading, moving, importing, done,
incomplete, interrupted and failed. An error has code, message, retryable
(whether it is worth another run) and after_seconds (not before; 0 is unknown).
Codes, of which the first that fits is given:

  outcome_unknown wrong_namespace will_fail project_exists export_failed
  import_failed archive_damaged archive_changed unimportable not_archive
  too_large source_consumed export_in_progress export_not_ready export_expired
  rate_limited unauthorized forbidden not_found conflict api_error stalled
  no_answer disk_full file_error timeout canceled other

`

// jsonView writes a run for programs.
type jsonView struct {
	out    *json.Encoder
	stderr io.Writer
	err    error // of the first line that could not be written
	known  map[key]step
}

func newJSON(out io.Writer) view {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	return &jsonView{out: enc, stderr: os.Stderr, known: map[key]step{}}
}

type jsonHead struct {
	Type string    `json:"type"`
	Time time.Time `json:"time"`
}

type jsonBegin struct {
	jsonHead
	Command  string  `json:"command"`
	Projects int     `json:"projects"`
	Earlier  int     `json:"earlier"`
	Bound    float64 `json:"bound_seconds"`
}

type jsonName struct {
	Project string `json:"project"`
	Target  string `json:"target,omitempty"`
	Step    step   `json:"step"`
}

type jsonProject struct {
	jsonHead
	jsonName
	File     string           `json:"file,omitempty"`
	ID       porter.ProjectID `json:"id,omitempty"`
	Earlier  bool             `json:"earlier,omitempty"`
	Begun    time.Time        `json:"begun,omitzero"`
	Ended    time.Time        `json:"ended,omitzero"`
	Bytes    int64            `json:"bytes,omitempty"`
	Lost     []string         `json:"lost,omitempty"`
	Unproven []string         `json:"unproven,omitempty"`
	Error    *jsonError       `json:"error,omitempty"`
}

type jsonError struct {
	Code      string  `json:"code"`
	Message   string  `json:"message"`
	Retryable bool    `json:"retryable"`
	After     float64 `json:"after_seconds"`
}

// A jsonWait is what a project waits for.
type jsonWait struct {
	jsonHead
	jsonName
	Delay float64    `json:"delay_seconds"`
	Error *jsonError `json:"error,omitempty"`
}

type jsonSummary struct {
	jsonHead
	Projects int            `json:"projects"`
	Earlier  int            `json:"earlier"`
	Steps    counts         `json:"steps"`
	Errors   map[string]int `json:"errors"`
	Bytes    int64          `json:"bytes"`
	Elapsed  float64        `json:"elapsed_seconds"`
}

func (j *jsonView) begin(b begin) {
	j.line(jsonBegin{head("begin"), b.command(), len(b.Projects), sum(b.Projects).earlier, b.Bound.Seconds()})
	for _, p := range b.Projects {
		if p.Earlier {
			j.change(p)
		}
	}
}

func (j *jsonView) change(p project) {
	j.known[key{p.Name, p.Target}] = p.Step
	j.line(jsonProject{head("project"), nameOf(p), p.File, p.ID, p.Earlier, p.Begun, p.Ended, p.Bytes, p.Lost, p.Unproven, errorOf(p.Err)})
}

func (j *jsonView) event(p project, ev porter.Event) {
	switch ev.Kind {
	case porter.EventPaced:
		j.line(jsonWait{head("turn"), nameOf(p), ev.Delay.Seconds(), nil})
	case porter.EventRetry:
		j.line(jsonWait{head("retry"), nameOf(p), ev.Delay.Seconds(), errorOf(ev.Err)})
	}
}

func (j *jsonView) end(projects []project, elapsed time.Duration) {
	for _, p := range projects {
		if j.known[key{p.Name, p.Target}] != p.Step {
			j.change(p)
		}
	}
	s := sum(projects)
	j.line(jsonSummary{head("summary"), len(projects), s.earlier, s.counts, s.codes, s.bytes, elapsed.Seconds()})
	if j.err != nil {
		fmt.Fprintln(j.stderr, "error: -json:", j.err)
	}
}

func (j *jsonView) line(v any) { j.err = cmp.Or(j.err, j.out.Encode(v)) }

func head(kind string) jsonHead { return jsonHead{kind, time.Now()} }

func nameOf(p project) jsonName { return jsonName{p.Name, p.Target, p.Step} }

func errorOf(err error) *jsonError {
	if err == nil {
		return nil
	}
	after, ok := porter.Retryable(err)
	return &jsonError{codeOf(err), err.Error(), ok, after.Seconds()}
}
