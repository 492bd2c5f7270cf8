package porter_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

const (
	remoteSecret = "5ec2e7/+wJalrUtnFEMI=K7MDENG"
	remoteURL    = "https://store.example.com/backups/w.tar.gz"
)

// signedURL is a URL whose query nobody may see.
var signedURL = remoteURL + "?X-Amz-Signature=" + url.QueryEscape(remoteSecret) + "&X-Amz-Expires=600"

var remoteObject = porter.S3Object{Region: "eu-central-1", Bucket: "backups", Key: "2024/w.tar.gz", AccessKeyID: "AKIAEXAMPLE",
	SecretAccessKey: remoteSecret}

// remoteStarters are the methods that start an import from elsewhere.
var remoteStarters = map[string]func(context.Context, *porter.Client, porter.ImportOptions) (*porter.Import, error){
	"URL": func(ctx context.Context, c *porter.Client, o porter.ImportOptions) (*porter.Import, error) {
		return c.StartImportFromURL(ctx, signedURL, o)
	},
	"S3": func(ctx context.Context, c *porter.Client, o porter.ImportOptions) (*porter.Import, error) {
		return c.StartImportFromS3(ctx, remoteObject, o)
	},
}

func TestRemoteImportRefusedBeforeAnyRequest(t *testing.T) {
	c := mocked(t, noRequest(t))
	here := porter.ImportOptions{Path: "app"}
	object := func(change func(*porter.S3Object)) porter.S3Object {
		o := remoteObject
		change(&o)
		return o
	}
	fromURL := func(u string, o porter.ImportOptions) func() error {
		return func() error {
			_, err := c.StartImportFromURL(t.Context(), u, o)
			return err
		}
	}
	fromS3 := func(obj porter.S3Object, o porter.ImportOptions) func() error {
		return func() error {
			_, err := c.StartImportFromS3(t.Context(), obj, o)
			return err
		}
	}
	avatar := porter.ImportOptions{Path: "app",
		Override: &porter.ProjectOverrides{Avatar: &porter.Avatar{Name: "a.png", Data: []byte("x")}}}
	tests := []struct {
		name string
		call func() error
		want string
	}{
		{"no URL", fromURL("", here), "archive URL is empty"},
		{"http", fromURL("http"+strings.TrimPrefix(signedURL, "https"), here), "archive URL must begin with https://"},
		{"ftp", fromURL("ftp://store.example.com/?"+remoteSecret, here), "archive URL must begin with https://"},
		{"no scheme", fromURL("store.example.com/w.tar.gz?"+remoteSecret, here), "archive URL must begin with https://"},
		{"no host", fromURL("https:///w.tar.gz?"+remoteSecret, here), "archive URL has no host"},
		{"only a port", fromURL("https://:443/w.tar.gz?"+remoteSecret, here), "archive URL has no host"},
		{"only a scheme", fromURL("https://", here), "archive URL has no host"},
		{"only a user", fromURL("https://"+url.QueryEscape(remoteSecret)+"@/w.tar.gz", here), "archive URL has no host"},
		{"one slash", fromURL("https:/store.example.com/w.tar.gz?"+remoteSecret, here), "archive URL has no host"},
		{"blank", fromURL(" \n", here), "archive URL is empty"},
		{"capital http", fromURL("HTTP"+strings.TrimPrefix(signedURL, "https"), here), "archive URL must begin with https://"},
		{"hyphen before a label", fromURL("https://store.-example.com/w.tar.gz?"+remoteSecret, here),
			"archive URL has a host that GitLab refuses"},
		{"hyphen after a label", fromURL("https://store-.example.com/w.tar.gz?"+remoteSecret, here),
			"archive URL has a host that GitLab refuses"},
		{"underscore first", fromURL("https://_store.example.com/w.tar.gz?"+remoteSecret, here),
			"archive URL has a host that GitLab refuses"},
		{"port too high", fromURL("https://store.example.com:99999/w.tar.gz?"+remoteSecret, here),
			"archive URL has a port that is not between 1 and 65535"},
		{"space inside", fromURL("https://store.example.com/w .tar.gz?"+remoteSecret, here),
			"archive URL is malformed: it holds white space"},
		{"space before", fromURL(" "+signedURL, here), "archive URL is malformed: it holds white space"},
		{"no-break space after", fromURL(signedURL+"\u00a0", here), "archive URL is malformed: it holds white space"},
		{"zero width space after", fromURL(signedURL+"\u200b", here),
			"archive URL is malformed: it holds white space or an invisible character"},
		{"control character", fromURL(signedURL+"\n", here), "archive URL is malformed"},
		{"bad escape", fromURL("https://user:"+remoteSecret+"@%zz/", here), "archive URL is malformed"},
		{"invalid UTF-8", fromURL(signedURL+"&a=\xff", here), "archive URL is malformed"},
		{"too long", fromURL(signedURL+"&a="+strings.Repeat("a", 2048), here),
			"archive URL is longer than the 2048 bytes that GitLab takes"},
		{"no path", fromURL(signedURL, porter.ImportOptions{}), "path is empty"},
		{"path with a slash", fromURL(signedURL, porter.ImportOptions{Path: "a/b"}), `path "a/b" holds a slash`},
		{"namespace of digits", fromURL(signedURL, porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("42")}),
			"GitLab takes a path of digits for an ID"},
		{"override given twice", fromURL(signedURL, porter.ImportOptions{Path: "app", Override: &porter.ProjectOverrides{
			Visibility: porter.VisibilityPublic, Extra: url.Values{"visibility": {"private"}}}}), "given twice"},
		{"avatar", fromURL(signedURL, avatar), "only the import of a file can send one"},

		{"no region", fromS3(object(func(o *porter.S3Object) { o.Region = "" }), here), "region is empty"},
		{"no bucket", fromS3(object(func(o *porter.S3Object) { o.Bucket = "" }), here), "bucket_name is empty"},
		{"no key", fromS3(object(func(o *porter.S3Object) { o.Key = "" }), here), "file_key is empty"},
		{"no access key", fromS3(object(func(o *porter.S3Object) { o.AccessKeyID = "" }), here), "access_key_id is empty"},
		{"no secret key", fromS3(object(func(o *porter.S3Object) { o.SecretAccessKey = "" }), here), "secret_access_key is empty"},
		{"line end in the secret key", fromS3(object(func(o *porter.S3Object) { o.SecretAccessKey += "\n" }), here),
			"secret_access_key holds control characters"},
		{"byte order mark before the access key",
			fromS3(object(func(o *porter.S3Object) { o.AccessKeyID = "\ufeff" + o.AccessKeyID }), here),
			"access_key_id begins or ends with white space or an invisible character"},
		{"zero width space after the secret key", fromS3(object(func(o *porter.S3Object) { o.SecretAccessKey += "\u200b" }), here),
			"secret_access_key begins or ends with"},
		{"space after the region", fromS3(object(func(o *porter.S3Object) { o.Region += " " }), here), "region begins or ends with"},
		{"no-break space after the bucket", fromS3(object(func(o *porter.S3Object) { o.Bucket += "\u00a0" }), here),
			"bucket_name begins or ends with"},
		{"invalid UTF-8 in the key", fromS3(object(func(o *porter.S3Object) { o.Key += "\xff" }), here),
			"file_key holds control characters or invalid UTF-8"},
		{"no path for S3", fromS3(remoteObject, porter.ImportOptions{}), "path is empty"},
		{"avatar for S3", fromS3(remoteObject, avatar), "only the import of a file can send one"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.call()
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "start import of ") {
				t.Errorf("got %v, want start import of …: %s", err, tt.want)
			}
			remoteLeak(t, err)
		})
	}
}

func TestRemoteImportErrors(t *testing.T) {
	const json400 = http.StatusBadRequest
	tests := []struct {
		status int
		body   string
		text   string // the end of the error's, and its hint
		is     error
	}{
		// What GitLab finds at the URL.
		{json400, `{"message":"File url is blocked: Only allowed schemes are https"}`,
			"400 File url is blocked: Only allowed schemes are https", nil},
		{json400, `{"message":"File url is blocked: Requests to localhost are not allowed"}`,
			"400 File url is blocked: Requests to localhost are not allowed", nil},
		{json400, `{"message":"File url is blocked: Requests to the local network are not allowed"}`,
			"400 File url is blocked: Requests to the local network are not allowed", nil},
		{json400, `{"message":"File url is blocked: Host cannot be resolved or invalid"}`,
			"400 File url is blocked: Host cannot be resolved or invalid", nil},
		{json400, `{"message":"Failed to retrieve headers: Net::ReadTimeout"}`, "400 Failed to retrieve headers: Net::ReadTimeout", nil},
		{json400, `{"message":"Content length is too small (should be at least 1 B)"}`,
			"400 Content length is too small (should be at least 1 B)", nil},
		{json400, `{"message":"Content length is too big (should be at most 10 GiB)"}`,
			"400 Content length is too big (should be at most 10 GiB)", nil},
		{json400, `{"message":"Content type 'text/html' not allowed. (Allowed: application/gzip, application/x-tar, application/x-gzip)"}`,
			"400 Content type 'text/html' not allowed. (Allowed: application/gzip, application/x-tar, application/x-gzip)", nil},
		// And in S3.
		{json400, `{"message":"File not found '2024/w.tar.gz' in 'backups'"}`, "400 File not found '2024/w.tar.gz' in 'backups'", nil},
		{json400, `{"message":"Failed to open '2024/w.tar.gz' in 'backups': Access Denied"}`,
			"400 Failed to open '2024/w.tar.gz' in 'backups': Access Denied", nil},
		{json400, `{"message":"Region can't be blank"}`, "400 Region can't be blank", nil},
		// What imports of all kinds share.
		{json400, `{"error":"url is missing"}`, "400 url is missing", nil},
		{json400, `{"message":"Path has already been taken"}`, "400 Path has already been taken", porter.ErrProjectExists},
		{json400, `{"message":"Project namespace name has already been taken"}`, "400 Project namespace name has already been taken",
			porter.ErrProjectExists},
		{json400, `{"message":"Limit reached You've reached your limit of 10 projects created. Contact your GitLab administrator."}`,
			"your limit of 10 projects created. Contact your GitLab administrator.", nil},
		{http.StatusUnauthorized, `{"message":"401 Unauthorized"}`, "401 Unauthorized; the token is missing or unknown",
			porter.ErrUnauthorized},
		{http.StatusForbidden, `{"message":"403 Forbidden"}`, "403 Forbidden; the import source “GitLab export” is switched off",
			porter.ErrForbidden},
		{http.StatusNotFound, `{"message":"404 Namespace Not Found"}`, "404 Namespace Not Found; the namespace does not exist, was renamed",
			porter.ErrNotFound},
		{http.StatusNotFound, `{"error":"404 Not Found"}`, "404 Not Found; no such route: check the base URL, the GitLab version",
			porter.ErrNotFound},
		{http.StatusInternalServerError, `{"message":"500 Internal Server Error"}`, "500 Internal Server Error", nil},
	}
	for method, start := range remoteStarters {
		for _, tt := range tests {
			t.Run(method+" "+tt.body, func(t *testing.T) {
				mock := httpmock.NewMockTransport()
				mock.RegisterNoResponder(httpmock.NewStringResponder(tt.status, tt.body))
				imp, err := start(t.Context(), mocked(t, mock), porter.ImportOptions{Path: "app"})
				var api *porter.APIError
				if imp != nil || !errors.As(err, &api) || api.StatusCode != tt.status {
					t.Fatalf("got %v, %v", imp, err)
				}
				if !strings.HasPrefix(err.Error(), "start import of app: POST /api/v4/projects/remote-import") ||
					!strings.Contains(err.Error(), tt.text) {
					t.Errorf("got %v, want it to say %s", err, tt.text)
				}
				if tt.is != nil && !errors.Is(err, tt.is) {
					t.Errorf("%v is no %v", err, tt.is)
				}
				if tt.is == nil && matches(err) != nil {
					t.Errorf("%v is %v", err, matches(err))
				}
				if n := mock.GetTotalCallCount(); n != 1 {
					t.Errorf("sent %d times", n)
				}
			})
		}
	}
}

// matches returns an Err variable that err is, if any.
func matches(err error) error {
	for _, target := range []error{
		porter.ErrUnauthorized, porter.ErrForbidden, porter.ErrNotFound, porter.ErrConflict, porter.ErrTooLarge, porter.ErrRateLimited,
		porter.ErrExportInProgress, porter.ErrExportNotReady, porter.ErrExportExpired, porter.ErrNotArchive, porter.ErrProjectExists,
		porter.ErrWrongNamespace, porter.ErrSourceConsumed, porter.ErrOutcomeUnknown,
	} {
		if errors.Is(err, target) {
			return target
		}
	}
	return nil
}

// TestRemoteImportSendsOnce makes sure that only refusals are answered with
// another request.
func TestRemoteImportSendsOnce(t *testing.T) {
	const created = `{"id":7,"path":"app","path_with_namespace":"team/app","import_status":"scheduled"}`
	answer := func(status int, body string, header ...string) httpmock.Responder {
		return func(r *http.Request) (*http.Response, error) {
			io.Copy(io.Discard, r.Body)
			resp := httpmock.NewStringResponse(status, body)
			for i := 0; i < len(header); i += 2 {
				resp.Header.Set(header[i], header[i+1])
			}
			return resp, nil
		}
	}
	lost := func(r *http.Request) (*http.Response, error) {
		io.Copy(io.Discard, r.Body)
		return nil, io.ErrUnexpectedEOF
	}
	unsent := func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }
	tests := []struct {
		name    string
		answers []httpmock.Responder
		sent    int
		took    time.Duration
		is      error
		id      porter.ProjectID
	}{
		{"created", []httpmock.Responder{answer(201, created)}, 1, 0, nil, 7},
		{"created behind Expect", []httpmock.Responder{answer(200, created)}, 1, 0, nil, 7},
		{"refused twice", []httpmock.Responder{answer(429, `{}`, "Retry-After", "60"), answer(429, `{}`, "Retry-After", "7"),
			answer(201, created)}, 3, 67 * time.Second, nil, 7},
		{"never sent", []httpmock.Responder{unsent, unsent, answer(201, created)}, 3, 2 * time.Second, nil, 7},
		{"answer lost", []httpmock.Responder{lost}, 1, 0, porter.ErrOutcomeUnknown, 0},
		{"bad gateway", []httpmock.Responder{answer(502, "GitLab is not responding")}, 1, 0, porter.ErrOutcomeUnknown, 0},
		{"gateway timeout", []httpmock.Responder{answer(504, "<html>")}, 1, 0, porter.ErrOutcomeUnknown, 0},
		{"page instead of an import", []httpmock.Responder{answer(201, "<html>")}, 1, 0, porter.ErrOutcomeUnknown, 0},
		{"other object", []httpmock.Responder{answer(201, `{"status":"ok"}`)}, 1, 0, porter.ErrOutcomeUnknown, 0},
		{"read-only", []httpmock.Responder{answer(301, "", "Location", "https://gitlab.example.com/")}, 1, 0, nil, 0},
		{"elsewhere", []httpmock.Responder{answer(201, strings.Replace(created, "team/app", "me/app", 1))}, 1, 0, porter.ErrWrongNamespace,
			7},
	}
	for method, start := range remoteStarters {
		for _, tt := range tests {
			t.Run(method+" "+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var sent int
					mock := httpmock.NewMockTransport()
					mock.RegisterNoResponder(func(r *http.Request) (*http.Response, error) {
						sent++
						return tt.answers[min(sent, len(tt.answers))-1](r)
					})
					begun := time.Now()
					imp, err := start(t.Context(), mocked(t, mock, porter.WithoutPacing()),
						porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("team")})
					if sent != tt.sent {
						t.Errorf("sent %d times, want %d", sent, tt.sent)
					}
					if took := time.Since(begun); took != tt.took {
						t.Errorf("took %v, want %v", took, tt.took)
					}
					if (imp == nil) != (tt.id == 0) || imp != nil && imp.ID != tt.id {
						t.Errorf("got %+v", imp)
					}
					if tt.is == nil && tt.id != 0 && err != nil || tt.is == nil && tt.id == 0 && err == nil || tt.is != nil &&
						!errors.Is(err, tt.is) {
						t.Errorf("error %v, want %v", err, tt.is)
					}
					if errors.Is(tt.is, porter.ErrWrongNamespace) &&
						!strings.Contains(err.Error(), `asked for "team", but project 7 exists now as "me/app"`) {
						t.Errorf("error does not say where the project is: %v", err)
					}
				})
			})
		}
	}
}

// TestImportsShareABudget starts imports of all kinds: GitLab allows six a
// minute of them together.
func TestImportsShareABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		perMinute := map[time.Time]int{}
		mock := httpmock.NewMockTransport()
		mock.RegisterNoResponder(func(r *http.Request) (*http.Response, error) {
			io.Copy(io.Discard, r.Body)
			mu.Lock()
			defer mu.Unlock()
			perMinute[time.Now().Truncate(time.Minute)]++
			resp := httpmock.NewStringResponse(201,
				`{"id":7,"path_with_namespace":"me/app","import_status":"scheduled","project_path":"team/app","relation":"issues","status":"created"}`)
			resp.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
			return resp, nil
		})
		c := mocked(t, mock)
		here := porter.ImportOptions{Path: "app"}
		src := porter.ReaderSource(strings.NewReader("archive"), 7)
		kinds := []func() error{
			func() error { _, err := c.StartImport(t.Context(), src, here); return err },
			func() error { _, err := c.StartImportFromURL(t.Context(), signedURL, here); return err },
			func() error { _, err := c.StartImportFromS3(t.Context(), remoteObject, here); return err },
			func() error {
				_, err := c.StartRelationImport(t.Context(), src, "team/app", porter.RelationIssues)
				return err
			},
		}
		begun := time.Now()
		for i := range 14 {
			if err := kinds[i%len(kinds)](); err != nil {
				t.Fatal(err)
			}
		}
		for minute, n := range perMinute {
			if n > 6 {
				t.Errorf("%d imports in the minute of %v", n, minute)
			}
		}
		if took := time.Since(begun); took != 2*time.Minute {
			t.Errorf("14 imports took %v", took)
		}
	})
}

// TestRemoteImportSecrets plants secrets, has servers send them back in every
// way, and looks for them in everything that a program can print.
func TestRemoteImportSecrets(t *testing.T) {
	echoes := map[string]func(w http.ResponseWriter, form string){
		"JSON message": func(w http.ResponseWriter, form string) {
			w.WriteHeader(http.StatusBadRequest)
			json.NewEncoder(w).Encode(map[string]string{"message": "Failed to open: " + form})
		},
		"JSON fields": func(w http.ResponseWriter, form string) {
			w.WriteHeader(http.StatusBadRequest)
			json.NewEncoder(w).Encode(map[string]any{"message": map[string][]string{"url": {form, signedURL}, "key": {remoteSecret}}})
		},
		"XML": func(w http.ResponseWriter, form string) {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, "<Error><Code>SignatureDoesNotMatch</Code><Message>%s</Message><StringToSign>%s</StringToSign></Error>",
				html.EscapeString(form), remoteSecret)
		},
		"text": func(w http.ResponseWriter, form string) { http.Error(w, form, http.StatusBadGateway) },
		"page": func(w http.ResponseWriter, form string) {
			fmt.Fprintf(w, "<html><title>%s</title>%s", remoteSecret, form)
		},
		"created else": func(w http.ResponseWriter, form string) { fmt.Fprintf(w, `{"url":%q}`, signedURL) },
		"redirect": func(w http.ResponseWriter, form string) {
			w.Header().Set("Location", "/elsewhere?"+form+"&"+url.QueryEscape(remoteSecret))
			w.WriteHeader(http.StatusFound)
		},
		"request ID": func(w http.ResponseWriter, form string) {
			w.Header().Set("X-Request-Id", remoteSecret)
			w.WriteHeader(http.StatusInternalServerError)
		},
		"success": func(w http.ResponseWriter, form string) {
			io.WriteString(w, `{"id":7,"path_with_namespace":"team/app","import_status":"scheduled"}`)
		},
		"broken": func(w http.ResponseWriter, form string) { panic(http.ErrAbortHandler) },
	}
	for method, start := range remoteStarters {
		for name, echo := range echoes {
			t.Run(method+" "+name, func(t *testing.T) {
				t.Parallel()
				srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					form, _ := url.ParseQuery(string(body))
					if form.Get("url") != signedURL && form.Get("secret_access_key") != remoteSecret {
						t.Errorf("the secret was not sent: %s", body)
					}
					echo(w, string(body))
				}))
				defer srv.Close()
				var out bytes.Buffer
				var mu sync.Mutex
				c := newClient(t, srv.URL, nil, porter.WithLogger(slog.New(slog.NewJSONHandler(&out,
					&slog.HandlerOptions{Level: slog.LevelDebug}))),
					porter.WithRetry(1, porter.ConstantBackoff(0)),
					porter.WithObserver(func(e porter.Event) {
						mu.Lock()
						defer mu.Unlock()
						remoteLeak(t, e)
					}))
				_, err := start(t.Context(), c, porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("team")})
				if (err == nil) != (name == "success") {
					t.Errorf("error %v", err)
				}
				remoteLeak(t, err)
				var api *porter.APIError
				if errors.As(err, &api) {
					remoteLeak(t, api)
					remoteLeak(t, string(api.Body))
				}
				remoteLeak(t, out.String())
			})
		}
	}
}

func TestS3ObjectKeepsItsSecret(t *testing.T) {
	o := remoteObject
	remoteLeak(t, o)
	remoteLeak(t, &o)
	remoteLeak(t, []porter.S3Object{o})
	remoteLeak(t, map[string]porter.S3Object{"o": o})
	remoteLeak(t, struct{ Object porter.S3Object }{o})
	remoteLeak(t, struct{ Object *porter.S3Object }{&o})
	if got, want := o.String(), "s3://backups/2024/w.tar.gz (eu-central-1)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := o.LogValue().String(), "[region=eu-central-1 bucket_name=backups file_key=2024/w.tar.gz]"; got != want {
		t.Errorf("logged as %s, want %s", got, want)
	}
	var back porter.S3Object
	if err := json.Unmarshal([]byte(`{"region":"r","bucket_name":"b","file_key":"k","access_key_id":"a","secret_access_key":"s"}`),
		&back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(porter.S3Object{Region: "r", Bucket: "b", Key: "k", AccessKeyID: "a", SecretAccessKey: "s"}, back); diff != "" {
		t.Errorf("from JSON (-want +got):\n%s", diff)
	}
}

// remoteLeak fails the test if the secret is in anything that v prints.
func remoteLeak(t *testing.T, v any) {
	t.Helper()
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", v)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", v)
	j, _ := json.Marshal(v) // what cannot be marshaled shows nothing
	out := strings.Join([]string{
		fmt.Sprintf("%v", v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v), fmt.Sprintf("%s", v), fmt.Sprintf("%q", v), string(j),
		log.String(),
	}, "\n")
	escaped, _ := json.Marshal(remoteSecret)
	for _, secret := range []string{
		remoteSecret, url.QueryEscape(remoteSecret), remoteObject.AccessKeyID,
		strings.Trim(string(escaped), `"`), "wJalrUtnFEMI",
	} {
		if strings.Contains(out, secret) {
			t.Errorf("%s is in %.300s", secret, out[max(0, strings.Index(out, secret)-150):])
			return
		}
	}
}

// GitLab knows schemes in small letters only; the rest of a URL is signed, and
// sent as it is.
func TestRemoteURLsAreSentAsGitLabTakesThem(t *testing.T) {
	tests := []struct{ given, sent string }{
		{"https://store.example.com/a.tar.gz?X=1", "https://store.example.com/a.tar.gz?X=1"},
		{"HTTPS://Store.Example.com/A%2fb.tar.gz?X-Amz-Signature=aB%2b", "https://Store.Example.com/A%2fb.tar.gz?X-Amz-Signature=aB%2b"},
		{"HttpS://user:p%40ss@my_store.example.com:9000/~a//b", "https://user:p%40ss@my_store.example.com:9000/~a//b"},
		{"https://a--b.example.com./x", "https://a--b.example.com./x"},
		{"https://[2001:db8::1]:443/x", "https://[2001:db8::1]:443/x"},
		{"https://192.0.2.7/x", "https://192.0.2.7/x"},
		{"https://xn--bcher-kva.example/x", "https://xn--bcher-kva.example/x"},
		{"https://bücher.example/ä?ö", "https://bücher.example/ä?ö"},
		{"https://store.example.com:/x#part", "https://store.example.com:/x#part"},
		{"https://localhost:65535/x", "https://localhost:65535/x"},
	}
	for _, tt := range tests {
		var target, archive string
		c := mocked(t, roundTripper(func(req *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(req.Body)
			if err != nil {
				return nil, err
			}
			var export struct {
				Upload struct {
					URL string `json:"url"`
				} `json:"upload"`
			}
			if json.Unmarshal(body, &export) == nil {
				target = export.Upload.URL
				return retryAnswer(202, nil, `{"message":"202 Accepted"}`)(req)
			}
			form, err := url.ParseQuery(string(body))
			archive = form.Get("url")
			if err != nil {
				return nil, err
			}
			return retryAnswer(201, nil, `{"id":42,"import_status":"scheduled","path_with_namespace":"me/app"}`)(req)
		}))
		if err := c.ScheduleExport(t.Context(), porter.ProjectID(42),
			&porter.ScheduleExportOptions{Upload: &porter.UploadTarget{URL: tt.given}}); err != nil || target != tt.sent {
			t.Errorf("upload to %s: sent %s, %v", tt.given, target, err)
		}
		if _, err := c.StartImportFromURL(t.Context(), tt.given, porter.ImportOptions{Path: "app"}); err != nil || archive != tt.sent {
			t.Errorf("import of %s: sent %s, %v", tt.given, archive, err)
		}
	}
}

// TestRemoteImportOfServer imports from the storage of a server, in the
// releases that can and in those that can't.
func TestRemoteImportOfServer(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(64 << 10)
	s3 := porter.S3Object{Region: "eu-central-1", Bucket: "backups", Key: "2024/w.tar.gz", AccessKeyID: portertest.AccessKeyID,
		SecretAccessKey: portertest.SecretAccessKey}
	opts := porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("team"), Override: &porter.ProjectOverrides{
		Visibility: porter.VisibilityInternal, Topics: []string{"a", "b"}, LFSEnabled: new(bool)}}
	type starter func(context.Context, *porter.Client, *portertest.Server) (*porter.Import, error)
	fromURL := func(ctx context.Context, c *porter.Client, s *portertest.Server) (*porter.Import, error) {
		return c.StartImportFromURL(ctx, s.SignedURL("GET", "/backups/2024/w.tar.gz", time.Hour), opts)
	}
	fromS3 := func(ctx context.Context, c *porter.Client, s *portertest.Server) (*porter.Import, error) {
		return c.StartImportFromS3(ctx, s3, opts)
	}
	const noRoute = "; no such route: check the base URL, the GitLab version"
	tests := []struct {
		name    string
		version string
		start   starter
		server  []portertest.Option
		fault   portertest.Fault
		err     string // of the start
		is      error
		failed  string // the import's error
	}{
		{name: "URL", version: "18.9", start: fromURL},
		{name: "URL", version: "13.2", start: fromURL},
		{name: "URL too early", version: "13.1", start: fromURL, err: noRoute, is: porter.ErrNotFound},
		{name: "S3", version: "18.9", start: fromS3},
		{name: "S3", version: "14.9", start: fromS3},
		{name: "S3 too early", version: "14.8", start: fromS3, err: noRoute, is: porter.ErrNotFound},
		{name: "switched off", version: "18.9", start: fromURL, server: []portertest.Option{portertest.ImportsDisabled()},
			err: "; the import source “GitLab export” is switched off", is: porter.ErrForbidden},
		{name: "too large", version: "18.9", start: fromS3, server: []portertest.Option{portertest.MaxRemoteSize(32 << 10)},
			err: "Content length is too big (should be at most 32 KiB)"},
		{name: "no such bucket", version: "18.9",
			start: func(ctx context.Context, c *porter.Client, _ *portertest.Server) (*porter.Import, error) {
				obj := s3
				obj.Bucket = "other"
				return c.StartImportFromS3(ctx, obj, opts)
			}, err: "File not found '2024/w.tar.gz' in 'other'"},
		{name: "wrong key", version: "18.9",
			start: func(ctx context.Context, c *porter.Client, _ *portertest.Server) (*porter.Import, error) {
				obj := s3
				obj.SecretAccessKey = "something else"
				return c.StartImportFromS3(ctx, obj, opts)
			}, err: "Failed to open '2024/w.tar.gz' in 'backups'"},
		{name: "host that does not answer", version: "18.9", start: fromURL,
			fault: portertest.Fault{Origin: portertest.Storage, Method: "HEAD", Do: portertest.HoldAnswer(time.Minute)},
			err:   "Failed to retrieve headers: Net::ReadTimeout"},
		{name: "long URL", version: "14.9",
			start: func(ctx context.Context, c *porter.Client, s *portertest.Server) (*porter.Import, error) {
				return c.StartImportFromURL(ctx, s.StorageURL+"/backups/2024/w.tar.gz?"+strings.Repeat("a", 512), opts)
			}, err: "File url is too long (maximum is 512 characters)"},
		{name: "gone when it is fetched", version: "18.9", start: fromURL,
			fault:  portertest.Fault{Origin: portertest.Storage, Method: "GET", Do: portertest.Respond(404, nil, "")},
			failed: "Error importing repository into team/app - unsupported response downloading fragment 404"},
		{name: "broken off when it is fetched", version: "18.9", start: fromURL,
			fault:  portertest.Fault{Origin: portertest.Storage, Method: "GET", Do: portertest.CutResponse(1000)},
			failed: "Error importing repository into team/app - end of file reached"},
		{name: "lost answer", version: "18.9", start: fromS3,
			fault: portertest.Fault{Origin: portertest.GitLab, Method: "POST", Do: portertest.LoseAnswer()}, err: "outcome unknown",
			is: porter.ErrOutcomeUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.version+" "+tt.name, func(t *testing.T) {
			inBubble(t, append(tt.server, portertest.TLS(), portertest.Version(tt.version)),
				func(t *testing.T, s *portertest.Server, c *porter.Client) {
					s.AddGroup("team")
					s.AddObject("/backups/2024/w.tar.gz", "application/gzip", archive)
					if tt.fault.Method != "" {
						s.Inject(tt.fault)
					}
					imp, err := tt.start(t.Context(), c, s)
					if tt.err != "" {
						if err == nil || !strings.Contains(err.Error(), tt.err) || tt.is != nil && !errors.Is(err, tt.is) || imp != nil {
							t.Errorf("got %+v, %v, want %s", imp, err, tt.err)
						}
						if n := count(s, "POST", ""); n != 1 {
							t.Errorf("%d requests", n)
						}
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					imp, err = c.WaitForImport(t.Context(), imp.ID)
					var failed *porter.ImportError
					if tt.failed != "" {
						if !errors.As(err, &failed) || !strings.Contains(err.Error(), tt.failed) {
							t.Errorf("got %v, want %s", err, tt.failed)
						}
						return
					}
					if err != nil || !imp.Complete() {
						t.Fatalf("got %+v, %v", imp, err)
					}
					got := s.Project("team/app")
					want := url.Values{"visibility": {"internal"}, "topics": {"a", "b"}, "lfs_enabled": {"false"}}
					if diff := cmp.Diff(want, got.Overrides); diff != "" || got.ArchiveSHA256 != archive.SHA256() {
						t.Errorf("imported %+v, overrides (-want +got):\n%s", got, diff)
					}
				})
		})
	}
}
