package portertest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A Server is a GitLab that knows only the project import/export API, and the
// object storage beside it.
type Server struct {
	URL        string // the root of GitLab, with its relative URL root and without a slash at the end
	StorageURL string // the root of the object storage, another origin

	root      string                   // of relative URLs
	listeners map[string]*pipeListener // by host, for InMemory
	servers   []*http.Server
	transport *http.Transport // what a user's client gets
	outbound  *http.Transport // GitLab's own requests
	secret    []byte          // signs storage URLs
	ctx       context.Context // ends with the server
	cancel    context.CancelFunc
	wg        sync.WaitGroup // requests, errands and listeners
	closing   sync.Once

	logMu  sync.Mutex
	log    []*Request
	faults []*Injection

	mu            sync.Mutex // guards everything below
	closed        bool
	cfg           config
	offset        time.Duration
	moment        time.Time // what the clock shows while it stands still
	users         map[string]*user
	tokens        map[string]*accessToken
	namespaces    map[string]*namespace // by lower-case path
	projects      map[int64]*project
	lastUser      int64
	lastNamespace int64
	lastProject   int64
	lastRequest   int64
	lastFailure   int64
	lastTracker   int64
	windows       map[string]*window
	exports       []*exportJob
	exportScripts map[int64][]ExportScript  // by project ID
	importScripts map[string][]ImportScript // by lower-case path
	trackers      []*tracker
	relations     []*relationExport
	errands       []*errand
	uploads       []Upload
	allowed       []string // hosts that GitLab sends requests to, beside its storage
	objects       map[string]*storedObject
	spool         string     // a directory for objects put into the storage
	spooled       []*Archive // in it
	lastSpool     int
}

// NewServer starts a server on a loopback port. Close it.
func NewServer(opts ...Option) *Server {
	s := &Server{
		cfg:           defaultConfig(),
		secret:        randomBytes(16),
		users:         map[string]*user{},
		tokens:        map[string]*accessToken{},
		namespaces:    map[string]*namespace{},
		projects:      map[int64]*project{},
		lastNamespace: 100,
		lastProject:   1000,
		windows:       map[string]*window{},
		exportScripts: map[int64][]ExportScript{},
		importScripts: map[string][]ImportScript{},
		objects:       map[string]*storedObject{},
	}
	for _, o := range opts {
		o(&s.cfg)
	}
	s.root = s.cfg.root
	s.addUser(User{Username: "owner", Name: "Olivia Owner", Token: Token}).everywhere = true
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.listen()
	return s
}

// Close breaks off all connections, waits for everything the server has begun
// and stops it.
func (s *Server) Close() {
	s.closing.Do(func() {
		s.lock()
		s.closed = true
		s.stopErrands()
		s.unlock()
		s.cancel()
		for _, srv := range s.servers {
			srv.Close()
		}
		s.transport.CloseIdleConnections()
		s.wg.Wait()
		s.outbound.CloseIdleConnections()
		s.removeSpool()
	})
}

// begin announces work that Close has to wait for. It reports false if the
// server is closed.
func (s *Server) begin() bool {
	s.lock()
	defer s.unlock()
	if s.closed {
		return false
	}
	s.wg.Add(1)
	return true
}

func (s *Server) externalURL() string {
	if s.cfg.external != "" {
		return s.cfg.external
	}
	return s.URL
}

// Transport returns a transport that reaches both origins, however they are
// served, and trusts their certificate. It is shared; do not change it.
func (s *Server) Transport() *http.Transport { return s.transport }

// Client returns a new client that uses Transport.
func (s *Server) Client() *http.Client { return &http.Client{Transport: s.transport} }

func (s *Server) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("portertest: %w", err)
	}
	if l := s.listeners[host]; l != nil {
		return l.dial(ctx)
	}
	return (&net.Dialer{}).DialContext(ctx, network, addr)
}

// dialOut is dial for GitLab's own requests, none of which leave this machine.
func (s *Server) dialOut(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err == nil && s.listeners[host] == nil && !strings.EqualFold(host, "localhost") {
		ip, ok := resolve(host)
		if !ok || !ip.IsLoopback() {
			return nil, &net.OpError{Op: "dial", Net: network, Err: errRefused}
		}
		addr = net.JoinHostPort(ip.String(), port)
	}
	return s.dial(ctx, network, addr)
}
