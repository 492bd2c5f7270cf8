package porter

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed-5d77b939/porter/internal/netio"
	"github.com/seed-5d77b939/porter/internal/pace"
	"github.com/seed-5d77b939/porter/internal/redact"
)

// NewTransport returns a transport like the one that a client uses that is given
// none, with the settings of cfg for TLS: a private CA's RootCAs, a client's
// Certificates. Nil stands for Go's defaults. It is for WithTransport, and may
// be wrapped, in one that traces or counts, say. It takes the proxy from the
// environment and speaks HTTP/1.1 whatever cfg says. Of an upload that the
// server refuses early it finds the refusal, and it sends no POST on a
// connection that was used before. Every transport has connections of its own,
// so make one for all clients.
func NewTransport(cfg *tls.Config) http.RoundTripper { return netio.NewTransport(cfg) }

// newHTTPClient returns the HTTP client that the options ask for. Its transport
// is the user's, if there is one.
func newHTTPClient(cfg config) http.Client {
	var hc http.Client
	if cfg.httpClient != nil {
		hc = *cfg.httpClient
	}
	hc.Timeout = 0
	if cfg.transport != nil {
		hc.Transport = cfg.transport
	}
	if hc.Transport == nil {
		hc.Transport = netio.NewTransport(nil)
	}
	return hc
}

// originTransport adds the client's credentials to requests to the origin of
// the instance, redirected ones included, and to no others.
type originTransport struct {
	next     http.RoundTripper
	home     *url.URL
	auth     Auth
	agent    string // the User-Agent
	logger   *slog.Logger
	clock    *pace.Clock
	polls    *pace.Polls
	answered *atomic.Bool
}

func (t *originTransport) RoundTrip(orig *http.Request) (*http.Response, error) {
	req := orig.Clone(orig.Context())
	home := netio.SameOrigin(req.URL, t.home)
	hidden := redact.SecretsOf(req.Context())
	if home && t.auth != nil {
		if err := t.auth(req); err != nil {
			if req.Body != nil {
				req.Body.Close()
			}
			return nil, &authError{err, orig.Response != nil}
		}
	}
	hidden.AddCredentials(orig, req)
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", t.agent)
	}
	if orig.Response != nil || !home {
		hidden.AddURL(orig.URL) // where it was redirected to is signed
	}
	start := time.Now()
	resp, err := t.next.RoundTrip(req)
	if resp == nil && err == nil {
		err = fmt.Errorf("transport %T returned neither an answer nor an error", t.next)
	}
	t.log(req, orig.URL, time.Since(start), resp, err)
	if err != nil {
		return nil, err
	}
	resp.Request = orig // without the credentials
	if to := resp.Header.Get("Location"); to != "" {
		resp.Header.Set("Location", netio.EscapeLocation(to))
	}
	if home {
		t.answered.Store(true)
		t.clock.Learn(resp.Header)
		t.polls.Learn(resp.Header)
		if resp.StatusCode/100 == 3 {
			t.stayHome(resp, orig.URL, redact.AddedQuery(orig.URL, req.URL))
		}
	}
	return resp, nil
}

type loggedKey struct{}

// withLogged lets requests be logged with their project, "" for none. It costs
// nothing where they are not logged.
func (c *core) withLogged(ctx context.Context, project string) context.Context {
	if !c.cfg.logger.Enabled(ctx, slog.LevelDebug) {
		return ctx
	}
	return context.WithValue(ctx, loggedKey{}, project)
}

// log logs a request. What it says is put together only if it is logged, as it
// is a fifth of all that BenchmarkGetExport allocates.
func (t *originTransport) log(req *http.Request, u *url.URL, took time.Duration, resp *http.Response, err error) {
	ctx, log := req.Context(), t.logger
	if !log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	if project, _ := ctx.Value(loggedKey{}).(string); project != "" {
		log = log.With("project", project)
	}
	log = log.With("method", req.Method, "url", redact.URL(u), "duration", took)
	if err != nil {
		log.DebugContext(ctx, "request failed", "error", safeText(req, err))
		return
	}
	log.DebugContext(ctx, "request", "status", resp.StatusCode)
}

// movedProject matches where GitLab sends a GET that names a project by an old path.
var movedProject = regexp.MustCompile(`/api/v4/(projects/[0-9]+/[^?#]*)$`)

// stayHome mends where the instance redirects a request to. GitLab builds the
// location of a renamed project on its configured external URL, and repeats
// the query; but it is the same server, and only at the base URL that the
// client was given are its credentials sent.
func (t *originTransport) stayHome(resp *http.Response, from *url.URL, credentials url.Values) {
	to, err := from.Parse(resp.Header.Get("Location"))
	if err != nil {
		resp.Header.Del("Location") // net/http would quote it
		return
	}
	if query, changed := without(to.Query(), credentials); changed {
		to.RawQuery = query.Encode()
		resp.Header.Set("Location", to.String())
	}
	if resp.StatusCode != http.StatusMovedPermanently || netio.SameOrigin(to, t.home) {
		return
	}
	m := movedProject.FindStringSubmatch(to.EscapedPath())
	if m == nil {
		return
	}
	here, err := t.home.Parse(m[1])
	if err != nil || here.EscapedPath() == from.EscapedPath() {
		return // it was not renamed; the instance really is elsewhere
	}
	here.RawQuery = to.RawQuery
	resp.Header.Set("Location", here.String())
}

// without removes the values of unwanted from query.
func without(query, unwanted url.Values) (_ url.Values, changed bool) {
	for key, values := range unwanted {
		if slices.Equal(query[key], values) {
			delete(query, key)
			changed = true
		}
	}
	return query, changed
}

// maxRedirects bounds the redirects of one GET.
const maxRedirects = 10

// redirectPolicy follows redirects of a GET, and afterwards asks the user's
// own policy. Others are answers: GitLab's redirect of a POST would turn it
// into a GET of its start page.
func redirectPolicy(user func(*http.Request, []*http.Request) error) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		last := via[len(via)-1]
		switch {
		case via[0].Method != http.MethodGet:
			return http.ErrUseLastResponse
		case len(via) > maxRedirects:
			return &redirectError{fmt.Errorf("redirected more than %d times", maxRedirects)}
		case req.URL.Scheme != "http" && req.URL.Scheme != "https":
			return &redirectError{fmt.Errorf("redirected to a %q URL", redact.Line(req.URL.Scheme, 20))}
		case last.URL.Scheme == "https" && req.URL.Scheme != "https":
			return &redirectError{errors.New("redirected from https to " + redact.URL(req.URL))}
		}
		req.Header.Del("Referer") // would carry the signature of a signed URL along
		if user != nil {
			if err := user(req, via); err != nil && err != http.ErrUseLastResponse {
				return &redirectError{err}
			} else if err != nil {
				return err
			}
		}
		return nil
	}
}
