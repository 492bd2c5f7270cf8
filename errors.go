package porter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/seed-5d77b939/porter/internal/redact"
)

// Match these with errors.Is.
var (
	ErrUnauthorized     = errors.New("unauthorized")                    // 401
	ErrForbidden        = errors.New("forbidden")                       // 403
	ErrNotFound         = errors.New("not found")                       // 404
	ErrConflict         = errors.New("conflict")                        // 409
	ErrTooLarge         = errors.New("archive too large")               // 413
	ErrRateLimited      = errors.New("rate limited")                    // 429
	ErrExportInProgress = errors.New("export in progress")              // one of this user's is under way; no other was scheduled
	ErrExportNotReady   = errors.New("export not ready")                // finished, but the archive is not stored yet
	ErrExportExpired    = errors.New("export expired")                  // never made, or deleted: after 24 hours, or by a new export
	ErrNotArchive       = errors.New("not a project export")            // but some message, page or other file
	ErrArchiveDamaged   = errors.New("archive damaged")                 // cut, or with a wrong checksum
	ErrArchiveChanged   = errors.New("archive changed")                 // between two parts of one download
	ErrProjectExists    = errors.New("project exists")                  // its path or name is taken
	ErrWrongNamespace   = errors.New("imported into another namespace") // the project exists there
	ErrSourceConsumed   = errors.New("source already read")             // and cannot be opened again
	ErrOutcomeUnknown   = errors.New("outcome unknown")                 // sent, but the answer was lost or is a gateway's
	ErrNoAnswer         = errors.New("no answer")                       // the network, TLS or a proxy failed
	ErrStalled          = errors.New("stalled: no byte moved within the stall timeout")
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

// ExportError reports that GitLab could not make an export. GitLab tells the
// reason by e-mail only.
type ExportError struct {
	Export *Export // the last answer
}

// Error names the project, and what is known of the failure.
func (e *ExportError) Error() string {
	if e.Export == nil {
		return "export failed"
	}
	if e.Export.Status == ExportNone {
		return fmt.Sprintf("export of %s failed: it ran and ended without an archive (GitLab tells the reason by e-mail only; before 14.0 an export that was uploaded to a target ends like this, too)", e.Export.label())
	}
	return fmt.Sprintf("export of %s failed (status %q; GitLab tells the reason by e-mail only)", e.Export.label(), e.Export.Status)
}

// ImportError reports that an import failed or was canceled or, with
// MigrateOptions.Strict, was incomplete. The project remains and occupies its path.
type ImportError struct {
	Import *Import // the last answer
}

// Error names the project, GitLab's reason, how many relations of which kinds
// failed, and the correlation ID.
func (e *ImportError) Error() string {
	imp := e.Import
	if imp == nil {
		return "import failed"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "import of %s ", imp.label())
	switch imp.Status {
	case ImportFailed:
		b.WriteString("failed")
	case ImportFinished:
		b.WriteString("is incomplete")
	default:
		fmt.Fprintf(&b, "ended with status %q", imp.Status)
	}
	if imp.Error != "" {
		b.WriteString(": " + redact.Line(imp.Error, 1024))
	}
	if n := len(imp.FailedRelations); n > 0 {
		fmt.Fprintf(&b, ": %s (%s)", plural(n, "failed relation"), relationCounts(imp.FailedRelations))
	}
	if imp.CorrelationID != "" {
		fmt.Fprintf(&b, " (correlation ID %s)", redact.Line(imp.CorrelationID, 64))
	}
	return b.String()
}

// relationCounts writes "issues 2, merge_requests 1".
func relationCounts(failed []FailedRelation) string {
	counts := make(map[string]int)
	for _, f := range failed {
		counts[cmp.Or(redact.Line(f.RelationName, 64), "unknown")]++
	}
	var parts []string
	for name, n := range counts {
		parts = append(parts, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// RelationImportError reports that a single-relation import failed.
type RelationImportError struct {
	Import *RelationImport // the last answer
}

// Error names the relation, the project, and the import's ID.
func (e *RelationImportError) Error() string {
	if e.Import == nil {
		return "relation import failed"
	}
	return fmt.Sprintf("import of %s into %s failed (relation import %d)", redact.Line(string(e.Import.Relation), 64), redact.Line(string(e.Import.ProjectPath), 300), e.Import.ID)
}

// WaitError reports that a wait ended before the job did. If the context ended
// it, GitLab goes on with the job, and a later wait can pick it up.
type WaitError struct {
	Op      string // "export", "import", "relation import" or "relation exports"
	Project string // as the caller gave it
	Status  string // as last seen, "" if never; of relation exports how many are done
	Polls   int
	Elapsed time.Duration
	Err     error // the context's error and cause, or the last poll's error
}

// Error says why the wait ended, with the last status, the time and the number of polls.
func (e *WaitError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "wait for %s of %s", e.Op, e.Project)
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	b.WriteString(" (")
	if e.Status != "" {
		fmt.Fprintf(&b, "status %q ", redact.Line(e.Status, 64))
	} else {
		b.WriteString("no status seen ")
	}
	elapsed := e.Elapsed.Round(time.Millisecond)
	if elapsed > time.Second {
		elapsed = elapsed.Round(time.Second)
	}
	fmt.Fprintf(&b, "after %v, %s", elapsed, plural(e.Polls, "poll"))
	if errors.Is(e.Err, context.Canceled) || errors.Is(e.Err, context.DeadlineExceeded) {
		b.WriteString("; GitLab goes on with it")
	}
	b.WriteString(")")
	return b.String()
}

// Unwrap returns e.Err.
func (e *WaitError) Unwrap() error { return e.Err }
