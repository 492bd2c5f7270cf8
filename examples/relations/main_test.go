package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
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
		{"simulation", nil, 0, []string{
			"merge_requests: 120 in the archive, 117 in the project, 3 missing\n  118 Merge request", "(ActiveRecord::QueryCanceled)",
			"Importing 3 merge_requests by an archive of", " B, of an archive of 8.0 MiB. Number of imports: 1.",
			"merge_requests: 117 before, 120 after, 0 still missing",
		}},
		{"only told", []string{"-n"}, 3, []string{"117 in the project, 3 missing"}},
		{"another relation", []string{"-relation", "issues"}, 0, []string{"issues: 60 in the archive, 60 in the project, 0 missing"}},
		{"split", []string{"-split", "-slice", "60"}, 0, []string{
			"Importing all but", "Importing 60 merge_requests by", "Importing 30 ci_pipelines by", "beside the rest. Number of imports: 3.",
			"merge_requests: 0 before, 120 after, 0 still missing", "ci_pipelines: 0 before, 30 after, 0 still missing",
		}},
		{"no such relation", []string{"-relation", "boards"}, 2, []string{"GitLab cannot import boards by itself"}},
		{"negative slice", []string{"-slice", "-1"}, 2, []string{"-slice must not be negative"}},
		{"split, but only told", []string{"-split", "-n"}, 2, []string{"-split is not for -n"}},
		{"help", []string{"-h"}, 0, []string{"ARCHIVE", "-relation", "tried on a real GitLab: nothing"}},
		{"no project", []string{"-url", "https://gitlab.test", "app.tar.gz"}, 2, []string{"no project"}},
		{"no full path", []string{"-url", "https://gitlab.test", "app.tar.gz", "42"}, 2, []string{"42 is no full path"}},
		{"no file", []string{"-url", "https://gitlab.test", "missing.tar.gz", "team/app"}, 2, []string{"missing.tar.gz"}},
		{"no instance", []string{"app.tar.gz", "team/app"}, 2, []string{"no -url"}},
		{"timeout", []string{"-timeout", "1ms"}, 1, []string{"-timeout of 1ms is over"}},
		{"timeout of split", []string{"-split", "-timeout", "1500ms"}, 1, []string{"-timeout of 1.5s is over"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, out := clitest.Program(run).Call(t.Context(), tt.args...)
			clitest.Ended(t, out, code, tt.code, tt.want...)
		})
	}
}

// repaired imports an archive of 20 merge requests, 6 issues and a milestone by
// a script, and repairs that by other scripts. It returns the output, and which
// relations were imported by themselves.
func repaired(t *testing.T, s *portertest.Server, o options, scripts ...portertest.ImportScript) (code int, out string, imported string) {
	t.Helper()
	s.AddGroup("team")
	s.ScriptImport("team/app", scripts...)
	archive := portertest.NewArchive(100<<10, portertest.ArchiveItems("merge_requests", 20), portertest.ArchiveItems("issues", 6),
		portertest.ArchiveItems("ci_pipelines", 3))
	source := porter.ReaderSource(archive.NewReader(), archive.Size())
	o.url, o.project = s.URL, s.URL+"/team/app/-/merge_requests"
	if o.poll == 0 {
		o.poll = 5 * time.Millisecond
	}
	var b bytes.Buffer
	if !o.isNew {
		client, err := newClient(o, portertest.Token)
		if err == nil {
			_, err = client.StartImport(t.Context(), source, porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("team")})
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(scripts) == 0 || scripts[0].Timing == nil {
			client.WaitForImport(t.Context(), porter.ProjectPath("team/app")) // it may fail
		}
	}
	code = do(t.Context(), o, portertest.Token, source, &b, &b)
	for l := range strings.Lines(b.String()) {
		if rest, ok := strings.CutPrefix(l, "Importing "); ok && !o.isNew {
			what, _, _ := strings.Cut(rest, " by")
			imported += what + ";"
		}
	}
	return code, b.String(), imported
}

func TestRepair(t *testing.T) {
	t.Parallel()
	type lost = map[string]int
	failed := func(relation string, line int) portertest.FailedRelation {
		return portertest.FailedRelation{RelationName: relation, LineNumber: line, ExceptionClass: "NoMethodError"}
	}
	for _, tt := range []struct {
		name     string
		scripts  []portertest.ImportScript
		o        options
		code     int
		imported string
		want     []string
	}{
		{name: "nothing", want: []string{"merge_requests: 20 in the archive, 20 in the project, 0 missing"}},
		{
			name: "what nobody told of", scripts: []portertest.ImportScript{{LoseItems: lost{"issues": 2, "milestones": 1}}},
			imported: "1 milestones;2 issues;",
			want: []string{"issues: 6 in the archive, 4 in the project, 2 missing\n  5 Issue", "milestones: 0 before, 1 after, 0 still missing",
				"issues: 4 before, 6 after, 0 still missing"},
		},
		{
			name: "only one relation", scripts: []portertest.ImportScript{{LoseItems: lost{"issues": 2, "milestones": 1}}},
			o: options{relation: "issues"}, imported: "2 issues;",
		},
		{
			name: "in slices", scripts: []portertest.ImportScript{{LoseItems: lost{"merge_requests": 5}}}, o: options{slice: 2},
			imported: "2 merge_requests;2 merge_requests;1 merge_requests;", want: []string{"15 before, 20 after, 0 still missing"},
		},
		{
			name:    "lost again",
			scripts: []portertest.ImportScript{{LoseItems: lost{"merge_requests": 3}}, {LoseItems: lost{"merge_requests": 1}}},
			code:    3, imported: "3 merge_requests;", want: []string{"merge_requests: 17 before, 19 after, 1 still missing"},
		},
		{
			name: "one slice fails", scripts: []portertest.ImportScript{{LoseItems: lost{"merge_requests": 3}}, {Error: "no"}}, o: options{slice: 2},
			code: 3, imported: "2 merge_requests;1 merge_requests;",
			want: []string{"import of merge_requests into team/app failed", "17 before, 18 after, 2 still missing"},
		},
		{
			name: "labels", scripts: []portertest.ImportScript{{LoseItems: lost{"labels": 1}}}, code: 3,
			want: []string{"Cannot be imported by itself: labels: 1 in the archive, 0 in the project"},
		},
		{
			name:    "labels and a part of an issue",
			scripts: []portertest.ImportScript{{FailedRelations: []portertest.FailedRelation{failed("labels", 0), failed("issues", -1)}}},
			code:    3,
			want:    []string{"Cannot be imported by itself: The import reports labels, line 1", "The import reports issues: NoMethodError"},
		},
		{
			name: "told of, and lost", code: 0, imported: "1 issues;",
			scripts: []portertest.ImportScript{
				{LoseItems: lost{"issues": 1}, FailedRelations: []portertest.FailedRelation{failed("issues", 5)}}},
			want: []string{"(NoMethodError)"},
		},
		{
			name: "told of, but there", scripts: []portertest.ImportScript{{FailedRelations: []portertest.FailedRelation{failed("issues", 3)}}},
			want: []string{"issues: 6 in the archive, 6 in the project, 0 missing"},
		},
		{
			name: "import under way", code: 1, want: []string{"is under way (s"},
			scripts: []portertest.ImportScript{{Timing: &portertest.Timings{Import: time.Hour}}},
		},
		{
			name: "import that failed", code: 3, imported: "1 milestones;6 issues;20 merge_requests;3 ci_pipelines;",
			scripts: []portertest.ImportScript{{Error: "Import timed out"}},
			want:    []string{"whatever else the import has not come to, which failed: Import timed out", "issues: 0 before, 6 after"},
		},
		{
			name: "switched off",
			scripts: []portertest.ImportScript{{Disabled: []string{"merge_requests"}, LoseItems: lost{"merge_requests": 9},
				FailedRelations: []portertest.FailedRelation{failed("merge_requests", 19)}}},
			code: 3, imported: "1 merge_requests;",
			want: []string{"merge_requests: 20 in the archive, ? in the project, 1 missing", "only what the import tells is known",
				"Whether the merge_requests are there now is not known."},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := portertest.NewServer()
			defer s.Close()
			code, out, imported := repaired(t, s, tt.o, tt.scripts...)
			clitest.Ended(t, out, code, tt.code, tt.want...)
			if imported != tt.imported {
				t.Errorf("imported %s, want %s\n%s", imported, tt.imported, out)
			}
		})
	}
}

// Where a project has grown since, what it lacks is found all the same.
func TestRepairOfGrownProject(t *testing.T) {
	t.Parallel()
	s := portertest.NewServer()
	defer s.Close()
	s.AddProject(portertest.Project{Path: "team/app", Items: portertest.Items{
		"merge_requests": {{IID: 1}, {IID: 4}, {IID: 200}, {IID: 201}, {IID: 202}}, "issues": portertest.MakeItems(250),
	}})
	archive := portertest.NewArchive(100<<10, portertest.ArchiveItems("merge_requests", 5), portertest.ArchiveItems("issues", 240))
	source := porter.ReaderSource(archive.NewReader(), archive.Size())
	var out bytes.Buffer
	o := options{url: s.URL, project: "team/app", poll: 5 * time.Millisecond}
	code := do(t.Context(), o, portertest.Token, source, &out, &out)
	clitest.Ended(t, out.String(), code, 3, "merge_requests: 5 in the archive, 5 in the project, 3 missing\n  2 Merge request",
		"5 before, 8 after, 0 still missing",
		"issues: 240 in the archive, 250 in the project, 0 missing", "Cannot be imported by itself: labels")
}

// An import that takes more than a day is ended by GitLab; one that is split is
// not.
func TestSplit(t *testing.T) {
	t.Parallel()
	for _, split := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := portertest.NewServer(portertest.InMemory(),
				portertest.Timing(portertest.Timings{ImportQueue: time.Minute, Import: time.Minute, ImportItem: time.Hour}))
			defer s.Close()
			code, out, _ := repaired(t, s, options{isNew: split, slice: 10, poll: 10 * time.Minute, transport: s.Transport()})
			if !split {
				clitest.Ended(t, out, code, 3, "whatever else the import has not come to, which failed: Import timed out")
				return
			}
			clitest.Ended(t, out, code, 0, "Importing all but", "merge_requests: 0 before, 20 after, 0 still missing")
			if n := strings.Count(out, "Importing 10 merge_requests"); n != 2 {
				t.Errorf("%d imports of 10 merge requests\n%s", n, out)
			}
		})
	}
}

// TestRealArchive loses the last issue of a real archive, and brings it back.
func TestRealArchive(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("PORTER_ARCHIVES")
	if dir == "" {
		t.Skip("PORTER_ARCHIVES is not set")
	}
	s := portertest.NewServer()
	defer s.Close()
	s.AddGroup("team")
	s.ScriptImport("team/app", portertest.ImportScript{LoseItems: map[string]int{"issues": 1}})
	source, err := porter.FileSource(filepath.Join(dir, "ndjson_project_export.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := porter.NewClient(s.URL, porter.PrivateToken(portertest.Token), cli.Polling(5*time.Millisecond)...)
	if err == nil {
		_, err = client.Import(t.Context(), source, porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("team")})
	}
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	o := options{url: s.URL, project: "team/app", relation: "issues", poll: 5 * time.Millisecond}
	code := do(t.Context(), o, portertest.Token, source, &out, &out)
	clitest.Ended(t, out.String(), code, 0, " in the project, 1 missing", ", 0 still missing")
}

// A split import into a project that is there says how to go on.
func TestSplitOfExistingProject(t *testing.T) {
	t.Parallel()
	s := portertest.NewServer()
	defer s.Close()
	s.AddProject(portertest.Project{Path: "team/app"})
	code, out, _ := repaired(t, s, options{isNew: true})
	clitest.Ended(t, out, code, 1, "to import what it lacks, leave out -split")
}

// TestImportEnds ends the program during the import, and during the repair.
func TestImportEnds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		args []string
		at   string
		code int
		want string
	}{
		{"interrupt", nil, "No -url given", 130, "Interrupted: "},
		{"interrupt of the repair", nil, "Importing 3", 130, "Run the same command again"},
		{"timeout", []string{"-timeout", "500ms"}, "never", 1, "-timeout of 500ms is over"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			out := &clitest.Trigger{Text: tt.at, F: cancel}
			code := run(ctx, tt.args, out, out)
			clitest.Ended(t, out.String(), code, tt.code, tt.want)
		})
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("GITLAB_URL", "http://localhost:1")
	t.Setenv("GITLAB_TOKEN", "")
	clitest.Misused(t, run, "-url was taken from GITLAB_URL, but no archive or no project is named")
	clitest.Misused(t, run, "GITLAB_TOKEN is not set", "app.tar.gz", "a/b")
}
