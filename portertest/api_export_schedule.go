package portertest

import (
	"net/http"
	"strings"
)

// scheduleExport answers POST /projects/:id/export. The order of its steps is
// GitLab's and decides what a refused request destroys.
func (c *call) scheduleExport() *reply {
	m := c.m
	u, p, r := c.exportProject()
	if r != nil {
		return r
	}
	run, r := c.exportParams()
	if r != nil {
		return r
	}
	if m.exportLimited(u, p) {
		return c.tooMany()
	}
	if m.cfg.atLeast(13, 3) {
		m.removeFiles(p, u)
	}
	if problems := c.uploadProblems(run); problems != nil {
		return message(http.StatusBadRequest, problems)
	}
	if limit := m.cfg.maxExport; limit > 0 && m.cfg.atLeast(15, 0) && m.exportedSize(p) > limit {
		return c.serviceError(http.StatusBadRequest, "The project size exceeds the export limit.")
	}
	now := m.now()
	if m.cfg.atLeast(18, 5) {
		for _, j := range m.exportsOf(p, u) {
			if j.active(now) {
				return c.serviceError(http.StatusBadRequest,
					"An export is already running or queued for this project. Please try again once it's done.")
			}
		}
	}
	run.Time, run.Username = now, u.username
	if !m.duplicate(p, u, run, now) {
		m.scheduleExport(p, u, run, now)
	}
	return message(http.StatusAccepted, "202 Accepted")
}

// exportProject is the gate before all endpoints of exports.
func (c *call) exportProject() (u *user, p *project, r *reply) {
	if c.m.cfg.exportsOff {
		return nil, nil, message(http.StatusNotFound, "404 Not Found")
	}
	if u, r = c.authenticate(); r == nil {
		p, r = c.maintainedProject(u)
	}
	return u, p, r
}

func (c *call) exportParams() (ExportRun, *reply) {
	var run ExportRun
	if !c.m.cfg.atLeast(10, 7) {
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
		case !c.m.cfg.atLeast(14, 0): // which looks at it later
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

// uploadProblems returns why GitLab refuses an upload, by field.
func (c *call) uploadProblems(run ExportRun) object {
	if run.UploadURL == "" {
		return nil
	}
	var problems object
	// Its host may be one that does not exist.
	if _, problem := checkURL(run.UploadURL, "http", "https"); problem != "" {
		problems = append(problems, member{"url", []string{c.m.translate(problem)}})
	}
	if run.UploadMethod != http.MethodPut && run.UploadMethod != http.MethodPost {
		problems = append(problems, member{"http_method", []string{c.m.translate("invalid. Only PUT and POST methods allowed.")}})
	}
	return problems
}
