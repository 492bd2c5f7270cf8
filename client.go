package porter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/seed-5d77b939/porter/internal/redact"
)

// A Client calls the project import/export API of one GitLab instance as one
// user. It is safe for concurrent use and paces itself, so that any number of
// goroutines stay within GitLab's per-user limits.
type Client struct {
	core
	base    *url.URL // ends in /api/v4/
	auth    Auth
	created *recentSet // projects and jobs, by what they are asked for; shared with derived clients
}

// NewClient returns a client for the instance at baseURL, which may be the
// instance's root, a relative URL root, or its /api/v4 endpoint. A nil auth
// sends no credentials, for a transport that authenticates by itself. It makes
// no request; the error says what is wrong with baseURL or an option.
func NewClient(baseURL string, auth Auth, opts ...Option) (*Client, error) {
	base, err := parseBaseURL(baseURL)
	if err != nil {
		return nil, fmt.Errorf("new client: base URL: %w", err)
	}
	cfg := defaultConfig()
	if err := cfg.apply(opts); err != nil {
		return nil, fmt.Errorf("new client: %w", err)
	}
	c := &Client{core: newCore(cfg), base: base, auth: auth, created: new(recentSet)}
	c.bind(base, auth)
	return c, nil
}

// With returns a copy of c with opts applied. The copy shares c's HTTP client,
// credentials and pacing; WithHTTPClient and WithTransport give it an HTTP
// client of its own. A transport that c was given by WithTransport stays, unless
// another is given.
func (c *Client) With(opts ...Option) (*Client, error) {
	d := *c
	d.cfg.rewired = false
	if err := d.cfg.apply(opts); err != nil {
		return nil, fmt.Errorf("derive client: %w", err)
	}
	if d.cfg.rewired {
		d.bare = newHTTPClient(d.cfg)
	}
	d.bind(d.base, d.auth)
	return &d, nil
}

// BaseURL returns the API endpoint c talks to, ending in /api/v4/.
func (c *Client) BaseURL() string { return c.base.String() }

// String returns the endpoint, and no credentials.
func (c *Client) String() string { return "porter client of " + c.BaseURL() }

// GoString returns the endpoint, and no credentials.
func (c *Client) GoString() string { return c.String() }

// parseBaseURL checks and completes what a user gives as the instance. Its
// errors never repeat it, because it may hold a password.
func parseBaseURL(s string) (*url.URL, error) {
	if strings.ContainsFunc(s, isBlank) {
		return nil, errors.New("must not hold white space or invisible characters")
	}
	scheme, _, _ := strings.Cut(strings.ToLower(s), "://")
	if scheme != "http" && scheme != "https" {
		return nil, errors.New("must begin with https:// or http://")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("not a URL")
	case u.Hostname() == "":
		return nil, errors.New("has no host")
	case !portInRange(u):
		return nil, errors.New("has a port that is not between 1 and 65535")
	case u.User != nil:
		return nil, errors.New("must not hold a user or password; give the credentials as an Auth")
	case u.RawQuery != "" || u.ForceQuery:
		return nil, errors.New("must not have a query")
	case strings.Contains(s, "#"):
		return nil, errors.New("must not have a fragment")
	}
	for seg := range strings.SplitSeq(u.Path, "/") {
		if seg == "." || seg == ".." {
			return nil, errors.New("must not hold . or .. segments")
		}
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	if root, ok := strings.CutSuffix(path, "/api/v4"); !ok || strings.Contains(root+"/", "/api/v4/") {
		if end := apiInside(u.Path); end != "" {
			return nil, fmt.Errorf("must end at the instance's root or its /api/v4, not at %s", end)
		}
	}
	path = strings.TrimSuffix(path, "/api/v4") + "/api/v4/"
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: decoded, RawPath: path}, nil
}

// apiInside returns what of path says that it leads into an API, so that it is
// no root: it ends at /api or a version of it, or goes on below GitLab's own.
// Elsewhere "api" is a name like any other.
func apiInside(path string) string {
	segs := strings.FieldsFunc(strings.ToLower(path), func(r rune) bool { return r == '/' })
	for i, seg := range segs {
		if seg != "api" {
			continue
		}
		switch rest := segs[i+1:]; {
		case len(rest) == 0:
			return "/api"
		case len(rest) == 1 && apiVersion.MatchString(rest[0]):
			return "/api/" + rest[0]
		case rest[0] == "v3" || rest[0] == "v4" || rest[0] == "graphql":
			return "a path below /api/" + rest[0]
		}
	}
	return ""
}

var apiVersion = regexp.MustCompile(`^(v[0-9]{1,2}|graphql)$`)

// Auth adds credentials to a request to the GitLab instance. It is never
// called for a request to another origin, such as the object storage that a
// download is redirected to. An error ends the operation.
type Auth func(*http.Request) error

// PrivateToken authenticates with a personal, project or group access token.
// An empty token, or one that holds anything but printable ASCII without
// spaces, is an error of the first request, before anything is sent.
func PrivateToken(token string) Auth {
	return func(req *http.Request) error {
		if err := checkToken("private token", token); err != nil {
			return err
		}
		req.Header.Set("PRIVATE-TOKEN", token)
		return nil
	}
}

// BearerToken authenticates with an OAuth 2.0 access token. It is checked as
// PrivateToken's is.
func BearerToken(token string) Auth {
	return func(req *http.Request) error {
		if err := checkToken("bearer token", token); err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
}

// TokenSource authenticates with the bearer token that next returns, asked
// before every request, so that an expiring token can be refreshed in the
// middle of a long wait. An error of next counts as a failure of the network:
// the request is tried again, as often as WithRetry says. A token that cannot
// be one, such as an empty one, ends the operation.
func TokenSource(next func(context.Context) (string, error)) Auth {
	return func(req *http.Request) error {
		if next == nil {
			return errors.New("token source is nil")
		}
		token, err := next(req.Context())
		if err != nil {
			return &tokenSourceError{err}
		}
		return BearerToken(token)(req)
	}
}

// checkToken refuses what is in no token, but comes along when one is copied
// or read from a file. What it says never repeats any of it.
func checkToken(what, token string) error {
	if token == "" {
		return fmt.Errorf("%s is empty", what)
	}
	for i := range token {
		r, size := utf8.DecodeRuneInString(token[i:])
		flaw := tokenFlaw(r)
		first, last := i == 0, i+size == len(token)
		if flaw == "" && (first || last) && strings.ContainsRune("\"'`", r) {
			flaw = "a quotation mark"
		}
		switch {
		case flaw == "":
		case first:
			return fmt.Errorf("%s holds %s at its start", what, flaw)
		case last:
			return fmt.Errorf("%s holds %s at its end", what, flaw)
		default:
			return fmt.Errorf("%s holds %s inside", what, flaw)
		}
	}
	return nil
}

// tokenFlaw returns what r is, if it can be in no token: a header could not
// carry it, or GitLab makes none of it.
func tokenFlaw(r rune) string {
	switch {
	case '!' <= r && r <= '~':
		return ""
	case r <= ' ' || r == 0x7f:
		return "white space or a control character"
	case r == '\ufeff':
		return "a byte order mark"
	case r == '\u00a0' || r == '\u2007' || r == '\u202f':
		return "a no-break space"
	case isBlank(r) || unicode.In(r, unicode.Cc, unicode.Mn):
		return "an invisible character"
	case unicode.In(r, unicode.Pi, unicode.Pf) || r == '\u201a' || r == '\u201e':
		return "a typographic quotation mark"
	case unicode.Is(unicode.Pd, r):
		return "a typographic dash"
	case r == utf8.RuneError:
		return "bytes that are no UTF-8"
	}
	return "a character that is not ASCII"
}

// An Option configures a Client.
type Option func(*config) error

type config struct {
	httpClient *http.Client
	transport  http.RoundTripper
	rewired    bool // one of the two was set
	userAgent  string
	logger     *slog.Logger
	observer   func(Event)
	retries    int
	backoff    Backoff
	polling    Polling
	stall      time.Duration
	pacing     Pacing
	unpaced    bool
}

func defaultConfig() config {
	cfg := config{
		logger:  slog.New(slog.DiscardHandler),
		retries: 5,
		backoff: ExponentialBackoff(time.Second, 30*time.Second),
		stall:   2 * time.Minute,
	}
	cfg.polling.setDefaults()
	cfg.pacing.setDefaults()
	return cfg
}

func (cfg *config) apply(opts []Option) error {
	for _, opt := range opts {
		if opt == nil {
			return errors.New("option is nil")
		}
		if err := opt(cfg); err != nil {
			return err
		}
	}
	return nil
}

// WithHTTPClient makes the client use a copy of hc: its transport, cookie jar
// and redirect policy. Its Timeout is left out, because it would cut long
// transfers; give operations a context with a deadline instead. If it has no
// Transport, the library's own is used.
func WithHTTPClient(hc *http.Client) Option {
	return func(cfg *config) error {
		if hc == nil {
			return errors.New("HTTP client is nil")
		}
		cfg.httpClient, cfg.rewired = hc, true
		return nil
	}
}

// WithTransport sends requests through rt, whatever WithHTTPClient says. One
// that speaks HTTP/2 should look for connections that died unnoticed, as an
// http.Transport does with an HTTP2.SendPingTimeout, because otherwise they are
// used again; the library's own transport speaks HTTP/1.1, and sends no POST on
// a connection that was used before. Where the server
// closes a connection in the middle of an upload that it refuses, the library's
// own still finds the refusal, while others may find the connection broken.
func WithTransport(rt http.RoundTripper) Option {
	return func(cfg *config) error {
		if rt == nil {
			return errors.New("transport is nil")
		}
		cfg.transport, cfg.rewired = rt, true
		return nil
	}
}

// WithUserAgent puts product in front of the library's User-Agent.
func WithUserAgent(product string) Option {
	return func(cfg *config) error {
		if strings.ContainsFunc(product, unicode.IsControl) {
			return errors.New("user agent holds a control character")
		}
		cfg.userAgent = strings.TrimSpace(product)
		return nil
	}
}

// WithLogger logs requests at Debug, status changes at Info and retries at
// Warn, never with a credential or the query of a signed URL.
func WithLogger(l *slog.Logger) Option {
	return func(cfg *config) error {
		if l == nil {
			return errors.New("logger is nil")
		}
		cfg.logger = l
		return nil
	}
}

// WithObserver calls fn, in order and never concurrently for one operation,
// for every Event. The operation waits until fn returns. A nil fn switches
// observing off.
func WithObserver(fn func(Event)) Option {
	return func(cfg *config) error {
		cfg.observer = fn
		return nil
	}
}

// WithRetry sets how often and how soon a failed request is tried again.
// Zero retries switch retrying off. A nil b keeps the present backoff. A 429 uses
// none up: it is waited for as long as the context lasts. The
// default is 5 retries, spaced from 1 to 30 seconds.
func WithRetry(retries int, b Backoff) Option {
	return func(cfg *config) error {
		if retries < 0 {
			return errors.New("retries are negative")
		}
		cfg.retries = retries
		if b != nil {
			cfg.backoff = b
		}
		return nil
	}
}

// WithPolling sets how the waiters poll. Zero fields of p keep what they are.
func WithPolling(p Polling) Option {
	return func(cfg *config) error {
		if p.Grace < 0 || p.Patience < 0 {
			return errors.New("polling: a duration is negative")
		}
		if p.Backoff != nil {
			cfg.polling.Backoff = p.Backoff
		}
		cfg.polling.Grace = cmp.Or(p.Grace, cfg.polling.Grace)
		cfg.polling.Patience = cmp.Or(p.Patience, cfg.polling.Patience)
		return nil
	}
}

// WithStallTimeout sets how long a transfer may move no byte, or a request go
// unanswered, before its connection is given up and the transfer resumed or
// the request retried. The default is 2 minutes; 0 switches it off. It never
// limits how long a transfer may take as a whole. The answer to a POST that was
// sent whole may take three times as long, because GitLab's front server waits
// five minutes for it; then its outcome is unknown, and it is not retried.
func WithStallTimeout(d time.Duration) Option {
	return func(cfg *config) error {
		if d < 0 {
			return errors.New("stall timeout is negative")
		}
		cfg.stall = d
		return nil
	}
}

// WithPacing sets the limits that the client keeps to by itself. Zero fields
// of p keep what they are. It takes back WithoutPacing.
func WithPacing(p Pacing) Option {
	return func(cfg *config) error {
		if p.Exports < 0 || p.Imports < 0 || p.Downloads < 0 {
			return errors.New("pacing: a limit is negative")
		}
		cfg.pacing.Exports = cmp.Or(p.Exports, cfg.pacing.Exports)
		cfg.pacing.Imports = cmp.Or(p.Imports, cfg.pacing.Imports)
		cfg.pacing.Downloads = cmp.Or(p.Downloads, cfg.pacing.Downloads)
		cfg.unpaced = false
		return nil
	}
}

// WithoutPacing lets operations start at once, whatever GitLab's limits are.
func WithoutPacing() Option {
	return func(cfg *config) error {
		cfg.unpaced = true
		return nil
	}
}

// version names this module's version in the User-Agent.
var version = sync.OnceValue(func() string {
	const path = "github.com/seed-5d77b939/porter"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	v := ""
	if info.Main.Path == path {
		v = info.Main.Version
	}
	for _, dep := range info.Deps {
		if dep.Path == path {
			v = dep.Version
		}
	}
	if v == "" || v == "(devel)" {
		return "devel"
	}
	return v
})

func (cfg *config) userAgentHeader() string {
	return strings.TrimSpace(cfg.userAgent + " porter/" + version())
}

// A ProjectRef names a project: a ProjectID or a ProjectPath.
type ProjectRef interface {
	String() string
	projectRef() (string, error)
}

// ProjectID is a project's numeric ID.
type ProjectID int64

// ProjectPath is a project's full path, such as "group/subgroup/app", not escaped.
type ProjectPath string

// String returns the ID in decimal.
func (id ProjectID) String() string { return strconv.FormatInt(int64(id), 10) }

func (id ProjectID) projectRef() (string, error) {
	if id <= 0 {
		return "", fmt.Errorf("project ID %d is not positive", int64(id))
	}
	return id.String(), nil
}

// String returns the path.
func (p ProjectPath) String() string { return string(p) }

func (p ProjectPath) projectRef() (string, error) {
	if err := checkPath("project path", string(p)); err != nil {
		return "", err
	}
	if !strings.Contains(string(p), "/") {
		return "", fmt.Errorf("project path %q has no namespace: give the full path, such as group/app, or a ProjectID", string(p))
	}
	return string(p), nil
}

// A NamespaceRef names a group or personal namespace: a NamespaceID or a NamespacePath.
type NamespaceRef interface {
	String() string
	namespaceRef() (key, value string, err error)
}

// NamespaceID is a namespace's numeric ID.
type NamespaceID int64

// NamespacePath is a namespace's full path, such as "group/subgroup", not
// escaped. GitLab takes a path of digits only for an ID, so such a namespace
// can be named by its NamespaceID only.
type NamespacePath string

// String returns the ID in decimal.
func (id NamespaceID) String() string { return strconv.FormatInt(int64(id), 10) }

// The key is namespace, because servers before 18.7 drop namespace_id and
// import into the user's own namespace.
func (id NamespaceID) namespaceRef() (key, value string, err error) {
	if id <= 0 {
		return "", "", fmt.Errorf("namespace ID %d is not positive", int64(id))
	}
	return "namespace", id.String(), nil
}

// String returns the path.
func (p NamespacePath) String() string { return string(p) }

func (p NamespacePath) namespaceRef() (key, value string, err error) {
	if err := checkPath("namespace path", string(p)); err != nil {
		return "", "", err
	}
	if strings.Trim(string(p), "0123456789") == "" {
		return "", "", fmt.Errorf("namespace path %q: GitLab takes a path of digits for an ID; give the NamespaceID", string(p))
	}
	return "namespace", string(p), nil
}

// checkPath refuses what can be no path on any GitLab, before a request or a
// whole upload is spent on it.
func checkPath(what, p string) error {
	if p == "" {
		return fmt.Errorf("%s is empty", what)
	}
	if !utf8.ValidString(p) || strings.ContainsFunc(p, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return fmt.Errorf("%s %q holds white space or control characters", what, p)
	}
	if strings.Contains(strings.ToLower(p), "%2f") {
		return fmt.Errorf("%s %q is escaped already: give it with slashes", what, p)
	}
	for seg := range strings.SplitSeq(p, "/") {
		switch seg {
		case "":
			return fmt.Errorf("%s %q has an empty segment", what, p)
		case ".", "..":
			return fmt.Errorf("%s %q has a segment %q", what, p, seg)
		}
	}
	return nil
}

// resolve checks a reference and returns it as GitLab's :id, not escaped.
func resolve(p ProjectRef) (string, error) {
	switch p.(type) {
	case nil:
		return "", errors.New("project reference is nil")
	case ProjectID, ProjectPath:
		return p.projectRef()
	}
	return "", fmt.Errorf("project reference is a %T; give a ProjectID or a ProjectPath", p) // a pointer to one, say
}

// Project is what every import and export answer says of its project.
type Project struct {
	ID                ProjectID   `json:"id"`
	Name              string      `json:"name"`
	NameWithNamespace string      `json:"name_with_namespace"`
	Path              string      `json:"path"`
	PathWithNamespace ProjectPath `json:"path_with_namespace"`
	Description       string      `json:"description"`
	CreatedAt         time.Time   `json:"created_at"` // the project, not an export of it
}

// ref returns what to ask for a project by from now on: its ID, if it was given
// by its path, which a rename changes.
func (p Project) ref(given ProjectRef) string {
	if _, byPath := given.(ProjectPath); byPath && p.ID > 0 {
		return p.ID.String()
	}
	ref, _ := resolve(given) // it was fine before
	return ref
}

// label names the project in messages.
func (p Project) label() string {
	if p.PathWithNamespace != "" {
		return redact.Line(string(p.PathWithNamespace), 300)
	}
	return p.ID.String()
}
