// Package comingfrom tries the programs of docs/coming-from.md, and what
// docs/comparison.md says of other clients.
package comingfrom

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// fast are the options of porter for tests.
var fast = []porter.Option{
	porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(time.Millisecond)}),
	porter.WithRetry(5, porter.ConstantBackoff(time.Millisecond)),
	porter.WithoutPacing(),
}

// A program exports group/app and imports it as new-team/app, by the
// environment and in the working directory.
type program struct {
	name string
	run  func(*testing.T) error
}

// command runs a file of testdata, if its interpreter is there and can do it.
func command(interpreter, file, try string) func(*testing.T) error {
	file, err := filepath.Abs(filepath.Join("testdata", file))
	if err != nil {
		panic(err)
	}
	return func(t *testing.T) error {
		option, wanted, _ := strings.Cut(try, " ")
		if out, err := exec.Command(interpreter, option, wanted).CombinedOutput(); err != nil {
			t.Skipf("%s: %v: %s", interpreter, err, out)
		}
		out, err := exec.CommandContext(t.Context(), interpreter, file).CombinedOutput()
		if err != nil {
			t.Logf("%s", out)
		}
		return err
	}
}

// python returns an interpreter that has python-gitlab, if one does.
func python() string {
	for _, p := range []string{os.Getenv("PYTHON"), "/usr/bin/python3"} {
		if p != "" && exec.Command(p, "-c", "import gitlab").Run() == nil {
			return p
		}
	}
	return "python3"
}

var programs = []program{
	{"client-go", func(t *testing.T) error {
		return errors.Join(exportWithClientGo(t.Context()), importWithClientGo(t.Context()))
	}},
	{"porter", func(t *testing.T) error {
		return errors.Join(exportWithPorter(t.Context(), fast...), importWithPorter(t.Context(), fast...))
	}},
	{"python-gitlab", command(python(), "python-gitlab.py", "-c import gitlab")},
	{"curl", command("bash", "curl.sh", "-c type curl grep tr")},
}

// TestPrograms has each program export and import, and looks where the token
// went on the way.
func TestPrograms(t *testing.T) {
	defer func(d time.Duration) { pause = d }(pause)
	pause = time.Millisecond
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			s := portertest.NewServer(portertest.Downloads(portertest.Redirected))
			defer s.Close()
			archive := portertest.NewArchive(1 << 20)
			s.AddProject(portertest.Project{Path: "group/app", Archive: archive})
			s.AddGroup("new-team")
			t.Setenv("GITLAB_URL", s.URL)
			t.Setenv("GITLAB_TOKEN", portertest.Token)
			t.Chdir(t.TempDir())
			if err := p.run(t); err != nil {
				t.Fatal(err)
			}
			if got := s.Project("new-team/app"); got == nil || got.ArchiveSHA256 != archive.SHA256() {
				t.Errorf("imported %+v", got)
			}
			if leaked := len(s.Leaks()) > 0; leaked != (p.name != "porter") {
				t.Errorf("the storage saw the token: %v", leaked)
			}
		})
	}
}

// TestBrokenDownload has a download break off.
func TestBrokenDownload(t *testing.T) {
	defer func(d time.Duration) { pause = d }(pause)
	pause = time.Millisecond
	for name, export := range map[string]func(context.Context) error{
		"client-go": exportWithClientGo,
		"porter":    func(ctx context.Context) error { return exportWithPorter(ctx, fast...) },
	} {
		s := portertest.NewServer(portertest.NoLimits())
		s.AddProject(portertest.Project{Path: "group/app", Archive: portertest.NewArchive(1 << 20)})
		s.Inject(portertest.Fault{Path: "/export/download", Do: portertest.CutResponse(1 << 19)})
		t.Setenv("GITLAB_URL", s.URL)
		t.Setenv("GITLAB_TOKEN", portertest.Token)
		t.Chdir(t.TempDir())
		if err := export(t.Context()); (err == nil) != (name == "porter") {
			t.Errorf("%s: %v", name, err)
		}
		s.Close()
	}
}

// TestGatewayTimeout has a gateway answer for GitLab after the whole upload.
func TestGatewayTimeout(t *testing.T) {
	s := portertest.NewServer()
	defer s.Close()
	s.AddGroup("new-team")
	t.Setenv("GITLAB_URL", s.URL)
	t.Setenv("GITLAB_TOKEN", portertest.Token)
	t.Chdir(t.TempDir())
	defer func(d time.Duration) { pause = d }(pause)
	pause = time.Millisecond
	archive, err := io.ReadAll(portertest.NewArchive(portertest.MinArchiveSize).NewReader())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("app.tar.gz", archive, 0o600); err != nil {
		t.Fatal(err)
	}
	sent := func() (n int) {
		for _, r := range s.Requests() {
			if r.Method == http.MethodPost {
				n++
			}
		}
		return n
	}
	timeout := portertest.Fault{Method: http.MethodPost, Times: 1, Do: portertest.Respond(http.StatusGatewayTimeout, nil, "")}

	s.Inject(timeout)
	client, err := porter.NewClient(s.URL, porter.PrivateToken(portertest.Token), fast...)
	if err != nil {
		t.Fatal(err)
	}
	src, err := porter.FileSource("app.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	opts := porter.ImportOptions{Namespace: porter.NamespacePath("new-team"), Path: "app"}
	if _, err := client.StartImport(t.Context(), src, opts); !errors.Is(err, porter.ErrOutcomeUnknown) || sent() != 1 {
		t.Errorf("porter sent it %d times: %v", sent(), err)
	}
	s.Inject(timeout)
	if err := importWithClientGo(t.Context()); err != nil || sent() != 3 {
		t.Errorf("client-go sent it %d times: %v", sent()-1, err)
	}
}

// TestClientGo checks what docs/comparison.md says of client-go by its types.
func TestClientGo(t *testing.T) {
	status := reflect.TypeFor[gitlab.ImportStatus]()
	for i := range status.NumField() {
		if tag := status.Field(i).Tag.Get("json"); tag == "failed_relations" || tag == "created_at" {
			t.Errorf("it has %s", tag)
		}
	}
	service := reflect.TypeFor[gitlab.ProjectImportExportServiceInterface]()
	var methods []string
	for i := range service.NumMethod() {
		methods = append(methods, service.Method(i).Name)
	}
	if got := strings.Join(methods, " "); got != "ExportDownload ExportStatus ImportFromFile ImportStatus ScheduleExport" {
		t.Errorf("it has %s", got)
	}
}

// An upload is read to its end before its first byte is sent.
func TestClientGoUpload(t *testing.T) {
	s := portertest.NewServer()
	defer s.Close()
	git, err := gitlab.NewClient(portertest.Token, gitlab.WithBaseURL(s.URL), gitlab.WithHTTPClient(&http.Client{Transport: s.Transport()}))
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	if _, _, err := git.ProjectImportExport.ImportFromFile(readerFunc(func(b []byte) (int, error) {
		if n := len(s.Requests()); n > 0 {
			t.Errorf("%d requests before the end of the archive", n)
		}
		if read += len(b); read > 1<<20 {
			return 0, io.EOF
		}
		return len(b), nil
	}), &gitlab.ImportFileOptions{Path: gitlab.Ptr("app")}); err != nil {
		t.Fatal(err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
