package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
	"github.com/seed-5d77b939/porter/examples/internal/clitest"
	"github.com/seed-5d77b939/porter/portertest"
)

func TestMain(m *testing.M) {
	os.Unsetenv("GITLAB_URL")
	os.Unsetenv("GITLAB_DEST_URL")
	os.Setenv("GITLAB_TOKEN", portertest.Token)
	os.Setenv("GITLAB_DEST_TOKEN", "root")
	os.Exit(m.Run())
}

var call = clitest.Program(run).Call

// files writes an archive of three members, of whom nobody has an address, and
// a file of users.
func files(t *testing.T, csv string) (archive, users string) {
	t.Helper()
	dir := t.TempDir()
	archive, users = filepath.Join(dir, "app.tar.gz"), filepath.Join(dir, "users.csv")
	b, err := io.ReadAll(threeMembers().NewReader())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{archive: string(b), users: csv} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return archive, users
}

// threeMembers is an archive with one reference to user1, and three to each of the
// others.
func threeMembers() *portertest.Archive {
	return portertest.NewArchive(64<<10, portertest.ArchiveMembers(3), portertest.ArchiveItems("issues", 5))
}

const all = "user1,a@new.test\n2,b@new.test\nuser3,c@new.test\n"

func TestSimulation(t *testing.T) {
	t.Parallel()
	code, out := call(t.Context())
	clitest.Ended(t, out, code, 0, "simulated", "only if an administrator", "315 of 315 references mapped.", "Moved team/app to platform/app",
		"315 of 315 references are the right person's, 0 the importer's.")
	if said, moved := strings.Index(out, "315 of 315 references mapped"), strings.Index(out, "import: "); said > moved {
		t.Errorf("the report comes after the import began\n%s", out)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, csv string
		code      int
		want      []string
	}{
		{"all", all, 0, []string{"user3 (3)  3 references  c@new.test  line 3", "7 of 7 references mapped."}},
		{"some", "user1,a@new.test\nnobody,x@new.test\n", 3, []string{
			"Left to the importer:\n  user2 (2)  3 references  no address, and no line\n  user3 (3)  3 references  no address, and no line",
			"  line 2: nobody\n", "1 of 7 references mapped.",
		}},
		{"nobody", "x,x@new.test\n", 3, []string{"0 of 7 references mapped."}},
		{"same address", all + "@user1x,a@new.test\n", 3, []string{"line 4: @user1x"}},
		{"two of one address", "1,a@new.test\n2,A@new.test\n3,c@new.test\n", 0,
			[]string{"Note: user2 (2) and user1 (1) both become a@new.test."}},
		{"one by two lines", "user1,a@new.test\nuser2,b@new.test\n1,c@new.test\n", 2, []string{"lines 1 and 3 both name user1 (1)"}},
		{"broken line", "user1\n", 2, []string{"users.csv: line 1: it needs two fields"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			archive, users := files(t, tt.csv)
			code, out := call(t.Context(), "-users", users, archive)
			clitest.Ended(t, out, code, tt.code, tt.want...)
		})
	}
}

func TestOutput(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, csv string
		args      []string
		code      int
		addresses string // of user1, user2 and user3; "" if nothing is written
	}{
		{"all", all, nil, 0, "a@new.test b@new.test c@new.test"},
		{"some", "2,b@new.test", nil, 3, " b@new.test "},
		{"strict", "2,b@new.test", []string{"-strict"}, 1, ""},
		{"strict and all", all, []string{"-strict"}, 0, "a@new.test b@new.test c@new.test"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			archive, users := files(t, tt.csv)
			output := filepath.Join(filepath.Dir(archive), "out.tar.gz")
			code, out := call(t.Context(), append(tt.args, "-users", users, "-o", output, archive)...)
			clitest.Ended(t, out, code, tt.code)
			f, err := os.Open(output)
			if (err == nil) != (tt.addresses != "") {
				t.Fatal(err)
			}
			if err == nil {
				defer f.Close()
				if got := addressesIn(t, f); got != tt.addresses {
					t.Errorf("addresses %q, want %q", got, tt.addresses)
				}
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(archive), ".*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// addressesIn are those of the three members, in the order of their IDs.
func addressesIn(t *testing.T, r io.Reader) string {
	t.Helper()
	i, err := porter.InspectArchive(r)
	if err != nil || len(i.Problems) > 0 {
		t.Fatal(err, i)
	}
	addresses := make([]string, 3)
	for _, c := range i.People {
		addresses[c.SourceID-1] = c.Email
	}
	return strings.Join(addresses, " ")
}

// An archive of old has its members where nothing can be changed.
func TestOldArchive(t *testing.T) {
	t.Parallel()
	archive, users := files(t, all)
	old, err := io.ReadAll(portertest.NewArchive(64<<10, portertest.ArchiveGitLabVersion("12.10.0")).NewReader())
	if err == nil {
		err = os.WriteFile(archive, old, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	code, out := call(t.Context(), "-users", users, archive)
	clitest.Ended(t, out, code, 1, "of GitLab 12 or older")
}

// TestRealArchives maps the members of real archives, and imports what comes of
// it into a simulated instance.
func TestRealArchives(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("PORTER_ARCHIVES")
	if dir == "" {
		t.Skip("PORTER_ARCHIVES is not set")
	}
	_, users := files(t, "1,a@new.test\n")
	output := filepath.Join(t.TempDir(), "out.tar.gz")
	code, out := call(t.Context(), "-users", users, "-o", output, filepath.Join(dir, "ndjson_project_export.tar.gz"))
	clitest.Ended(t, out, code, 0, "root (1)", "11 of 11 references mapped.")
	_, dst := instances(t)
	source, err := porter.FileSource(output)
	if err != nil {
		t.Fatal(err)
	}
	client, err := porter.NewClient(dst.URL, porter.PrivateToken("root"), cli.Polling(5*time.Millisecond)...)
	if err != nil {
		t.Fatal(err)
	}
	imp, err := client.Import(t.Context(), source, porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("new")})
	if err != nil || !imp.Complete() {
		t.Fatal(imp, err)
	}
	if got := fmt.Sprint(dst.Project("new/app").References); got != "map[a:11]" {
		t.Errorf("references %s", got)
	}
}

// A damaged archive is not written, and what was there before stays.
func TestDamagedArchive(t *testing.T) {
	t.Parallel()
	archive, users := files(t, all)
	if err := os.Truncate(archive, 50<<10); err != nil {
		t.Fatal(err)
	}
	output := filepath.Join(filepath.Dir(archive), "out.tar.gz")
	if err := os.WriteFile(output, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out := call(t.Context(), "-users", users, "-o", output, archive)
	clitest.Ended(t, out, code, 1, "GitLab would not import this archive")
	if b, err := os.ReadFile(output); string(b) != "before" {
		t.Errorf("%.20q, %v", b, err)
	}
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	const some = "1,a@new.test\n2,b@new.test\n"
	for _, tt := range []struct {
		name, csv string
		dest      string // whose token it is
		args      []string
		code      int
		want      []string
		mapped    map[string]int // nil if nothing is moved
		exports   bool
	}{
		{"all", all, "root", nil, 0, []string{"Moved group/app to new/app"}, map[string]int{"a": 1, "b": 3, "c": 3}, true},
		{"some", some, "root", nil, 3, []string{"4 of 7 references mapped."}, map[string]int{"a": 1, "b": 3, "root": 3}, true},
		{"strict", some, "root", []string{"-strict"}, 1, []string{"(-strict)"}, nil, true},
		{"not an administrator", all, "maintainer", nil, 1, []string{"nothing was done", "does not administer"}, nil, false},
		{"no namespace", all, "root", []string{"-namespace", "none"}, 1, []string{"none"}, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, users := files(t, tt.csv)
			src, dst := instances(t)
			o := options{
				users: users, from: src.URL, to: dst.URL, what: "group/app", namespace: "new", poll: 5 * time.Millisecond, dir: t.TempDir(),
			}
			for i, arg := range tt.args {
				o.strict = o.strict || arg == "-strict"
				if arg == "-namespace" {
					o.namespace = tt.args[i+1]
				}
			}
			u, err := readUsers(users)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			err = migrate(t.Context(), o, u, porter.PrivateToken(portertest.Token), porter.PrivateToken(tt.dest), &out)
			code := end(t.Context(), &out, err)
			clitest.Ended(t, out.String(), code, tt.code, tt.want...)
			p := dst.Project("new/app")
			if (p != nil) != (tt.mapped != nil) || p != nil && fmt.Sprint(p.References) != fmt.Sprint(tt.mapped) {
				t.Errorf("new project %+v, want %v", p, tt.mapped)
			}
			if exported := asked(src, "/export"); exported != tt.exports {
				t.Errorf("exported: %v", exported)
			}
			if left, _ := os.ReadDir(o.dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// instances are a source with the project group/app, and a destination with the
// group new, an administrator, and users of all addresses.
func instances(t *testing.T) (src, dst *portertest.Server) {
	t.Helper()
	src, dst = portertest.NewServer(), portertest.NewServer()
	t.Cleanup(src.Close)
	t.Cleanup(dst.Close)
	src.AddProject(portertest.Project{Path: "group/app", Archive: threeMembers()})
	dst.AddGroup("new")
	dst.AddUser(portertest.User{Username: "root", Token: "root", Admin: true})
	dst.AddUser(portertest.User{Username: "maintainer", Token: "maintainer"})
	dst.AddMember("new", "maintainer", portertest.Maintainer)
	for _, name := range []string{"a", "b", "c"} {
		dst.AddUser(portertest.User{Username: name, Token: name, Email: name + "@new.test"})
	}
	return src, dst
}

// asked reports whether a server got a POST to a path with that end.
func asked(s *portertest.Server, end string) bool {
	for _, r := range s.Requests() {
		if r.Method == "POST" && strings.HasSuffix(r.Path, end) {
			return true
		}
	}
	return false
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	archive, users := files(t, all)
	src, dst := instances(t)
	code, out := call(t.Context(), "-users", users, "-from", src.URL, "-to", dst.URL, "-namespace", "new", "-path", "app2", "-poll", "5ms",
		src.URL+"/group/app/-/issues")
	clitest.Ended(t, out, code, 0, "Moved group/app to new/app2")

	code, out = call(t.Context(), "-h")
	clitest.Ended(t, out, code, 0, "simulator only", "Exit codes: 0 all references are mapped", "-users")
	for _, tt := range []struct {
		want string
		args []string
	}{
		{"-users is missing", []string{archive}},
		{"no archive and no project", []string{"-users", users}},
		{"more than one", []string{"-users", users, archive, archive}},
		{"no file, and -from and -to are missing", []string{"-users", users, "group/app"}},
		{"-to is missing", []string{"-users", users, "-from", src.URL, "group/app"}},
		{"-from is missing", []string{"-users", users, "-to", src.URL, "group/app"}},
		{"-o is for archives", []string{"-users", users, "-from", src.URL, "-o", "x", "group/app"}},
		{"missing.csv", []string{"-users", "missing.csv", archive}},
		{"missing.tar.gz", []string{"-users", users, "-o", "x", "missing.tar.gz"}},
		{"-from: ", []string{"-users", users, "-from", "localhost", "-to", dst.URL, "group/app"}},
	} {
		clitest.Misused(t, run, tt.want, tt.args...)
	}
}

// TestInterrupt ends the program while it waits for an export that never comes.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	_, users := files(t, all)
	src, dst := instances(t)
	src.ScriptExport("group/app", portertest.ExportScript{Fault: portertest.NeverStart})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for len(src.Exports("group/app")) == 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	code, out := call(ctx, "-users", users, "-from", src.URL, "-to", dst.URL, "-namespace", "new", "-poll", "5ms", "group/app")
	clitest.Ended(t, out, code, 130, "Interrupted: ", "GitLab goes on with")
}

// TestTimeout has no time for an export that never comes, or not even for what
// is before.
func TestTimeout(t *testing.T) {
	t.Parallel()
	_, users := files(t, all)
	for _, timeout := range []string{"1ms", "20ms", "500ms"} {
		src, dst := instances(t)
		src.ScriptExport("group/app", portertest.ExportScript{Fault: portertest.NeverStart})
		code, out := call(t.Context(), "-users", users, "-from", src.URL, "-to", dst.URL, "-namespace", "new", "-poll", "5ms",
			"-timeout", timeout, "group/app")
		clitest.Ended(t, out, code, 1, "-timeout of "+timeout+" is over")
	}
}

func TestEnvironment(t *testing.T) {
	_, users := files(t, all)
	t.Setenv("GITLAB_URL", "http://localhost:1")
	t.Setenv("GITLAB_DEST_URL", "http://localhost:2")
	t.Setenv("GITLAB_TOKEN", "")
	clitest.Misused(t, run, "GITLAB_TOKEN is not set", "-users", users, "a/b")
	clitest.Misused(t, run, "no archive and no project is named", "-users", users)
	t.Setenv("GITLAB_TOKEN", "x")
	t.Setenv("GITLAB_DEST_TOKEN", "")
	clitest.Misused(t, run, "GITLAB_DEST_TOKEN is not set", "-users", users, "a/b")
	t.Setenv("GITLAB_DEST_URL", "")
	clitest.Misused(t, run, "-from was taken from GITLAB_URL, but -to is missing", "-users", users, "a/b")
}
