package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/clitest"
	"github.com/seed-5d77b939/porter/portertest"
)

func TestMain(m *testing.M) {
	for _, name := range []string{"GITLAB_URL", "GITLAB_DEST_URL", "S3_BUCKET"} {
		os.Unsetenv(name)
	}
	os.Setenv("GITLAB_TOKEN", portertest.Token)
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
		{"simulation", nil, 0, []string{"simulated",
			"Left out: merge_requests, line 13", "Imported the merge_requests of team/app again. GitLab does not tell"}},
		{"one relation", []string{"-relation", "issues"}, 0, []string{"Imported the issues of team/app again. GitLab does not tell"}},
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

// TestLeftOut looks at a project whose import has left out these relations.
func TestLeftOut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		lost []string
		code int
		want []string
		not  []string
	}{
		{"nothing", nil, 0, []string{"reports nothing as failed"}, []string{"Left out"}},
		{"labels", []string{"labels", "labels"}, 3, []string{"Left out: labels", "GitLab cannot import labels by itself."}, []string{"nothing"}},
		{"labels and issues", []string{"labels", "issues"}, 3,
			[]string{"GitLab cannot import labels", "Imported the issues of team/app again. GitLab does not tell"}, []string{"nothing"}},
		{"issues", []string{"issues"}, 0, []string{"Imported the issues of team/app again. GitLab does not tell"}, []string{"cannot", "nothing"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := portertest.NewServer()
			defer s.Close()
			s.AddGroup("team")
			var script portertest.ImportScript
			for i, name := range tt.lost {
				script.FailedRelations = append(script.FailedRelations, portertest.FailedRelation{RelationName: name, LineNumber: i + 1})
			}
			s.ScriptImport("team/app", script)
			archive := portertest.NewArchive(100 << 10)
			source := porter.ReaderSource(archive.NewReader(), archive.Size())
			o := options{url: s.URL, project: "team/app", poll: 5 * time.Millisecond}
			var out bytes.Buffer
			code := do(t.Context(), o, porter.PrivateToken(portertest.Token), func(ctx context.Context, client *porter.Client) (bool, error) {
				_, err := client.Import(ctx, source, porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("team")})
				if err != nil {
					t.Error(err)
				}
				return reimport(ctx, client, o, source, &out)
			}, &out, &out)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.want {
				if strings.Count(out.String(), want) == 0 {
					t.Errorf("output lacks %q", want)
				}
			}
			for _, not := range tt.not {
				if strings.Contains(out.String(), not) {
					t.Errorf("output has %q", not)
				}
			}
			if n := strings.Count(out.String(), "cannot import"); n > 1 {
				t.Errorf("says %d times what GitLab cannot import", n)
			}
			if t.Failed() {
				t.Log(out.String())
			}
		})
	}
}

// TestImportEnds ends the program during the simulated import.
func TestImportEnds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		args      []string
		interrupt time.Duration
		code      int
		want      string
	}{
		{"interrupt", nil, 500 * time.Millisecond, 130, "Interrupted: "},
		{"timeout", []string{"-timeout", "500ms"}, time.Minute, 1, "-timeout of 500ms is over"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), tt.interrupt)
			defer cancel()
			var out bytes.Buffer
			code := run(ctx, tt.args, &out, &out)
			if code != tt.code || !strings.Contains(out.String(), tt.want) || strings.Contains(out.String(), "Left out") {
				t.Errorf("exit code %d, want %d with %q\n%s", code, tt.code, tt.want, &out)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("GITLAB_URL", "http://localhost:1")
	t.Setenv("GITLAB_TOKEN", "")
	clitest.Misused(t, run, "-url was taken from GITLAB_URL, but no archive or no project is named")
	clitest.Misused(t, run, "GITLAB_TOKEN is not set", "app.tar.gz", "a/b")
}
