package porter_test

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// An archive that is young enough is taken: nothing is exported, and the look
// at its age is the beginning of its download.
func TestMaxAge(t *testing.T) {
	t.Parallel()
	const version, none = "18.9", -1
	rewrite := func(header, value string) func(http.Header) { return func(h http.Header) { h.Set(header, value) } }
	missing := func(times int, message string) *portertest.Fault {
		return &portertest.Fault{Path: "/download", Times: times,
			Do: portertest.Respond(404, http.Header{"Content-Type": {"application/json"}}, `{"message":"`+message+`"}`)}
	}
	tests := []struct {
		name   string
		age    time.Duration // of the archive that is there; none for none
		max    time.Duration
		change func(http.Header) // of the answer with the archive
		fault  *portertest.Fault
		taken  bool
	}{
		{name: "young", age: time.Hour, max: 2 * time.Hour, taken: true},
		{name: "as old as may be", age: time.Hour - time.Minute, max: time.Hour, taken: true},
		{name: "old", age: 2 * time.Hour, max: time.Hour},
		{name: "not wanted", age: time.Hour},
		{name: "none", age: none, max: time.Hour},
		{name: "expired", age: 26 * time.Hour, max: 48 * time.Hour},
		{name: "no age", age: time.Hour, max: 2 * time.Hour, change: func(h http.Header) { h.Del("Last-Modified") }},
		{name: "age that is no date", age: time.Hour, max: 2 * time.Hour, change: rewrite("Last-Modified", "yesterday")},
		{name: "from the future", age: time.Hour, max: 2 * time.Hour, change: rewrite("Last-Modified", "Fri, 01 Jan 2100 00:00:00 GMT")},
		{name: "gone from the storage", age: time.Hour, max: 2 * time.Hour, fault: missing(1, "404 Not found or has expired")},
		{name: "never stored", age: time.Hour, max: 2 * time.Hour, fault: missing(6, "The project export file is not available yet")},
	}
	type way = func(*testing.T, *portertest.Server, *porter.Client, *porter.ExportOptions) (sum string)
	migrate := func(opts porter.MigrateOptions) way {
		opts.Import = intoNew
		return func(t *testing.T, s *portertest.Server, c *porter.Client, export *porter.ExportOptions) string {
			s.AddGroup("new")
			opts := opts
			opts.Export = export
			if _, err := porter.Migrate(t.Context(), c, exportProject, c, opts); err != nil {
				t.Fatal(err)
			}
			return s.Project("new/app").ArchiveSHA256
		}
	}
	ways := map[string]way{
		"ExportTo": func(t *testing.T, _ *portertest.Server, c *porter.Client, opts *porter.ExportOptions) string {
			var buf bytes.Buffer
			dl, err := c.ExportTo(t.Context(), exportProject, &buf, opts)
			if err != nil || dl.Bytes != int64(buf.Len()) {
				t.Fatalf("%+v, %v", dl, err)
			}
			return sum(buf.Bytes())
		},
		"ExportToFile": func(t *testing.T, _ *portertest.Server, c *porter.Client, opts *porter.ExportOptions) string {
			file := saveTarget(t)
			if _, err := c.ExportToFile(t.Context(), exportProject, file, opts); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			return sum(b)
		},
		"Migrate":               migrate(porter.MigrateOptions{SpoolDir: t.TempDir()}),
		"Migrate without spool": migrate(porter.MigrateOptions{NoSpool: true}),
	}
	for _, tt := range tests {
		for way, run := range ways {
			for mode, m := range dlModes {
				t.Run(tt.name+", "+way+", "+mode, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s, _ := exportingServer(t, portertest.Version(version), portertest.Downloads(m))
						c := connect(t, s, userPolling, porter.WithTransport(rewriting{s.Transport(), tt.change}))
						first := portertest.NewArchive(portertest.MinArchiveSize, portertest.ArchiveSeed(2))
						second := portertest.NewArchive(portertest.MinArchiveSize, portertest.ArchiveSeed(3))
						s.ScriptExport("team/app", portertest.ExportScript{Archive: first}, portertest.ExportScript{Archive: second})
						want := first
						if tt.age != none {
							if err := c.ScheduleExport(t.Context(), exportProject, nil); err != nil {
								t.Fatal(err)
							}
							if _, err := c.WaitForExport(t.Context(), exportProject); err != nil {
								t.Fatal(err)
							}
							if !tt.taken {
								want = second
							}
							time.Sleep(tt.age)
						}
						if tt.fault != nil {
							s.Inject(*tt.fault)
						}
						before, downloads := len(s.Exports("team/app")), count(s, "GET", "/export/download")
						if got := run(t, s, c, &porter.ExportOptions{MaxAge: tt.max}); got != want.SHA256() {
							t.Error("got another archive")
						}
						if n := len(s.Exports("team/app")) - before; (n == 0) != tt.taken {
							t.Errorf("exported %d times", n)
						}
						if n := count(s, "GET", "/export/download") - downloads; tt.taken && n != 1 {
							t.Errorf("asked for the archive %d times", n)
						}
						for _, r := range s.Requests() {
							if r.Status == http.StatusTooManyRequests {
								t.Errorf("%s %s was too much", r.Method, r.Path)
							}
						}
					})
				})
			}
		}
	}
}

// rewriting changes the headers of answers that bring an archive.
type rewriting struct {
	next   http.RoundTripper
	change func(http.Header)
}

func (r rewriting) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.next.RoundTrip(req)
	if err == nil && r.change != nil && resp.Header.Get("Last-Modified") != "" {
		r.change(resp.Header)
	}
	return resp, err
}

// An archive that is too old costs the part file of a younger one nothing, and
// a part file of the archive that is there is gone on with.
func TestMaxAgeAndPartFile(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *portertest.Server, c *porter.Client) {
		archive := portertest.NewArchive(2 << 20)
		s.AddProject(portertest.Project{Path: "team/app", Archive: archive})
		file := saveTarget(t)
		s.Inject(portertest.Fault{Path: "/download", Do: portertest.CutResponse(1_500_000)})
		impatient, err := c.With(porter.WithRetry(0, nil))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := impatient.ExportToFile(t.Context(), exportProject, file, nil); err == nil {
			t.Fatal("not broken off")
		}
		time.Sleep(10 * time.Minute)
		if _, err := c.ExportToFile(t.Context(), exportProject, file, &porter.ExportOptions{MaxAge: time.Hour}); err != nil {
			t.Fatal(err)
		}
		saveCheck(t, file, archive)
		ranges := strings.Join(dlRanges(dlAsked(s, portertest.GitLab)), "")
		if n := len(s.Exports("team/app")); n != 1 || count(s, "GET", "/download") != 2 || ranges != "bytes=1500000-" {
			t.Errorf("%d exports, %d downloads, ranges %q", n, count(s, "GET", "/download"), ranges)
		}

		// The next night there is another one.
		time.Sleep(23 * time.Hour)
		if _, err := c.ExportToFile(t.Context(), exportProject, file, &porter.ExportOptions{MaxAge: 12 * time.Hour}); err != nil {
			t.Fatal(err)
		}
		saveCheck(t, file, archive)
		if n := len(s.Exports("team/app")); n != 2 {
			t.Errorf("%d exports", n)
		}
	})
}

// An export under way is joined, whatever the age of what is there.
func TestMaxAgeJoins(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *portertest.Server, c *porter.Client) {
		s.AddProject(portertest.Project{Path: "team/app"})
		if err := c.ScheduleExport(t.Context(), exportProject, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if _, err := c.ExportTo(t.Context(), exportProject, new(bytes.Buffer), &porter.ExportOptions{MaxAge: time.Hour}); err != nil {
			t.Fatal(err)
		}
		if n := len(s.Exports("team/app")); n != 1 {
			t.Errorf("%d exports", n)
		}
	})
}
