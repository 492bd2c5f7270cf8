package porter

import (
	"context"
	"net/http"
	"net/url"

	"github.com/seed-5d77b939/porter/internal/netio"
	"github.com/seed-5d77b939/porter/internal/pace"
)

// A request is one call of the API, which may take several attempts.
type request struct {
	method string
	url    string
	header http.Header
	// begin returns the header instead, once the request may be sent; nil for none.
	begin    func() (http.Header, error)
	project  string       // as the caller gave it, for events and logs
	hints    hints        // which endpoints it belongs to
	download bool         // of an archive, which may be redirected to object storage
	once     bool         // never tried again: its caller is a loop already
	outlasts bool         // it bears an outage for Polling.Patience: an export or bytes of an archive would be lost with it
	known    bool         // its host has answered before
	secrets  []string     // that its body carries, such as a signed URL
	budget   pace.Budget  // of GitLab's limits
	place    *pace.Holder // of a transfer; nil for any other request
	// kind returns the Err variable for an answer, beyond the one of its status;
	// nil for none.
	kind func(*APIError) error
	// read takes the answer in, if a broken one is to be asked for again.
	read func(*http.Response) error
	// open makes the body of an attempt; nil for none.
	open func(context.Context) (*payload, error)
}

// elsewhere reports whether resp, an answer to r, comes from another origin
// than was asked.
func (r *request) elsewhere(resp *http.Response) bool {
	asked, err := url.Parse(r.url)
	return err == nil && resp.Request != nil && !netio.SameOrigin(resp.Request.URL, asked)
}
