package portertest

import (
	"fmt"
	"strings"
	"time"
)

// exports are the exports of projects.
type exports struct {
	*settings
	*projects
	jobs    map[*project][]*exportJob
	files   map[string]*exportJob    // by their key in the object storage
	all     int                      // how many there were
	scripts map[int64][]ExportScript // by project ID
}

func newExports(s *settings, p *projects) exports {
	return exports{settings: s, projects: p, jobs: map[*project][]*exportJob{}, files: map[string]*exportJob{},
		scripts: map[int64][]ExportScript{}}
}

// ScriptExport sets how the next exports of a project go, one script each. The
// project is given by its full path or its ID.
func (s *exports) ScriptExport(project string, scripts ...ExportScript) {
	s.lock()
	defer s.unlock()
	p := s.lookup(project)
	if p == nil {
		panic("portertest: no project " + project)
	}
	s.scripts[p.id] = append(s.scripts[p.id], scripts...)
}

// Exports returns the exports of a project that were scheduled, in order. The
// project is given by its full path or its ID.
func (s *exports) Exports(project string) []ExportRun {
	s.lock()
	defer s.unlock()
	p := s.lookup(project)
	var runs []ExportRun
	for _, j := range s.jobs[p] {
		if !j.given {
			runs = append(runs, j.run)
		}
	}
	return runs
}

// AddExport gives a user a finished export of a project, as if it had just
// been made. It does not count as scheduled.
func (s *exports) AddExport(project, username string) {
	s.lock()
	defer s.unlock()
	p, u := s.lookup(project), s.users[username]
	if p == nil || u == nil {
		panic("portertest: no project " + project + " or no user " + username)
	}
	now := s.now()
	j := &exportJob{project: p, user: u, given: true}
	j.queued, j.started, j.row, j.bytes, j.finished = now, now, now, now, now
	s.add(j)
}

// duplicate reports whether the same export is still waiting for a worker.
func (s *exports) duplicate(p *project, u *user, run ExportRun, now time.Time) bool {
	for _, j := range s.jobs[p] {
		same := j.run
		same.Time = run.Time
		if j.user == u && same == run && now.Before(j.queued) {
			return true
		}
	}
	return false
}

// enqueue schedules an export.
func (s *exports) enqueue(p *project, u *user, run ExportRun, now time.Time) *exportJob {
	j := &exportJob{run: run, project: p, user: u}
	if q := s.scripts[p.id]; len(q) > 0 {
		j.script, s.scripts[p.id] = q[0], q[1:]
	}
	if j.script.LoseBatch != "" && !s.cfg.atLeast(17, 5) {
		j.script.Fault = FailRelation
	}
	j.plan(s.cfg.version, s.cfg.timingsOf(j.script.Timing), now)
	s.add(j)
	return j
}

// add adds a job whose times are known.
func (s *exports) add(j *exportJob) {
	s.all++
	s.file(j)
	s.files[j.file.key] = j
	s.jobs[j.project] = append(s.jobs[j.project], j)
}

// file sets what the job's archive will be.
func (s *exports) file(j *exportJob) {
	stamp := fmt.Sprintf("%s-%03d", j.row.Format("2006-01-02_15-04"), j.row.Nanosecond()/int(time.Millisecond))
	base := stamp + "_" + strings.ReplaceAll(j.project.fullPath(), "/", "_")
	name := base[:min(len(base), 51)] + "_export.tar.gz"
	j.file = storedFile{
		name:    name,
		key:     fmt.Sprintf("/%s/@hashed/project_%d/import_export_upload/%d/%s", exportBucket, j.project.id, s.all, name),
		stored:  j.bytes,
		content: j.script.Archive,
		lost:    j.script.Fault == Vanish,
	}
	switch {
	case j.file.content != nil:
	case j.script.LoseBatch != "":
		left := s.holding(j.project).clone()
		left.loseBatch(j.script.LoseBatch)
		j.file.content = itemsArchive(left, s.cfg.version)
	default:
		j.file.content = s.source(j.project)
	}
}

// failExports makes the exports of a blocked user end as failed, once GitLab
// comes to assemble them.
func (s *exports) failExports(u *user) {
	now := s.now()
	for _, j := range s.files {
		if j.user == u && now.Before(j.row) && s.cfg.atLeast(17, 3) {
			j.failed = j.row
			j.row, j.bytes, j.finished = time.Time{}, time.Time{}, time.Time{}
		}
	}
}

// exportsOf returns the jobs whose exports u can see.
func (s *exports) exportsOf(p *project, u *user) []*exportJob {
	var jobs []*exportJob
	for _, j := range s.jobs[p] {
		if j.user == u || !s.cfg.atLeast(17, 3) {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

// removeFiles deletes the exported files that u can see.
func (s *exports) removeFiles(p *project, u *user) {
	now := s.now()
	for _, j := range s.exportsOf(p, u) {
		j.removed = j.removed || j.hasFile(now)
	}
}

// latestFile returns the export whose file a download by u would get.
func (s *exports) latestFile(p *project, u *user) *exportJob {
	now := s.now()
	var latest *exportJob
	for _, j := range s.exportsOf(p, u) {
		if j.hasFile(now) && (latest == nil || !j.row.Before(latest.row)) {
			latest = j
		}
	}
	return latest
}

// fileAt returns the archive that has a key in the object storage, nil if there
// is none.
func (s *exports) fileAt(key string) *storedFile {
	if j := s.files[key]; j != nil && j.hasBytes(s.now()) {
		return &j.file
	}
	return nil
}

// exportState computes a project's export status as u sees it.
func (s *exports) exportState(p *project, u *user) string {
	now := s.now()
	var queued, started, afterExport, file, failed bool
	for _, j := range s.exportsOf(p, u) {
		if j.active(now) {
			switch {
			case !reached(j.started, now):
				queued = true
			case reached(j.row, now) && (s.cfg.atLeast(10, 7) || reached(j.bytes, now)):
				afterExport = true
			default:
				started = true
			}
		}
		file = file || j.hasFile(now)
		failed = failed || reached(j.failed, now) && now.Before(j.queued.Add(7*24*time.Hour))
	}
	if !s.cfg.atLeast(12, 9) {
		// Without a job table the status is what lies in the shared directory.
		switch {
		case started:
			return "started"
		case afterExport && s.cfg.atLeast(10, 7):
			return "after_export_action"
		case file:
			return "finished"
		}
		return "none"
	}
	started = started || afterExport
	switch {
	case (queued || started) && file:
		return "regeneration_in_progress"
	case queued:
		return "queued"
	case started:
		return "started"
	case file:
		return "finished"
	case failed && s.cfg.atLeast(17, 3):
		return "failed"
	}
	return "none"
}
