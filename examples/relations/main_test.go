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
		{"simulation", nil, 0, []string{"simulated", "Left out: merge_requests, line 12", "Imported the merge_requests of team/app again."}},
		{"one relation", []string{"-relation", "issues"}, 0, []string{"Imported the issues of team/app again."}},
		{"no such relation", []string{"-relation", "boards"}, 1, []string{"400"}},
		{"help", []string{"-h"}, 0, []string{"ARCHIVE", "-relation"}},
		{"no project", []string{"-url", "https://gitlab.test", "app.tar.gz"}, 2, []string{"no project"}},
		{"no file", []string{"-url", "https://gitlab.test", "missing.tar.gz", "team/app"}, 2, []string{"missing.tar.gz"}},
		{"no instance", []string{"app.tar.gz", "team/app"}, 2, []string{"no -url"}},
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
			if t.Failed() {
				t.Log(out.String())
			}
		})
	}
}
