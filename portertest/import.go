package portertest

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// importRequest is what an import endpoint was asked for.
type importRequest struct {
	path, name string
	ns         *namespace
	overwrite  bool
	overrides  url.Values
}

// importFile answers POST /projects/import, once the file is stored.
func (c *call) importFile() *reply {
	s := c.s
	u, r := c.importer()
	if r != nil {
		return r
	}
	var v validation
	path := v.text("path", v.required(c.params, "path"))
	c.validateFile(&v)
	req := c.importParams(&v, path)
	if r := v.refusal(); r != nil {
		return r
	}
	if s.cfg.importsOff {
		return message(http.StatusForbidden, "403 Forbidden")
	}
	if r := s.importLimited(u); r != nil {
		return r
	}
	if r := c.refuseArchiveName(); r != nil {
		return r
	}
	if r := c.resolve(u, req); r != nil {
		return r
	}
	if r := c.blankPath(req); r != nil {
		return r
	}
	return c.createImport(u, req, c.upload)
}

// validateFile checks the parameter file. A part without a file name is a plain
// field, which old versions find out only later, as all do if it is empty.
func (c *call) validateFile(v *validation) {
	if c.upload != nil {
		return
	}
	if value := v.required(c.params, "file"); present(value) && c.s.cfg.atLeast(12, 9) {
		v.fail("file", notOfType)
	}
}

func (c *call) refuseArchiveName() *reply {
	switch {
	case !c.s.cfg.atLeast(12, 9) && c.upload == nil:
		return message(http.StatusBadRequest, "The file is invalid")
	case !c.s.cfg.atLeast(12, 9), c.upload != nil && archiveName(c.upload.name):
		return nil
	}
	return message(http.StatusUnprocessableEntity, object{{"error", c.s.translate("You need to upload a GitLab project export archive (ending in .gz).")}})
}

// archiveName reports whether GitLab takes a file of that name. A name that is
// nothing but an extension has none.
func archiveName(name string) bool {
	base, ok := strings.CutSuffix(name, ".gz")
	return ok && strings.Trim(base, ".") != ""
}

// importer returns the caller of an endpoint that needs one.
func (c *call) importer() (*user, *reply) {
	u, r := c.authenticate()
	if r == nil && u == nil {
		r = message(http.StatusUnauthorized, "401 Unauthorized")
	}
	return u, r
}

// importParams reads the parameters that all imports have, but for the path,
// which is not declared in the same place.
func (c *call) importParams(v *validation, path string) *importRequest {
	version := c.s.cfg.version
	req := &importRequest{path: path}
	if version.atLeast(12, 10) {
		req.name = v.text("name", c.params["name"])
	}
	v.text("namespace", c.params["namespace"])
	if version.atLeast(18, 7) {
		v.integer("namespace_id", c.params["namespace_id"])
		v.text("namespace_path", c.params["namespace_path"])
		var given []string
		for _, k := range []string{"namespace", "namespace_id", "namespace_path"} {
			if _, ok := c.params[k]; ok {
				given = append(given, k)
			}
		}
		if len(given) > 1 {
			v.fail(strings.Join(given, ", "), "are mutually exclusive")
		}
	}
	if version.atLeast(10, 7) {
		req.overwrite, _ = v.boolean("overwrite", c.params["overwrite"])
		req.overrides = overrides(v, c.params["override_params"])
	}
	return req
}

// blankPath is what GitLab looks at before anything else about the project.
func (c *call) blankPath(req *importRequest) *reply {
	if present(req.path) {
		return nil
	}
	return c.s.serviceError(http.StatusBadRequest, "Path can't be blank")
}

// resolve finds where the project goes. Former paths of groups lead nowhere,
// and neither do groups that the caller is not a member of.
func (c *call) resolve(u *user, req *importRequest) *reply {
	keys := []string{"namespace"}
	if c.s.cfg.atLeast(18, 7) {
		keys = append(keys, "namespace_id", "namespace_path")
	}
	req.ns = u.home
	for _, k := range keys {
		v := c.params[k]
		if !present(v) {
			continue
		}
		text, _ := scalar(v)
		var n *namespace
		if id, whole := wholeNumber(v); whole && (k == "namespace_id" || k == "namespace" && isDigits(text)) {
			n = c.s.namespaceByID(id)
		} else {
			n = c.s.namespaces[strings.ToLower(text)]
		}
		if n == nil || n.role(u) == 0 || n.owner != nil && n.owner != u {
			return message(http.StatusNotFound, "404 Namespace Not Found")
		}
		req.ns = n
	}
	return nil
}

// createImport makes the project that an import fills.
func (c *call) createImport(u *user, req *importRequest, up *upload) *reply {
	s := c.s
	ns, path, name := req.ns, req.path, req.name
	original := ""
	if req.overwrite && s.projectAt(ns.path+"/"+path) != nil {
		original = path
		path += "-" + hex.EncodeToString(randomBytes(16))
	}
	if !present(name) {
		name = path
	}
	if problem := s.refuseProject(u, ns, path, name); problem != "" {
		return s.serviceError(http.StatusBadRequest, problem)
	}
	now := s.now()
	p := s.newProject(ns, path, name)
	p.created = now
	script := s.importScript(ns.path + "/" + req.path)
	up.problem = s.cfg.version.archiveProblem(up.problem)
	p.imp = &importJob{
		script: script, user: u, correlation: c.requestID,
		overrides: req.overrides, upload: *up, original: original,
	}
	s.planImport(p, now)
	return jsonReply(http.StatusCreated, s.importBody(p, u))
}

// refuseProject returns what GitLab has against a new project, if anything.
func (s *Server) refuseProject(u *user, ns *namespace, path, name string) string {
	role := ns.role(u)
	switch {
	case slices.Contains(s.cfg.restricted, "private"):
		return "Visibility level private has been restricted by your GitLab administrator"
	case ns.owner != nil && u.bot, role < Developer:
		return "Namespace is not valid"
	case role < Maintainer && s.cfg.atLeast(16, 0):
		return "User is not allowed to import projects"
	case !validPath(path) && s.cfg.atLeast(15, 0):
		return "Project namespace path can only include non-accented letters, digits, '_', '-' and '.'. It must not start with '-', '_', or '.', nor end with '-', '_', '.', '.git', or '.atom'."
	case !validPath(path):
		return "Path can contain only letters, digits, '_', '-' and '.'. Cannot start with '-', end in '.git' or end in '.atom'"
	case s.projectAt(ns.path+"/"+path) != nil, s.namespaces[strings.ToLower(ns.path+"/"+path)] != nil:
		return "Path has already been taken"
	}
	owned := 0
	for _, p := range s.projects {
		if p.ns != ns {
			continue
		}
		owned++
		if p.name == name && s.cfg.atLeast(15, 0) {
			return "Project namespace name has already been taken"
		} else if p.name == name {
			return "Name has already been taken"
		}
	}
	switch {
	case ns.owner == nil || u.limit == 0:
	case u.limit < 0:
		return "Limit reached You cannot create projects in your personal namespace. Contact your GitLab administrator."
	case owned >= u.limit:
		return fmt.Sprintf("Limit reached You've reached your limit of %d projects created. Contact your GitLab administrator.", u.limit)
	}
	return ""
}

var pathPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$`)

func validPath(p string) bool {
	return pathPattern.MatchString(p) && !strings.HasSuffix(p, ".git") && !strings.HasSuffix(p, ".atom")
}

// importStatus answers GET /projects/:id/import.
func (c *call) importStatus() *reply {
	v := c.s.cfg.version
	if c.s.cfg.importsOff && !v.atLeast(13, 6) {
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
	return jsonReply(http.StatusOK, c.s.importBody(p, u))
}

// importBody is what GitLab of this version says of an import.
func (s *Server) importBody(p *project, u *user) object {
	v, now := s.cfg.version, s.now()
	status, problem := "none", ""
	var kind, correlation any
	failed := []object{}
	if j := p.imp; j != nil {
		status, problem = j.status(now), j.errorAt(now)
		kind, correlation = "gitlab_project", j.correlation
		for _, f := range j.failuresAt(now) {
			failed = append(failed, s.failureBody(f))
		}
	}
	if problem != "" && v.atLeast(16, 4) && p.role(u) < Maintainer {
		problem = "Ask a maintainer to check the import status for more details."
	}
	body := append(s.identity(p), member{"import_status", status})
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

func (s *Server) failureBody(f failure) object {
	v := s.cfg.version
	var msg, line any
	if !v.atLeast(16, 4) {
		msg = f.ExceptionMessage
	}
	if f.LineNumber > 0 {
		line = f.LineNumber
	}
	o := object{
		{"id", f.id},
		{"created_at", s.timestamp(f.at)},
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
