package porter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter/internal/wait"
	"github.com/seed-5d77b939/porter/portertest"
)

// never is the wait of what may not be tried again.
const never = -1

// retryableSentinels are all Err variables.
var retryableSentinels = []struct {
	name string
	err  error
	want time.Duration
}{
	{"ErrUnauthorized", ErrUnauthorized, never},
	{"ErrForbidden", ErrForbidden, never},
	{"ErrNotFound", ErrNotFound, never},
	{"ErrConflict", ErrConflict, time.Minute},
	{"ErrTooLarge", ErrTooLarge, never},
	{"ErrRateLimited", ErrRateLimited, time.Minute},
	{"ErrExportInProgress", ErrExportInProgress, time.Minute},
	{"ErrExportNotReady", ErrExportNotReady, time.Minute},
	{"ErrExportExpired", ErrExportExpired, never},
	{"ErrNotArchive", ErrNotArchive, never},
	{"ErrArchiveDamaged", ErrArchiveDamaged, never},
	{"ErrUnimportable", ErrUnimportable, never},
	{"ErrArchiveChanged", ErrArchiveChanged, 0},
	{"ErrProjectExists", ErrProjectExists, never},
	{"ErrWrongNamespace", ErrWrongNamespace, never},
	{"ErrSourceConsumed", ErrSourceConsumed, never},
	{"ErrOutcomeUnknown", ErrOutcomeUnknown, never},
	{"ErrWillFail", ErrWillFail, never},
	{"ErrNoAnswer", ErrNoAnswer, never}, // of which kind is not known
	{"ErrStalled", ErrStalled, 0},
}

func TestRetryableSentinels(t *testing.T) {
	source, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^\t(Err\w+) +=`).FindAllSubmatch(source, -1) {
		names = append(names, string(m[1]))
	}
	if len(names) < 10 {
		t.Fatalf("errors.go has only %v", names)
	}
	for _, tt := range retryableSentinels {
		names = slicesWithout(names, tt.name)
		checkRetryable(t, tt.name, fmt.Errorf("operation: %w", tt.err), tt.want)
	}
	if len(names) > 0 {
		t.Errorf("not in the table: %v", names)
	}
}

func slicesWithout(list []string, unwanted string) (rest []string) {
	for _, s := range list {
		if s != unwanted {
			rest = append(rest, s)
		}
	}
	return rest
}

func checkRetryable(t *testing.T, name string, err error, want time.Duration) {
	t.Helper()
	after, ok := Retryable(err)
	if !ok {
		if after != 0 {
			t.Errorf("%s: not to be tried again, after %v", name, after)
		}
		after = never
	}
	if after != want {
		t.Errorf("%s: %v after %v, want %v", name, ok, after, want)
	}
}

func TestRetryable(t *testing.T) {
	get := func(status int, after time.Duration) *APIError {
		return &APIError{Method: http.MethodGet, StatusCode: status, RetryAfter: after}
	}
	post := func(status int) *APIError { return &APIError{Method: http.MethodPost, StatusCode: status} }
	none := func(f fault, err error) error { return &transportError{method: "GET", err: err, fault: f} }
	waits := func(err error) error { return &WaitError{Op: "export", Project: "group/app", Err: err} }
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(get(429, time.Hour))
	for _, tt := range []struct {
		name string
		err  error
		want time.Duration
	}{
		{"nil", nil, never},
		{"another error", io.EOF, never},
		{"a file's error", &fs.PathError{Op: "write", Path: "a", Err: errors.New("no space left on device")}, never},

		{"400", get(400, 0), never},
		{"401", get(401, 0), never},
		{"409", post(409), time.Minute},
		{"429", get(429, 0), time.Minute},
		{"429 that says when", get(429, 17*time.Second), 17 * time.Second},
		{"500", get(500, 0), 0},
		{"500 of a POST", post(500), 0},
		{"501", get(501, 0), never},
		{"503 that asks for an hour", get(503, time.Hour), time.Hour},
		{"storage that is busy", &APIError{Method: http.MethodGet, StatusCode: 400, busy: true}, 0},
		{"404 of an archive that is not stored yet", get(404, 0).as(ErrExportNotReady), time.Minute},
		{"404 of an archive that is gone", get(404, 0).as(ErrExportExpired), never},
		{"400 of an export under way", post(400).as(ErrExportInProgress), time.Minute},
		{"400 of a path that is taken", post(400).as(ErrProjectExists), never},
		{"a page of a proxy", get(200, 0), 0},
		{"an answer to a POST that makes no sense", post(201), never},
		{"a gateway after a POST", outcomeUnknown(post(502)), never},

		{"a broken connection", none(networkFault, io.ErrUnexpectedEOF), 0},
		{"a stall", none(networkFault, ErrStalled), 0},
		{"a token source", none(tokenFault, io.EOF), 0},
		{"a certificate", none(lastingFault, io.EOF), never},
		{"a redirect", none(redirectFault, io.EOF), never},
		{"a token that cannot be", none(authFault, io.EOF), never},
		{"a lost answer to a POST", outcomeUnknown(none(networkFault, io.EOF)), never},

		{"a context", context.Canceled, 0},
		{"a context with a cause", waits(wait.Ended(ended)), 0},
		{"a request cut by its context", none(contextFault, wait.Ended(ended)), 0},
		{"a pause cut by the context", insteadOf(wait.Ended(ended), get(429, time.Minute+time.Second)), time.Minute + time.Second},
		{"a POST cut by the context", outcomeUnknown(none(contextFault, context.Canceled)), never},
		{"a failing poll", waits(get(502, 0)), 0},
		{"a refused poll", waits(get(403, 0)), never},
		{"a poll that says when", waits(get(503, time.Hour)), time.Hour},
		{"no export", waits(ErrExportExpired), never},
		{"no relation import", waits(fmt.Errorf("%w: none", ErrNotFound)), never},
		{"a failed export", &ExportError{&Export{Status: ExportFailed}}, never},
		{"a failed import", &ImportError{&Import{Status: ImportFailed}}, never},
		{"failed relations", errors.Join(&RelationExportError{}, &RelationExportError{}), never},
		{"a failed relation import", &RelationImportError{}, never},
		{"an export that was perhaps not scheduled", fmt.Errorf("%w (%w)", waits(get(502, 0)), outcomeUnknown(post(502))), never},

		{"a source's server in trouble", &sourceError{get(503, time.Minute)}, time.Minute},
		{"a source's server that refuses", &sourceError{get(403, 0)}, never},
		{"a source's network", fmt.Errorf("start import: %w", &sourceError{none(networkFault, io.EOF)}), 0},
		{"a source's unknown outcome", &sourceError{outcomeUnknown(post(502))}, never},
		{"a source's file", &sourceError{fs.ErrNotExist}, never},
		{"a source that was read", fmt.Errorf("%w (not tried again: %w)", get(503, 0), &sourceError{ErrSourceConsumed}), never},
	} {
		checkRetryable(t, tt.name, tt.err, tt.want)
		if tt.err != nil {
			checkRetryable(t, tt.name+", wrapped", fmt.Errorf("project one: %w", tt.err), tt.want)
		}
	}
}

// What the operations return can be told as well, with the client's retries
// used up.
func TestRetryableOperations(t *testing.T) {
	for name, tt := range map[string]struct {
		do   portertest.Action
		path string
		want time.Duration
	}{
		"download breaks": {portertest.CutResponse(0), "/download", 0},
		"download stalls": {portertest.StallResponse(0, 0), "/download", 0},
		"no answer":       {portertest.CutRequest(0), "/download", 0},
		"maintenance":     {portertest.Respond(503, http.Header{"Retry-After": {"3600"}}, "GitLab is down"), "/export", time.Hour},
		"no archive":      {portertest.Respond(200, nil, "<html>Sign in</html>"), "/download", never},
		"token expired":   {portertest.Respond(401, nil, `{"message":"401 Unauthorized"}`), "/export", never},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := portertest.NewServer(portertest.InMemory(), portertest.NoLimits())
				defer s.Close()
				id := s.AddProject(portertest.Project{Path: "team/app"})
				s.Inject(portertest.Fault{Path: tt.path, Times: -1, Do: tt.do})
				c, err := NewClient(s.URL, PrivateToken(portertest.Token), WithTransport(s.Transport()), WithRetry(1, ConstantBackoff(time.Second)))
				if err != nil {
					t.Fatal(err)
				}
				var buf bytes.Buffer
				if _, err = c.ExportTo(t.Context(), ProjectID(id), &buf, nil); err == nil {
					t.Fatal("no error")
				}
				checkRetryable(t, err.Error(), err, tt.want)
			})
		})
	}
	c, err := NewClient("http://127.0.0.1:1", nil, WithRetry(0, nil))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.GetExport(t.Context(), ProjectID(1))
	if !errors.As(err, new(*net.OpError)) || !strings.Contains(err.Error(), "refused") {
		t.Fatalf("error is %v", err)
	}
	checkRetryable(t, err.Error(), err, 0)
}
