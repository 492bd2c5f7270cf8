package portertest

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// call is one request to GitLab.
type call struct {
	s         *Server
	x         *exchange
	r         *http.Request
	requestID string

	route *route
	allow []string // methods that the path has routes for
	gone  bool     // the path is of an API that is no more
	id    string   // the :id of the route, unescaped
	rest  string   // of the path, after the :id

	query  url.Values
	fields []field        // of the body's form, in order
	params map[string]any // query and body as Rails sees them
	upload *upload        // a form's file
}

// reads reports whether the request changes nothing.
func (c *call) reads() bool {
	return c.r.Method == http.MethodGet || c.r.Method == http.MethodHead
}

// param returns a plain parameter.
func (c *call) param(name string) (string, bool) {
	if c.params == nil {
		v, ok := c.query[name]
		if !ok || len(v) == 0 {
			return "", false
		}
		return v[len(v)-1], true
	}
	switch v := c.params[name].(type) {
	case string:
		return v, true
	case fmt.Stringer: // a json.Number
		return v.String(), true
	}
	return "", false
}

// route is an endpoint of the API.
type route struct {
	method  string
	pattern string // below /api/v4; ":id" stands for one segment
	since   version
	handle  func(*call) *reply // with s.lock held
	upload  bool               // the front server stores the file before GitLab looks
}

var routes = []route{
	{method: "POST", pattern: "projects/:id/export", since: version{10, 6}, handle: (*call).scheduleExport},
	{method: "GET", pattern: "projects/:id/export", since: version{10, 6}, handle: (*call).exportStatus},
	{method: "GET", pattern: "projects/:id/export/download", since: version{10, 6}, handle: (*call).download},
	{method: "POST", pattern: "projects/import", since: version{10, 6}, handle: (*call).importFile, upload: true},
	{method: "GET", pattern: "projects/:id/import", since: version{10, 6}, handle: (*call).importStatus},
	{method: "POST", pattern: "projects/remote-import", since: version{13, 2}, handle: (*call).importURL},
	{method: "POST", pattern: "projects/remote-import-s3", since: version{14, 9}, handle: (*call).importS3},
	{method: "POST", pattern: "projects/import-relation", since: version{16, 11}, handle: (*call).importRelation, upload: true},
	{method: "GET", pattern: "projects/:id/relation-imports", since: version{16, 11}, handle: (*call).listRelationImports},
	{method: "POST", pattern: "projects/:id/export_relations", since: version{14, 4}, handle: (*call).exportRelations},
	{method: "GET", pattern: "projects/:id/export_relations/status", since: version{14, 4}, handle: (*call).relationExportStatus},
	{method: "GET", pattern: "projects/:id/export_relations/download", since: version{14, 4}, handle: (*call).downloadRelation},
}

// serveGitLab is the server in front of GitLab.
func (s *Server) serveGitLab(w http.ResponseWriter, r *http.Request) {
	c := &call{s: s, x: w.(*exchange), r: r}
	c.query, _ = url.ParseQuery(r.URL.RawQuery)
	s.lock()
	c.requestID = s.nextRequestID()
	s.unlock()
	reply := c.handle()
	if !reply.front {
		w.Header().Set("X-Request-Id", c.requestID)
	}
	reply.write(w, r)
}

func (c *call) handle() *reply {
	escaped := cleanPath(c.r.URL.EscapedPath())
	rel, ok := strings.CutPrefix(escaped, c.s.root)
	if !ok || rel != "" && rel[0] != '/' {
		r := frontServer(http.StatusNotFound, fmt.Sprintf("Not found %q", escaped))
		r.header.Set("Connection", "close")
		return r
	}
	if c.traverses() {
		return text(http.StatusBadRequest, "Potential path traversal attempt detected. Feedback issue: https://gitlab.com/gitlab-org/gitlab/-/issues/520714.")
	}
	api, ok := strings.CutPrefix(rel, "/api/")
	if !ok {
		return c.locked((*call).web)
	}
	c.match(api)
	if c.route != nil && c.route.upload {
		return c.accelerated()
	}
	if r := c.parseBody(); r != nil {
		return r
	}
	return c.locked((*call).app)
}

// traverses reports whether the path, or a value of the query that is no text
// for people, has a segment "..".
func (c *call) traverses() bool {
	if p, err := url.PathUnescape(c.r.URL.EscapedPath()); err == nil && strings.Contains(p+"/", "/../") {
		return true
	}
	for name, values := range c.query {
		if name != "description" && name != "name" && name != "search" && slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, "../") }) {
			return true
		}
	}
	return false
}

// cleanPath is how the front server reads a path; a slash at the end stays.
func cleanPath(escaped string) string {
	p := path.Clean("/" + escaped)
	if strings.HasSuffix(escaped, "/") && p != "/" {
		p += "/"
	}
	return p
}

// match finds the route for a path below /api/, or which methods would have
// found one.
func (c *call) match(api string) {
	segments := strings.Split(strings.TrimSuffix(api, "/"), "/")
	if segments[0] == "v3" {
		c.gone = true
	}
	if segments[0] != "v4" {
		return
	}
	v := c.s.version()
	for i := range routes {
		rt := &routes[i]
		if !v.atLeast(rt.since.major, rt.since.minor) || !rt.fits(segments[1:]) {
			continue
		}
		methods := []string{rt.method}
		if rt.method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
		c.allow = append(c.allow, methods...)
		if slices.Contains(methods, c.r.Method) {
			c.route = rt
			c.bind(rt, segments[1:])
		}
	}
}

func (rt *route) fits(segments []string) bool {
	pattern := strings.Split(rt.pattern, "/")
	if len(pattern) != len(segments) {
		return false
	}
	for i, p := range pattern {
		segment, err := url.PathUnescape(segments[i])
		if i == len(pattern)-1 && !rt.upload {
			segment = withoutFormat(segment)
		}
		if segments[i] == "" || p != ":id" && (err != nil || p != segment) {
			return false
		}
	}
	return true
}

// withoutFormat takes off how a client may say which format it wants.
func withoutFormat(segment string) string {
	for _, format := range []string{".json", ".xml", ".txt"} {
		if name, ok := strings.CutSuffix(segment, format); ok {
			return name
		}
	}
	return segment
}

func (c *call) bind(rt *route, segments []string) {
	for i, p := range strings.Split(rt.pattern, "/") {
		if p == ":id" {
			c.id, _ = url.PathUnescape(segments[i])
			c.rest = "/" + strings.Join(segments[i+1:], "/")
		}
	}
}

func (s *Server) version() version {
	s.lock()
	defer s.unlock()
	return s.cfg.version
}

// locked runs f with the server's state.
func (c *call) locked(f func(*call) *reply) *reply {
	c.s.lock()
	defer c.s.unlock()
	return f(c)
}

// app is GitLab itself, behind the front server.
func (c *call) app() *reply {
	return c.throttled((*call).appUnthrottled)
}

func (c *call) appUnthrottled() *reply {
	if !wellFormed(c.r.URL.EscapedPath()) || !wellFormed(c.r.URL.RawQuery) || !clean(c.params) {
		return text(http.StatusBadRequest, "Bad Request")
	}
	if r := c.writeRefused(); r != nil {
		return r
	}
	if c.route == nil {
		return c.noRoute()
	}
	return c.route.handle(c)
}

func wellFormed(escaped string) bool {
	s, err := url.PathUnescape(escaped)
	return err != nil || clean(s)
}

// clean reports whether all text in a parameter, names included, is free of
// what a database would not take.
func clean(v any) bool {
	switch v := v.(type) {
	case string:
		return utf8.ValidString(v) && !strings.Contains(v, "\x00")
	case []any:
		return !slices.ContainsFunc(v, func(item any) bool { return !clean(item) })
	case map[string]any:
		for name, value := range v {
			if !clean(name) || !clean(value) {
				return false
			}
		}
	}
	return true
}

// noRoute answers what no endpoint does. A method that the path has no route
// for comes to the one that takes everything.
func (c *call) noRoute() *reply {
	switch {
	case c.gone:
		return apiError(http.StatusGone, "API V3 is no longer supported. Use API V4 instead.")
	case c.r.Method == http.MethodOptions && c.allow != nil:
		r := newReply(http.StatusNoContent, "", nil)
		r.header.Set("Allow", "OPTIONS, "+strings.Join(c.allow, ", "))
		return r
	}
	return apiError(http.StatusNotFound, "404 Not Found")
}

// writeRefused is what stands before all writes to a read-only instance.
func (c *call) writeRefused() *reply {
	if c.reads() || !c.s.cfg.readOnly && !c.s.cfg.maintenance {
		return nil
	}
	if isJSON(c.r) {
		if c.s.cfg.maintenance {
			return message(http.StatusServiceUnavailable, "GitLab Maintenance: system is in maintenance mode")
		}
		return message(http.StatusForbidden, "You cannot perform write operations on a read-only instance")
	}
	r := newReply(http.StatusMovedPermanently, "", nil)
	to := c.r.Header.Get("Referer")
	if to == "" {
		to = c.s.externalURL() + "/"
	}
	r.header.Set("Location", to)
	return r
}

// web is the rest of GitLab: pages for people, who have to sign in.
func (c *call) web() *reply {
	rel := strings.TrimPrefix(c.r.URL.Path, c.s.root)
	var r *reply
	switch {
	case !c.reads():
		r = page(http.StatusNotFound, "Not Found")
	case rel == "" || rel == "/" || rel == "/users/sign_in":
		r = page(http.StatusOK, "Sign in")
	default:
		r = newReply(http.StatusFound, "text/html; charset=utf-8", nil)
		r.header.Set("Location", c.s.externalURL()+"/users/sign_in")
	}
	return r
}

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// nextRequestID returns a ULID, as GitLab uses for its requests.
func (s *Server) nextRequestID() string {
	s.lastRequest++
	var id [26]byte
	ms, n := s.now().UnixMilli(), s.lastRequest
	for i := 9; i >= 0; i-- {
		id[i] = crockford[ms&31]
		ms >>= 5
	}
	for i := 25; i >= 10; i-- {
		id[i] = crockford[n&31]
		n >>= 5
	}
	return string(id[:])
}
