package portertest

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// credential returns the access token that came with the request: an OAuth
// token that is one, else a personal one, of which a parameter goes before a
// header. Job tokens and deploy tokens are no credentials to this API.
func (c *call) credential() string {
	bearer := ""
	if scheme, t, ok := strings.Cut(c.r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		bearer = t
	}
	bearer = firstPresent(bearer, c.textParam("access_token"), c.textParam("bearer_token"))
	if c.s.tokens[bearer] != nil && isOAuth(bearer) {
		return bearer
	}
	secret := firstPresent(c.textParam("private_token"), c.r.Header.Get("Private-Token"), bearer)
	if strings.HasPrefix(secret, "glcbt-") {
		return ""
	}
	return secret
}

func firstPresent(texts ...string) string {
	for _, t := range texts {
		if present(t) {
			return t
		}
	}
	return ""
}

func (c *call) textParam(name string) string {
	t, _ := c.param(name)
	return t
}

// isOAuth tells OAuth tokens from the others, which GitLab gives prefixes such
// as "glpat-".
func isOAuth(token string) bool { return !strings.HasPrefix(token, "gl") }

// authenticate returns the caller, nil for an anonymous one, or the refusal.
func (c *call) authenticate() (*user, *reply) {
	secret := c.credential()
	if secret == "" {
		if _, asked := c.sudoName(); asked {
			return nil, message(http.StatusUnauthorized, "401 Unauthorized")
		}
		return nil, nil
	}
	t := c.s.tokens[secret]
	switch {
	case t == nil:
		return nil, message(http.StatusUnauthorized, "401 Unauthorized")
	case t.expired:
		return nil, tokenError(http.StatusUnauthorized, "invalid_token", "Token is expired. You can either do re-authorization or token refresh.")
	case t.revoked:
		return nil, tokenError(http.StatusUnauthorized, "invalid_token", "Token was revoked. You have to re-authorize from the user.")
	}
	if t.user.denied != "" {
		return nil, message(http.StatusForbidden, "403 Forbidden - "+t.user.denied)
	}
	if u, r := c.sudo(t); r != nil || u != t.user {
		return u, r
	}
	return t.user, c.refuseScopes(t)
}

// refuseScopes returns what a token is not good for, nil if it is good enough.
func (c *call) refuseScopes(t *accessToken) *reply {
	listed := []string{"api"}
	if c.s.cfg.atLeast(12, 10) {
		listed = append(listed, "read_api")
	}
	enough := listed
	if !c.reads() {
		enough = listed[:1] // although both are listed
	}
	if !t.has(enough...) {
		return scopeError(listed)
	}
	if len(t.lacks) > 0 {
		return tokenError(http.StatusForbidden, "insufficient_granular_scope",
			fmt.Sprintf("Access denied: Your fine-grained personal access token lacks the required permissions: [%s].", strings.Join(t.lacks, ", ")))
	}
	return nil
}

// has reports whether the token has any of the scopes.
func (t *accessToken) has(anyOf ...string) bool {
	return slices.ContainsFunc(anyOf, func(scope string) bool { return slices.Contains(t.scopes, scope) })
}

func scopeError(listed []string) *reply {
	return jsonReply(http.StatusForbidden, object{
		{"error", "insufficient_scope"},
		{"error_description", "The request requires higher privileges than provided by the access token."},
		{"scope", strings.Join(listed, " ")},
	})
}

// sudoName returns whom the request asks to act as. An empty name is one too.
func (c *call) sudoName() (name string, asked bool) {
	if name, asked = c.param("sudo"); asked {
		return name, true
	}
	if v, ok := c.r.Header["Sudo"]; ok {
		return v[0], true
	}
	return "", false
}

// sudo returns the user that an administrator asks to act as.
func (c *call) sudo(t *accessToken) (*user, *reply) {
	name, asked := c.sudoName()
	if !asked {
		return t.user, nil
	}
	if !t.user.admin {
		return nil, message(http.StatusForbidden, "403 Forbidden - Must be admin to use sudo")
	}
	if !t.has("sudo") {
		return nil, scopeError([]string{"sudo"})
	}
	for _, u := range c.s.users {
		if strings.EqualFold(u.username, name) || strconv.FormatInt(u.id, 10) == name {
			return u, nil
		}
	}
	return nil, message(http.StatusNotFound, fmt.Sprintf("404 User with ID or username '%s' Not Found", name))
}

// projectID matches what is looked up as a project's ID: a line of digits, with
// whatever is on the others. What counts are the digits that it begins with.
var projectID = regexp.MustCompile(`(?m)^-?[0-9]+$`)

// findProject returns the project that a path segment names, if the caller may
// read it, and whether it did so by a former path.
func (s *Server) findProject(u *user, id string) (p *project, moved bool) {
	if projectID.MatchString(id) {
		n, _ := strconv.ParseInt(id[:len(id)-len(strings.TrimLeft(id, "0123456789"))], 10, 64)
		p = s.projects[n]
	} else if strings.Contains(id, "/") && strings.Trim(id, "/") == id {
		if p = s.projectAt(id); p == nil {
			p, moved = s.projectOnceAt(id)
		}
	}
	if p == nil || !p.readable(u) {
		return nil, false
	}
	return p, moved
}

func (s *Server) projectOnceAt(fullPath string) (*project, bool) {
	if !s.cfg.atLeast(16, 7) {
		return nil, false
	}
	for _, p := range s.projects {
		for _, f := range p.former {
			if strings.EqualFold(f, fullPath) {
				return p, true
			}
		}
	}
	return nil, false
}

// userProject finds the project of a /projects/:id route.
func (c *call) userProject(u *user) (*project, *reply) {
	p, moved := c.s.findProject(u, c.id)
	switch {
	case p == nil:
		return nil, message(http.StatusNotFound, "404 Project Not Found")
	case moved && c.r.Method == http.MethodGet:
		to := fmt.Sprintf("%s/api/v4/projects/%d%s", c.s.externalURL(), p.id, c.rest)
		if c.r.URL.RawQuery != "" {
			to += "?" + c.r.URL.RawQuery
		}
		r := newReply(http.StatusMovedPermanently, "text/plain; charset=utf-8", []byte("This resource has been moved permanently to "+to))
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

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
