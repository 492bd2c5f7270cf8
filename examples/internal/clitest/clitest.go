// Package clitest holds what the tests of the example programs have in common.
package clitest

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/seed-5d77b939/porter/portertest"
)

// A Program is the run function of an example.
type Program func(ctx context.Context, args []string, stdout, stderr io.Writer) int

// Call runs p, and returns its exit code and all its output.
func (p Program) Call(ctx context.Context, args ...string) (code int, out string) {
	var b bytes.Buffer
	code = p(ctx, args, &b, &b)
	return code, b.String()
}

// Misused checks that p takes args for wrong usage, and says want.
func Misused(t *testing.T, p Program, want string, args ...string) {
	t.Helper()
	code, out := p.Call(t.Context(), args...)
	if code != 2 || !strings.Contains(out, want) {
		t.Errorf("%q: exit code %d, want 2 with %q\n%s", args, code, want, out)
	}
}

// Ended checks that a program that wrote out has ended with a code, has said the
// texts, and has not told the token.
func Ended(t *testing.T, out string, code, want int, texts ...string) {
	t.Helper()
	if code != want {
		t.Errorf("exit code %d, want %d", code, want)
	}
	for _, text := range texts {
		if !strings.Contains(out, text) {
			t.Errorf("output lacks %q", text)
		}
	}
	if strings.Contains(out, portertest.Token) {
		t.Error("output holds the token")
	}
	if t.Failed() {
		t.Log(out)
	}
}

// TwoInstances checks that p, which takes a source and a destination from the
// environment, says what is missing there. What it needs besides is in args.
func TwoInstances(t *testing.T, p Program, args ...string) {
	for _, tt := range []struct {
		name  string
		unset string
		args  []string
		want  string
	}{
		{"no destination", "GITLAB_DEST_URL", nil, "-from was taken from GITLAB_URL, but -to is missing"},
		{"no source", "GITLAB_URL", nil, "-to was taken from GITLAB_DEST_URL, but -from is missing"},
		{"no project", "", nil, "-from was taken from GITLAB_URL, but no project is named"},
		{"no token", "GITLAB_TOKEN", append(args, "a/b"), "GITLAB_TOKEN is not set"},
		{"no other token", "GITLAB_DEST_TOKEN", append(args, "a/b"), "GITLAB_DEST_TOKEN is not set"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("GITLAB_URL", "http://localhost:1")
			t.Setenv("GITLAB_DEST_URL", "http://localhost:2")
			t.Setenv("GITLAB_TOKEN", "token")
			t.Setenv("GITLAB_DEST_TOKEN", "token")
			if tt.unset != "" {
				t.Setenv(tt.unset, "")
			}
			Misused(t, p, tt.want, tt.args...)
		})
	}
}

// A Trigger keeps what is written, and calls F before something that holds the
// text.
type Trigger struct {
	bytes.Buffer
	Text string
	F    func()
}

// Write implements io.Writer.
func (w *Trigger) Write(p []byte) (int, error) {
	if strings.Contains(string(p), w.Text) {
		w.F()
	}
	return w.Buffer.Write(p)
}
