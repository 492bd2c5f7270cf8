package main

import (
	"testing"

	"github.com/seed-5d77b939/porter/examples/internal/clitest"
)

func TestMisused(t *testing.T) {
	for _, tt := range []struct {
		unset string
		args  []string
		want  string
	}{
		{"", []string{}, "no -user"},
		{"", []string{"-user", "me", "a/p"}, "no arguments"},
		{"", []string{"-user", "me", "-transfers", "0"}, "-transfers must be 1 or more"},
		{"", []string{"-user", "me", "-rate", "exports=0"}, "give a number per minute"},
		{"", []string{"-user", "me", "-queues", "posts,letters"}, "there is no queue \"letters\""},
		{"GITLAB_URL", []string{"-user", "me"}, "GITLAB_URL is not set"},
		{"GITLAB_DEST_URL", []string{"-user", "me"}, "GITLAB_DEST_URL is not set"},
		{"GITLAB_TOKEN", []string{"-user", "me"}, "GITLAB_TOKEN is not set"},
		{"GITLAB_DEST_TOKEN", []string{"-user", "me"}, "GITLAB_DEST_TOKEN is not set"},
	} {
		t.Run(tt.want, func(t *testing.T) {
			for name, value := range map[string]string{"GITLAB_URL": "http://localhost:1", "GITLAB_DEST_URL": "http://localhost:2",
				"GITLAB_TOKEN": "token", "GITLAB_DEST_TOKEN": "token"} {
				t.Setenv(name, value)
			}
			if tt.unset != "" {
				t.Setenv(tt.unset, "")
			}
			clitest.Misused(t, run, tt.want, tt.args...)
		})
	}
}
