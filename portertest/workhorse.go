package portertest

import (
	"fmt"
	"net/http"
	"path"
	"strings"
)

// workhorse is the server in front of GitLab. It stores the files of uploads
// before GitLab sees anything of them.
type workhorse struct {
	m      *model
	out    *outbound
	routes []route
	own    *http.ServeMux // the handlers of the test, which come first
}

func (s *workhorse) serve(w http.ResponseWriter, r *http.Request) {
	if _, pattern := s.own.Handler(r); pattern != "" {
		w.Header().Set("X-Request-Id", s.m.newCorrelationID())
		s.own.ServeHTTP(w, r)
		return
	}
	c := &call{input: newInput(r, w.(*responseWriter).entry), m: s.m, out: s.out, requestID: s.m.newCorrelationID()}
	reply := s.handle(c)
	if !reply.workhorse {
		w.Header().Set("X-Request-Id", c.requestID)
	}
	reply.write(w, r)
}

func (s *workhorse) handle(c *call) *reply {
	escaped := cleanPath(c.r.URL.EscapedPath())
	s.m.lock()
	cfg := s.m.cfg
	s.m.unlock()
	rel, ok := strings.CutPrefix(escaped, cfg.root)
	if !ok || rel != "" && rel[0] != '/' {
		r := workhorseReply(http.StatusNotFound, fmt.Sprintf("Not found %q", escaped))
		r.header.Set("Connection", "close")
		return r
	}
	api, ok := strings.CutPrefix(rel, "/api/")
	if !ok {
		if r := c.screen(); r != nil {
			return r
		}
		return c.locked(c.web)
	}
	found := findRoutes(s.routes, cfg.version, c.r.Method, api)
	c.id, c.rest = found.id, found.rest
	// An upload is known by the path as it was sent.
	if found.route != nil && found.route.upload && api == "v4/"+found.route.pattern {
		return c.accelerated(found, cfg)
	}
	if r := c.readBody(); r != nil {
		return r
	}
	return c.locked(func() *reply { return c.rails(found) })
}

// cleanPath is how Workhorse reads a path; a slash at the end stays.
func cleanPath(escaped string) string {
	p := path.Clean("/" + escaped)
	if strings.HasSuffix(escaped, "/") && p != "/" {
		p += "/"
	}
	return p
}

// accelerated handles a request whose file is stored first.
func (c *call) accelerated(found *match, cfg config) *reply {
	if cfg.atLeast(12, 9) {
		if r := c.locked(c.preflight); r != nil {
			return r
		}
	}
	if r := c.receive(cfg.maxImportSize()); r != nil {
		return r
	}
	r := c.locked(func() *reply { return c.rails(found) })
	// Workhorse takes GitLab's own "100 Continue" for the status.
	if strings.EqualFold(c.r.Header.Get("Expect"), "100-continue") && r.send == nil {
		r.status = http.StatusOK
	}
	return r
}

// preflight is Workhorse's question whether it may take the file, asked
// with the request's headers before any of its body is read.
func (c *call) preflight() *reply {
	if r := c.screen(); r != nil {
		return r
	}
	return c.throttled(c.authorizeUpload)
}

func (c *call) authorizeUpload() *reply {
	if r := c.writeRefused(); r != nil {
		return r
	}
	u, r := c.authenticate()
	switch {
	case r != nil:
		return r
	case u == nil:
		return message(http.StatusUnauthorized, "401 Unauthorized")
	case c.m.cfg.importsOff:
		return message(http.StatusForbidden, "403 Forbidden")
	}
	return nil
}
