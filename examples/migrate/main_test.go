package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seed-5d77b939/porter/examples/internal/clitest"
	"github.com/seed-5d77b939/porter/examples/internal/demo"
	"github.com/seed-5d77b939/porter/portertest"
)

func TestMain(m *testing.M) {
	os.Unsetenv("GITLAB_URL")
	os.Unsetenv("GITLAB_DEST_URL")
	os.Setenv("GITLAB_TOKEN", portertest.Token)
	os.Setenv("GITLAB_DEST_TOKEN", portertest.Token)
	demo.ArchiveSize = 16 << 20
	os.Exit(m.Run())
}

var call = clitest.Program(run).Call

// instances are a source with the project group/app and a destination with the
// group new.
func instances(t *testing.T) (src, dst *portertest.Server) {
	src, dst = portertest.NewServer(), portertest.NewServer()
	t.Cleanup(src.Close)
	t.Cleanup(dst.Close)
	src.AddProject(portertest.Project{Path: "group/app", ID: 42, Archive: portertest.NewArchive(1 << 20)})
	dst.AddGroup("new")
	return src, dst
}

func TestSimulation(t *testing.T) {
	t.Parallel()
	code, out := call(t.Context())
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	sums := regexp.MustCompile(`[0-9a-f]{64}`).FindAllString(out, -1)
	if len(sums) != 2 || sums[0] != sums[1] {
		t.Errorf("SHA-256 of both ends: %v", sums)
	}
	for _, want := range []string{"simulated", "export: started", "upload: 100 %", "import: finished", "Moved team/app to platform/app",
		"They are equal."} {
		if !strings.Contains(out, want) {
			t.Errorf("output lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

// TestArchives simulates with real archives, each on a GitLab that imports it.
func TestArchives(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("PORTER_ARCHIVES")
	if dir == "" {
		t.Skip("PORTER_ARCHIVES is not set")
	}
	for name, version := range map[string]string{"ndjson_project_export.tar.gz": "18.9", "legacy_json_project_export.tar.gz": "13.12"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out := call(t.Context(), "-archive", filepath.Join(dir, name))
			if code != 0 || !strings.Contains(out, "instances of GitLab "+version) || !strings.Contains(out, "They are equal.") {
				t.Errorf("exit code %d\n%s", code, out)
			}
		})
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		setup func(src, dst *portertest.Server)
		args  []string
		code  int
		want  []string
		moved string // full path of the project at the destination
	}{
		{
			name:  "moved",
			want:  []string{"Moved group/app to new/app", "exported by GitLab 1", "Counted afterwards: nothing is missing."},
			moved: "new/app",
		},
		{
			name: "a batch is lost",
			setup: func(src, _ *portertest.Server) {
				src.RemoveProject("group/app")
				src.AddProject(portertest.Project{Path: "group/app", ID: 42, Items: portertest.Items{"issues": portertest.MakeItems(150)}})
				src.ScriptExport("group/app", portertest.ExportScript{LoseBatch: "issues"})
			},
			code:  3,
			want:  []string{"Moved group/app to new/app", "COUNTED AFTERWARDS", "issues              150  50         lost in the export"},
			moved: "new/app",
		},
		{
			name: "not all can be counted",
			setup: func(src, _ *portertest.Server) {
				src.Inject(portertest.Fault{Path: "/labels", Times: -1, Do: portertest.Respond(http.StatusForbidden, nil, "no")})
			},
			want:  []string{"labels", "not known", "Of everything else"},
			moved: "new/app",
		},
		{
			name: "no such group",
			args: []string{"-namespace", "nowhere"},
			code: 1,
			want: []string{"FOUND BEFORE", "would fail", "nowhere does not exist"},
		},
		{
			name:  "other path",
			args:  []string{"-path", "app2"},
			want:  []string{"Moved group/app to new/app2"},
			moved: "new/app2",
		},
		{
			name: "incomplete",
			setup: func(_, dst *portertest.Server) {
				dst.ScriptImport("new/app", portertest.ImportScript{FailedRelations: []portertest.FailedRelation{
					{RelationName: "issues", LineNumber: 12, ExceptionClass: "ActiveRecord::RecordInvalid"},
					{RelationName: "merge_requests", LineNumber: 3, ExceptionClass: "NoMethodError"},
				}})
			},
			code:  3,
			want:  []string{"Finished, but 2 items", "issues, line 13: ActiveRecord::RecordInvalid", "merge_requests, line 4: NoMethodError"},
			moved: "new/app",
		},
		{
			name: "import fails",
			setup: func(_, dst *portertest.Server) {
				dst.ScriptImport("new/app", portertest.ImportScript{Error: "no space left"})
			},
			code:  1,
			want:  []string{"The import failed", "no space left", "new/app", "remains at the destination"},
			moved: "new/app",
		},
		{
			name: "export fails",
			setup: func(src, _ *portertest.Server) {
				src.ScriptExport("group/app", portertest.ExportScript{Fault: portertest.FailRelation,
					Timing: &portertest.Timings{Failure: 2 * time.Second}})
			},
			args: []string{"-poll", "100ms"}, // 5ms would use up a minute's polls
			code: 1,
			want: []string{"error: ", "group/app"},
		},
		{
			name:  "taken",
			setup: func(_, dst *portertest.Server) { dst.AddProject(portertest.Project{Path: "new/app"}) },
			code:  1,
			want:  []string{"would fail", "new/app is taken", "-overwrite"},
			moved: "new/app",
		},
		{
			name: "overwritten",
			setup: func(_, dst *portertest.Server) {
				dst.AddProject(portertest.Project{Path: "new/app"})
			},
			args:  []string{"-overwrite"},
			want:  []string{"Moved group/app"},
			moved: "new/app",
		},
		{
			name: "damaged archive",
			setup: func(src, _ *portertest.Server) {
				src.Inject(portertest.Fault{Path: "/export/download", Do: portertest.Garble(500 << 10)})
			},
			code: 1,
			want: []string{"archive damaged"},
		},
		{
			name: "timeout",
			setup: func(src, _ *portertest.Server) {
				src.ScriptExport("group/app", portertest.ExportScript{Fault: portertest.NeverStart})
			},
			args: []string{"-timeout", "200ms"}, // the export may not be under way by then; TestInterrupt knows that it is
			code: 1,
			want: []string{"-timeout of 200ms is over"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			src, dst := instances(t)
			if tt.setup != nil {
				tt.setup(src, dst)
			}
			args := append([]string{"-from", src.URL, "-to", dst.URL, "-namespace", "new", "-poll", "5ms"}, tt.args...)
			code, out := call(t.Context(), append(args, "42")...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("output lacks %q", want)
				}
			}
			if strings.Contains(out, portertest.Token) {
				t.Error("output holds the token")
			}
			for _, p := range dst.Projects() {
				if p.Path != tt.moved {
					t.Errorf("project %s at the destination", p.Path)
				}
			}
			if strings.Contains(out, "would fail") && len(src.Exports("group/app")) > 0 {
				t.Error("an export, although it would be of no use")
			}
			if tt.moved != "" && dst.Project(tt.moved) == nil {
				t.Errorf("no project %s at the destination", tt.moved)
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-h"}, 0, "Exit codes: 0 moved, 1 failed, 2 wrong usage, 3 moved but"},
		{[]string{"-nonsense"}, 2, "-nonsense"},
		{[]string{"group/app"}, 2, "neither -from nor -to"},
		{[]string{"-from", "http://localhost:1", "group/app"}, 2, "-from is given, but -to is missing"},
		{[]string{"-from", "http://localhost:1", "-to", "http://localhost:1"}, 2, "no project"},
		{[]string{"-from", "http://localhost:1", "-to", "http://localhost:1", "a/b", "c/d"}, 2, "more than one project"},
		{[]string{"-from", "http://localhost:1", "-to", "http://localhost:1", "-archive", "x.gz", "a/b"}, 2, "simulations"},
		{[]string{"-from", "localhost", "-to", "http://localhost:1", "a/b"}, 2, "-from: "},
		{[]string{"-from", "http://localhost:1", "-to", "ftp://localhost", "a/b"}, 2, "-to: "},
		{[]string{"-archive", "no-such-file.tar.gz"}, 1, "no-such-file.tar.gz"},
	} {
		code, out := call(t.Context(), tt.args...)
		if code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%q: exit code %d, want %d with %q\n%s", tt.args, code, tt.code, tt.want, out)
		}
	}
}

func TestWrongToken(t *testing.T) {
	t.Setenv("GITLAB_TOKEN", "glpat-wrong")
	src, dst := instances(t)
	code, out := call(t.Context(), "-from", src.URL, "-to", dst.URL, "group/app")
	if code != 1 || !strings.Contains(out, "The token is wrong, expired or revoked.") || strings.Contains(out, "glpat-wrong") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

func TestInterrupt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		setup func(src, dst *portertest.Server)
		begun func(src, dst *portertest.Server) bool
		want  string
	}{
		{
			name: "export",
			setup: func(src, _ *portertest.Server) {
				src.ScriptExport("group/app", portertest.ExportScript{Fault: portertest.NeverStart})
			},
			begun: func(src, _ *portertest.Server) bool { return len(src.Exports("group/app")) > 0 },
			want:  "run the same command again to join it",
		},
		{
			name: "import",
			setup: func(_, dst *portertest.Server) {
				dst.ScriptImport("new/app", portertest.ImportScript{Stuck: true})
			},
			begun: func(_, dst *portertest.Server) bool {
				for _, r := range dst.Requests() {
					if r.Method == "GET" && r.Status == 200 && strings.HasSuffix(r.Path, "/import") {
						return true
					}
				}
				return false
			},
			want: "goes on with the import of new/app",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			src, dst := instances(t)
			tt.setup(src, dst)
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				for !tt.begun(src, dst) && ctx.Err() == nil {
					time.Sleep(time.Millisecond)
				}
				cancel()
			}()
			code, out := call(ctx, "-from", src.URL, "-to", dst.URL, "-namespace", "new", "-poll", "5ms", "group/app")
			if code != 130 || !strings.Contains(out, tt.want) {
				t.Errorf("exit code %d, want 130 with %q\n%s", code, tt.want, out)
			}
		})
	}
}

func TestEnvironment(t *testing.T) { clitest.TwoInstances(t, run) }
