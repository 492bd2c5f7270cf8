package portertest

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// projectID matches what GitLab takes for an ID: any text with a line of digits.
// The ID is the number that the text begins with.
var projectID = regexp.MustCompile(`(?m)^-?[0-9]+$`)

// findProject returns the project that a path segment names, if the caller may
// read it, and whether it did so by a former path.
func (c *call) findProject(u *user) (p *project, moved bool) {
	id := c.id
	if projectID.MatchString(id) {
		n, _ := strconv.ParseInt(id[:len(id)-len(strings.TrimLeft(id, "0123456789"))], 10, 64)
		p = c.m.projects.byID[n]
	} else if strings.Contains(id, "/") && strings.Trim(id, "/") == id {
		if p = c.m.projectAt(id); p == nil {
			p, moved = c.m.projectOnceAt(id)
		}
	}
	if p == nil || !p.readable(u) {
		return nil, false
	}
	return p, moved
}

// userProject finds the project of a /projects/:id route.
func (c *call) userProject(u *user) (*project, *reply) {
	p, moved := c.findProject(u)
	switch {
	case p == nil:
		return nil, message(http.StatusNotFound, "404 Project Not Found")
	case moved && c.r.Method == http.MethodGet:
		to := fmt.Sprintf("%s/api/v4/projects/%d%s", c.m.externalURL(), p.id, c.rest)
		if c.r.URL.RawQuery != "" {
			to += "?" + c.r.URL.RawQuery
		}
		r := newReply(http.StatusMovedPermanently, "text/plain; charset=utf-8",
			[]byte("This resource has been moved permanently to "+to))
		r.header.Set("Location", to)
		return nil, r
	case moved:
		return nil, message(http.StatusMethodNotAllowed, "Non GET methods are not allowed for moved projects")
	}
	return p, nil
}

// maintainedProject is userProject for what only maintainers may do.
func (c *call) maintainedProject(u *user) (*project, *reply) {
	p, r := c.userProject(u)
	if r == nil && p.role(u) < Maintainer {
		r = message(http.StatusForbidden, "403 Forbidden")
	}
	return p, r
}

// identity is how every answer about a project begins.
func (c *call) identity(p *project) object {
	return object{
		{"id", p.id},
		{"description", orNull(p.description)},
		{"name", p.name},
		{"name_with_namespace", p.ns.fullName() + " / " + p.name},
		{"path", p.path},
		{"path_with_namespace", p.fullPath()},
		{"created_at", c.m.timestamp(p.created)},
	}
}
