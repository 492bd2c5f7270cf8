package main

import (
	"bytes"
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
		{"negative time", []string{"-valid", "-1h"}, 2, []string{"-valid must not be negative"}},
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
		code    int
		want    string
		exports int
	}{
		{name: "moved", want: "Moved group/site to new/site", exports: 1},
		{name: "key taken", old: "site.tar.gz", code: 1, want: "s3://moves/site.tar.gz is there already"},
		{name: "upload fails", old: "other.tar.gz", fault: portertest.UploadFails, code: 1, want: "look for the archive in the bucket: ", exports: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client, stop, err := storage("moves")
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
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

			o := options{
				from: src.URL, to: dst.URL, project: "group/site", namespace: "new",
				bucket: "moves", key: "site.tar.gz", valid: time.Hour, poll: 5 * time.Millisecond,
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
		_, err := look(t.Context(), client, options{bucket: "b", key: "k"})
		if got := absent(err); err == nil || got != want {
			t.Errorf("%d: %v, %v, want %v", status, err, got, want)
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
