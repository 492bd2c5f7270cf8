package porter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// An eventCall is a call whose operations are told.
type eventCall struct {
	name string
	call func(context.Context, *porter.Client, string) error // with a folder
	want string                                              // how the operations begin and end
}

// eventCalls are made of a server with the project team/app, ID 1001, its
// export, and the group new.
func eventCalls() []eventCall {
	const app, id = porter.ProjectPath("team/app"), porter.ProjectID(1001)
	there := porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("new")}
	relation := porter.RelationFile{Relation: porter.PortableIssues}
	return []eventCall{
		{"GetExport by path", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.GetExport(ctx, app)
			return err
		}, "look started, look done 1001"},
		{"GetImport", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.GetImport(ctx, id)
			return err
		}, "look started 1001, look done 1001"},
		{"Projects", func(ctx context.Context, c *porter.Client, _ string) error {
			for _, err := range c.Projects(ctx, porter.NamespacePath("team"), nil) {
				if err != nil {
					return err
				}
			}
			return nil
		}, "look started, look done"},
		{"ListRelationExports", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.ListRelationExports(ctx, id)
			return err
		}, "look started 1001, look done 1001"},
		{"GetRelationExport of none", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.GetRelationExport(ctx, id, porter.PortableIssues)
			return expect(err, porter.ErrNotFound)
		}, "look started 1001, look failed 1001"},
		{"ListRelationImports", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.ListRelationImports(ctx, id)
			return err
		}, "look started 1001, look done 1001"},
		{"CountRelations", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.CountRelations(ctx, app)
			return err
		}, "look started, look done 1001"},
		{"ProveImport", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.ProveImport(ctx, id, &porter.ArchiveInfo{})
			return err
		}, "look started 1001, look done 1001"},
		{"CheckExport", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.CheckExport(ctx, app)
			return err
		}, "look started, look done 1001"},
		{"CheckImport", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.CheckImport(ctx, there, 0)
			return err
		}, "look started, look done"},
		{"CheckMigration", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := porter.CheckMigration(ctx, c, id, c, porter.MigrateOptions{Import: there})
			return err
		}, "look started 1001, look started, look done, look done 1001"},
		{"ProbeImport", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.ProbeImport(ctx, there.Namespace)
			return err
		}, "look started, look done"},
		{"ScheduleExport", func(ctx context.Context, c *porter.Client, _ string) error {
			return c.ScheduleExport(ctx, id, nil)
		}, "schedule export started 1001, schedule export done 1001"},
		{"WaitForExport by path", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.WaitForExport(ctx, app)
			return err
		}, "export started, export done 1001"},
		{"WatchExport broken off", func(ctx context.Context, c *porter.Client, _ string) error {
			for range c.WatchExport(ctx, id) {
				break
			}
			return nil
		}, "export started 1001, export done 1001"},
		{"WaitForExport of none", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.WaitForExport(ctx, porter.ProjectID(5))
			return expect(err, porter.ErrNotFound)
		}, "export started 5, export failed 5"},
		{"ExportTo", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.ExportTo(ctx, app, io.Discard, nil)
			return err
		}, "export started, export done 1001, download started 1001, download done 1001"},
		{"ExportTo with a proof", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.ExportTo(ctx, app, io.Discard, &porter.ExportOptions{Prove: true})
			return err
		}, "export started, export done 1001, download started 1001, download done 1001, look started 1001, look done 1001"},
		{"ExportToFile of what is there", func(ctx context.Context, c *porter.Client, dir string) error {
			_, err := c.ExportToFile(ctx, app, filepath.Join(dir, "a.tar.gz"), &porter.ExportOptions{MaxAge: time.Hour})
			return err
		}, "export started, download started 1001, download done 1001, export done 1001"},
		{"DownloadExport", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.DownloadExport(ctx, app, io.Discard, nil)
			return err
		}, "download started, download done"},
		{"DownloadExportFile", func(ctx context.Context, c *porter.Client, dir string) error {
			_, err := c.DownloadExportFile(ctx, id, filepath.Join(dir, "a.tar.gz"), nil)
			return err
		}, "download started 1001, download done 1001"},
		{"DownloadExport to a writer that fails", func(ctx context.Context, c *porter.Client, _ string) error {
			pr, pw := io.Pipe()
			pr.CloseWithError(errors.ErrUnsupported)
			_, err := c.DownloadExport(ctx, id, pw, nil)
			return expect(err, errors.ErrUnsupported)
		}, "download started 1001, download failed 1001"},
		{"OpenExport read to its end", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := readEndpointFile(c.OpenExport(ctx, id))
			return err
		}, "download started 1001, download done 1001"},
		{"OpenExport read to its last byte", func(ctx context.Context, c *porter.Client, _ string) error {
			return readAndClose(c, ctx, smallArchive.Size())
		}, "download started 1001, download done 1001"},
		{"OpenExport closed early", func(ctx context.Context, c *porter.Client, _ string) error {
			return readAndClose(c, ctx, smallArchive.Size()-1)
		}, "download started 1001, download failed 1001"},
		{"OpenExport of none", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.OpenExport(ctx, porter.ProjectID(5))
			return expect(err, porter.ErrNotFound)
		}, "download started 5, download failed 5"},
		{"relation exports", func(ctx context.Context, c *porter.Client, dir string) error {
			since, err := c.StartRelationsExport(ctx, id, nil)
			if err == nil {
				_, err = c.WaitForRelationExports(ctx, app, since)
			}
			if err == nil {
				_, err = readEndpointFile(c.OpenRelationExport(ctx, id, relation))
			}
			if err == nil {
				_, err = c.DownloadRelationExport(ctx, id, relation, io.Discard, nil)
			}
			if err == nil {
				_, err = c.DownloadRelationExportFile(ctx, id, relation, filepath.Join(dir, "issues.gz"), nil)
			}
			return err
		}, "start relations export started 1001, start relations export done 1001, relation exports started, relation exports done, " +
			"download started 1001, download done 1001, download started 1001, download done 1001, " +
			"download started 1001, download done 1001"},
		{"relation import", func(ctx context.Context, c *porter.Client, _ string) error {
			imp, err := c.StartRelationImport(ctx, sourceOf(smallArchive), app, porter.RelationIssues)
			if err == nil {
				_, err = c.WaitForRelationImport(ctx, id, imp.ID)
			}
			return err
		}, "upload started, upload done, relation import started 1001, relation import done 1001"},
		{"StartImport and WaitForImport", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.StartImport(ctx, sourceOf(smallArchive), there)
			if err == nil {
				_, err = c.WaitForImport(ctx, porter.ProjectPath("new/app"))
			}
			return err
		}, "upload started, upload done 1002, import started, import done 1002"},
		{"Import", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.Import(ctx, sourceOf(smallArchive), there)
			return err
		}, "import started, upload started, upload done 1002, import done 1002"},
		{"Import to a taken path", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.Import(ctx, sourceOf(smallArchive), porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("team")})
			return expect(err, porter.ErrProjectExists)
		}, "import started, import failed"},
		{"StartImport from an export", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.StartImport(ctx, c.ExportSource(id), there)
			return err
		}, "upload started, download started 1001, download done 1001, upload done 1002"},
		{"StartImportFromURL refused", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.StartImportFromURL(ctx, "https://127.0.0.1/a.tar.gz", there)
			return refused(err)
		}, "start import started, start import failed"},
		{"StartImportFromS3 refused", func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.StartImportFromS3(ctx, remoteObject, there)
			return refused(err)
		}, "start import started, start import failed"},
		{"Migrate", migrateForEvents(porter.MigrateOptions{}), "look started, look done 1001, look started, look done, export started 1001, " +
			"export done 1001, download started 1001, upload started, download done 1001, upload done 1002, " +
			"import started 1002, import done 1002"},
		{"Migrate without a spool", migrateForEvents(porter.MigrateOptions{NoSpool: true}), "look started, look done 1001, " +
			"look started, look done, export started 1001, export done 1001, upload started, download started 1001, download done 1001, " +
			"upload done 1002, import started 1002, import done 1002"},
		{"Migrate with a proof", migrateForEvents(porter.MigrateOptions{NoSpool: true, Prove: true}), "look started, look done 1001, " +
			"look started, look done, export started 1001, export done 1001, upload started, download started 1001, download done 1001, " +
			"upload done 1002, look started 1001, look done 1001, import started 1002, look started 1002, look done 1002, import done 1002"},
	}
}

func migrateForEvents(opts porter.MigrateOptions) func(context.Context, *porter.Client, string) error {
	return func(ctx context.Context, c *porter.Client, dir string) error {
		opts := opts
		opts.Import.Namespace, opts.SpoolDir = porter.NamespacePath("new"), dir
		_, err := porter.Migrate(ctx, c, porter.ProjectPath("team/app"), c, opts)
		return err
	}
}

// expect returns an error unless err is want.
func expect(err, want error) error {
	if errors.Is(err, want) {
		return nil
	}
	return fmt.Errorf("error is %w, want %w", err, want)
}

// refused returns an error unless err is an answer that refuses.
func refused(err error) error {
	if e := (*porter.APIError)(nil); errors.As(err, &e) {
		return nil
	}
	return fmt.Errorf("error is %w, want a refusal", err)
}

// readAndClose reads n bytes of the export.
func readAndClose(c *porter.Client, ctx context.Context, n int64) error {
	r, err := c.OpenExport(ctx, porter.ProjectID(1001))
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.ReadFull(r, make([]byte, n))
	return err
}

// newEventServer returns a server as eventCalls need it.
func newEventServer(t *testing.T) *pacedServer {
	s := newPacedServer(t, 0, 0, portertest.RelationExports())
	s.AddProject(portertest.Project{ID: 1001, Path: "team/app", Archive: smallArchive})
	s.AddExport("team/app", "owner")
	s.AddGroup("new")
	return s
}

// ends returns how the operations of events begin and end.
func ends(events []porter.Event) string {
	var lines []string
	for _, ev := range events {
		switch ev.Kind {
		case porter.EventStarted, porter.EventDone, porter.EventFailed:
			line := fmt.Sprintf("%s %s", ev.Op, ev.Kind)
			if ev.ID != 0 {
				line += " " + ev.ID.String()
			}
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, ", ")
}

// checkOperations makes sure that events lie between the beginning and the one
// end of their operation.
func checkOperations(t *testing.T, events []porter.Event) {
	t.Helper()
	open := map[string]int{}
	var last time.Time
	for i, ev := range events {
		key := fmt.Sprintf("%s of %s", ev.Op, ev.Project)
		switch ev.Kind {
		case porter.EventStarted:
			open[key]++
		case porter.EventDone, porter.EventFailed:
			open[key]--
			if (ev.Err != nil) != (ev.Kind == porter.EventFailed) {
				t.Errorf("event %d: %s is %s with the error %v", i, key, ev.Kind, ev.Err)
			}
		default:
			if open[key] == 0 {
				t.Errorf("event %d: %s of %s, which has not begun or has ended", i, ev.Kind, key)
			}
		}
		if open[key] < 0 {
			t.Errorf("event %d: %s ends, and had not begun", i, key)
		}
		if ev.Op == "" || ev.Time.Before(last) || ev.Time.After(time.Now()) {
			t.Errorf("event %d: %+v after %v", i, ev, last)
		}
		last = ev.Time
	}
	for key, n := range open {
		if n != 0 {
			t.Errorf("%s has begun %d times more than it has ended", key, n)
		}
	}
}

// Every operation tells how it begins and how it ends, and of which project.
func TestEventsOfOperations(t *testing.T) {
	t.Parallel()
	for _, tt := range eventCalls() {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log eventLog
				c := newEventServer(t).client(t, porter.WithObserver(log.observe))
				if err := tt.call(t.Context(), c, t.TempDir()); err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(strings.Split(tt.want, ", "), strings.Split(ends(log.events), ", ")); diff != "" {
					t.Errorf("operations (-want +got):\n%s", diff)
				}
				checkOperations(t, log.events)
			})
		})
	}
}

// An operation that is cancelled, at whatever moment, has its end.
func TestEventsEndUnderCancellation(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for _, tt := range eventCalls() {
		for range 5 {
			moment := time.Duration(r.ExpFloat64() * float64(10*time.Second))
			trouble := r.Int64N(2 * smallArchive.Size())
			synctest.Test(t, func(t *testing.T) {
				s := newEventServer(t)
				s.Inject(portertest.Fault{Path: "/download", Do: portertest.CutResponse(trouble)})
				s.Inject(portertest.Fault{Method: http.MethodPost, Do: portertest.Respond(429, nil, "")})
				s.Inject(portertest.Fault{Method: http.MethodGet, Do: portertest.Respond(502, nil, "")})
				var log eventLog
				c := s.client(t, porter.WithObserver(func(ev porter.Event) {
					log.observe(ev)
					time.Sleep(time.Millisecond)
				}))
				ctx, cancel := context.WithTimeout(t.Context(), moment)
				defer cancel()
				err := tt.call(ctx, c, t.TempDir())
				told := len(log.events)
				checkOperations(t, log.events)
				time.Sleep(time.Hour)
				if n := len(log.events); n != told {
					t.Errorf("%s: %d events after it had ended with %v", tt.name, n-told, err)
				}
			})
			if t.Failed() {
				t.Fatalf("%s cancelled after %v", tt.name, moment)
			}
		}
	}
}

// A wait tells that it goes on, however far its polls are apart, and so does an
// import whose answer was lost.
func TestEventsOfLongPauses(t *testing.T) {
	tests := []struct {
		name  string
		fault portertest.Fault
		op    porter.Op
		call  func(context.Context, *porter.Client) error
	}{
		{"rare polls", portertest.Fault{Path: "/nothing", Do: portertest.Respond(500, nil, "")}, porter.OpExport,
			func(ctx context.Context, c *porter.Client) error {
				_, err := c.ExportTo(ctx, porter.ProjectID(1001), io.Discard, nil)
				return err
			}},
		{"lost upload", portertest.Fault{Method: http.MethodPost, Path: "/import", Do: portertest.Respond(504, nil, "")}, porter.OpUpload,
			func(ctx context.Context, c *porter.Client) error {
				_, err := c.Import(ctx, sourceOf(smallArchive), porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("new")})
				return expect(err, porter.ErrOutcomeUnknown)
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newEventServer(t)
				s.Inject(tt.fault)
				var log eventLog
				c := s.client(t, porter.WithObserver(log.observe),
					porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(100 * time.Second)}))
				if err := tt.call(t.Context(), c); err != nil {
					t.Error(err)
				}
				pauses := 0
				for i, ev := range log.events {
					if i > 0 && ev.Time.Sub(log.events[i-1].Time) > 30*time.Second {
						t.Errorf("nothing was told for %v before %+v", ev.Time.Sub(log.events[i-1].Time), ev)
					}
					if ev.Delay > 0 && ev.Op == tt.op {
						pauses++
					}
				}
				if pauses < 4 {
					t.Errorf("told %+v", log.events)
				}
			})
		})
	}
}

// A reader that is closed while its observer is at work ends after that.
func TestEventsOfReaderClosedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log eventLog
		s := newEventServer(t)
		s.Inject(portertest.Fault{Path: "/download", Do: portertest.CutResponse(10 << 10)})
		c := s.client(t, porter.WithObserver(func(ev porter.Event) {
			if ev.Kind == porter.EventRetry {
				time.Sleep(10 * time.Second)
			}
			log.observe(ev)
		}))
		r, err := c.OpenExport(t.Context(), porter.ProjectID(1001))
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		time.AfterFunc(time.Second, func() {
			r.Close()
			if d := time.Since(begun); d != time.Second {
				t.Errorf("closing took until %v", d)
			}
		})
		if _, err := io.Copy(io.Discard, r); err == nil {
			t.Error("no error")
		}
		synctest.Wait()
		last := log.events[len(log.events)-1]
		if last.Kind != porter.EventFailed || !errors.Is(last.Err, os.ErrClosed) || len(log.of(porter.EventRetry)) != 1 {
			t.Errorf("told %+v", log.events)
		}
		checkOperations(t, log.events)
	})
}

// An event goes through JSON and comes back as it was.
func TestEventAsJSON(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 2, 13, 4, 5, 6, 7, time.UTC)
	for want, ev := range map[string]porter.Event{
		`{"kind":"started","op":"export","time":"2026-02-13T04:05:06.000000007Z","project":"team/app"}`: {
			Kind: porter.EventStarted, Op: porter.OpExport, Time: at, Project: "team/app"},
		`{"kind":"status","op":"import","time":"2026-02-13T04:05:06.000000007Z","project":"7","id":7,"status":"started"}`: {
			Kind: porter.EventStatus, Op: porter.OpImport, Time: at, Project: "7", ID: 7, Status: "started"},
		`{"kind":"progress","op":"upload","bytes":5,"total":-1}`: {
			Kind: porter.EventProgress, Op: porter.OpUpload, Bytes: 5, Total: -1},
		`{"kind":"retry","op":"download","attempt":2,"delay":"1m30.000000001s","error":"a \"reason\""}`: {
			Kind: porter.EventRetry, Op: porter.OpDownload, Attempt: 2, Delay: 90*time.Second + 1, Err: errors.New(`a "reason"`)},
		`{"kind":"paced","op":"look","delay":"-1ns"}`: {Kind: porter.EventPaced, Op: porter.OpLook, Delay: -1},
		`{"kind":"done","op":"relation import"}`:      {Kind: porter.EventDone, Op: porter.OpRelationImport},
		`{"kind":"failed","op":"start import","error":"canceled"}`: {
			Kind: porter.EventFailed, Op: porter.OpStartImport, Err: errors.New("canceled")},
		`{"kind":""}`: {},
	} {
		b, err := json.Marshal(ev)
		if err != nil || string(b) != want {
			t.Errorf("%s, %v, want %s", b, err, want)
		}
		got := porter.Event{Status: "of before"}
		if err := json.Unmarshal(b, &got); err != nil {
			t.Errorf("%s: %v", b, err)
		}
		text := cmp.Comparer(func(a, b error) bool { return fmt.Sprint(a) == fmt.Sprint(b) })
		if diff := cmp.Diff(ev, got, text, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s comes back with\n%s", b, diff)
		}
	}
	for _, text := range []string{`[]`, `{"delay":90}`, `{"delay":"soon"}`, `{"error":{}}`, `{"id":"app"}`} {
		ev := porter.Event{Status: "of before"}
		if err := json.Unmarshal([]byte(text), &ev); err == nil || ev.Status != "of before" {
			t.Errorf("%s: %+v, %v", text, ev, err)
		}
	}
}

// An event is printed as a line for people.
func TestEventAsText(t *testing.T) {
	t.Parallel()
	for want, ev := range map[string]porter.Event{
		"export of team/app: started": {Kind: porter.EventStarted, Op: porter.OpExport, Time: time.Now(), Project: "team/app", ID: 7},
		"import of 7: finished":       {Kind: porter.EventStatus, Op: porter.OpImport, Project: "7", Status: "finished"},
		"upload: 5 of 20 bytes":       {Kind: porter.EventProgress, Op: porter.OpUpload, Bytes: 5, Total: 20},
		"upload: 5 bytes":             {Kind: porter.EventProgress, Op: porter.OpUpload, Bytes: 5, Total: -1},
		"download of team/app: retry 1 in 1m30s: broken": {
			Kind: porter.EventRetry, Op: porter.OpDownload, Project: "team/app", Attempt: 1, Delay: 90*time.Second + 1, Err: errors.New("broken")},
		"look: waits for 30s":            {Kind: porter.EventPaced, Op: porter.OpLook, Delay: 30 * time.Second},
		"look: waits":                    {Kind: porter.EventPaced, Op: porter.OpLook},
		"start import: failed: canceled": {Kind: porter.EventFailed, Op: porter.OpStartImport, Err: errors.New("canceled")},
	} {
		if got := fmt.Sprint(ev); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Events as lines of JSON, which other programs can read. The time is left out
// here because it is another at each run.
func ExampleEvent() {
	sim := simulate()
	defer sim.end()
	client, err := sim.source().With(porter.WithObserver(func(ev porter.Event) {
		if ev.Kind == porter.EventProgress || ev.Kind == porter.EventStatus {
			return
		}
		ev.Time = time.Time{}
		line, err := json.Marshal(ev)
		if err == nil {
			fmt.Println(string(line))
		}
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := client.ExportTo(context.Background(), porter.ProjectPath("group/app"), io.Discard, nil); err != nil {
		fmt.Println(err)
	}
	// Output:
	// {"kind":"started","op":"export","project":"group/app"}
	// {"kind":"done","op":"export","project":"group/app","id":42}
	// {"kind":"started","op":"download","project":"group/app","id":42}
	// {"kind":"done","op":"download","project":"group/app","id":42}
}
