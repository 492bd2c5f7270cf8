package porter_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// A release is a GitLab that differs from the one before it in the list.
type release struct {
	version string
	gains   string // what it can, or does, that those before do not
	can     map[string]bool
}

// releases are the generations of the API, oldest first.
func releases() []release {
	list := []release{
		{version: "10.6"},
		{version: "10.7", gains: "options after_export_action"},
		{version: "11.8", gains: "object-storage format-0.2.4"},
		{version: "12.8", gains: "limits"},
		{version: "12.10", gains: "names job-states correlation"},
		{version: "13.2", gains: "failed-relations url user-limits"},
		{version: "13.12"},
		{version: "14.8", gains: "keeps-uploaded relations"},
		{version: "16.11", gains: "s3 moved batches relation-imports"},
		{version: "17.2"},
		{version: "17.3", gains: "private failed"},
		{version: "18.4"},
		{version: "18.5", gains: "duplicate retry-after"},
		{version: "18.9"},
	}
	can := map[string]bool{}
	for i := range list {
		list[i].can = map[string]bool{}
		for gain := range strings.FieldsSeq(list[i].gains) {
			can[gain] = true
		}
		for gain := range can {
			list[i].can[gain] = true
		}
	}
	return list
}

// A flow is something that a program does with porter. It says itself what is
// expected of it, by what the release can.
type flow struct {
	name  string
	needs string // is not tried without it
	opts  []portertest.Option
	run   func(t *testing.T, r release, s *portertest.Server, c *porter.Client)
}

const (
	matrixApp = porter.ProjectPath("team/app")
	matrixNew = porter.ProjectPath("new/home/app")
)

// TestMatrix runs every flow against every release.
func TestMatrix(t *testing.T) {
	flows := []flow{
		{name: "export from disk", run: matrixExport},
		{name: "export redirected", needs: "object-storage", opts: []portertest.Option{portertest.Downloads(portertest.Redirected)},
			run: matrixExport},
		{name: "export proxied", needs: "object-storage", opts: []portertest.Option{portertest.Downloads(portertest.Proxied)},
			run: matrixExport},
		{name: "watch export", opts: []portertest.Option{portertest.Timing(portertest.Timings{
			Queue: time.Minute, Start: time.Minute, Assemble: 2 * time.Minute, Store: time.Minute, AfterExport: time.Minute})},
			run: matrixWatch},
		{name: "export fails", run: matrixExportFails},
		{name: "duplicate export", run: matrixDuplicate},
		{name: "upload target", run: matrixUploadTarget},
		{name: "archive expires", run: matrixExpiry},
		{name: "pacing", opts: []portertest.Option{portertest.NoLimits()}, run: matrixPacing},
		{name: "limits", run: matrixLimits},
		{name: "moved project", run: matrixMoved},
		{name: "other user's export", run: matrixOtherUser},
		{name: "exports off", opts: []portertest.Option{portertest.ExportsDisabled()}, run: matrixExportsOff},
		{name: "import", run: matrixImport},
		{name: "import fails", run: matrixImportFails},
		{name: "overwrite", run: matrixOverwrite},
		{name: "namespaces", run: matrixNamespaces},
		{name: "imports off", opts: []portertest.Option{portertest.ImportsDisabled()}, run: matrixImportsOff},
		{name: "import too large", opts: []portertest.Option{portertest.MaxImportSize(100 << 10)}, run: matrixTooLarge},
		{name: "lost import", run: matrixLostImport},
		{name: "migrate", run: matrixMigrate(porter.MigrateOptions{})},
		{name: "migrate without spool", run: matrixMigrate(porter.MigrateOptions{NoSpool: true})},
		{name: "migrate redirected", needs: "object-storage", opts: []portertest.Option{portertest.Downloads(portertest.Redirected)},
			run: matrixMigrate(porter.MigrateOptions{SkipVerify: true})},
		{name: "import from URL", opts: []portertest.Option{portertest.TLS()}, run: matrixImportURL},
		{name: "import from S3", opts: []portertest.Option{portertest.TLS()}, run: matrixImportS3},
		{name: "relation import", run: matrixRelationImport},
		{name: "relations export", opts: []portertest.Option{portertest.RelationExports()}, run: matrixRelations},
	}
	for _, r := range releases() {
		for _, f := range flows {
			if f.needs != "" && !r.can[f.needs] {
				continue
			}
			t.Run(r.version+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				inBubble(t, append([]portertest.Option{portertest.Version(r.version)}, f.opts...),
					func(t *testing.T, s *portertest.Server, c *porter.Client) {
						s.AddProject(portertest.Project{Path: string(matrixApp), Name: "App"})
						s.AddGroup("new/home")
						f.run(t, r, s, c)
						if leaks := s.Leaks(); len(leaks) > 0 {
							t.Errorf("the storage was sent credentials: %+v", leaks)
						}
					})
			})
		}
	}
}

// archive returns an archive that the release can import, for each n another.
func (r release) archive(n int64) *portertest.Archive {
	format, version := "0.2.2", "10.6.0"
	if r.can["format-0.2.4"] {
		format, version = "0.2.4", "18.9.0"
	}
	return portertest.NewArchive(40<<10, portertest.ArchiveSeed(n), portertest.ArchiveFormatVersion(format),
		portertest.ArchiveGitLabVersion(version))
}

// seldom returns a client that polls every five minutes, for jobs that take
// hours to fail.
func seldom(t *testing.T, c *porter.Client) *porter.Client {
	t.Helper()
	c, err := c.With(porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(5 * time.Minute)}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// matrixExport makes two exports, the second of a changed project: what is
// downloaded must be the second archive.
func matrixExport(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
	first, second := r.archive(1), r.archive(2)
	s.ScriptExport("team/app", portertest.ExportScript{Archive: first}, portertest.ExportScript{Archive: second})
	var buf bytes.Buffer
	nightly := porter.ScheduleExportOptions{Description: "Nightly"}
	dl, err := c.ExportTo(t.Context(), matrixApp, &buf, &porter.ExportOptions{ScheduleExportOptions: nightly})
	if err != nil || sum(buf.Bytes()) != first.SHA256() || dl.Bytes != first.Size() || dl.Project.PathWithNamespace != matrixApp {
		t.Fatalf("got %d bytes, %+v, %v", buf.Len(), dl, err)
	}
	if runs := s.Exports("team/app"); r.can["options"] != (runs[0].Description == "Nightly") {
		t.Errorf("description %q", runs[0].Description)
	}
	file := filepath.Join(t.TempDir(), "app.tar.gz")
	if _, err := c.ExportToFile(t.Context(), matrixApp, file, nil); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(file); err != nil || sum(b) != second.SHA256() {
		t.Errorf("the file holds %d bytes of another archive, %v", len(b), err)
	}
	if n := refusals(s, http.StatusTooManyRequests); n > 0 {
		t.Errorf("refused %d times", n)
	}
}

// matrixWatch has every step last a minute, so that each status is seen.
func matrixWatch(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
	if err := c.ScheduleExport(t.Context(), matrixApp, nil); err != nil {
		t.Fatal(err)
	}
	var statuses []porter.ExportStatus
	for exp, err := range c.WatchExport(t.Context(), matrixApp) {
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(statuses, exp.Status) {
			statuses = append(statuses, exp.Status)
		}
		if (exp.Links != porter.ExportLinks{}) != (exp.Status == porter.ExportFinished) {
			t.Errorf("links %+v of an export that is %s", exp.Links, exp.Status)
		}
	}
	want := []porter.ExportStatus{porter.ExportNone, porter.ExportStarted, porter.ExportFinished}
	switch {
	case r.can["job-states"]:
		want = []porter.ExportStatus{porter.ExportNone, porter.ExportQueued, porter.ExportStarted, porter.ExportRegenerating,
			porter.ExportFinished}
	case r.can["after_export_action"]:
		want = []porter.ExportStatus{porter.ExportNone, porter.ExportStarted, "after_export_action", porter.ExportFinished}
	}
	if diff := cmp.Diff(want, statuses); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
}

func matrixExportFails(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
	failed := "ExportError none"
	if r.can["failed"] {
		failed = "ExportError failed"
	}
	for _, tt := range []struct {
		fault portertest.ExportFault
		want  string
		c     *porter.Client
	}{
		{portertest.NeverStart, "WaitError none, ErrExportExpired", c},
		{portertest.FailPacking, "ExportError none", c},
		{portertest.FailRelation, failed, seldom(t, c)},
		{portertest.Interrupted, failed, seldom(t, c)},
	} {
		s.ScriptExport("team/app", portertest.ExportScript{Fault: tt.fault})
		_, err := tt.c.ExportTo(t.Context(), matrixApp, io.Discard, nil)
		if got := ending(err); got != tt.want {
			t.Errorf("fault %d: got %q, want %q: %v", tt.fault, got, tt.want, err)
		}
	}
	// Yesterday's failure does not spoil today's export.
	if _, err := c.ExportTo(t.Context(), matrixApp, io.Discard, nil); err != nil {
		t.Errorf("after failures: %v", err)
	}
}

func matrixDuplicate(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
	if err := c.ScheduleExport(t.Context(), matrixApp, nil); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Second) // it runs
	var buf bytes.Buffer
	if _, err := c.ExportTo(t.Context(), matrixApp, &buf, nil); err != nil { // joins it
		t.Fatal(err)
	}
	if n := len(s.Exports("team/app")); n != 1 {
		t.Errorf("%d exports", n)
	}
	if err := c.ScheduleExport(t.Context(), matrixApp, nil); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Second)
	err := c.ScheduleExport(t.Context(), matrixApp, &porter.ScheduleExportOptions{Description: "other"})
	if r.can["duplicate"] != errors.Is(err, porter.ErrExportInProgress) || !r.can["duplicate"] && err != nil {
		t.Errorf("scheduled twice: %v", err)
	}
}

func matrixUploadTarget(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
	archive := r.archive(3)
	s.ScriptExport("team/app", portertest.ExportScript{Archive: archive})
	var buf bytes.Buffer
	_, err := c.ExportTo(t.Context(), matrixApp, &buf, &porter.ExportOptions{ScheduleExportOptions: porter.ScheduleExportOptions{
		Upload: &porter.UploadTarget{URL: s.SignedURL("PUT", "/backups/app.tar.gz", time.Hour)},
	}})
	object := s.Object("/backups/app.tar.gz")
	if (object != nil) != r.can["options"] || object != nil && object.SHA256 != archive.SHA256() {
		t.Errorf("uploaded %+v", object)
	}
	// A server that knows no uploads keeps its archive, and so does one that
	// keeps what it has uploaded.
	want := ""
	if r.can["options"] && !r.can["keeps-uploaded"] {
		want = "WaitError none, ErrExportExpired"
	}
	if got := ending(err); got != want {
		t.Errorf("got %q, want %q: %v", got, want, err)
	}
	if err == nil && sum(buf.Bytes()) != archive.SHA256() {
		t.Errorf("downloaded %d bytes of another archive", buf.Len())
	}
}

func matrixExpiry(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
	if _, err := c.ExportTo(t.Context(), matrixApp, io.Discard, nil); err != nil {
		t.Fatal(err)
	}
	time.Sleep(26 * time.Hour)
	exp, err := c.GetExport(t.Context(), matrixApp)
	if err != nil || exp.Status != porter.ExportNone {
		t.Errorf("got %+v, %v", exp, err)
	}
	if _, err := c.DownloadExport(t.Context(), matrixApp, io.Discard, nil); !errors.Is(err, porter.ErrExportExpired) {
		t.Errorf("got %v", err)
	}
}

// matrixPacing has GitLab count without refusing: the client keeps to the
// limits by itself, whether the release has them or not.
func matrixPacing(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
	for i := range 8 {
		path := fmt.Sprintf("team/app%d", i)
		s.AddProject(portertest.Project{Path: path})
		if err := c.ScheduleExport(t.Context(), porter.ProjectPath(path), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := c.StartImport(t.Context(), sourceOf(r.archive(1)),
			porter.ImportOptions{Path: fmt.Sprintf("app%d", i), Namespace: porter.NamespacePath("new/home")}); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(5 * time.Minute)
	for range 3 {
		if _, err := c.DownloadExport(t.Context(), porter.ProjectPath("team/app0"), io.Discard, nil); err != nil {
			t.Fatal(err)
		}
	}
	perMinute := map[string]int{}
	for _, q := range s.Requests() {
		limit := 6
		switch {
		case strings.HasSuffix(q.Path, "/download"):
			limit = 1
		case q.Method != "POST":
			continue
		}
		key := fmt.Sprint(q.Method, q.Path[strings.LastIndex(q.Path, "/"):], q.Time.Truncate(time.Minute))
		if perMinute[key]++; perMinute[key] > limit {
			t.Errorf("%d of %s", perMinute[key], key)
		}
	}
}

// matrixLimits has another program of the same user use the minute up.
func matrixLimits(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
	time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(70 * time.Second))) // well inside a minute
	other, err := c.With(porter.WithoutPacing(), porter.WithRetry(0, nil))
	if err != nil {
		t.Fatal(err)
	}
	refused := false
	for i := range 7 {
		path := matrixApp // at first exports were counted for each project
		if r.can["user-limits"] {
			path = porter.ProjectPath(fmt.Sprintf("team/app%d", i))
			s.AddProject(portertest.Project{Path: string(path)})
		}
		var api *porter.APIError
		switch err := other.ScheduleExport(t.Context(), path, nil); {
		case errors.As(err, &api) && errors.Is(err, porter.ErrRateLimited):
			refused = true
			want := time.Duration(0)
			if r.can["retry-after"] {
				want = time.Minute
			}
			if api.RetryAfter != want || !strings.Contains(err.Error(), "requested too many times") {
				t.Errorf("Retry-After %v: %v", api.RetryAfter, err)
			}
		case err != nil:
			t.Fatal(err)
		}
	}
	if refused != r.can["limits"] {
		t.Errorf("refused: %t", refused)
	}
	begun := time.Now()
	if err := c.ScheduleExport(t.Context(), matrixApp, nil); err != nil {
		t.Errorf("not patient enough: %v", err)
	}
	if waited := time.Since(begun); waited > 61*time.Second || refused != (waited >= 49*time.Second) {
		t.Errorf("waited %v", waited)
	}
}

func matrixMoved(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
	id := s.AddProject(portertest.Project{Path: "team/moved", FormerPaths: []string{"old/place"}})
	dl, err := c.ExportTo(t.Context(), porter.ProjectPath("old/place"), io.Discard, nil)
	if !r.can["moved"] {
		if !errors.Is(err, porter.ErrNotFound) || !strings.Contains(err.Error(), "404 Project Not Found") {
			t.Errorf("got %v", err)
		}
	} else if err != nil || dl.Project.ID != porter.ProjectID(id) || dl.Project.PathWithNamespace != "team/moved" {
		t.Errorf("got %+v, %v", dl, err)
	}
	err = c.ScheduleExport(t.Context(), porter.ProjectPath("old/place"), nil)
	if err == nil || r.can["moved"] != strings.Contains(err.Error(), "name it by its ID") {
		t.Errorf("scheduled by the old path: %v", err)
	}
	if _, err = c.ExportTo(t.Context(), porter.ProjectID(id), io.Discard, nil); err != nil {
		t.Errorf("by its ID: %v", err)
	}
}

func matrixOtherUser(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
	s.AddUser(portertest.User{Username: "other", Token: "glpat-other"})
	s.AddMember("team", "other", portertest.Maintainer)
	if _, err := c.ExportTo(t.Context(), matrixApp, io.Discard, nil); err != nil {
		t.Fatal(err)
	}
	other := connectAs(t, s, "glpat-other")
	exp, err := other.GetExport(t.Context(), matrixApp)
	if err != nil || r.can["private"] != (exp.Status == porter.ExportNone) {
		t.Errorf("the other user sees %+v, %v", exp, err)
	}
	_, err = other.DownloadExport(t.Context(), matrixApp, io.Discard, nil)
	if r.can["private"] != errors.Is(err, porter.ErrExportExpired) || !r.can["private"] && err != nil {
		t.Errorf("the other user's download: %v", err)
	}
}

func matrixExportsOff(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
	_, err := c.ExportTo(t.Context(), matrixApp, io.Discard, nil)
	if !errors.Is(err, porter.ErrNotFound) || !strings.Contains(err.Error(), "exports may be switched off") {
		t.Errorf("got %v", err)
	}
}

func matrixImport(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
	archive := r.archive(4)
	s.ScriptImport(string(matrixNew), portertest.ImportScript{FailedRelations: []portertest.FailedRelation{{RelationName: "issues",
		LineNumber: 3, ExceptionClass: "RecordInvalid"}}})
	timeout, daily := int64(3600), "1d"
	imp, err := c.Import(t.Context(), sourceOf(archive), porter.ImportOptions{
		Path: "app", Name: "The App", Namespace: porter.NamespacePath("new/home"),
		Override: &porter.ProjectOverrides{Visibility: porter.VisibilityPrivate, BuildTimeout: &timeout, Topics: []string{"a", "b"},
			ContainerExpirationPolicy: &porter.ContainerExpirationPolicyOverrides{Cadence: &daily}},
	})
	if err != nil || imp.Status != porter.ImportFinished || imp.PathWithNamespace != matrixNew || imp.Error != "" {
		t.Fatalf("got %+v, %v", imp, err)
	}
	p := s.Project(string(matrixNew))
	if p.ArchiveSHA256 != archive.SHA256() || (p.Name == "The App") != r.can["names"] {
		t.Errorf("imported %+v", p)
	}
	want := url.Values{}
	if r.can["options"] {
		want = url.Values{"visibility": {"private"}, "build_timeout": {"3600"}, "topics": {"a", "b"},
			"container_expiration_policy_attributes[cadence]": {"1d"}}
	}
	if got := p.Overrides; len(got) != len(want) || got.Get("topics") != want.Get("topics") ||
		got.Get("visibility") != want.Get("visibility") {
		t.Errorf("overrides (-want +got):\n%s", cmp.Diff(want, got))
	}
	// What an old server does not tell, nobody knows.
	if imp.Complete() == r.can["failed-relations"] || (imp.CorrelationID != "") != r.can["correlation"] {
		t.Errorf("got %+v", imp)
	}
	if _, err := c.Import(t.Context(), sourceOf(archive),
		porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("new/home")}); !errors.Is(err, porter.ErrProjectExists) {
		t.Errorf("imported again: %v", err)
	}
	if _, err := c.StartImport(t.Context(), sourceOf(archive),
		porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("new/home")}); !errors.Is(err, porter.ErrProjectExists) {
		t.Errorf("started again: %v", err)
	}
	if imp, err := c.GetImport(t.Context(), matrixApp); err != nil || imp.Status != porter.ImportNone {
		t.Errorf("a project that was never imported: %+v, %v", imp, err)
	}
}

func matrixImportFails(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
	c = seldom(t, c)
	good := r.archive(5)
	half := make([]byte, good.Size()/2)
	if _, err := good.ReadAt(half, 0); err != nil {
		t.Fatal(err)
	}
	s.ScriptImport("new/home/canceled", portertest.ImportScript{Canceled: true})
	s.ScriptImport("new/home/stuck", portertest.ImportScript{Stuck: true})
	for _, tt := range []struct {
		path    string
		archive *portertest.Archive
		want    string
		text    string
	}{
		{"half", portertest.BytesArchive(half), "ImportError failed", "Command exited with error code"},
		{"older", portertest.NewArchive(40<<10, portertest.ArchiveFormatVersion("0.1.0")), "ImportError failed", "but was 0.1.0"},
		{"canceled", good, "ImportError canceled", `status "canceled"`},
		{"stuck", good, "ImportError failed", "Import timed out"},
	} {
		imp, err := c.Import(t.Context(), sourceOf(tt.archive),
			porter.ImportOptions{Path: tt.path, Namespace: porter.NamespacePath("new/home")})
		if got := ending(err); got != tt.want || !strings.Contains(err.Error(), tt.text) || imp == nil {
			t.Errorf("%s: got %q, %v", tt.path, got, err)
		}
	}
	if s.Project("new/home/half") == nil {
		t.Error("a failed import does not occupy its path")
	}
}

func matrixOverwrite(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
	old := s.AddProject(portertest.Project{Path: string(matrixNew), Name: "Precious"})
	archive := r.archive(6)
	imp, err := c.Import(t.Context(), sourceOf(archive),
		porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("new/home"), Overwrite: true})
	p := s.Project(string(matrixNew))
	if !r.can["options"] { // it knows nothing of overwriting, and finds the path taken
		if !errors.Is(err, porter.ErrProjectExists) || p.ID != old {
			t.Errorf("got %v, %+v", err, p)
		}
		return
	}
	if err != nil || imp.PathWithNamespace != matrixNew || p.ID != int64(imp.ID) || p.ID == old || p.ArchiveSHA256 != archive.SHA256() {
		t.Errorf("got %+v, %v, project %+v", imp, err, p)
	}
}

func matrixNamespaces(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
	id := s.AddGroup("numbered")
	for i, tt := range []struct {
		ns   porter.NamespaceRef
		path string
	}{
		{nil, "owner/"},
		{porter.NamespacePath("new/home"), "new/home/"},
		{porter.NamespacePath("New/HOME"), "new/home/"},
		{porter.NamespaceID(id), "numbered/"},
		{porter.NamespacePath("owner"), "owner/"},
	} {
		name := fmt.Sprint("ns", i)
		imp, err := c.Import(t.Context(), sourceOf(r.archive(1)), porter.ImportOptions{Path: name, Namespace: tt.ns})
		if err != nil || imp.PathWithNamespace != porter.ProjectPath(tt.path+name) {
			t.Errorf("namespace %v: %+v, %v", tt.ns, imp, err)
		}
	}
	if _, err := c.Import(t.Context(), sourceOf(r.archive(1)),
		porter.ImportOptions{Path: "x", Namespace: porter.NamespacePath("nowhere")}); !errors.Is(err, porter.ErrNotFound) ||
		!strings.Contains(err.Error(), "404 Namespace Not Found") {
		t.Errorf("no namespace: %v", err)
	}
	for _, q := range s.Requests() {
		for _, field := range q.Fields {
			if field[0] == "namespace_id" || field[0] == "namespace_path" {
				t.Errorf("sent %s, which servers before 18.7 drop", field[0])
			}
		}
	}
}

func matrixImportsOff(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
	_, err := c.StartImport(t.Context(), sourceOf(r.archive(1)), porter.ImportOptions{Path: "app"})
	if !errors.Is(err, porter.ErrForbidden) || !strings.Contains(err.Error(), "is switched off on this instance") {
		t.Errorf("got %v", err)
	}
	if _, err := c.Import(t.Context(), sourceOf(r.archive(1)),
		porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("new/home")}); !errors.Is(err, porter.ErrForbidden) {
		t.Errorf("got %v", err)
	}
}

func matrixTooLarge(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
	_, err := c.StartImport(t.Context(), sourceOf(portertest.NewArchive(200<<10)), porter.ImportOptions{Path: "app"})
	if !errors.Is(err, porter.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

// matrixLostImport loses the answer to an upload: the project is there, and
// the import goes on without a second one.
func matrixLostImport(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
	s.Inject(portertest.Fault{Method: "POST", Do: portertest.LoseAnswer()})
	archive := r.archive(7)
	imp, err := c.Import(t.Context(), sourceOf(archive), porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("new/home")})
	if err != nil || imp.Status != porter.ImportFinished || imp.PathWithNamespace != matrixNew {
		t.Errorf("got %+v, %v", imp, err)
	}
	if n := count(s, "POST", "/import"); n != 1 {
		t.Errorf("sent %d times", n)
	}
}

func matrixMigrate(opts porter.MigrateOptions) func(*testing.T, release, *portertest.Server, *porter.Client) {
	return func(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
		archive := r.archive(8)
		s.ScriptExport("team/app", portertest.ExportScript{Archive: archive})
		opts := opts
		opts.SpoolDir = t.TempDir()
		opts.Import.Namespace = porter.NamespacePath("new/home")
		m, err := porter.Migrate(t.Context(), c, matrixApp, c, opts)
		if err != nil || m.Import.PathWithNamespace != matrixNew || m.Bytes != archive.Size() || (m.Archive == nil) != opts.SkipVerify {
			t.Fatalf("got %+v, %v", m, err)
		}
		if p := s.Project(string(matrixNew)); p.ArchiveSHA256 != archive.SHA256() || p.ImportStatus != "finished" {
			t.Errorf("imported %+v", p)
		}
		opts.Import.Path = ""
		if _, err := porter.Migrate(t.Context(), c, matrixApp, c, opts); !errors.Is(err, porter.ErrProjectExists) {
			t.Errorf("migrated again: %v", err)
		}
		if n := len(s.Exports("team/app")); n != 1 {
			t.Errorf("%d exports", n)
		}
	}
}

// unavailable checks the error of an endpoint that a release does not have yet.
func unavailable(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, porter.ErrNotFound) || !strings.Contains(err.Error(), "no such route: check the base URL, the GitLab version") {
		t.Errorf("got %v", err)
	}
}

func matrixImportURL(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
	archive := r.archive(9)
	s.AddObject("/backups/app.tar.gz", "application/gzip", archive)
	imp, err := c.StartImportFromURL(t.Context(), s.SignedURL("GET", "/backups/app.tar.gz", time.Hour),
		porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("new/home")})
	matrixRemote(t, r.can["url"], s, c, archive, imp, err)
}

func matrixImportS3(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
	archive := r.archive(10)
	s.AddObject("/backups/app.tar.gz", "application/gzip", archive)
	imp, err := c.StartImportFromS3(t.Context(), porter.S3Object{
		Region: "eu-central-1", Bucket: "backups", Key: "app.tar.gz",
		AccessKeyID: portertest.AccessKeyID, SecretAccessKey: portertest.SecretAccessKey,
	}, porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("new/home")})
	matrixRemote(t, r.can["s3"], s, c, archive, imp, err)
}

func matrixRemote(t *testing.T, can bool, s *portertest.Server, c *porter.Client, archive *portertest.Archive, imp *porter.Import,
	err error) {
	t.Helper()
	if !can {
		unavailable(t, err)
		return
	}
	if err == nil {
		imp, err = c.WaitForImport(t.Context(), imp.ID)
	}
	if err != nil || !imp.Complete() || s.Project(string(matrixNew)).ArchiveSHA256 != archive.SHA256() {
		t.Errorf("got %+v, %v", imp, err)
	}
}

func matrixRelationImport(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
	rel, err := c.StartRelationImport(t.Context(), sourceOf(smallArchive), matrixApp, porter.RelationIssues)
	if !r.can["relation-imports"] {
		unavailable(t, err)
		return
	}
	if err == nil {
		rel, err = c.WaitForRelationImport(t.Context(), matrixApp, rel.ID)
	}
	if err != nil || rel.Status != porter.RelationImportFinished {
		t.Errorf("got %+v, %v", rel, err)
	}
}

func matrixRelations(t *testing.T, r release, s *portertest.Server, c *porter.Client) {
	s.SetRelation(string(matrixApp), "issues", portertest.Relation{Objects: 1200})
	since, err := c.StartRelationsExport(t.Context(), matrixApp, &porter.RelationsExportOptions{Batched: true})
	if !r.can["relations"] {
		unavailable(t, err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.WaitForRelationExports(t.Context(), matrixApp, since, porter.PortableIssues)
	if err != nil || len(list) != 1 || list[0].Batched != r.can["batches"] ||
		len(list[0].Batches) != map[bool]int{true: 2}[r.can["batches"]] {
		t.Fatalf("got %+v, %v", list, err)
	}
	lines := 0
	for i := range max(1, len(list[0].Batches)) {
		number := 0
		if list[0].Batched {
			number = list[0].Batches[i].Number
		}
		var buf bytes.Buffer
		if _, err := c.DownloadRelationExport(t.Context(), matrixApp, issues(number), &buf, nil); err != nil {
			t.Fatal(err)
		}
		lines += strings.Count(plainText(buf.Bytes()), "\n")
	}
	if lines != 1200 {
		t.Errorf("%d issues", lines)
	}
}
