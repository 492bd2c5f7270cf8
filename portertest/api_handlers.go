package portertest

import (
	"context"
	"maps"
	"net/http"
	"strings"
)

// Handle has h answer the requests to GitLab that match a pattern of
// [http.ServeMux], instead of what is simulated there. It is for endpoints that
// a program needs beside those of this package:
//
//	s.Handle("GET /api/v4/groups/{id}/hooks", s.Authenticated(http.HandlerFunc(hooks)))
//
// The pattern's path begins below [RelativeRoot]; the request has the whole path.
// A wildcard matches a path that is escaped in one segment, such as
// "group%2Fapp", and its value is not escaped. Faults hit these requests, and the
// log has them, without what is in their bodies. Everyone may ask, unless h is
// made by [Server.Authenticated].
//
// Handle may be called at any time. It panics where ServeMux does: if the pattern
// is malformed, or was given before.
func (s *Server) Handle(pattern string, h http.Handler) {
	if i := strings.Index(pattern, "/"); i >= 0 {
		pattern = pattern[:i] + s.root + pattern[i:]
	}
	s.handlers.Handle(pattern, h)
}

// HandleFunc is [Server.Handle] with a function.
func (s *Server) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	s.Handle(pattern, http.HandlerFunc(h))
}

// Authenticated returns a handler for [Server.Handle] that answers what GitLab
// answers before it looks for an endpoint's own rules, and leaves the rest to h:
// the refusal of a request without a token, of one that is wrong, expired or lacks
// the scope, of a write to a read-only instance, and of requests that are too many
// for [GlobalThrottle]. The token is looked for in the header and in the query,
// not in a form. What the user may do there is for h to decide, which finds the
// user's name by [Caller].
func (s *Server) Authenticated(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{input: newInput(r, nil), m: &s.model}
		var u *user
		var limits http.Header
		refusal := c.locked(func() (refused *reply) {
			if refused = c.screen(); refused != nil {
				return refused
			}
			if limits, refused = c.countGlobally(); refused != nil {
				return refused
			}
			if refused = c.writeRefused(); refused == nil {
				u, refused = c.authenticated()
			}
			return refused
		})
		maps.Copy(w.Header(), limits)
		if refusal != nil {
			refusal.write(w, r)
			return
		}
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, u.username)))
	})
}

type callerKey struct{}

// Caller returns the name of the user who makes a request that
// [Server.Authenticated] has let pass, or whom an administrator acts as; "" for
// any other request.
func Caller(r *http.Request) string {
	name, _ := r.Context().Value(callerKey{}).(string)
	return name
}
