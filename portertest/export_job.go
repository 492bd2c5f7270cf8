package portertest

import (
	"fmt"
	"strings"
	"time"
)

// ExportFault is something that goes wrong with an export job.
type ExportFault int

const (
	// NoFault lets the export succeed.
	NoFault ExportFault = iota
	// NeverStart loses the job before anything of it can be seen.
	NeverStart
	// FailRelation lets a part of the project fail until GitLab gives up.
	FailRelation
	// FailPacking lets the job end without an archive.
	FailPacking
	// FailStoring lets the job end with an archive that cannot be downloaded.
	FailStoring
	// Vanish loses the archive's bytes after the job has finished.
	Vanish
	// UploadFails lets the upload to upload[url] fail, without a request.
	UploadFails
	// Interrupted kills the worker after it has started.
	Interrupted
)

// ExportScript says how one export goes.
type ExportScript struct {
	Fault   ExportFault
	Archive *Archive // what it yields, if not the project's
	Timing  *Timings // how long it takes, if not what the server says
}

// ScriptExport sets how the next exports of a project go, one script each. The
// project is given by its full path or its ID.
func (s *Server) ScriptExport(project string, scripts ...ExportScript) {
	s.lock()
	defer s.unlock()
	p := s.lookup(project)
	if p == nil {
		panic("portertest: no project " + project)
	}
	s.exportScripts[p.id] = append(s.exportScripts[p.id], scripts...)
}

// ExportRun is an export that was really scheduled: GitLab took the request,
// and it was not a duplicate of one still waiting.
type ExportRun struct {
	Time         time.Time
	Username     string
	Description  string
	UploadURL    string
	UploadMethod string
}

// Exports returns the exports of a project that were scheduled, in order. The
// project is given by its full path or its ID.
func (s *Server) Exports(project string) []ExportRun {
	s.lock()
	defer s.unlock()
	p := s.lookup(project)
	var runs []ExportRun
	for _, j := range s.exports {
		if j.project == p && !j.given {
			runs = append(runs, j.run)
		}
	}
	return runs
}

// AddExport gives a user a finished export of a project, as if it had just
// been made. It does not count as scheduled.
func (s *Server) AddExport(project, username string) {
	s.lock()
	defer s.unlock()
	p, u := s.lookup(project), s.users[username]
	if p == nil || u == nil {
		panic("portertest: no project " + project + " or no user " + username)
	}
	now := s.now()
	j := &exportJob{project: p, user: u, given: true}
	j.queued, j.started, j.row, j.bytes, j.finished = now, now, now, now, now
	s.file(j)
	s.exports = append(s.exports, j)
}

// exportJob is one run of an export. What can be seen of it follows from these
// times alone; a zero time never comes.
type exportJob struct {
	run     ExportRun
	project *project
	user    *user
	script  ExportScript
	given   bool // by the test, not scheduled

	queued   time.Time // the job exists
	started  time.Time
	row      time.Time // the archive is assembled and known to the database
	bytes    time.Time // and can be downloaded
	finished time.Time // the job ended well, or so GitLab thinks
	failed   time.Time // or not

	removed bool // the file was deleted before its time
	file    storedFile
}

func reached(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

func (j *exportJob) active(now time.Time) bool {
	return reached(j.queued, now) && !reached(j.finished, now) && !reached(j.failed, now)
}

// hasFile reports whether the database knows of a file.
func (j *exportJob) hasFile(now time.Time) bool {
	return reached(j.row, now) && !j.removed && now.Before(j.expiry())
}

// expiry is the hourly clean-up that finds the file more than a day old.
func (j *exportJob) expiry() time.Time {
	stored := j.bytes
	if stored.IsZero() {
		stored = j.row
	}
	return nextMinuteOfHour(stored.Add(24*time.Hour), 0)
}

func (j *exportJob) hasBytes(now time.Time) bool {
	return j.hasFile(now) && reached(j.bytes, now)
}

// duplicate reports whether the same export is still waiting for a worker.
func (s *Server) duplicate(p *project, u *user, run ExportRun, now time.Time) bool {
	for _, j := range s.exports {
		same := j.run
		same.Time = run.Time
		if j.project == p && j.user == u && same == run && now.Before(j.queued) {
			return true
		}
	}
	return false
}

func (s *Server) enqueueExport(p *project, u *user, run ExportRun, now time.Time) {
	j := &exportJob{run: run, project: p, user: u}
	if q := s.exportScripts[p.id]; len(q) > 0 {
		j.script, s.exportScripts[p.id] = q[0], q[1:]
	}
	s.plan(j, now)
	s.file(j)
	s.exports = append(s.exports, j)
	if run.UploadURL != "" && !j.bytes.IsZero() {
		s.planUpload(j)
	}
}

// plan sets the times of a job from its script.
func (s *Server) plan(j *exportJob, now time.Time) {
	t := s.cfg.timings
	if j.script.Timing != nil {
		t = *j.script.Timing
	}
	if j.script.Fault == NeverStart {
		return
	}
	v := s.cfg.version
	parallel := v.atLeast(17, 2)
	j.queued = now.Add(t.Queue)
	j.started = j.queued.Add(t.Start)
	ready := j.started.Add(t.Assemble)
	if parallel {
		ready = j.started.Add(onGrid(t.Assemble, t.FirstCheck, t.Check))
	}
	// A job that dies is noticed by an hourly sweep, if it can be at all.
	swept := nextMinuteOfHour(ready, 30)

	switch fault := j.script.Fault; {
	case fault == FailRelation:
		j.failed = j.started.Add(max(t.Assemble, t.Failure))
		if v.atLeast(12, 9) && !v.atLeast(14, 8) {
			j.failed = swept
		}
	case fault == Interrupted:
		j.failed = swept
		if parallel {
			j.failed = nextMinuteOfHour(j.started.Add(6*time.Hour), 30)
		}
	case fault == FailPacking, fault == FailStoring && !v.atLeast(13, 12):
		switch {
		case v.atLeast(14, 8):
			j.finished = ready
		case v.atLeast(12, 9):
			j.failed = swept
		default:
			j.failed = ready
		}
	default:
		j.row = ready
		stored := ready.Add(t.Store)
		if fault != FailStoring {
			j.bytes = stored
		}
		j.finished = stored.Add(t.AfterExport)
	}
}

// failExports makes the exports of a blocked user end as failed, once GitLab
// comes to assemble them.
func (s *Server) failExports(u *user) {
	now := s.now()
	for _, j := range s.exports {
		if j.user == u && now.Before(j.row) && s.cfg.atLeast(17, 3) {
			j.failed = j.row
			j.row, j.bytes, j.finished = time.Time{}, time.Time{}, time.Time{}
		}
	}
}

// onGrid returns when a check finds work done that takes d, checks being made
// at first and then every step.
func onGrid(d, first, step time.Duration) time.Duration {
	if step <= 0 || d <= first {
		return max(d, first)
	}
	n := (d - first + step - 1) / step
	return first + n*step
}

// file sets what the job's archive will be.
func (s *Server) file(j *exportJob) {
	stamp := fmt.Sprintf("%s-%03d", j.row.Format("2006-01-02_15-04"), j.row.Nanosecond()/int(time.Millisecond))
	base := stamp + "_" + strings.ReplaceAll(j.project.fullPath(), "/", "_")
	name := base[:min(len(base), 51)] + "_export.tar.gz"
	j.file = storedFile{
		name:    name,
		key:     fmt.Sprintf("/%s/@hashed/project_%d/import_export_upload/%d/%s", exportBucket, j.project.id, len(s.exports)+1, name),
		stored:  j.bytes,
		content: j.script.Archive,
		lost:    j.script.Fault == Vanish,
	}
	if j.file.content == nil {
		j.file.content = s.source(j.project)
	}
}
