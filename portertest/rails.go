package portertest

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// rails is how GitLab itself answers, behind Workhorse.
func (c *call) rails(found *match) *reply {
	if r := c.screen(); r != nil {
		return r
	}
	return c.throttled(func() *reply { return c.serveAPI(found) })
}

// screen is what GitLab refuses before it counts a request or looks for its
// route.
func (c *call) screen() *reply {
	switch {
	case c.malformed, !wellFormed(c.r.URL.EscapedPath()), !clean(c.r.Header.Get("Authorization")):
		return text(http.StatusBadRequest, "Bad Request")
	case c.traverses():
		return text(http.StatusBadRequest, "Potential path traversal attempt detected. "+
			"Feedback issue: https://gitlab.com/gitlab-org/gitlab/-/issues/520714.")
	}
	return nil
}

// traversal matches a step upwards in a path or a query.
var traversal = regexp.MustCompile(`[/\\]\.\.([/\\]|$)`)

// untraversed are the parameters with free text, which may have such a step.
var untraversed = []string{
	"search", "search_title", "search_query", "term", "name", "filter", "filter_projects", "note", "body", "commit_message", "content",
	"description",
}

// traverses reports whether the path, or the query after it, has a step upwards.
func (c *call) traverses() bool {
	p, _ := url.QueryUnescape(c.r.URL.EscapedPath())
	fs, _ := splitForm(c.r.URL.RawQuery)
	var query []string
	for _, f := range fs {
		if keys := splitKey(f.name); !slices.ContainsFunc(keys, func(k string) bool { return slices.Contains(untraversed, k) }) {
			value, _ := scalar(f.value)
			query = append(query, f.name+"="+value)
		}
	}
	if len(query) > 0 {
		p += "?" + strings.Join(query, "&")
	}
	return traversal.MatchString(p)
}

// wellFormed reports whether an escaped text is clean without its escapes.
func wellFormed(escaped string) bool {
	s, err := url.PathUnescape(escaped)
	return err == nil && clean(s)
}

// serveAPI answers a request to the API, which may have no route.
func (c *call) serveAPI(found *match) *reply {
	if r := c.writeRefused(); r != nil {
		return r
	}
	switch {
	case c.unfit != nil:
		return c.unfit
	case found.route != nil:
		return found.route.handle(c)
	case found.gone:
		return apiError(http.StatusGone, "API V3 is no longer supported. Use API V4 instead.")
	case c.r.Method == http.MethodOptions && found.routes != nil:
		return c.options(found.routes)
	}
	return apiError(http.StatusNotFound, "404 Not Found")
}

// options tells which methods a path has, to those who may use it.
func (c *call) options(routes []*route) *reply {
	if r := routes[0].gate(c); r != nil {
		return r
	}
	methods := []string{http.MethodOptions}
	for _, rt := range routes {
		methods = append(methods, rt.method)
	}
	if slices.Contains(methods, http.MethodGet) {
		methods = append(methods, http.MethodHead)
	}
	r := newReply(http.StatusNoContent, "", nil)
	r.header.Set("Allow", strings.Join(methods, ", "))
	return r
}

// writeRefused is what stands before all writes to a read-only instance.
func (c *call) writeRefused() *reply {
	if c.reads() || !c.m.cfg.readOnly && !c.m.cfg.maintenance {
		return nil
	}
	if isJSON(c.r) {
		if c.m.cfg.maintenance {
			return message(http.StatusServiceUnavailable, "GitLab Maintenance: system is in maintenance mode")
		}
		return message(http.StatusForbidden, "You cannot perform write operations on a read-only instance")
	}
	r := newReply(http.StatusMovedPermanently, "", nil)
	to := c.r.Header.Get("Referer")
	if to == "" {
		to = c.m.externalURL() + "/"
	}
	r.header.Set("Location", to)
	return r
}

// web is the rest of GitLab: pages for people, who have to sign in.
func (c *call) web() *reply {
	rel := strings.TrimPrefix(c.r.URL.Path, c.m.cfg.root)
	var r *reply
	switch {
	case !c.reads():
		r = page(http.StatusNotFound, "Not Found")
	case rel == "" || rel == "/" || rel == "/users/sign_in":
		r = page(http.StatusOK, "Sign in")
	default:
		r = newReply(http.StatusFound, "text/html; charset=utf-8", nil)
		r.header.Set("Location", c.m.externalURL()+"/users/sign_in")
	}
	return r
}
