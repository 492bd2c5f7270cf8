package porter

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// sentinels are all Err variables.
var sentinels = map[string]error{
	"ErrUnauthorized": ErrUnauthorized, "ErrForbidden": ErrForbidden, "ErrNotFound": ErrNotFound,
	"ErrConflict": ErrConflict, "ErrTooLarge": ErrTooLarge, "ErrRateLimited": ErrRateLimited,
	"ErrExportInProgress": ErrExportInProgress, "ErrExportNotReady": ErrExportNotReady,
	"ErrExportExpired": ErrExportExpired, "ErrNotArchive": ErrNotArchive,
	"ErrArchiveDamaged": ErrArchiveDamaged, "ErrUnimportable": ErrUnimportable, "ErrArchiveChanged": ErrArchiveChanged,
	"ErrProjectExists": ErrProjectExists, "ErrWrongNamespace": ErrWrongNamespace,
	"ErrSourceConsumed": ErrSourceConsumed, "ErrOutcomeUnknown": ErrOutcomeUnknown,
}

// matching returns the names of the Err variables that err is.
func matching(err error) string {
	var names []string
	for name, sentinel := range sentinels {
		if errors.Is(err, sentinel) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// readAnswer reads a recorded answer, as if it answered a request for rawURL.
func readAnswer(t *testing.T, name, method, rawURL string) *http.Response {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "answers", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(text)), httptest.NewRequest(method, rawURL, nil))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return resp
}

const (
	apiURL     = "https://gitlab.example.com/api/v4/projects/group%2Fapp/export"
	storageURL = "https://user:SECRET@bucket.example.com/app.tar.gz?X-Amz-Signature=SECRET#SECRET"
)

func TestRecordedAnswers(t *testing.T) {
	const at, storage = "GET /api/v4/projects/group%2Fapp/export: ", "GET https://bucket.example.com/app.tar.gz: "
	tests := []struct {
		name       string
		url        string // apiURL if empty
		text       string
		key        string
		fields     map[string][]string
		is         string
		temporary  bool
		retryAfter time.Duration
	}{
		{name: "project-not-found", text: at + "404 Project Not Found (request 01HX2Z8Q4W6K0M)", key: "message", is: "ErrNotFound"},
		{name: "feature-off", text: at + "404 Not Found", key: "message", is: "ErrNotFound"},
		{name: "no-route", text: at + "404 Not Found", key: "error", is: "ErrNotFound"},
		{name: "wrong-root", text: at + `404 Not found "/api/v4/projects/1/export"`, is: "ErrNotFound"},
		{name: "upload-url-blocked", text: at + "400 url is blocked: Only allowed schemes are http, https", key: "message",
			fields: map[string][]string{"url": {"is blocked: Only allowed schemes are http, https"}}},
		{name: "two-fields", text: at + "400 name has already been taken, is too long (maximum is 255 characters); path has already been taken",
			key: "message",
			fields: map[string][]string{
				"name": {"has already been taken", "is too long (maximum is 255 characters)"},
				"path": {"has already been taken"},
			}},
		{name: "export-running", text: at + "400 An export is already running or queued for this project. Please try again once it's done.",
			key: "message"},
		{name: "application-limit", text: at + "429 This endpoint has been requested too many times. Try again later.", key: "message",
			is: "ErrRateLimited", temporary: true, retryAfter: time.Minute},
		{name: "application-limit-old", text: at + "429 This endpoint has been requested too many times. Try again later.", key: "message",
			is: "ErrRateLimited", temporary: true},
		{name: "global-throttle", text: at + "429 Retry later", is: "ErrRateLimited", temporary: true, retryAfter: 19 * time.Minute},
		{name: "wrong-extension", text: at + "422 You need to upload a GitLab project export archive (ending in .gz).", key: "message"},
		{name: "missing-parameters", text: at + "400 path is missing, file is missing", key: "error"},
		{name: "wrong-method", text: at + "405 Not Allowed", key: "error"},
		{name: "moved-project", text: at + "405 Non GET methods are not allowed for moved projects", key: "message"},
		{name: "token-expired", text: at + "401 invalid_token: Token is expired. You can either do re-authorization or token refresh.",
			key: "error", is: "ErrUnauthorized"},
		{name: "scope-too-small",
			text: at + "403 insufficient_scope: The request requires higher privileges than provided by the access token. (needs scope api)",
			key:  "error", is: "ErrForbidden"},
		{name: "resource-lock", text: at + "409 Conflict: Resource lock", key: "message", is: "ErrConflict"},
		{name: "internal-error", text: at + "500 Internal Server Error", key: "message", temporary: true},
		{name: "gitaly-exhausted", text: at + "503 Gitaly is temporarily unavailable", key: "message", temporary: true,
			retryAfter: 30 * time.Second},
		{name: "workhorse-bad-request", text: at + "400 Bad Request"},
		{name: "workhorse-too-large", text: at + "413 entity is too large", is: "ErrTooLarge"},
		{name: "workhorse-no-app", text: at + "502 GitLab is not responding", temporary: true},
		{name: "workhorse-load-shedding", text: at + "503 Service Unavailable: High backlog", temporary: true},
		{name: "workhorse-store-timeout", text: at + "504 deadline exceeded", temporary: true},
		{name: "nginx-too-large", text: at + "413 HTML page “413 Request Entity Too Large”", is: "ErrTooLarge"},
		{name: "gitlab-html-502", text: at + "502 HTML page “GitLab is not responding (502) & sorry”", temporary: true},
		{name: "cloudflare-504", text: at + "504 HTML page “gitlab.example.com | 504: Gateway time-out”", temporary: true},
		{name: "sign-in", text: at + "422 an HTML or XML page"},
		{name: "empty", text: at + "502 Bad Gateway (request 01HX2Z8Q4W6K0M)", temporary: true},
		{name: "moved-permanently", text: at + "301 redirected to http://gitlab.example.com/api/v4/projects/4711/export, not followed"},
		{name: "read-only", text: at + "301 redirected to https://gitlab.example.com/, not followed"},
		{name: "no-location", text: at + "303 redirected to nowhere"},
		{name: "url-in-message",
			text: at + "400 Failed to open 'https://bucket.example.com/a.tar.gz': timeout, see HTTP://bucket.example.com/b too", key: "message"},
		{name: "s3-signature", url: storageURL, is: "ErrForbidden",
			text: storage + "403 SignatureDoesNotMatch The request signature we calculated does not match the signature you provided. Check your " +
				"key and signing method."},
		{name: "s3-expired", url: storageURL, text: storage + "403 AccessDenied Request has expired", is: "ErrForbidden"},
		{name: "azure-signature", url: storageURL, is: "ErrForbidden",
			text: storage + "403 AuthenticationFailed Server failed to authenticate the request. Make sure the value of Authorization header is " +
				"formed correctly including the signature. RequestId:5d1f Time:2024-05-01T09:41:00.5Z"},
		{name: "gcs-precondition", url: storageURL,
			text: storage + "412 PreconditionFailed At least one of the pre-conditions you specified did not hold."},
	}
	tested := make(map[string]bool)
	for _, tt := range tests {
		tested[tt.name+".txt"] = true
		t.Run(tt.name, func(t *testing.T) {
			if tt.url == "" {
				tt.url = apiURL
			}
			resp := readAnswer(t, tt.name, "GET", tt.url)
			e := refusal(resp)
			if got := e.Error(); got != tt.text {
				t.Errorf("got text  %s\nwant      %s", got, tt.text)
			}
			if diff := cmp.Diff(tt.fields, e.Fields); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
			if e.key != tt.key {
				t.Errorf("message came from key %q, want %q", e.key, tt.key)
			}
			if got := matching(e); got != tt.is {
				t.Errorf("errors.Is matches %q, want %q", got, tt.is)
			}
			if e.Temporary() != tt.temporary {
				t.Errorf("temporary %t, want %t", e.Temporary(), tt.temporary)
			}
			_, sent := resp.Header["Retry-After"]
			if e.RetryAfter != tt.retryAfter || e.retryAfter != sent {
				t.Errorf("retry after %v (%t), want %v (%t)", e.RetryAfter, e.retryAfter, tt.retryAfter, sent)
			}
			for _, text := range []string{e.Error(), logged(e), fmt.Sprint(e.Fields), e.URL} {
				if strings.Contains(text, "SECRET") {
					t.Errorf("the secret is in %s", text)
				}
			}
			if e.StatusCode < 400 && len(e.Body) > 0 {
				t.Errorf("kept the body of a redirect: %s", e.Body)
			}
		})
	}
	files, err := os.ReadDir(filepath.Join("testdata", "answers"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !tested[file.Name()] {
			t.Errorf("no test reads %s", file.Name())
		}
	}
}

// logged returns what a logger writes of v.
func logged(v any) string {
	var b strings.Builder
	slog.New(slog.NewTextHandler(&b, nil)).Info("", "e", v)
	_, line, _ := strings.Cut(b.String(), `msg="" `)
	return strings.TrimSpace(line)
}

func TestParseErrorBody(t *testing.T) {
	long := strings.Repeat("ä", 400)
	cut := strings.Repeat("ä", 250) + "…"
	tests := []struct {
		name    string
		body    string
		message string
		fields  map[string][]string
		key     string
	}{
		{name: "empty"},
		{name: "blank", body: " \r\n\t"},
		{name: "list", body: `{"message":["one","two"]}`, message: "one, two", key: "message"},
		{name: "nested list", body: `{"message":[["one"],[],["two",3]]}`, message: "one, two, 3", key: "message"},
		{name: "long list", body: `{"message":["` + long + `","` + long + `"]}`, message: cut, key: "message"},
		{name: "error object", body: `{"error":{"path":["is too long"]}}`, message: "path is too long",
			fields: map[string][]string{"path": {"is too long"}}, key: "error"},
		{name: "error with others", body: `{"message":{"error":"a","path":"b"}}`, message: "error a; path b",
			fields: map[string][]string{"error": {"a"}, "path": {"b"}}, key: "message"},
		{name: "nested object", body: `{"message":{"base":{"limit":[1]}}}`, message: `base {"limit":[1]}`,
			fields: map[string][]string{"base": {`{"limit":[1]}`}}, key: "message"},
		{name: "number", body: `{"message":42}`, message: "42", key: "message"},
		{name: "bool", body: `{"error":true}`, message: "true", key: "error"},
		{name: "null", body: `{"message":null}`, key: "message"},
		{name: "null with error", body: `{"message":null,"error":"no route"}`, message: "no route", key: "error"},
		{name: "null in list", body: `{"message":["one",null]}`, message: "one", key: "message"},
		{name: "odd description", body: `{"error":"code","error_description":null,"scope":["api","sudo"]}`,
			message: "code (needs scope api or sudo)", key: "error"},
		{name: "other object", body: `{"status":"fine"}`},
		{name: "empty message with error", body: `{"status":404,"error":"Not Found","message":""}`, message: "Not Found", key: "error"},
		{name: "list of texts", body: `{"errors":["one","two"]}`, message: "one, two"},
		{name: "text in errors", body: `{"errors":"one"}`, message: "one"},
		{name: "no errors", body: `{"errors":[]}`},
		{name: "count of errors", body: `{"message":"one","errors":1}`, message: "one", key: "message"},
		{name: "GraphQL", body: `{"data":null,"errors":[{"message":"Field 'x' doesn't exist","locations":[{"line":1}],"path":["query"]},` +
			`{"message":"two"}]}`,
			message: "Field 'x' doesn't exist, two"},
		{name: "JSON:API", body: `{"errors":[{"status":"422","title":"Invalid path","detail":"is too long","source":{"pointer":"/data"}},` +
			`{"detail":"no"}]}`,
			message: "Invalid path: is too long, no"},
		{name: "errors by field", body: `{"errors":{"path":["is too long","is taken"],"name":["is odd"]}}`,
			message: "name is odd; path is too long, is taken",
			fields:  map[string][]string{"path": {"is too long", "is taken"}, "name": {"is odd"}}},
		{name: "message and errors", body: `{"message":"Validation failed","errors":{"path":["is taken"]}}`,
			message: "Validation failed: path is taken",
			fields:  map[string][]string{"path": {"is taken"}}, key: "message"},
		{name: "message said twice", body: `{"message":"no such thing","errors":[{"message":"no such thing"}]}`, message: "no such thing",
			key: "message"},
		{name: "errors without a text", body: `{"errors":[{"code":7}]}`, message: `{"code":7}`},
		{name: "Cloudflare", body: `{"success":false,"errors":[{"code":1015,"message":"You are being rate limited"}],"messages":[],` +
			`"result":null}`,
			message: "You are being rate limited"},
		{name: "detail", body: `{"detail":"Not found."}`, message: "Not found."},
		{name: "list of details", body: `{"detail":[{"loc":["path","id"],"msg":"value is not a valid integer","type":"type_error"}]}`,
			message: "value is not a valid integer"},
		{name: "problem", body: `{"type":"about:blank","title":"Bad Gateway","status":502,"detail":"upstream is away","instance":"/x"}`,
			message: "Bad Gateway: upstream is away"},
		{name: "problem with a title alone", body: `{"type":"about:blank","title":"Not Found","status":404}`, message: "Not Found"},
		{name: "problem that says it twice", body: `{"title":"Not Found","detail":"Not Found"}`, message: "Not Found"},
		{name: "problem with errors", body: `{"title":"Validation failed","status":400,"errors":{"path":["is taken"]}}`,
			message: "Validation failed: path is taken",
			fields:  map[string][]string{"path": {"is taken"}}},
		{name: "error with a message", body: `{"error":{"code":403,"message":"denied by policy","status":"PERMISSION_DENIED"}}`,
			message: "denied by policy"},
		{name: "error with a reason", body: `{"error":{"type":"security_exception","reason":"denied"},"status":403}`, message: "denied"},
		{name: "message with a message", body: `{"message":{"message":"denied"}}`, message: "denied", key: "message"},
		{name: "field called title", body: `{"message":{"title":["is too long"]}}`, message: "title is too long",
			fields: map[string][]string{"title": {"is too long"}}, key: "message"},
		{name: "msg", body: `{"code":401,"msg":"no access"}`, message: "no access"},
		{name: "capital message", body: `{"Message":"User is not authorized"}`, message: "User is not authorized"},
		{name: "long errors", body: `{"errors":["` + long + `","` + long + `"]}`, message: cut},
		{name: "escapes in errors", body: `{"errors":[{"message":"a\u001b[1m\r\nb https://h/x?SECRET"}]}`, message: "a[1m b https://h/x"},
		{name: "scopes", body: `{"error":"insufficient_scope","scope":"api read_api"}`,
			message: "insufficient_scope (needs scope api or read_api)", key: "error"},
		{name: "null scope", body: `{"error":"insufficient_scope","scope":null}`, message: "insufficient_scope", key: "error"},
		{name: "top-level list", body: `["a"]`, message: `["a"]`},
		{name: "cut JSON", body: `{"message":"404 Pro`, message: `{"message":"404 Pro`},
		{name: "two JSONs", body: `{"message":"a"}{"message":"b"}`, message: `{"message":"a"}{"message":"b"}`},
		{name: "byte order mark", body: "\ufeff" + `{"message":"a"}`, message: "a", key: "message"},
		{name: "first line only", body: "\n\nfirst\nsecond", message: "first"},
		{name: "long text", body: long, message: cut},
		{name: "invalid UTF-8", body: "caf\xe9 \xff\xfe", message: "caf? ??"},
		{name: "terminal escapes", body: "\x1b[31mred\x1b[0m\x07 \u202etxt.exe\u200b", message: "[31mred[0m txt.exe"},
		{name: "controls in JSON", body: `{"message":"a\r\nb\u001b]0;t\u0007\u2028c\u0085d"}`, message: "a b]0;t c d", key: "message"},
		{name: "hidden URL", body: "see ht\x01tps://host/a?\x02SECRET", message: "see https://host/a"},
		{name: "password with an at sign", body: "https://u:p@ss@host/a", message: "https://host/a"},
		{name: "NUL bytes", body: "\x00\x00\x00"},
		{name: "gzip", body: "\x1f\x8b\x08\x00", message: "?"},
		{name: "XML without code", body: `<Error><Message>no</Message></Error>`, message: "no"},
		{name: "other XML", body: `<Answer><Code>SECRET</Code></Answer>`, message: "an HTML or XML page"},
		{name: "cut XML", body: `<Error><Code>A</Code><StringToSign>SECRET`, message: "an HTML or XML page"},
		{name: "cut HTML", body: `<html><title>502 Bad`, message: "an HTML or XML page"},
		{name: "long title", body: "<title>" + long + "</title>", message: "HTML page “" + cut + "”"},
		{name: "HAProxy", body: "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>",
			message: "HTML page “503 Service Unavailable”"},
		{name: "empty title", body: "<html><title> </title><body><H1 class=x>Stop\n here</H1>", message: "HTML page “Stop here”"},
		{name: "second heading", body: "<html><h1></h1><h2>Access &amp; <b>denied</b></h2>", message: "HTML page “Access & denied”"},
		{name: "centered", body: "<html><center>nginx says no</center>", message: "HTML page “nginx says no”"},
		{name: "title before heading", body: "<html><h1>one</h1><title>two</title>", message: "HTML page “two”"},
		{name: "no heading", body: "<html><header>one</header><h1x>two</h1x>", message: "an HTML or XML page"},
		{name: "long heading", body: "<h1>" + long + "</h1>", message: "HTML page “" + cut + "”"},
		{name: "title with letters that shrink", body: "<html>İİİİ<title>Ⱥ 502</title>", message: "HTML page “Ⱥ 502”"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			message, fields, key := parseErrorBody(http.MethodGet, []byte(tt.body))
			if message != tt.message || key != tt.key {
				t.Errorf("got message %q from %q, want %q from %q", message, key, tt.message, tt.key)
			}
			if diff := cmp.Diff(tt.fields, fields); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
		})
	}
}

// GitLab lists the scopes that do for a GET, whatever the method was.
func TestNeededScope(t *testing.T) {
	tests := []struct{ method, scope, want string }{
		{"GET", `"api"`, "api"},
		{"GET", `"api read_api"`, "api or read_api"},
		{"HEAD", `"api read_api"`, "api or read_api"},
		{"POST", `"api read_api"`, "api"},
		{"POST", `"read_api api"`, "api"},
		{"PUT", `["api","read_api"]`, "api"},
		{"POST", `"sudo"`, "sudo"},
		{"POST", `"read_repository write_repository"`, "read_repository or write_repository"},
		{"", `"api, read_api"`, "api or read_api"},
	}
	for _, tt := range tests {
		body := `{"error":"insufficient_scope","error_description":"More is needed.","scope":` + tt.scope + `}`
		resp := &http.Response{StatusCode: 403, Body: io.NopCloser(strings.NewReader(body)), Request: httptest.NewRequest(tt.method, apiURL, nil)}
		if tt.method == "" {
			resp.Request = nil
		}
		want := "insufficient_scope: More is needed. (needs scope " + tt.want + ")"
		if got := refusal(resp).Message; got != want {
			t.Errorf("%s, %s: got %s, want %s", tt.method, tt.scope, got, want)
		}
	}
}

// closeNoter notes that it was closed.
type closeNoter struct {
	io.Reader
	closed bool
}

func (b *closeNoter) Close() error { b.closed = true; return nil }

// refusal makes an error of an answer to a request that has nothing special.
func refusal(resp *http.Response) *APIError {
	return readAPIError(&request{url: "https://gitlab.test/api/v4/"}, resp, whole)
}

func TestErrorBodyIsBounded(t *testing.T) {
	text := strings.Repeat("x", 1<<20)
	rest := strings.NewReader(text)
	b := &closeNoter{Reader: rest}
	e := refusal(&http.Response{StatusCode: 500, Body: b})
	if string(e.Body) != text[:64<<10] {
		t.Errorf("kept %d bytes, want %d", len(e.Body), 64<<10)
	}
	if read := len(text) - rest.Len(); read > 64<<10 {
		t.Errorf("read %d bytes", read)
	}
	if !b.closed {
		t.Error("body was not closed")
	}
	if len(e.Error()) > 600 {
		t.Errorf("text has %d bytes", len(e.Error()))
	}
}

func TestErrorBodyBreaksOff(t *testing.T) {
	b := &closeNoter{Reader: io.MultiReader(strings.NewReader("half an ans"), iotest.ErrReader(io.ErrUnexpectedEOF))}
	e := refusal(&http.Response{StatusCode: 502, Body: b})
	if e.Message != "half an ans" || !b.closed {
		t.Errorf("message %q, closed %t", e.Message, b.closed)
	}
}

func TestAPIErrorIs(t *testing.T) {
	tests := []struct {
		status int
		kind   error
		want   string
	}{
		{400, nil, ""},
		{401, nil, "ErrUnauthorized"},
		{403, nil, "ErrForbidden"},
		{404, nil, "ErrNotFound"},
		{409, nil, "ErrConflict"},
		{413, nil, "ErrTooLarge"},
		{422, nil, ""},
		{429, nil, "ErrRateLimited"},
		{500, nil, ""},
		{503, nil, ""},
		{400, ErrExportInProgress, "ErrExportInProgress"},
		{404, ErrExportNotReady, "ErrExportNotReady ErrNotFound"},
		{404, ErrExportExpired, "ErrExportExpired ErrNotFound"},
		{400, ErrProjectExists, "ErrProjectExists"},
	}
	for _, tt := range tests {
		err := fmt.Errorf("wrapped: %w", &APIError{StatusCode: tt.status, kind: tt.kind})
		if got := matching(err); got != tt.want {
			t.Errorf("%d with kind %v matches %q, want %q", tt.status, tt.kind, got, tt.want)
		}
		var apiErr *APIError
		if !errors.As(err, &apiErr) || apiErr.StatusCode != tt.status {
			t.Errorf("errors.As found %v", apiErr)
		}
	}
}

func TestAPIErrorTemporary(t *testing.T) {
	temporary := map[int]bool{408: true, 425: true, 429: true, 500: true, 502: true, 503: true, 504: true, 507: true, 520: true, 530: true,
		599: true}
	for _, status := range []int{0, 200, 301, 400, 401, 403, 404, 405, 408, 409, 413, 422, 425, 429, 500, 501, 502, 503, 504, 507, 520, 530,
		599} {
		if got := (&APIError{StatusCode: status}).Temporary(); got != temporary[status] {
			t.Errorf("%d: temporary %t, want %t", status, got, temporary[status])
		}
	}
}

func TestAPIErrorText(t *testing.T) {
	tests := []struct {
		name string
		err  APIError
		want string
	}{
		{"whole", APIError{StatusCode: 403, Method: "POST", URL: "https://h/root/api/v4/projects/import", Message: "403 Forbidden",
			RequestID: "01H", hint: "needs the Maintainer role"},
			"POST /root/api/v4/projects/import: 403 Forbidden (request 01H); needs the Maintainer role"},
		{"escaped path", APIError{StatusCode: 404, Method: "GET", URL: "https://h/api/v4/projects/a%2Fb%0Ac/export",
			Message: "404 Project Not Found"},
			"GET /api/v4/projects/a%2Fb%0Ac/export: 404 Project Not Found"},
		{"no message", APIError{StatusCode: 503, Method: "GET", URL: "https://bucket/x"}, "GET https://bucket/x: 503 Service Unavailable"},
		{"unknown status", APIError{StatusCode: 599, Method: "GET", URL: "https://bucket/x"}, "GET https://bucket/x: 599"},
		{"status added", APIError{StatusCode: 400, Method: "GET", URL: "https://bucket/x", Message: "path is missing"},
			"GET https://bucket/x: 400 path is missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.err.Error(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestAPIErrorLogValue(t *testing.T) {
	tests := []struct {
		name string
		err  APIError
		want string
	}{
		{"whole", APIError{StatusCode: 429, Method: "GET", URL: "https://h/api/v4/x", Message: "Retry later", RequestID: "01H",
			RetryAfter: time.Minute},
			`e.status=429 e.method=GET e.url=https://h/api/v4/x e.message="Retry later" e.request_id=01H e.retry_after=1m0s`},
		{"least", APIError{StatusCode: 502, Method: "GET", URL: "https://h/api/v4/x", Body: []byte("long")},
			`e.status=502 e.method=GET e.url=https://h/api/v4/x e.message=""`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := logged(&tt.err); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestParseRetryAfter(t *testing.T) {
	const date = "Wed, 01 May 2024 10:00:00 GMT"
	tests := []struct {
		name   string
		value  string // none if empty
		date   string
		want   time.Duration
		wantOK bool
	}{
		{name: "absent"},
		{name: "seconds", value: "60", want: time.Minute, wantOK: true},
		{name: "blanks", value: " 60 ", want: time.Minute, wantOK: true},
		{name: "zero", value: "0", wantOK: true},
		{name: "negative", value: "-5", wantOK: true},
		{name: "the longest duration", value: "9223372036", want: 9223372036 * time.Second, wantOK: true},
		{name: "too long for a duration", value: "9223372037", want: 9223372036 * time.Second, wantOK: true},
		{name: "the largest integer", value: "9223372036854775807", want: 9223372036 * time.Second, wantOK: true},
		{name: "too large for an integer", value: "9223372036854775808"},
		{name: "date by the server's clock", value: "Wed, 01 May 2024 10:01:30 GMT", date: date, want: 90 * time.Second, wantOK: true},
		{name: "date by our clock", value: "Sat, 01 Jan 2000 00:02:00 GMT", want: 2 * time.Minute, wantOK: true},
		{name: "date by our clock if the server's is garbled", value: "Sat, 01 Jan 2000 00:02:00 GMT", date: "noon", want: 2 * time.Minute,
			wantOK: true},
		{name: "date in the past", value: "Wed, 01 May 2024 09:00:00 GMT", date: date, wantOK: true},
		{name: "RFC 850 date", value: "Wednesday, 01-May-24 10:00:05 GMT", date: date, want: 5 * time.Second, wantOK: true},
		{name: "date of another zone", value: "Wed, 01 May 2024 10:01:30 +0200", date: date},
		{name: "Go duration", value: "1m0s", want: time.Minute, wantOK: true},
		{name: "negative Go duration", value: "-1m", wantOK: true},
		{name: "fraction", value: "1.5"},
		{name: "garbage", value: "soon"},
		{name: "two values", value: "60, 120"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// In a bubble the clock stands at the beginning of 2000.
			synctest.Test(t, func(t *testing.T) {
				h := make(http.Header)
				if tt.value != "" {
					h.Set("Retry-After", tt.value)
				}
				if tt.date != "" {
					h.Set("Date", tt.date)
				}
				if got, ok := parseRetryAfter(h); got != tt.want || ok != tt.wantOK {
					t.Errorf("got %v, %t, want %v, %t", got, ok, tt.want, tt.wantOK)
				}
			})
		})
	}
}

func TestDescribe(t *testing.T) {
	tests := []struct{ contentType, body, want string }{
		{"text/html", "<html><title>Sign in · GitLab</title></html>", "unexpected answer (text/html): HTML page “Sign in · GitLab”"},
		{"", "", "unexpected answer (no content type, 0 bytes)"},
		{"application/json\x1b[1m", `{"id":1}`, "unexpected answer (application/json[1m, 8 bytes)"},
		{"application/json", `{"message":"404 Namespace Not Found"}`, "unexpected answer (application/json): 404 Namespace Not Found"},
	}
	for _, tt := range tests {
		resp := &http.Response{Header: http.Header{"Content-Type": {tt.contentType}}}
		if got := describe(resp, []byte(tt.body)); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

func TestJobErrorTexts(t *testing.T) {
	app := Project{ID: 7, PathWithNamespace: "group/app"}
	failed := []FailedRelation{{RelationName: "merge_requests"}, {RelationName: "issues"}, {RelationName: "issues"}, {RelationName: "\x1b"},
		{}}
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"export", &ExportError{&Export{Project: app, Status: ExportFailed}},
			`export of group/app failed (status "failed"; GitLab tells the reason by e-mail only)`},
		{"export that vanished", &ExportError{&Export{Project: app, Status: ExportNone}},
			`export of group/app failed: it ran and ended without an archive (GitLab tells the reason by e-mail only; before 14.0 an export that ` +
				`was uploaded to a target ends like this, too)`},
		{"export without an answer", &ExportError{}, "export failed"},
		{"import", &ImportError{&Import{Project: app, Status: ImportFailed, Error: "tar: \x1b[31mbroken\nsee https://h/a?token=SECRET",
			CorrelationID: "01H\n"}},
			"import of group/app failed: tar: [31mbroken see https://h/a (correlation ID 01H)"},
		{"import with failed relations", &ImportError{&Import{Project: app, Status: ImportFailed, FailedRelations: failed}},
			"import of group/app failed: 5 failed relations (issues 2, merge_requests 1, unknown 2)"},
		{"incomplete import", &ImportError{&Import{Project: app, Status: ImportFinished, FailedRelations: failed[:1], CorrelationID: "01H"}},
			"import of group/app is incomplete: 1 failed relation (merge_requests 1) (correlation ID 01H)"},
		{"import that finished with an error",
			&ImportError{&Import{Project: app, Status: ImportFinished, Error: "LFS objects could not be fetched", CorrelationID: "01H"}},
			"import of group/app is incomplete: LFS objects could not be fetched (correlation ID 01H)"},
		{"canceled import", &ImportError{&Import{Project: app, Status: ImportCanceled}}, `import of group/app ended with status "canceled"`},
		{"import without a path", &ImportError{&Import{Project: Project{ID: 7}, Status: ImportFailed}}, "import of 7 failed"},
		{"import without an answer", &ImportError{}, "import failed"},
		{"relation import", &RelationImportError{&RelationImport{ID: 3, ProjectPath: "group/app", Relation: RelationIssues}},
			"import of issues into group/app failed (relation import 3)"},
		{"relation import with escapes", &RelationImportError{&RelationImport{ID: 3, ProjectPath: "a\x1b\nb", Relation: "\x07x"}},
			"import of x into a b failed (relation import 3)"},
		{"relation import without an answer", &RelationImportError{}, "relation import failed"},
		{"wait", &WaitError{Op: "import", Project: "group/app", Status: "started", Polls: 250, Elapsed: 2*time.Hour + time.Millisecond,
			Err: context.DeadlineExceeded},
			`wait for import of group/app: context deadline exceeded (status "started" after 2h0m0s, 250 polls; GitLab goes on with it)`},
		{"short wait", &WaitError{Op: "export", Project: "7", Polls: 1, Elapsed: 20 * time.Millisecond,
			Err: &APIError{StatusCode: 401, Method: "GET", URL: "https://h/api/v4/x"}},
			`wait for export of 7: GET /api/v4/x: 401 Unauthorized (no status seen after 20ms, 1 poll)`},
		{"wait without a cause", &WaitError{Op: "export", Project: "7", Status: "\x1bqueued"},
			`wait for export of 7 (status "queued" after 0s, 0 polls)`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.err.Error(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestWaitErrorUnwraps(t *testing.T) {
	err := error(&WaitError{Err: fmt.Errorf("poll: %w", &APIError{StatusCode: 404, kind: ErrExportExpired})})
	if got, want := matching(err), "ErrExportExpired ErrNotFound"; got != want {
		t.Errorf("errors.Is matches %q, want %q", got, want)
	}
	var waitErr *WaitError
	var apiErr *APIError
	if !errors.As(err, &waitErr) || !errors.As(err, &apiErr) {
		t.Errorf("errors.As found %v and %v", waitErr, apiErr)
	}
}

func FuzzAPIError(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "answers", "*.txt"))
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		_, body, _ := bytes.Cut(text, []byte("\n\n"))
		f.Add(404, "01H", "https://h/a?b", body)
	}
	f.Add(301, "\x1b", "data:\u202e,x?y", []byte("x"))
	f.Add(403, "", "", []byte(`{"title":"a","detail":[{"msg":"b"}],"errors":{"c":[{"message":"d","detail":[[{"title":"e"}]]}]},`+
		`"scope":"api x"}`))
	f.Add(503, "", "", []byte(`<html><body><h1 a="b">503 <b>&amp;</b></h1><h2></h2><center>c</center>`))
	f.Add(-1, "\n", "%", []byte(`{"error":{"a":[[{"b":null}]]},"scope":{"c":1e999}}`))
	f.Fuzz(func(t *testing.T, status int, id, location string, text []byte) {
		resp := &http.Response{
			StatusCode: status,
			Header:     http.Header{"X-Request-Id": {id}, "Location": {location}},
			Body:       io.NopCloser(bytes.NewReader(text)),
			Request:    httptest.NewRequest("GET", apiURL, nil),
		}
		e := refusal(resp)
		for _, s := range []string{e.Error(), e.Message, e.RequestID, describe(resp, text)} {
			if i := strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
				t.Errorf("not printable at %d: %q", i, s)
			}
			if len(s) > 2000 {
				t.Errorf("%d bytes: %.100s…", len(s), s)
			}
		}
		for name, messages := range e.Fields {
			for _, s := range append(messages, name) {
				if strings.ContainsFunc(s, unicode.IsControl) || len(s) > 510 {
					t.Errorf("field %q: %q", name, s)
				}
			}
		}
		if len(e.Body) > 64<<10 {
			t.Errorf("kept %d bytes", len(e.Body))
		}
		logged(e)
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "60", "-1", "1m0s", "9223372036854775807", "Wed, 01 May 2024 10:00:00 GMT", "soon"} {
		f.Add(s, "Wed, 01 May 2024 10:00:00 GMT")
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, value, date string) {
		d, ok := parseRetryAfter(http.Header{"Retry-After": {value}, "Date": {date}})
		if d < 0 || d > 0 && !ok {
			t.Errorf("got %v, %t", d, ok)
		}
	})
}
