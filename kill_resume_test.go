package porter_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// Killed in each step and run again with the same arguments and its
// checkpoint, a migration exports once, sends the archive whole once, and makes
// one project.
func TestKilledMigrateIsTakenUp(t *testing.T) {
	slowExport := portertest.Timings{Assemble: time.Hour}
	slowImport := portertest.Timings{Import: time.Hour}
	tests := []struct {
		name    string
		timings portertest.Timings
		hold    porter.Step // the process stops once it has told this step
		fault   func(m *killMigration)
		killed  func(m *killMigration) bool // with hold, once that is told
		step    porter.Step                 // of the last checkpoint
		later   time.Duration               // passes before the process is run again
		exists  bool                        // GitLab has made the project by then
	}{
		{name: "before the export is scheduled", hold: porter.StepScheduling, step: porter.StepScheduling},
		{name: "before the answer to the scheduling", timings: slowExport, step: porter.StepScheduling,
			fault: func(m *killMigration) {
				m.from.Inject(portertest.Fault{Method: "POST", Do: portertest.HoldAnswer(0)})
			},
			killed: func(m *killMigration) bool { return len(m.from.Exports("team/app")) > 0 }},
		{name: "and the export ends meanwhile", timings: slowExport, step: porter.StepScheduling, later: 2 * time.Hour,
			fault: func(m *killMigration) {
				m.from.Inject(portertest.Fault{Method: "POST", Do: portertest.HoldAnswer(0)})
			},
			killed: func(m *killMigration) bool { return len(m.from.Exports("team/app")) > 0 }},
		{name: "when the export is scheduled", timings: slowExport, hold: porter.StepExporting, step: porter.StepExporting},
		{name: "while it waits for the export", timings: slowExport, step: porter.StepExporting,
			killed: func(m *killMigration) bool { return count(m.from, "GET", "/export") > 3 }},
		{name: "and that ends meanwhile", timings: slowExport, step: porter.StepExporting, later: 2 * time.Hour,
			killed: func(m *killMigration) bool { return count(m.from, "GET", "/export") > 3 }},
		{name: "in the middle of the archive", step: porter.StepExporting,
			fault: func(m *killMigration) {
				m.from.Inject(portertest.Fault{Path: "/export/download", Do: portertest.StallResponse(1_500_000, 0)})
			},
			killed: func(m *killMigration) bool {
				posts := uploads(m.to)
				return len(posts) > 0 && posts[0].BodyBytes > 1<<20
			}},
		{name: "before the last byte is sent", hold: porter.StepUploading, step: porter.StepUploading},
		{name: "before the answer to the upload", timings: slowImport, step: porter.StepUploading, exists: true,
			fault: func(m *killMigration) {
				m.to.Inject(portertest.Fault{Method: "POST", Do: portertest.HoldAnswer(0)})
			},
			killed: func(m *killMigration) bool { return len(m.to.Projects()) > 0 }},
		{name: "and the import ends meanwhile", timings: slowImport, step: porter.StepUploading, later: 2 * time.Hour, exists: true,
			fault: func(m *killMigration) {
				m.to.Inject(portertest.Fault{Method: "POST", Do: portertest.HoldAnswer(0)})
			},
			killed: func(m *killMigration) bool { return len(m.to.Projects()) > 0 }},
		{name: "when the project is there", timings: slowImport, hold: porter.StepImporting, step: porter.StepImporting, exists: true},
		{name: "while it waits for the import", timings: slowImport, step: porter.StepImporting, exists: true,
			killed: func(m *killMigration) bool {
				return len(m.to.Projects()) > 0 && count(m.to, "GET", "/import") > 4
			}},
		{name: "at the end", hold: porter.StepDone, step: porter.StepDone, exists: true},
	}
	for _, tt := range tests {
		for _, spool := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, spool %v", tt.name, spool), func(t *testing.T) {
				t.Parallel()
				m := newKillMigration(t, 2<<20, spool, tt.timings)
				file := filepath.Join(t.TempDir(), "checkpoint.json")
				m.env = []string{"PORTER_TEST_CHILD_CHECKPOINT=" + file}
				if tt.fault != nil {
					tt.fault(m)
				}
				first := m.start(t, "PORTER_TEST_CHILD_HOLD="+string(tt.hold))
				first.killWhen(func() bool {
					if tt.hold == "" {
						return tt.killed(m)
					}
					p := killCheckpoint(t, file)
					return p != nil && p.Step == tt.hold
				})
				if p := killCheckpoint(t, file); p == nil || p.Step != tt.step {
					t.Fatalf("the checkpoint is %+v\n%s", p, first.output.Bytes())
				}
				if got := len(m.to.Projects()) > 0; got != tt.exists {
					t.Errorf("project exists: %v", got)
				}
				m.from.Advance(tt.later)
				m.to.Advance(tt.later)

				again := m.start(t)
				again.until(m.answered) // it has found what is under way
				m.from.Advance(2 * time.Hour)
				m.to.Advance(2 * time.Hour)
				again.mustEndWell(t)
				if p := killCheckpoint(t, file); p.Step != porter.StepDone {
					t.Errorf("the checkpoint is %+v", p)
				}
				m.checkOnce(t)
			})
		}
	}
}

// checkOnce makes sure that everything was done once.
func (m *killMigration) checkOnce(t *testing.T) {
	t.Helper()
	m.check(t)
	if n := len(m.from.Exports("team/app")); n != 1 || count(m.from, "POST", "/export") != 1 {
		t.Errorf("exported %d times", n)
	}
	whole := 0
	for _, post := range uploads(m.to) {
		if post.Complete {
			whole++
		}
	}
	if whole != 1 {
		t.Errorf("%d uploads were whole", whole)
	}
}

// Without a checkpoint, MaxAge spares the second export of a migration that
// was killed in the transfer.
func TestKilledMigrateTakesArchive(t *testing.T) {
	t.Parallel()
	m := newKillMigration(t, 2<<20, true, portertest.Timings{})
	m.env = []string{"PORTER_TEST_CHILD_MAX_AGE=1h"}
	m.from.Inject(portertest.Fault{Path: "/export/download", Do: portertest.StallResponse(1_500_000, 0)})
	m.start(t).killWhen(func() bool {
		posts := uploads(m.to)
		return len(posts) > 0 && posts[0].BodyBytes > 1<<20
	})
	m.start(t).mustEndWell(t)
	m.checkOnce(t)
}

// TestKillExportChild is another process to be killed. It exports project 7 to
// a file, or takes an archive of the last hour.
func TestKillExportChild(t *testing.T) {
	url, file := os.Getenv("PORTER_TEST_CHILD_EXPORT"), os.Getenv("PORTER_TEST_CHILD_FILE")
	if url == "" {
		t.Skip("is run by other tests, as a process of its own")
	}
	soon := porter.ConstantBackoff(5 * time.Millisecond)
	c, err := porter.NewClient(url, porter.PrivateToken(portertest.Token), porter.WithoutPacing(), porter.WithRetry(5, soon),
		porter.WithPolling(porter.Polling{Backoff: soon, Grace: 2 * time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ExportToFile(t.Context(), porter.ProjectID(7), file, &porter.ExportOptions{MaxAge: time.Hour}); err != nil {
		t.Fatal(err)
	}
}

// Killed in each step and run again with the same arguments, ExportToFile makes
// one export, and goes on with its part file.
func TestKilledExportToFile(t *testing.T) {
	archive := portertest.NewArchive(4 << 20)
	exports := func(s *portertest.Server) int { return len(s.Exports("7")) }
	tests := []struct {
		name    string
		timings portertest.Timings
		fault   portertest.Fault
		killed  func(s *portertest.Server, file string) bool
		later   time.Duration
		ends    time.Duration // after the first look of the second process
		ranges  int           // downloads that go on where the one before ended
	}{
		{name: "before the answer to the scheduling", timings: portertest.Timings{Assemble: time.Hour},
			fault:  portertest.Fault{Method: "POST", Do: portertest.HoldAnswer(0)},
			killed: func(s *portertest.Server, _ string) bool { return exports(s) > 0 },
			later:  30 * time.Minute, ends: 31 * time.Minute},
		{name: "while it waits", timings: portertest.Timings{Assemble: time.Hour},
			killed: func(s *portertest.Server, _ string) bool { return count(s, "GET", "/export") > 3 },
			later:  30 * time.Minute, ends: 31 * time.Minute},
		{name: "and the export ends meanwhile", timings: portertest.Timings{Assemble: time.Hour},
			killed: func(s *portertest.Server, _ string) bool { return count(s, "GET", "/export") > 3 }, later: 90 * time.Minute},
		{name: "before the download", fault: portertest.Fault{Path: "/download", Do: portertest.Delay(time.Hour)},
			killed: func(s *portertest.Server, _ string) bool { return count(s, "GET", "/download") > 0 }},
		{name: "in the download", fault: portertest.Fault{Path: "/download", Do: portertest.StallResponse(1_500_000, 0)}, ranges: 1,
			killed: func(_ *portertest.Server, file string) bool {
				b, err := os.ReadFile(file + ".part.json")
				var state struct{ State struct{ Synced int64 } }
				return err == nil && json.Unmarshal(b, &state) == nil && state.State.Synced > 0
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.name == "in the download" {
				readsLiveState(t)
			}
			tt.timings.Store = 100 * time.Millisecond // so that a poll sees the export under way
			s := portertest.NewServer(portertest.NoLimits(), portertest.Timing(tt.timings))
			defer s.Close()
			s.AddProject(portertest.Project{ID: 7, Path: "acme/widget", Archive: archive})
			if tt.fault.Path+tt.fault.Method != "" {
				s.Inject(tt.fault)
			}
			file := saveTarget(t)
			start := func() *killChild {
				return killStartTest(t, "TestKillExportChild", "PORTER_TEST_CHILD_EXPORT="+s.URL, "PORTER_TEST_CHILD_FILE="+file)
			}
			start().killWhen(func() bool { return tt.killed(s, file) })
			if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("there is a file already: %v", err)
			}
			s.Advance(tt.later)
			polls := count(s, "GET", "/export")
			again := start()
			again.until(func() bool { return count(s, "GET", "/export") > polls })
			s.Advance(tt.ends)
			again.mustEndWell(t)
			saveCheck(t, file, archive)
			if n := exports(s); n != 1 || count(s, "POST", "/export") != 1 {
				t.Errorf("exported %d times", n)
			}
			ranges := 0
			for _, r := range dlRanges(dlAsked(s, portertest.GitLab)) {
				if r != "" {
					ranges++
				}
			}
			if diff := cmp.Diff(tt.ranges, ranges); diff != "" {
				t.Errorf("downloads that go on:\n%s", diff)
			}
		})
	}
}
