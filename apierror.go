package porter

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxErrorBody bounds what is read of an answer that is not a success.
const maxErrorBody = 64 << 10

// APIError is an answer of GitLab, or of the object storage behind it, that
// is not a success. Match it with errors.Is and the Err variables. If the
// answer repeats the request's credentials or the query of a signed URL, they
// are replaced by "[redacted]", and the Body is left out if they are encoded.
type APIError struct {
	StatusCode int
	Method     string
	URL        string              // without its query
	Message    string              // flattened from whatever form GitLab used
	Fields     map[string][]string // messages by field, if any
	RequestID  string              // GitLab's X-Request-Id, for its logs
	RetryAfter time.Duration       // 0 if GitLab did not say
	Body       []byte              // at most 64 KiB

	reach      reach  // of the request's body, when the answer came
	busy       bool   // object storage asks for another attempt
	kind       error  // an Err variable beyond the one of the status
	key        string // the JSON key that held the message: "message", "error" or ""
	hint       string // what a user may have overlooked
	retryAfter bool   // Retry-After was sent and understood
}

// Error returns a line such as
// "POST /api/v4/projects/import: 404 Namespace Not Found (request 01H…)".
func (e *APIError) Error() string {
	var b strings.Builder
	path := e.URL
	if u, err := url.Parse(e.URL); err == nil && strings.Contains(u.EscapedPath(), "/api/v4/") {
		path = u.EscapedPath()
	}
	fmt.Fprintf(&b, "%s %s: ", e.Method, path)
	status := fmt.Sprint(e.StatusCode)
	switch {
	case e.Message == "":
		b.WriteString(strings.TrimSpace(status + " " + http.StatusText(e.StatusCode)))
	case strings.HasPrefix(e.Message, status):
		b.WriteString(e.Message)
	default:
		b.WriteString(status + " " + e.Message)
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, " (request %s)", e.RequestID)
	}
	if e.hint != "" {
		b.WriteString("; " + e.hint)
	}
	return b.String()
}

// Is reports whether target is the Err variable for this answer.
func (e *APIError) Is(target error) bool {
	if e.kind != nil && target == e.kind {
		return true
	}
	switch e.StatusCode {
	case http.StatusUnauthorized:
		return target == ErrUnauthorized
	case http.StatusForbidden:
		return target == ErrForbidden
	case http.StatusNotFound:
		return target == ErrNotFound
	case http.StatusConflict:
		return target == ErrConflict
	case http.StatusRequestEntityTooLarge:
		return target == ErrTooLarge
	case http.StatusTooManyRequests:
		return target == ErrRateLimited
	}
	return false
}

// Temporary reports whether the same request may succeed later: after a 408, a
// 425, a 429 and every 5xx but 501, and after what object storage calls
// temporary, whatever the status.
func (e *APIError) Temporary() bool {
	switch e.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented:
		return false
	}
	return e.StatusCode >= 500 || e.busy
}

// busyStorage are the codes with which S3 and its like, Google's and Azure's
// included, ask for another attempt.
var busyStorage = []string{
	"InternalError", "SlowDown", "ServiceUnavailable", "RequestTimeout", "RequestTimeoutException", "OperationAborted",
	"Throttling", "ThrottlingException", "TooManyRequests", "RequestThrottled", "RequestLimitExceeded", "BandwidthLimitExceeded",
	"ServerBusy", "OperationTimedOut", "PriorRequestNotComplete",
}

// fromGateway reports whether the answer may come from what stands before
// GitLab, which then does not know what GitLab did. Cloudflare, before
// GitLab.com, has numbers of its own.
func (e *APIError) fromGateway() bool {
	switch e.StatusCode {
	case http.StatusRequestTimeout, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, 530:
		return true
	}
	return 520 <= e.StatusCode && e.StatusCode <= 527
}

// isPage reports whether the answer is HTML or XML.
func (e *APIError) isPage() bool {
	return bytes.HasPrefix(bytes.TrimSpace(withoutBOM(e.Body)), []byte("<"))
}

// as returns a copy of e that matches kind too.
func (e *APIError) as(kind error) *APIError {
	c := *e
	c.kind = kind
	return &c
}

// LogValue groups what an operator needs.
func (e *APIError) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.Int("status", e.StatusCode),
		slog.String("method", e.Method),
		slog.String("url", e.URL),
		slog.String("message", e.Message),
	}
	if e.RequestID != "" {
		attrs = append(attrs, slog.String("request_id", e.RequestID))
	}
	if e.RetryAfter > 0 {
		attrs = append(attrs, slog.Duration("retry_after", e.RetryAfter))
	}
	return slog.GroupValue(attrs...)
}
