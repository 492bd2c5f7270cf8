package portertest

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// call is one request to GitLab.
type call struct {
	s         *Server
	x         *exchange
	r         *http.Request
	requestID string

	routes []*route // of the path, whatever the method
	route  *route   // for the method too
	gone   bool     // the path is of an API that is no more
	id     string   // the :id of the route, unescaped
	rest   string   // of the route, after the :id

	fields    []field        // of the query and of the body's form, in order
	params    map[string]any // query and body as Rails sees them
	malformed bool           // something in the parameters is not what it should be made of
	unfit     *reply         // what the API says of a body that it cannot read
	upload    *upload        // a form's file
}

// reads reports whether the request changes nothing.
func (c *call) reads() bool {
	return c.r.Method == http.MethodGet || c.r.Method == http.MethodHead
}

// param returns a plain parameter.
func (c *call) param(name string) (string, bool) { return scalar(c.params[name]) }

// route is an endpoint of the API.
type route struct {
	method  string
	pattern string // below /api/v4; ":id" stands for one segment
	since   version
	gate    func(*call) *reply // what stands before it, whatever the method is
	handle  func(*call) *reply // with s.lock held
	upload  bool               // the front server stores the file before GitLab looks
}

// The routes of a path are in the order of GitLab's own.
var routes = []route{
	{"GET", "projects/:id/export", version{10, 6}, exportGate, (*call).exportStatus, false},
	{"GET", "projects/:id/export/download", version{10, 6}, exportGate, (*call).download, false},
	{"POST", "projects/:id/export", version{10, 6}, exportGate, (*call).scheduleExport, false},
	{"POST", "projects/import", version{10, 6}, importGate, (*call).importFile, true},
	{"GET", "projects/:id/import", version{10, 6}, importGate, (*call).importStatus, false},
	{"POST", "projects/remote-import", version{13, 2}, importGate, (*call).importURL, false},
	{"POST", "projects/remote-import-s3", version{14, 9}, importGate, (*call).importS3, false},
	{"POST", "projects/import-relation", version{16, 11}, importGate, (*call).importRelation, true},
	{"GET", "projects/:id/relation-imports", version{16, 11}, importGate, (*call).listRelationImports, false},
	{"POST", "projects/:id/export_relations", version{14, 4}, relationsGate, (*call).exportRelations, false},
	{"GET", "projects/:id/export_relations/status", version{14, 4}, relationsGate, (*call).relationExportStatus, false},
	{"GET", "projects/:id/export_relations/download", version{14, 4}, relationsGate, (*call).downloadRelation, false},
}

func exportGate(c *call) *reply    { _, _, r := c.exportProject(); return r }
func importGate(c *call) *reply    { _, r := c.importer(); return r }
func relationsGate(c *call) *reply { _, _, r := c.relationsProject(); return r }

// serveGitLab is the server in front of GitLab.
func (s *Server) serveGitLab(w http.ResponseWriter, r *http.Request) {
	c := &call{s: s, x: w.(*exchange), r: r}
	c.parseQuery()
	c.nestFields()
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
	api, ok := strings.CutPrefix(rel, "/api/")
	if !ok {
		if r := c.screen(); r != nil {
			return r
		}
		return c.locked((*call).web)
	}
	c.match(api)
	// The front server knows its uploads by the path as it was sent.
	if c.route != nil && c.route.upload && api == "v4/"+c.route.pattern {
		return c.accelerated()
	}
	if r := c.parseBody(); r != nil {
		return r
	}
	return c.locked((*call).app)
}

// screen is what GitLab refuses before it counts a request or looks where it
// is going.
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

// untraversed are the parameters that are texts for people, and may have any.
var untraversed = []string{
	"search", "search_title", "search_query", "term", "name", "filter", "filter_projects", "note", "body", "commit_message", "content",
	"description",
}

// traverses reports whether the path, or the query after it, leads upwards.
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
		c.routes = append(c.routes, rt)
		if rt.method == c.r.Method || rt.method == http.MethodGet && c.r.Method == http.MethodHead {
			c.route = rt
		}
		c.bind(rt, segments[1:])
	}
}

func (rt *route) fits(segments []string) bool {
	pattern := strings.Split(rt.pattern, "/")
	if len(pattern) != len(segments) {
		return false
	}
	for i, p := range pattern {
		segment, err := url.PathUnescape(segments[i])
		if i == len(pattern)-1 {
			segment = withoutFormat(segment)
		}
		if segments[i] == "" || p != ":id" && (err != nil || p != segment) {
			return false
		}
	}
	return true
}

// withoutFormat takes off how a client may say which format it wants. It gets
// JSON whatever it says.
func withoutFormat(segment string) string {
	if name, format, ok := strings.Cut(segment, "."); ok && format != "" && !strings.Contains(format, ".") {
		return name
	}
	return segment
}

func (c *call) bind(rt *route, segments []string) {
	pattern := strings.Split(rt.pattern, "/")
	if i := slices.Index(pattern, ":id"); i >= 0 {
		c.id, _ = url.PathUnescape(segments[i])
		c.rest = "/" + strings.Join(pattern[i+1:], "/")
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
	if r := c.screen(); r != nil {
		return r
	}
	return c.throttled((*call).serveAPI)
}

func (c *call) serveAPI() *reply {
	if r := c.writeRefused(); r != nil {
		return r
	}
	if c.unfit != nil {
		return c.unfit
	}
	if c.route == nil {
		return c.noRoute()
	}
	return c.route.handle(c)
}

// wellFormed reports whether what is written in escapes is clean.
func wellFormed(escaped string) bool {
	s, err := url.PathUnescape(escaped)
	return err == nil && clean(s)
}

// noRoute answers what no endpoint does. A method that the path has no route
// for comes to the one that takes everything.
func (c *call) noRoute() *reply {
	switch {
	case c.gone:
		return apiError(http.StatusGone, "API V3 is no longer supported. Use API V4 instead.")
	case c.r.Method == http.MethodOptions && c.routes != nil:
		return c.options()
	}
	return apiError(http.StatusNotFound, "404 Not Found")
}

// options tells which methods a path has, to those who may use it.
func (c *call) options() *reply {
	if r := c.routes[0].gate(c); r != nil {
		return r
	}
	methods := []string{http.MethodOptions}
	for _, rt := range c.routes {
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
