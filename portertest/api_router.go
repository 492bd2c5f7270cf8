package portertest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// route is an endpoint of the API.
type route struct {
	method  string
	pattern string // below /api/v4; ":id" and what else begins so stand for one segment
	since   version
	gate    func(*call) *reply // what stands before it, whatever the method is
	handle  func(*call) *reply // with the model's lock held
	upload  bool               // Workhorse stores the file before GitLab looks
}

// match is what the API has for a path.
type match struct {
	routes   []*route // whatever the method
	route    *route   // for the method too
	gone     bool     // the path is of an API that is no more
	id, rest string   // of the path: its :id, unescaped, and what comes after
}

// findRoutes looks for the routes of a path below /api/.
func findRoutes(routes []route, v version, method, api string) *match {
	segments := strings.Split(strings.TrimSuffix(api, "/"), "/")
	m := &match{gone: segments[0] == "v3"}
	if segments[0] != "v4" {
		return m
	}
	for i := range routes {
		rt := &routes[i]
		if !v.atLeast(rt.since.major, rt.since.minor) || !rt.fits(segments[1:]) {
			continue
		}
		if rt.pattern == "projects/:id" && !isProject(segments[2]) {
			continue
		}
		m.routes = append(m.routes, rt)
		if rt.method == method || rt.method == http.MethodGet && method == http.MethodHead {
			m.route = rt
		}
		m.bind(rt, segments[1:])
	}
	return m
}

// isProject reports whether an escaped segment can name a project, and is not
// the last part of another route's path, such as "import".
func isProject(segment string) bool {
	id, err := url.PathUnescape(segment)
	return err == nil && (projectID.MatchString(id) || strings.Contains(id, "/"))
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
		if segments[i] == "" || p[0] != ':' && (err != nil || p != segment) {
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

func (m *match) bind(rt *route, segments []string) {
	pattern := strings.Split(rt.pattern, "/")
	if i := slices.Index(pattern, ":id"); i >= 0 {
		m.id, _ = url.PathUnescape(segments[i])
		m.rest = ""
		for j := i + 1; j < len(pattern); j++ {
			if pattern[j][0] == ':' {
				pattern[j], _ = url.PathUnescape(segments[j])
			}
			m.rest += "/" + pattern[j]
		}
	}
}
