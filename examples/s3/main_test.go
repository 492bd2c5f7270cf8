package main

import (
	"bytes"
	"cmp"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/clitest"
	"github.com/seed-5d77b939/porter/portertest"
)

func TestMain(m *testing.M) {
	for _, name := range []string{"GITLAB_URL", "GITLAB_DEST_URL", "S3_BUCKET"} {
		os.Unsetenv(name)
	}
	os.Exit(m.Run())
}

func TestRun(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"simulation", nil, 0, []string{"simulated", "s3://moves/app-", "has 8.0 MiB", "Moved team/app to platform/app", "They are equal."}},
		{"elsewhere", []string{"-namespace", "a/b", "-path", "c", "-key", "k.tar.gz"}, 0, []string{"s3://moves/k.tar.gz", "to a/b/c"}},
		{"bad path", []string{"-path", "a/b"}, 1, []string{`path "a/b" holds a slash`}},
		{"help", []string{"-h"}, 0, []string{"presigned", "AWS_REGION", "-bucket"}},
		{"a project without instances", []string{"team/app"}, 2, []string{"neither -from nor -to"}},
		{"one instance", []string{"-from", "https://gitlab.test", "team/app"}, 2, []string{"-from is given, but -to is missing"}},
		{"no project", []string{"-from", "https://a.test", "-to", "https://b.test"}, 2, []string{"no project"}},
		{"negative time", []string{"-valid", "-1h"}, 2, []string{"-valid must"}},
		{"no time", []string{"-valid", "0"}, 2, []string{"-valid must be between 1s and 168h"}},
		{"more than a week", []string{"-valid", "168h1s"}, 2, []string{"-valid must be between 1s and 168h"}},
		{"endpoint that is no URL", []string{"-endpoint", "minio.test:9000"}, 2, []string{"-endpoint must be a URL"}},
		{"endpoint without instances", []string{"-endpoint", "https://minio.test"}, 2, []string{"neither -from nor -to"}},
		{"no bucket", []string{"-from", "https://a.test", "-to", "https://b.test", "team/app"}, 2, []string{"no -bucket"}},
		{"timeout", []string{"-timeout", "1ms"}, 1, []string{"-timeout of 1ms is over"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if code := run(t.Context(), tt.args, &out, &out); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("output lacks %q", want)
				}
			}
			if strings.Contains(out.String(), "X-Amz-Signature") {
				t.Error("output holds a signature")
			}
			if t.Failed() {
				t.Log(out.String())
			}
		})
	}
}

// TestMove moves a project that is not called app, to a bucket that may hold an
// object of an earlier run.
func TestMove(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		old     string // key of the object that is there
		fault   portertest.ExportFault
		amazon  bool   // the store is Amazon's
		bucket  string // moves if empty
		secret  string // of the keys, the right one if empty
		code    int
		want    string
		exports int
	}{
		{name: "moved", want: "Moved group/site to new/site", exports: 1},
		{name: "moved by way of Amazon's", amazon: true, want: "Moved group/site to new/site", exports: 1},
		{name: "no such bucket", bucket: "other", code: 1, want: "write to the bucket: "},
		{name: "wrong keys", secret: "wrong", code: 1, want: "write to the bucket: "},
		{name: "key taken", old: "site.tar.gz", code: 1, want: "s3://moves/site.tar.gz is there already"},
		{name: "upload fails", old: "other.tar.gz", fault: portertest.UploadFails, code: 1, want: "look for the archive in the bucket: ",
			exports: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			store := &memoryStore{bucket: "moves"}
			server := httptest.NewUnstartedServer(store)
			if tt.amazon {
				server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Server", "AmazonS3")
					w.Header().Set("X-Amz-Request-Id", "TX234S0F24A06C7")
					store.ServeHTTP(w, r)
				})
			}
			server.StartTLS() // GitLab imports from https only
			defer server.Close()
			secret := cmp.Or(tt.secret, memoryKeys.SecretAccessKey)
			client := memoryClient(server.URL, secret, server.Client())
			if tt.old != "" {
				_, err := client.PutObject(t.Context(), &s3.PutObjectInput{
					Bucket: aws.String("moves"), Key: aws.String(tt.old), Body: strings.NewReader("old"),
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			src, dst := portertest.NewServer(), portertest.NewServer()
			defer src.Close()
			defer dst.Close()
			src.AddProject(portertest.Project{Path: "group/site", Archive: portertest.NewArchive(100 << 10)})
			src.ScriptExport("group/site", portertest.ExportScript{Fault: tt.fault})
			dst.AddGroup("new")
			dst.AllowOutbound(server.URL)

			o := options{
				from: src.URL, to: dst.URL, project: "group/site", namespace: "new",
				bucket: cmp.Or(tt.bucket, "moves"), key: "site.tar.gz", direct: tt.amazon, valid: time.Hour, poll: 5 * time.Millisecond,
			}
			token := porter.PrivateToken(portertest.Token)
			var out bytes.Buffer
			code := move(t.Context(), o, client, token, token, &out, &out)
			if code != tt.code || !strings.Contains(out.String(), tt.want) {
				t.Errorf("exit code %d, want %d with %q\n%s", code, tt.code, tt.want, &out)
			}
			if n := len(src.Exports("group/site")); n != tt.exports {
				t.Errorf("%d exports, want %d", n, tt.exports)
			}
			if code != 0 && len(dst.Projects()) != 0 {
				t.Error("something was imported")
			}
			if store.objects["site.tar.gz.check"].content != nil {
				t.Error("the small object is still there")
			}
			asked := 0 // by GitLab
			for _, r := range dst.Requests() {
				if strings.HasSuffix(r.Path, "/remote-import") {
					asked++
				}
			}
			if tt.code == 0 && (asked == 1) != tt.amazon {
				t.Errorf("%d imports from a URL", asked)
			}
		})
	}
}

func TestAbsent(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]bool{404: true, 403: true, 400: false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		defer server.Close()
		client := s3.New(s3.Options{
			Region: "eu-central-1", BaseEndpoint: &server.URL, UsePathStyle: true, Credentials: aws.AnonymousCredentials{},
		})
		_, err := place{client: client, bucket: "b", key: "k"}.look(t.Context())
		if got := absent(err); err == nil || got != want {
			t.Errorf("%d: %v, %v, want %v", status, err, got, want)
		}
	}
}

// A URL that is signed for one method is refused with another, as by every real
// store, and so is one that was changed.
func TestMemoryStoreChecksSignatures(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(&memoryStore{bucket: "moves"})
	defer server.Close()
	p := place{client: memoryClient(server.URL, memoryKeys.SecretAccessKey, nil), bucket: "moves", key: "a b.tar.gz", valid: time.Hour}
	if err := p.check(t.Context(), io.Discard); err != nil {
		t.Fatal(err)
	}
	get, err := p.getURL(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		method, url string
		status      int
	}{
		{http.MethodGet, get, http.StatusNotFound},
		{http.MethodHead, get, http.StatusForbidden},
		{http.MethodGet, get + "0", http.StatusForbidden},
		{http.MethodGet, strings.Replace(get, "a%20b", "c", 1), http.StatusForbidden},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, tt.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.status {
			t.Errorf("%s: %d, want %d", tt.method, resp.StatusCode, tt.status)
		}
	}
}

func TestIsAmazon(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]bool{
		"": true, "https://s3.eu-west-1.amazonaws.com": true, "https://bucket.vpce-1a2b-s3.eu-west-1.vpce.amazonaws.com": true,
		"https://s3.cn-north-1.amazonaws.com.cn": true, "https://minio.example.com": false, "http://127.0.0.1:9000": false,
		"https://amazonaws.com.example.com": false,
	} {
		if got := isAmazon(newClient(aws.Config{}, options{endpoint: endpoint})); got != want {
			t.Errorf("%q: %t", endpoint, got)
		}
	}
}

// TestNotLooked ends the program while it waits for the export, so that it can
// know nothing of the bucket.
func TestNotLooked(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	code := run(t.Context(), []string{"-timeout", "800ms"}, &out, &out)
	if code != 1 || strings.Count(out.String(), "-timeout of 800ms is over") != 1 || strings.Contains(out.String(), "in the bucket") {
		t.Errorf("exit code %d, want 1\n%s", code, &out)
	}
}

func TestEnvironment(t *testing.T) { clitest.TwoInstances(t, run, "-bucket", "moves") }
