package portertest

import "net/http"

// getImportStatus answers GET /projects/:id/import.
func (c *call) getImportStatus() *reply {
	v := c.m.cfg.version
	if c.m.cfg.importsOff && !v.atLeast(13, 6) {
		return message(http.StatusForbidden, "403 Forbidden")
	}
	u, r := c.authenticate()
	if r == nil && u == nil && v.atLeast(16, 4) {
		r = message(http.StatusUnauthorized, "401 Unauthorized")
	}
	if r != nil {
		return r
	}
	p, r := c.userProject(u)
	if r != nil {
		return r
	}
	return jsonReply(http.StatusOK, c.importBody(p, u))
}

// importBody is what GitLab of this version says of an import.
func (c *call) importBody(p *project, u *user) object {
	v, now := c.m.cfg.version, c.m.now()
	status, problem := "none", ""
	var kind, correlation any
	failed := []object{}
	if j := c.m.imports.jobs[p]; j != nil {
		status, problem = j.status(now), j.errorAt(now)
		kind, correlation = "gitlab_project", j.correlation
		for _, f := range j.failuresAt(now) {
			failed = append(failed, c.failureBody(f))
		}
	}
	if problem != "" && v.atLeast(16, 4) && p.role(u) < Maintainer {
		problem = "Ask a maintainer to check the import status for more details."
	}
	body := append(c.identity(p), member{"import_status", status})
	if v.atLeast(14, 6) {
		body = append(body, member{"import_type", kind})
	}
	if v.atLeast(12, 10) {
		body = append(body, member{"correlation_id", correlation})
	}
	if v.atLeast(13, 0) {
		body = append(body, member{"failed_relations", failed})
	}
	if v.atLeast(13, 0) || problem != "" {
		body = append(body, member{"import_error", orNull(problem)})
	}
	if v.atLeast(14, 6) {
		body = append(body, member{"stats", nil})
	}
	return body
}

func (c *call) failureBody(f failure) object {
	v := c.m.cfg.version
	var msg, line any
	if !v.atLeast(16, 4) {
		msg = f.ExceptionMessage
	}
	if f.LineNumber >= 0 {
		line = f.LineNumber
	}
	o := object{
		{"id", f.id},
		{"created_at", c.m.timestamp(f.at)},
		{"exception_class", f.ExceptionClass},
		{"source", f.Source},
		{"exception_message", msg},
		{"relation_name", f.RelationName},
	}
	if v.atLeast(14, 6) {
		o = append(o, member{"line_number", line})
	}
	return o
}
