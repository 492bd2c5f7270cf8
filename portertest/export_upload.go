package portertest

import (
	"slices"
	"time"
)

// Upload is an archive that GitLab sent to an upload[url].
type Upload struct {
	Time    time.Time
	Project string // its full path
	Method  string
	URL     string
	Status  int    // of the answer, 0 if there was none
	Size    int64  // bytes sent
	SHA256  string // of what was sent, in hex
	OK      bool   // whether GitLab takes it for a success
	Err     string // why there was no answer
}

// exportUploads are the archives that GitLab sends to an upload[url].
type exportUploads struct {
	*settings
	*exports
	done []Upload
	// send makes the request and notes in an Upload what came of it.
	send func(u *Upload, a *Archive, typed bool)
}

// Uploads returns the uploads to upload[url] that have ended, in that order.
func (s *exportUploads) Uploads() []Upload {
	s.lock()
	defer s.unlock()
	return slices.Clone(s.done)
}

// scheduleExport enqueues an export, which may end with an upload.
func (s *exportUploads) scheduleExport(p *project, u *user, run ExportRun, now time.Time) {
	j := s.enqueue(p, u, run, now)
	if run.UploadURL == "" || j.bytes.IsZero() {
		return
	}
	due := j.finished
	j.finished = time.Time{}
	s.schedule(due, func() { s.upload(j) })
}

func (s *exportUploads) upload(j *exportJob) {
	s.lock()
	if !j.failed.IsZero() { // it failed before there was anything to send
		s.unlock()
		return
	}
	u := Upload{Time: s.now(), Project: j.project.fullPath(), Method: j.run.UploadMethod, URL: j.run.UploadURL}
	gone := !j.hasBytes(s.now())
	typed := s.cfg.atLeast(12, 0)
	// Streamed from object storage, GitLab takes nothing but 200 for success.
	strict := s.cfg.mode != FromDisk && s.cfg.atLeast(15, 5)
	s.unlock()

	switch {
	case gone:
		u.Err = "the archive was deleted"
	case j.script.Fault == UploadFails:
		u.Err = "the script says so"
	default:
		s.send(&u, j.file.content, typed)
	}
	u.OK = u.Status == 200 || !strict && u.Status/100 == 2

	s.lock()
	defer s.unlock()
	j.finished = s.now()
	if u.OK && !s.cfg.atLeast(14, 0) {
		s.removeFiles(j.project, j.user) // all, or an older file would be seen again
	}
	s.done = append(s.done, u)
}
