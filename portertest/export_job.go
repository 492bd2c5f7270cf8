package portertest

import "time"

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

	// LoseBatch is a relation, such as "issues", whose first 100 records the
	// export leaves out without a word, as GitLab does since 17.5 with a batch
	// that it fails to serialize. Before 17.5 the export fails.
	LoseBatch string
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

func (j *exportJob) active(now time.Time) bool {
	return reached(j.queued, now) && !reached(j.finished, now) && !reached(j.failed, now)
}

// hasFile reports whether the database knows of a file.
func (j *exportJob) hasFile(now time.Time) bool {
	return reached(j.row, now) && !j.removed && now.Before(j.expiry())
}

// expiry is when the hourly clean-up finds the file more than a day old.
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

// plan sets the times of a job from its script.
func (j *exportJob) plan(v version, t Timings, now time.Time) {
	if j.script.Fault == NeverStart {
		return
	}
	parallel := v.atLeast(17, 2)
	j.queued = now.Add(t.Queue)
	j.started = j.queued.Add(t.Start)
	ready := j.started.Add(t.Assemble)
	if parallel {
		ready = j.started.Add(onGrid(t.Assemble, t.FirstCheck, t.Check))
	}
	// An hourly job notices jobs that died, in versions that can.
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

// onGrid returns when a check finds that work of length d is done. The checks
// are made at first, and then every step.
func onGrid(d, first, step time.Duration) time.Duration {
	if step <= 0 || d <= first {
		return max(d, first)
	}
	n := (d - first + step - 1) / step
	return first + n*step
}
