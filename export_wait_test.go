package porter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// allVersions have an export of their own kind each.
var allVersions = []string{"10.6", "10.7", "12.8", "12.9", "13.2", "13.12", "14.9", "17.1", "17.9", "18.4", "18.9"}

const exportProject = porter.ProjectPath("team/app")

// exportingServer is a GitLab that takes its time, in a bubble, and a client
// that polls by default.
func exportingServer(t *testing.T, opts ...portertest.Option) (*portertest.Server, *porter.Client) {
	t.Helper()
	s := portertest.NewServer(append([]portertest.Option{portertest.InMemory(), portertest.RealTiming()}, opts...)...)
	t.Cleanup(s.Close)
	s.AddProject(portertest.Project{Path: string(exportProject)})
	c := connectAs(t, s, portertest.Token)
	return s, c
}

func TestExportTo(t *testing.T) {
	t.Parallel()
	for _, version := range allVersions {
		t.Run(version, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := exportingServer(t, portertest.Version(version))
				archive := portertest.NewArchive(100 << 10)
				s.ScriptExport("team/app", portertest.ExportScript{Archive: archive})
				var buf bytes.Buffer
				dl, err := c.ExportTo(t.Context(), exportProject, &buf, nil)
				if err != nil {
					t.Fatal(err)
				}
				if dl.Project.PathWithNamespace != exportProject || dl.Bytes != archive.Size() || dl.Archive == nil || dl.Reused {
					t.Errorf("got %+v", dl)
				}
				if sum(buf.Bytes()) != archive.SHA256() {
					t.Error("not the project's archive")
				}
				if n := len(s.Exports("team/app")); n != 1 {
					t.Errorf("%d exports", n)
				}
			})
		})
	}
}

// What is under way is joined, and what has ended is made anew.
func TestExportToJoins(t *testing.T) {
	t.Parallel()
	tests := []struct {
		after    time.Duration // since the export of another process was scheduled
		schedule int           // how many exports there are in the end, from 12.9 on
	}{
		{4 * time.Second, 1},  // queued
		{10 * time.Second, 1}, // started
		{76 * time.Second, 1}, // storing
		{10 * time.Minute, 2}, // finished
		{26 * time.Hour, 2},   // expired
	}
	for _, version := range []string{"12.9", "13.12", "17.1", "18.4", "18.9"} {
		for _, tt := range tests {
			t.Run(version+" after "+tt.after.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					timing := portertest.Timings{Queue: 3 * time.Second, Start: 2 * time.Second, Assemble: 70 * time.Second,
						FirstCheck: 10 * time.Second, Check: time.Minute, Store: 5 * time.Second, AfterExport: 2 * time.Second}
					s, c := exportingServer(t, portertest.Version(version), portertest.Timing(timing))
					if err := c.ScheduleExport(t.Context(), exportProject, nil); err != nil {
						t.Fatal(err)
					}
					time.Sleep(tt.after)
					file := filepath.Join(t.TempDir(), "app.tar.gz")
					if _, err := c.ExportToFile(t.Context(), exportProject, file, nil); err != nil {
						t.Fatal(err)
					}
					if n := count(s, http.MethodPost, "/export"); n != tt.schedule {
						t.Errorf("%d exports were scheduled, want %d", n, tt.schedule)
					}
				})
			})
		}
	}
}

// Before 13.3 the archive of the previous export stays, and so does its
// status, until the new job has begun. It is never taken for the new one.
func TestExportToOlderArchive(t *testing.T) {
	t.Parallel()
	for _, version := range allVersions {
		for _, queue := range []time.Duration{500 * time.Millisecond, 3 * time.Second, 5 * time.Minute} {
			t.Run(version+" queued for "+queue.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, c := exportingServer(t, portertest.Version(version))
					old, latest := portertest.NewArchive(70<<10), portertest.NewArchive(80<<10)
					slow := portertest.Timings{Queue: queue, Start: time.Second, Assemble: 40 * time.Second, FirstCheck: 10 * time.Second,
						Check: time.Minute}
					s.ScriptExport("team/app", portertest.ExportScript{Archive: old},
						portertest.ExportScript{Archive: latest, Timing: &slow})
					for _, want := range []*portertest.Archive{old, latest} {
						var buf bytes.Buffer
						if _, err := c.ExportTo(t.Context(), exportProject, &buf, nil); err != nil {
							t.Fatal(err)
						}
						if sum(buf.Bytes()) != want.SHA256() {
							t.Errorf("got %d bytes, want the archive of %d", buf.Len(), want.Size())
						}
					}
				})
			})
		}
	}
}

// A job that runs between two polls is not seen. From 13.3 on the archive is
// known to be new all the same, because the older one was gone; before, it is
// taken for new when Grace is over.
func TestExportToRanUnseen(t *testing.T) {
	t.Parallel()
	tests := []struct {
		version     string
		least, most time.Duration
	}{
		{"12.9", 10 * time.Minute, 11 * time.Minute},
		{"13.2", 10 * time.Minute, 11 * time.Minute},
		{"13.3", 0, 10 * time.Second},
		{"18.9", 0, 10 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.version, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := exportingServer(t, portertest.Version(tt.version))
				quick := portertest.Timings{Queue: 100 * time.Millisecond, Start: 100 * time.Millisecond}
				latest := portertest.NewArchive(80 << 10)
				s.AddExport("team/app", "owner")
				s.ScriptExport("team/app", portertest.ExportScript{Archive: latest, Timing: &quick})
				start := time.Now()
				var buf bytes.Buffer
				if _, err := c.ExportTo(t.Context(), exportProject, &buf, nil); err != nil {
					t.Fatal(err)
				}
				if sum(buf.Bytes()) != latest.SHA256() {
					t.Error("not the latest archive")
				}
				if d := time.Since(start); d < tt.least || d > tt.most {
					t.Errorf("took %v", d)
				}
			})
		})
	}
}

func TestExportToFails(t *testing.T) {
	t.Parallel()
	tests := []struct {
		version string
		fault   portertest.ExportFault
		want    string
		is      error
		within  time.Duration
	}{
		{"18.9", portertest.NeverStart, "WaitError none, ErrExportExpired", nil, 11 * time.Minute},
		{"13.12", portertest.NeverStart, "WaitError none, ErrExportExpired", nil, 11 * time.Minute},
		{"10.7", portertest.NeverStart, "WaitError none, ErrExportExpired", nil, 11 * time.Minute},

		{"18.9", portertest.FailRelation, "ExportError failed", nil, 23 * time.Minute},
		{"14.9", portertest.FailRelation, "ExportError none", nil, 23 * time.Minute},
		{"13.12", portertest.FailRelation, "ExportError none", nil, 90 * time.Minute},
		{"12.8", portertest.FailRelation, "ExportError none", nil, 23 * time.Minute},

		{"18.9", portertest.FailPacking, "ExportError none", nil, 3 * time.Minute},
		{"14.9", portertest.FailPacking, "ExportError none", nil, 3 * time.Minute},
		{"13.12", portertest.FailPacking, "ExportError none", nil, 90 * time.Minute},
		{"10.6", portertest.FailPacking, "ExportError none", nil, 3 * time.Minute},

		{"18.9", portertest.FailStoring, "404", porter.ErrExportNotReady, 10 * time.Minute},
		{"18.9", portertest.Vanish, "404", porter.ErrNotFound, 3 * time.Minute},

		{"18.9", portertest.Interrupted, "ExportError failed", nil, 8 * time.Hour},
		{"17.1", portertest.Interrupted, "ExportError none", nil, 90 * time.Minute},
		{"13.12", portertest.Interrupted, "ExportError none", nil, 90 * time.Minute},
	}
	names := map[portertest.ExportFault]string{
		portertest.NeverStart: "never starts", portertest.FailRelation: "relation fails", portertest.FailPacking: "packing fails",
		portertest.FailStoring: "storing fails", portertest.Vanish: "vanishes", portertest.Interrupted: "interrupted",
	}
	for _, tt := range tests {
		t.Run(tt.version+" "+names[tt.fault], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := exportingServer(t, portertest.Version(tt.version))
				s.ScriptExport("team/app", portertest.ExportScript{Fault: tt.fault})
				start := time.Now()
				file := filepath.Join(t.TempDir(), "app.tar.gz")
				_, err := c.ExportToFile(t.Context(), exportProject, file, nil)
				if got := ending(err); got != tt.want || tt.is != nil && !errors.Is(err, tt.is) {
					t.Errorf("ended with %q, want %q: %v", got, tt.want, err)
				}
				if d := time.Since(start); d > tt.within {
					t.Errorf("took %v", d)
				}
				if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("there is a file: %v", err)
				}
			})
		})
	}
}

// Yesterday's failure says nothing about today's export.
func TestExportToAfterFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, c := exportingServer(t)
		patient := portertest.Timings{Queue: 5 * time.Minute, Start: time.Second, Assemble: time.Minute}
		s.ScriptExport("team/app", portertest.ExportScript{Fault: portertest.FailRelation}, portertest.ExportScript{Timing: &patient})
		var buf bytes.Buffer
		if _, err := c.ExportTo(t.Context(), exportProject, &buf, nil); ending(err) != "ExportError failed" {
			t.Fatalf("first export: %v", err)
		}
		time.Sleep(24 * time.Hour)
		if _, err := c.ExportTo(t.Context(), exportProject, &buf, nil); err != nil {
			t.Errorf("second export: %v", err)
		}
	})
}

// Before 14.0 GitLab removes an archive that it has uploaded. Nobody can tell
// that from a failure, so nobody is told that it failed, or that it worked.
func TestExportToUploadTarget(t *testing.T) {
	t.Parallel()
	expired := "WaitError none, ErrExportExpired"
	tests := []struct {
		version  string
		fault    portertest.ExportFault
		want     string
		uploaded bool
	}{
		{"10.7", portertest.NoFault, expired, true},
		{"12.8", portertest.NoFault, expired, true},
		{"12.9", portertest.NoFault, expired, true},
		{"13.12", portertest.NoFault, expired, true},
		{"14.0", portertest.NoFault, "", true},
		{"18.9", portertest.NoFault, "", true},

		{"12.8", portertest.UploadFails, "", false},
		{"18.9", portertest.UploadFails, "", false},
		{"13.12", portertest.FailPacking, expired, false},
		{"18.9", portertest.FailPacking, expired, false},
		{"18.9", portertest.FailRelation, "ExportError failed", false},
		{"13.12", portertest.NeverStart, expired, false},
	}
	for _, tt := range tests {
		for _, way := range []string{"ExportTo", "joined", "Migrate"} {
			t.Run(tt.version+" "+tt.want+" "+way, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, c := exportingServer(t, portertest.Version(tt.version), portertest.NoLimits())
					s.AddGroup("new")
					s.ScriptExport("team/app", portertest.ExportScript{Fault: tt.fault})
					opts := &porter.ScheduleExportOptions{Upload: &porter.UploadTarget{URL: s.StorageURL + "/backups/app.tar.gz"}}
					var err error
					switch way {
					case "joined":
						if tt.fault == portertest.NeverStart {
							t.Skip("there is nothing to join")
						}
						if err := c.ScheduleExport(t.Context(), exportProject, opts); err != nil {
							t.Fatal(err)
						}
						time.Sleep(5 * time.Second)
						fallthrough
					case "ExportTo":
						_, err = c.ExportTo(t.Context(), exportProject, new(bytes.Buffer), &porter.ExportOptions{ScheduleExportOptions: *opts})
					case "Migrate":
						_, err = porter.Migrate(t.Context(), c, exportProject, c, porter.MigrateOptions{
							Import: porter.ImportOptions{Namespace: porter.NamespacePath("new")},
							Export: &porter.ExportOptions{ScheduleExportOptions: *opts},
						})
						if p := s.Project("new/app"); (p != nil) != (tt.want == "") {
							t.Errorf("destination is %v", p)
						}
					}
					if got := ending(err); got != tt.want {
						t.Errorf("ended with %q, want %q: %v", got, tt.want, err)
					}
					if tt.want == expired && !strings.Contains(err.Error(), "look at the upload's destination") {
						t.Errorf("error does not say where to look: %v", err)
					}
					if uploaded := s.Object("/backups/app.tar.gz") != nil; uploaded != tt.uploaded {
						t.Errorf("uploaded: %t", uploaded)
					}
					if n := len(s.Exports("team/app")); n != 1 {
						t.Errorf("%d exports", n)
					}
				})
			})
		}
	}
}

// WaitForExport cannot know of an upload target, so its error speaks of it.
func TestWaitForExportUploadTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := exportingServer(t, portertest.Version("13.12"))
		err := c.ScheduleExport(t.Context(), exportProject,
			&porter.ScheduleExportOptions{Upload: &porter.UploadTarget{URL: s.StorageURL + "/app.tar.gz"}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.WaitForExport(t.Context(), exportProject)
		if ending(err) != "ExportError none" || !strings.Contains(err.Error(), "uploaded to a target") {
			t.Errorf("error is %v", err)
		}
	})
}

// The answer to the POST is lost, and the status says what came of it. Only if
// nothing shows for minutes is it sent once more.
func TestExportToLostAnswer(t *testing.T) {
	t.Parallel()
	lost := portertest.Fault{Method: http.MethodPost, Path: "/export", Do: portertest.LoseAnswer()}
	gateway := portertest.Fault{Method: http.MethodPost, Path: "/export",
		Do: portertest.Respond(http.StatusBadGateway, nil, "GitLab is not responding\n")}
	twice := gateway
	twice.Times = 2
	tests := []struct {
		name    string
		version string
		fault   portertest.Fault
		before  bool // there is an older archive
		queue   time.Duration
		want    string
	}{
		{"but it runs", "18.9", lost, false, time.Millisecond, ""},
		{"and it is queued", "18.9", lost, false, time.Minute, ""},
		{"and the older archive is gone", "18.9", lost, true, time.Minute, ""},
		{"and the older archive remains", "13.2", lost, true, time.Minute, ""},
		{"and it is queued, project-wide", "13.12", lost, false, time.Minute, ""},
		{"because it never arrived", "18.9", gateway, false, time.Minute, ""},
		{"because it never arrived, with an older archive", "18.9", gateway, true, time.Minute, ""},
		{"because it never arrived, with an older archive that remains", "13.2", gateway, true, time.Minute, ""},
		{"because none ever arrives", "18.9", twice, false, time.Minute, "WaitError none, ErrExportExpired, ErrOutcomeUnknown, 502"},
		{"because none ever arrives, with an older archive", "18.9", twice, true, time.Minute,
			"WaitError finished, ErrOutcomeUnknown, 502"},
		{"because it was not picked up for long", "18.9", lost, false, 5 * time.Minute, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := exportingServer(t, portertest.Version(tt.version))
				latest := portertest.NewArchive(80 << 10)
				s.ScriptExport("team/app", portertest.ExportScript{Archive: latest,
					Timing: &portertest.Timings{Queue: tt.queue, Assemble: time.Minute}})
				if tt.before {
					s.AddExport("team/app", "owner")
				}
				s.Inject(tt.fault)
				var buf bytes.Buffer
				_, err := c.ExportTo(t.Context(), exportProject, &buf, nil)
				if got := ending(err); got != tt.want {
					t.Errorf("ended with %q, want %q: %v", got, tt.want, err)
				}
				if err == nil && sum(buf.Bytes()) != latest.SHA256() {
					t.Error("not the latest archive")
				}
				posts := 1
				if strings.HasPrefix(tt.name, "because") {
					posts = 2
				}
				if n := count(s, http.MethodPost, "/export"); n != posts {
					t.Errorf("%d requests to schedule", n)
				}
			})
		})
	}
}

// Another process schedules between our look and our POST. From 18.5 on
// GitLab refuses that; what runs is joined.
func TestExportToRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := exportingServer(t)
		rival := connectAs(t, s, portertest.Token)
		s.Inject(portertest.Fault{Method: http.MethodPost, Path: "/export", Skip: 1, Do: portertest.Delay(8 * time.Second)})
		raced := false
		c, err := c.With(porter.WithTransport(roundTripper(func(req *http.Request) (*http.Response, error) {
			if req.Method == http.MethodPost && !raced {
				raced = true
				if err := rival.ScheduleExport(t.Context(), exportProject, nil); err != nil {
					t.Error(err)
				}
			}
			return s.Transport().RoundTrip(req)
		})))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.ExportTo(t.Context(), exportProject, new(bytes.Buffer), nil); err != nil {
			t.Error(err)
		}
		var refused int
		for _, r := range s.Requests() {
			if r.Status == http.StatusBadRequest {
				refused++
			}
		}
		if n := len(s.Exports("team/app")); n != 1 || refused != 1 {
			t.Errorf("%d exports, %d refused", n, refused)
		}
	})
}

// An export that was seen running counts as seen, even if its end comes
// before the first poll.
func TestExportToJoinedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, gitlab := pollSteps(t, "started none")
		_, err := c.ExportTo(t.Context(), exportProject, new(bytes.Buffer), nil)
		if ending(err) != "ExportError none" || gitlab.polls() != 3 {
			t.Errorf("after %d requests: %v", gitlab.polls(), err)
		}
	})
}

// A project that was moved is found by its old path, and everything goes on
// by its ID.
func TestExportToMovedProject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := exportingServer(t, portertest.ExternalURL("https://gitlab.example.com"))
		id := s.AddProject(portertest.Project{Path: "new/home", FormerPaths: []string{"old/home"}})
		dl, err := c.ExportTo(t.Context(), porter.ProjectPath("old/home"), new(bytes.Buffer), nil)
		if err != nil {
			t.Fatal(err)
		}
		if dl.Project.ID != porter.ProjectID(id) || dl.Project.PathWithNamespace != "new/home" {
			t.Errorf("got %+v", dl)
		}
		byPath := 0
		for _, r := range s.Requests() {
			if strings.Contains(r.Path, "old%2Fhome") {
				byPath++
			}
		}
		if byPath != 1 {
			t.Errorf("%d requests by the old path, want one", byPath)
		}
	})
}

// Nothing is exported for a folder that is not there, or options that GitLab
// would refuse.
func TestExportToFileChecksFirst(t *testing.T) {
	c, gitlab := pollSteps(t, "finished")
	dir := t.TempDir()
	upload := func(url string) porter.ScheduleExportOptions {
		return porter.ScheduleExportOptions{Upload: &porter.UploadTarget{URL: url}}
	}
	for name, opts := range map[string]*porter.ExportOptions{
		filepath.Join(dir, "missing", "app.tar.gz"): nil,
		dir:                            nil,
		filepath.Join(dir, "scheme"):   {ScheduleExportOptions: upload("ftp://example.com")},
		filepath.Join(dir, "negative"): {MaxAge: -time.Hour},
		filepath.Join(dir, "both"):     {ScheduleExportOptions: upload("https://example.com/a"), MaxAge: time.Hour},
	} {
		if _, err := c.ExportToFile(t.Context(), exportProject, name, opts); err == nil {
			t.Errorf("no error for %s and %+v", name, opts)
		}
	}
	if n := gitlab.polls(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// A wait that was given up can be taken up by another call.
func TestExportToAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := exportingServer(t)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var buf bytes.Buffer
		if _, err := c.ExportTo(ctx, exportProject, &buf, nil); ending(err) != "WaitError started" ||
			!errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error is %v", err)
		}
		if _, err := c.ExportTo(t.Context(), exportProject, &buf, nil); err != nil {
			t.Fatal(err)
		}
		if n := len(s.Exports("team/app")); n != 1 {
			t.Errorf("%d exports", n)
		}
	})
}

// What WatchExport shows of one export, version by version.
func TestWatchExportStatuses(t *testing.T) {
	t.Parallel()
	for version, want := range map[string][]porter.ExportStatus{
		"10.6":  {"none", "started", "finished"},
		"10.7":  {"none", "started", "after_export_action", "finished"},
		"12.9":  {"none", "queued", "started", "regeneration_in_progress", "finished"},
		"18.9":  {"none", "queued", "started", "regeneration_in_progress", "finished"},
		"13.12": {"none", "queued", "started", "regeneration_in_progress", "finished"},
	} {
		t.Run(version, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c := exportingServer(t, portertest.Version(version))
				c, err := c.With(porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(time.Second)}))
				if err != nil {
					t.Fatal(err)
				}
				if err := c.ScheduleExport(t.Context(), exportProject, nil); err != nil {
					t.Fatal(err)
				}
				var got []porter.ExportStatus
				for exp, err := range c.WatchExport(t.Context(), exportProject) {
					if err != nil {
						t.Fatal(err)
					}
					if len(got) == 0 || got[len(got)-1] != exp.Status {
						got = append(got, exp.Status)
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("statuses (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Where many wait, the poll after one that failed comes minutes later. Two that
// fail in a row are not the end of the patience then.
func TestWaitInLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := portertest.NewServer(portertest.InMemory(), portertest.NoLimits())
		defer s.Close()
		c := connectAs(t, s, portertest.Token, userPolling, porter.WithPacing(porter.Pacing{Exports: -1, Polls: 1}))
		long := portertest.Timings{Assemble: 3 * time.Hour}
		var wg sync.WaitGroup
		for i := range 8 {
			app := porter.ProjectPath(fmt.Sprintf("team/app%d", i))
			s.AddProject(portertest.Project{Path: string(app)})
			s.ScriptExport(string(app), portertest.ExportScript{Timing: &long})
			if err := c.ScheduleExport(t.Context(), app, nil); err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				if _, err := c.WaitForExport(t.Context(), app); err != nil {
					t.Errorf("%s: %v", app, err)
				}
			})
		}
		failing := s.Inject(portertest.Fault{
			Method: http.MethodGet, Path: "team%2Fapp3/export", Skip: 2, Times: 2, Do: portertest.Respond(502, nil, ""),
		})
		wg.Wait()
		if n := failing.Hits(); n != 2 {
			t.Errorf("%d polls failed", n)
		}
	})
}
