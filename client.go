package porter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
)

// A Client calls the project import/export API of one GitLab instance as one
// user. It is safe for concurrent use and paces itself, so that any number of
// goroutines stay within GitLab's per-user limits.
type Client struct {
	core
	base    *url.URL // ends in /api/v4/
	auth    Auth
	created *recentSet // projects and jobs, by what they are asked for; shared with derived clients
	kept    *keptAnswers
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
	c := &Client{core: newCore(cfg, newHTTPClient(cfg)), base: base, auth: auth, created: new(recentSet), kept: new(keptAnswers)}
	c.bind(base, auth)
	return c, nil
}

// With returns a copy of c with opts applied. The copy shares c's HTTP client,
// credentials and pacing; WithHTTPClient and WithTransport give it an HTTP
// client of its own. A transport that c was given by WithTransport stays, unless
// another is given.
func (c *Client) With(opts ...Option) (*Client, error) {
	if err := c.made(); err != nil {
		return nil, fmt.Errorf("derive client: %w", err)
	}
	d := *c
	d.cfg.rewired = false
	if err := d.cfg.apply(opts); err != nil {
		return nil, fmt.Errorf("derive client: %w", err)
	}
	if d.cfg.rewired {
		d.bare = newHTTPClient(d.cfg)
		d.kept = new(keptAnswers) // its transport may be another user's
	}
	d.bind(d.base, d.auth)
	return &d, nil
}

// BaseURL returns the API endpoint c talks to, ending in /api/v4/.
func (c *Client) BaseURL() string {
	if c.made() != nil {
		return ""
	}
	return c.base.String()
}

// String returns the endpoint, and no credentials.
func (c *Client) String() string { return "porter client of " + cmp.Or(c.BaseURL(), "no instance") }

// GoString returns the endpoint, and no credentials.
func (c *Client) GoString() string { return c.String() }

// made refuses a client that NewClient has not made.
func (c *Client) made() error {
	switch {
	case c == nil:
		return errors.New("client is nil")
	case c.base == nil:
		return errors.New("client is not one of NewClient")
	}
	return nil
}

// ready refuses what a call could only panic with.
func (c *Client) ready(ctx context.Context) error {
	if err := c.made(); err != nil {
		return err
	}
	return checkContext(ctx)
}

func checkContext(ctx context.Context) error {
	if ctx == nil {
		return errors.New("context is nil")
	}
	return nil
}

// resolve is where a call for a project begins: it is ready, and returns the
// project as GitLab's :id, not escaped.
func (c *Client) resolve(ctx context.Context, p ProjectRef) (string, error) {
	if err := c.ready(ctx); err != nil {
		return "", err
	}
	return resolve(p)
}

// endpoint returns the URL of a path below the API's root. The path is escaped.
func (c *Client) endpoint(path string) string { return c.base.String() + path }

// projectURL returns the URL of a project.
func (c *Client) projectURL(id string) string { return c.endpoint("projects/" + url.PathEscape(id)) }

// projectEndpoint returns the URL of what an endpoint says of a project.
func (c *Client) projectEndpoint(id, what string) string { return c.projectURL(id) + "/" + what }
