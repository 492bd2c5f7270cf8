package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	for _, name := range []string{"GITLAB_URL", "GITLAB_DEST_URL", "S3_BUCKET"} {
		os.Unsetenv(name)
	}
	os.Exit(m.Run())
}

func TestRun(t *testing.T) {
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
		{"one instance", []string{"-from", "https://gitlab.test", "team/app"}, 2, []string{"only one"}},
		{"no project", []string{"-from", "https://a.test", "-to", "https://b.test"}, 2, []string{"no project"}},
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
