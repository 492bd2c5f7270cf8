package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/mock"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/mocks"
	"go.temporal.io/sdk/temporal"

	"github.com/seed-5d77b939/porter/examples/fleet"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
	"github.com/seed-5d77b939/porter/examples/internal/clitest"
	"github.com/seed-5d77b939/porter/portertest"
)

// environ sets the variables of two instances.
func environ(t *testing.T, source string) {
	t.Helper()
	t.Setenv("GITLAB_URL", source)
	t.Setenv("GITLAB_DEST_URL", "https://new.example.com/git/")
	t.Setenv("GITLAB_TOKEN", portertest.Token)
}

func TestMisused(t *testing.T) {
	for _, tt := range []struct {
		unset string
		args  []string
		want  string
	}{
		{"", []string{"a/p"}, "no -user"},
		{"", []string{"-user", "me"}, "no projects are named"},
		{"", []string{"-user", "me", "-window", "0", "a/p"}, "-window must be 1 or more"},
		{"", []string{"-user", "me", "-namespace", "12", "a/p"}, "-namespace: namespace 12 is an ID"},
		{"", []string{"-user", "me", "-namespace", "n", "-group", "12"}, "-group with -namespace: namespace 12 is an ID"},
		{"", []string{"-user", "me", "-namespace", "n", "a/p", "b/p"}, "would both become n/p"},
		{"GITLAB_TOKEN", []string{"-user", "me", "-group", "a"}, "GITLAB_TOKEN is not set"},
		{"GITLAB_URL", []string{"-user", "me", "a/p"}, "GITLAB_URL: "},
		{"GITLAB_DEST_URL", []string{"-user", "me", "a/p"}, "GITLAB_DEST_URL: "},
	} {
		t.Run(tt.want, func(t *testing.T) {
			environ(t, "https://old.example.com")
			if tt.unset != "" {
				t.Setenv(tt.unset, "")
			}
			clitest.Misused(t, run, tt.want, tt.args...)
		})
	}
}

// parse returns the options of a command line, with the projects gathered.
func parse(t *testing.T, args ...string) (options, error) {
	t.Helper()
	o := options{from: os.Getenv("GITLAB_URL"), to: os.Getenv("GITLAB_DEST_URL")}
	fs := o.flags()
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	o.input.Args = fs.Args()
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	return o, o.gather(t.Context())
}

func TestList(t *testing.T) {
	s := portertest.NewServer()
	defer s.Close()
	for _, p := range []string{"a/p", "a/x/q", "b/r"} {
		s.AddProject(portertest.Project{Path: p})
	}
	environ(t, s.URL)
	o, err := parse(t, "-user", "me", "-namespace", "n", "-group", "a", "b/r")
	if err != nil {
		t.Fatal(err)
	}
	want := "[{b/r n/r} {a/p n/p} {a/x/q n/x/q}]"
	site := fleet.Site{User: "me", Source: strings.TrimPrefix(s.URL, "http://"), Destination: "new.example.com/git"}
	if got := fmt.Sprint(o.list.Projects); got != want || o.list.Site != site || o.list.Renew != fleet.Renew || o.list.Window != 200 {
		t.Errorf("got %+v", o.list)
	}
	if _, err := parse(t, "-user", "me", "-group", "nobody"); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("a group of nobody: %v", err)
	}

	file := filepath.Join(t.TempDir(), "list")
	var b bytes.Buffer
	for i := range 20000 {
		fmt.Fprintf(&b, "some/group/with/a/long/name/project-%d\n", i)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := parse(t, "-user", "me", "-list", file); err == nil || !strings.Contains(err.Error(), "too many for one list") {
		t.Errorf("a long list: %v", err)
	}
}

// The exit code says what came of the list.
func TestStart(t *testing.T) {
	t.Parallel()
	started := serviceerror.NewWorkflowExecutionAlreadyStarted("started", "", "")
	for _, tt := range []struct {
		name  string
		start error
		wait  bool
		sum   fleet.Summary
		err   error
		code  int
		want  string
	}{
		{name: "not awaited", code: cli.OK, want: "Started the list list:old:team of 1 projects."},
		{name: "not started", start: errors.New("no server"), code: cli.Failure, want: "no server"},
		{name: "under way", start: started, code: cli.OK, want: "under way already"},
		{name: "done", start: started, wait: true, sum: fleet.Summary{Counts: fleet.Counts{Done: 5}}, code: cli.OK, want: "done 5"},
		{name: "incomplete", wait: true, sum: fleet.Summary{Counts: fleet.Counts{Done: 5, Incomplete: 1}},
			code: cli.Incomplete, want: "incomplete 1"},
		{name: "failed", wait: true, sum: fleet.Summary{Counts: fleet.Counts{Failed: 1, Incomplete: 1},
			Troubles: []fleet.Trouble{{Project: "a/p", Text: "it broke"}}}, code: cli.Failure, want: "a/p: it broke"},
		{name: "cancelled", wait: true, err: temporal.NewCanceledError(fleet.Summary{Counts: fleet.Counts{Waiting: 3}}),
			code: cli.Interrupted, want: "waiting 3"},
		{name: "terminated", wait: true, err: errors.New("terminated"), code: cli.Failure, want: "terminated"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			run := &mocks.WorkflowRun{}
			run.On("GetID").Return("list:old:team")
			run.On("Get", mock.Anything, mock.Anything).Run(func(args mock.Arguments) { *args.Get(1).(*fleet.Summary) = tt.sum }).Return(tt.err)
			c := &mocks.Client{}
			c.On("ExecuteWorkflow", mock.Anything, mock.Anything, mock.Anything, mock.Anything).Return(run, tt.start)
			c.On("GetWorkflow", mock.Anything, "list:old:team", "").Return(run)
			o := options{name: "team", wait: tt.wait,
				list: fleet.List{Site: fleet.Site{Source: "old"}, Projects: []fleet.Project{{Name: "a/p", Target: "a/p"}}}}
			var out bytes.Buffer
			if code := o.start(t.Context(), c, &out, &out); code != tt.code || !strings.Contains(out.String(), tt.want) {
				t.Errorf("exit code %d, and\n%s", code, &out)
			}
		})
	}
}
