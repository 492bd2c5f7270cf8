package porter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"sync"

	"github.com/seed-5d77b939/porter/internal/redact"
)

// URLSource reads the archive from a URL, such as a presigned one, with hc
// (nil is a pooled default). It resumes a broken connection as an ExportReader
// does, and never sends GitLab credentials. A copy of hc is used, without its
// Timeout. A URL that is none is an error of Open. Errors leave out the URL's
// query. It retries and watches for stalls as a Client does by default; the
// method of a Client goes by the client's options.
func URLSource(rawURL string, hc *http.Client) Source {
	cfg := defaultConfig()
	if hc == nil {
		return urlSource(rawURL, cfg, pooledHTTPClient())
	}
	cfg.httpClient = hc
	return urlSource(rawURL, cfg, newHTTPClient(cfg))
}

// URLSource is the function URLSource with the options of c: its logger,
// observer, retries, polling, stall timeout and user agent, and its transport,
// which may know a proxy or a private CA. It never sends the credentials or
// cookies of c. A client that was given no Auth may have a transport that
// authenticates by itself, so the source gets another, the library's own.
func (c *Client) URLSource(rawURL string) Source {
	if err := c.made(); err != nil {
		return brokenSource(fmt.Errorf("URL source: %w", err))
	}
	bare := c.bare
	bare.Jar = nil
	if c.auth == nil {
		bare = pooledHTTPClient()
	}
	return urlSource(rawURL, c.cfg, bare)
}

// urlSource is a Source with a core of its own, which has no credentials.
func urlSource(rawURL string, cfg config, bare http.Client) Source {
	u, err := parseSourceURL(rawURL)
	if err != nil {
		return brokenSource(fmt.Errorf("URL source: %w", err))
	}
	c := newCore(cfg, bare)
	c.places = nil // another server's
	c.bind(&url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}, nil)
	label := redact.URL(u)
	open := func(ctx context.Context, start start) (*download, error) {
		d, err := openDownload(ctx, &c, "download of "+label, label, request{url: u.String(), project: label}, start)
		if err != nil {
			return nil, fmt.Errorf("download of %s: %w", label, err)
		}
		return d, nil
	}
	return Source{
		Name: fileName(path.Base(u.Path)),
		Size: -1,
		Open: func(ctx context.Context) (io.ReadCloser, error) {
			if err := checkContext(ctx); err != nil {
				return nil, fmt.Errorf("download of %s: %w", label, err)
			}
			return opener(open).observedReader(ctx, &c, "", label)
		},
	}
}

// brokenSource is one that cannot be opened.
func brokenSource(err error) Source {
	return Source{Size: -1, Open: func(context.Context) (io.ReadCloser, error) { return nil, err }}
}

func parseSourceURL(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		return nil, errors.New("malformed URL")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, errors.New("URL must begin with https:// or http://")
	}
	return u, nil
}

// pooledHTTPClient is that of all URL sources without one of their own.
var pooledHTTPClient = sync.OnceValue(func() http.Client { return newHTTPClient(defaultConfig()) })
