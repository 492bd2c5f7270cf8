package portertest

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// scheduleExport answers POST /projects/:id/export. The order of its steps is
// GitLab's and decides what a refused request destroys.
func (c *call) scheduleExport() *reply {
	s := c.s
	u, p, r := c.exportProject()
	if r != nil {
		return r
	}
	run, r := c.exportParams()
	if r != nil {
		return r
	}
	if r := s.exportLimited(u, p); r != nil {
		return r
	}
	if s.cfg.atLeast(13, 3) {
		s.removeFiles(p, u)
	}
	if problems := s.uploadProblems(run); problems != nil {
		return message(http.StatusBadRequest, problems)
	}
	if limit := s.cfg.maxExport; limit > 0 && s.cfg.atLeast(15, 0) && s.statisticsSize(p) > limit {
		return s.serviceError(http.StatusBadRequest, "The project size exceeds the export limit.")
	}
	now := s.now()
	if s.cfg.atLeast(18, 5) {
		for _, j := range s.exportsOf(p, u) {
			if j.active(now) {
				return s.serviceError(http.StatusBadRequest, "An export is already running or queued for this project. Please try again once it's done.")
			}
		}
	}
	run.Time, run.Username = now, u.username
	if !s.duplicate(p, u, run, now) {
		s.enqueueExport(p, u, run, now)
	}
	return message(http.StatusAccepted, "202 Accepted")
}

// exportProject is the gate before all three endpoints.
func (c *call) exportProject() (u *user, p *project, r *reply) {
	if c.s.cfg.exportsOff {
		return nil, nil, message(http.StatusNotFound, "404 Not Found")
	}
	if u, r = c.authenticate(); r == nil {
		p, r = c.maintainedProject(u)
	}
	return u, p, r
}

func (c *call) exportParams() (ExportRun, *reply) {
	var run ExportRun
	if !c.s.cfg.atLeast(10, 7) {
		return run, nil
	}
	var v validation
	run.Description = v.text("description", c.params["description"])
	switch up := c.params["upload"].(type) {
	case nil:
	case map[string]any:
		run.UploadURL = strings.TrimSpace(v.text("upload[url]", up["url"]))
		run.UploadMethod = http.MethodPut
		switch method := up["http_method"]; {
		case method == nil:
		case !c.s.cfg.atLeast(14, 0): // which looks at it later
			run.UploadMethod = strings.ToUpper(v.text("upload[http_method]", method))
		default:
			run.UploadMethod = v.oneOf("upload[http_method]", method, http.MethodPut, http.MethodPost)
		}
	default:
		v.fail("upload", notOfType)
	}
	if run.UploadURL == "" {
		run.UploadMethod = ""
	}
	return run, v.refusal()
}

func uploadMethod(m string) bool { return m == http.MethodPut || m == http.MethodPost }

// uploadProblems returns what GitLab has against an upload, by field.
func (s *Server) uploadProblems(run ExportRun) object {
	if run.UploadURL == "" {
		return nil
	}
	var problems object
	// Whether its host can be found is not looked at.
	if _, problem := checkURL(run.UploadURL, "http", "https"); problem != "" {
		problems = append(problems, member{"url", []string{s.translate(problem)}})
	}
	if !uploadMethod(run.UploadMethod) {
		problems = append(problems, member{"http_method", []string{s.translate("invalid. Only PUT and POST methods allowed.")}})
	}
	return problems
}

// exportsOf returns the jobs whose exports u can see.
func (s *Server) exportsOf(p *project, u *user) []*exportJob {
	var jobs []*exportJob
	for _, j := range s.exports {
		if j.project == p && (j.user == u || !s.cfg.atLeast(17, 3)) {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

// removeFiles deletes the exported files that u can see.
func (s *Server) removeFiles(p *project, u *user) {
	now := s.now()
	for _, j := range s.exportsOf(p, u) {
		j.removed = j.removed || j.hasFile(now)
	}
}

// exportState computes a project's export status as u sees it.
func (s *Server) exportState(p *project, u *user) string {
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

// exportStatus answers GET /projects/:id/export.
func (c *call) exportStatus() *reply {
	u, p, r := c.exportProject()
	if r != nil {
		return r
	}
	status := c.s.exportState(p, u)
	body := append(c.s.identity(p), member{"export_status", status})
	if status == "finished" {
		root := c.s.externalURL()
		body = append(body, member{"_links", object{
			{"api_url", fmt.Sprintf("%s/api/v4/projects/%d/export/download", root, p.id)},
			{"web_url", fmt.Sprintf("%s/%s/download_export", root, p.fullPath())},
		}})
	}
	return jsonReply(http.StatusOK, body)
}

// identity is how every answer about a project begins.
func (s *Server) identity(p *project) object {
	return object{
		{"id", p.id},
		{"description", orNull(p.description)},
		{"name", p.name},
		{"name_with_namespace", p.ns.fullName() + " / " + p.name},
		{"path", p.path},
		{"path_with_namespace", p.fullPath()},
		{"created_at", s.timestamp(p.created)},
	}
}

// latestFile returns the export whose file a download by u would get.
func (s *Server) latestFile(p *project, u *user) *exportJob {
	now := s.now()
	var latest *exportJob
	for _, j := range s.exportsOf(p, u) {
		if j.hasFile(now) && (latest == nil || !j.row.Before(latest.row)) {
			latest = j
		}
	}
	return latest
}
