package portertest

import (
	"crypto/x509"
	"net/http"
	"strings"
	"sync"

	"github.com/seed-5d77b939/porter/portertest/internal/wire"
)

// The package has layers. A file names nothing of the layers above its own.
//
//   - Wire: internal/wire carries connections; log, faults, middleware and reply
//     know HTTP, but no GitLab.
//   - Model: clock, options, settings, users, projects, exports, imports, objects
//     and others are parts of the model, which knows no HTTP.
//   - Requests: request_* read what a request asks for, and reply_gitlab has
//     GitLab's kinds of answers. outbound makes GitLab's own requests.
//   - API: api_* have an endpoint each, or what endpoints share. api_routes lists
//     the endpoints.
//   - Servers: workhorse, with rails behind it, and storage_server. Server puts
//     all together.

// A Server is a GitLab that knows only the project import/export API, the lists of
// projects and what a program may look at before (the version, the token, its
// user, settings, namespaces, groups, projects), and the object storage beside it.
type Server struct {
	URL        string // the root of GitLab, with its relative URL root and without a slash at the end
	StorageURL string // the root of the object storage, another origin

	requestLog
	faults
	model
	outbound
	network  *wire.Network
	root     string        // the relative URL root
	handlers http.ServeMux // the test's own
	closing  sync.Once
}

// NewServer starts a server on a loopback port, or as [Listeners] says. Close it.
func NewServer(opts ...Option) *Server {
	cfg := defaultConfig()
	cfg.apply(opts)
	front, back := cfg.origin(cfg.gitlab, "gitlab.test"), cfg.origin(cfg.storage, "storage.test")
	s := &Server{
		network: wire.New(wire.Config{InMemory: cfg.inMemory, TLS: cfg.tls, HTTP2: cfg.http2}, hosts(front, back)...),
		root:    cfg.root,
	}
	s.requestLog.keep, s.requestLog.onEnd = cfg.keepRequests, cfg.onRequest
	s.outbound.begin(s.network)
	s.model.begin(cfg)
	s.exportUploads.send, s.imports.fetch = s.outbound.send, s.outbound.fetch

	around := &middleware{log: &s.requestLog, faults: &s.faults, now: s.Now}
	gitlab, storage := &workhorse{&s.model, &s.outbound, apiRoutes, &s.handlers}, &storageServer{&s.model}
	s.URL = s.network.Serve(front, around.wrap(GitLab, gitlab.serve)) + cfg.root
	s.StorageURL = s.network.Serve(back, around.wrap(Storage, storage.serve))
	s.model.url, s.model.storageURL = s.URL, s.StorageURL
	_, host, _ := strings.Cut(s.StorageURL, "://")
	s.allow(host)
	return s
}

// Close breaks off all connections, waits for everything the server has begun
// and stops it.
func (s *Server) Close() {
	s.closing.Do(func() {
		s.stop()
		s.network.Close()
		s.clock.wg.Wait()
		s.outbound.transport.CloseIdleConnections()
		s.removeSpool()
	})
}

// Transport returns a transport that reaches both origins, however they are
// served, and trusts their certificate. It is shared; do not change it.
func (s *Server) Transport() *http.Transport { return s.network.Transport }

// Certificate returns the certificate that [TLS] and [HTTP2] serve with, nil
// without them. It is its own authority: a program trusts the server if it has
// this in its pool of roots, or in a file that it reads.
func (s *Server) Certificate() *x509.Certificate { return s.network.Certificate() }

// Client returns a new client that uses Transport.
func (s *Server) Client() *http.Client { return &http.Client{Transport: s.Transport()} }
