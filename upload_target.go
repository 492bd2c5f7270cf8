package porter

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/seed-5d77b939/porter/internal/redact"
)

// UploadTarget is a URL, usually signed, that GitLab itself uploads the
// archive to, with Content-Type application/gzip, when the export is made.
//
// GitLab never tells whether that worked: an export ends as finished even if
// the upload failed, so look at the destination. If GitLab keeps its files in
// object storage, the destination must answer 200; it takes 201 and 204 for
// failures. The signature must cover the content type and outlive the export,
// which may take hours.
type UploadTarget struct {
	URL    string // http or https
	Method string // PUT, the default, or POST
}

// check refuses what GitLab would refuse after deleting the previous archive,
// or would silently take for no target, and returns what to send of it.
func (t UploadTarget) check() (*uploadRequest, error) {
	u, err := remoteURL("upload URL", t.URL, "https", "http")
	if err != nil {
		return nil, err
	}
	switch t.Method {
	case "", http.MethodPut, http.MethodPost:
		return &uploadRequest{u, t.Method}, nil
	}
	return nil, fmt.Errorf("upload method %q is neither PUT nor POST", t.Method)
}

// String returns the target without the URL's query, which holds its signature.
func (t UploadTarget) String() string {
	method := t.Method
	if method == "" {
		method = http.MethodPut
	}
	return method + " " + redact.URLText(t.URL)
}

// GoString returns the target without the URL's query.
func (t UploadTarget) GoString() string { return fmt.Sprintf("porter.UploadTarget{%s}", t) }

// MarshalJSON returns an error, because the target would come back without the
// signature in its URL.
func (t UploadTarget) MarshalJSON() ([]byte, error) { return nil, errHoldsSecret(t) }

// MarshalText returns an error, as MarshalJSON does; it is also for XML.
func (t UploadTarget) MarshalText() ([]byte, error) { return nil, errHoldsSecret(t) }

// MarshalBinary returns an error, as MarshalJSON does; it is also for gob.
func (t UploadTarget) MarshalBinary() ([]byte, error) { return nil, errHoldsSecret(t) }

// errHoldsSecret says why v is not marshaled.
func errHoldsSecret(v any) error {
	return fmt.Errorf("a %T is not marshaled: it holds a secret, without which it would come back", v)
}

// LogValue leaves out the URL's query, which holds its signature.
func (t UploadTarget) LogValue() slog.Value {
	return slog.GroupValue(slog.String("url", redact.URLText(t.URL)), slog.String("method", t.Method))
}

type uploadRequest struct {
	URL    string `json:"url"`
	Method string `json:"http_method,omitempty"`
}
