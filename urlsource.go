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
// query. It retries and watches for stalls as a Client does by default.
func URLSource(rawURL string, hc *http.Client) Source {
	cfg := defaultConfig()
	cfg.httpClient = hc
	cfg.unpaced = true
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		err = errors.New("malformed URL")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		err = errors.New("URL must begin with https:// or http://")
	}
	if err != nil {
		err = fmt.Errorf("URL source: %w", err)
		return Source{Size: -1, Open: func(context.Context) (io.ReadCloser, error) { return nil, err }}
	}
	c := newCore(cfg)
	if hc == nil {
		c.bare = pooledHTTPClient()
	}
	c.bind(&url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}, nil)
	name := defaultFileName
	if base := path.Base(u.Path); checkFileName(base) == nil {
		name = base
	}
	label := redact.URL(u)
	return Source{
		Name: name,
		Size: -1,
		Open: func(ctx context.Context) (io.ReadCloser, error) {
			d, err := openDownload(ctx, &c, "download of "+label, label, request{url: u.String(), project: label}, 0, validator{})
			if err != nil {
				return nil, fmt.Errorf("download of %s: %w", label, err)
			}
			return newExportReader(d)
		},
	}
}

// pooledHTTPClient is that of all URL sources without one of their own.
var pooledHTTPClient = sync.OnceValue(func() http.Client { return newHTTPClient(defaultConfig()) })
