package portertest

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func gz(parts ...part) []part { return append(parts, file("x.tar.gz", smallArchive)) }

func importStatusOf(t *testing.T, s *Server, ref string) string {
	t.Helper()
	return get(t, s, "projects/"+url.PathEscape(ref)+"/import").member(t, "import_status").(string)
}

func TestImport(t *testing.T) {
	everyTransport(t, func(t *testing.T, s *Server) {
		s.AddGroup("acme")
		a := importAs(t, s, Token,
			gz(plain("path", "widget"), plain("namespace", "acme"), plain("override_params[topics][]", "a"),
				plain("override_params[topics][]", "b"))...)
		if a.status != 201 {
			t.Fatalf("got %d %s", a.status, a.body)
		}
		id := int64(a.member(t, "id").(float64))
		pattern := regexp.MustCompile(`^\{"id":\d+,"description":null,"name":"widget","name_with_namespace":"acme / widget",` +
			`"path":"widget","path_with_namespace":"acme/widget","created_at":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",` +
			`"import_status":"scheduled","import_type":"gitlab_project","correlation_id":"(\w{26})","failed_relations":\[\],` +
			`"import_error":null,"stats":null\}$`)
		if m := pattern.FindStringSubmatch(a.body); m == nil || m[1] != a.header.Get("X-Request-Id") {
			t.Errorf("got %s, request %s", a.body, a.header.Get("X-Request-Id"))
		}
		for i := 0; importStatusOf(t, s, "acme/widget") != "finished"; i++ {
			if i > 1000 {
				t.Fatal("the import does not finish")
			}
			time.Sleep(time.Millisecond)
		}
		got := s.Project(fmt.Sprint(id))
		want := &ProjectState{
			ID: id, Path: "acme/widget", Name: "widget", Visibility: "private", CreatedAt: got.CreatedAt,
			ImportStatus: "finished", CorrelationID: a.header.Get("X-Request-Id"), ArchiveName: "x.tar.gz",
			ArchiveSize: 20 << 10, ArchiveSHA256: shaOf(smallArchive), Overrides: url.Values{"topics": {"a", "b"}},
			References: map[string]int{"owner": 4},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("project (-want +got):\n%s", diff)
		}
	})
}

// lifeOf returns an import's status at half a second, and then every second.
func lifeOf(t *testing.T, s *Server, ref string) string {
	t.Helper()
	var seen []string
	time.Sleep(500 * time.Millisecond)
	for range 3 {
		seen = append(seen, importStatusOf(t, s, ref))
		time.Sleep(time.Second)
	}
	return strings.Join(seen, " ")
}

func TestImportLife(t *testing.T) {
	failures := []FailedRelation{
		{RelationName: "issues", LineNumber: 3, Source: "process_relation_item!", ExceptionClass: "ActiveRecord::RecordInvalid",
			ExceptionMessage: "m"},
		{RelationName: "labels", Source: "x", ExceptionClass: "E"},
	}
	for _, tt := range []struct {
		name    string
		script  ImportScript
		content string
		life    string
		err     string
		failed  int
	}{
		{"fine", ImportScript{}, smallArchive, "scheduled started finished", "", 0},
		{"partial", ImportScript{FailedRelations: failures}, smallArchive, "scheduled started finished", "", 2},
		{"failed", ImportScript{Error: "no"}, smallArchive, "scheduled started failed", "no", 0},
		{"canceled", ImportScript{Canceled: true}, smallArchive, "scheduled started canceled", "", 0},
		{"slow", ImportScript{Timing: &Timings{Import: 2 * time.Second}}, smallArchive, "started started finished", "", 0},
		{"stuck", ImportScript{Stuck: true}, smallArchive, "scheduled scheduled scheduled", "", 0},
		{"no archive", ImportScript{}, "garbage", "scheduled started failed", "Error importing repository  into acme/widget - ", 0},
		{"empty", ImportScript{}, "", "scheduled started failed", "Error importing repository  into acme/widget - ", 0},
		{"truncated", ImportScript{}, smallArchive[:10000], "scheduled started failed", "Error importing repository  into acme/widget - ", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, nil, func(t *testing.T, s *Server) {
				s.AddGroup("acme")
				s.ScriptImport("acme/widget", tt.script)
				importAs(t, s, Token, plain("path", "widget"), plain("namespace", "acme"), file("x.gz", tt.content)).
					wantPart(t, 201, "acme/widget")
				if got := lifeOf(t, s, "acme/widget"); got != tt.life {
					t.Errorf("got %s, want %s", got, tt.life)
				}
				a := get(t, s, "projects/acme%2Fwidget/import")
				text, _ := a.member(t, "import_error").(string)
				if !strings.HasPrefix(text, tt.err) || (text == "") != (tt.err == "") {
					t.Errorf("import_error is %q, want %q", text, tt.err)
				}
				if n := len(a.member(t, "failed_relations").([]any)); n != tt.failed {
					t.Errorf("%d failed relations, want %d", n, tt.failed)
				}
				// Whatever became of it, it occupies the path.
				again := gz(plain("path", "widget"), plain("namespace", "acme"))
				importAs(t, s, Token, again...).want(t, 400, `{"message":"Path has already been taken"}`)
				s.RemoveProject("acme/widget")
				importAs(t, s, Token, again...).wantPart(t, 201, `"import_status":"scheduled"`)
			})
		})
	}
}

func TestFailedRelations(t *testing.T) {
	var many []FailedRelation
	for i := range 120 {
		many = append(many, FailedRelation{RelationName: "issues", LineNumber: i, Source: "s", ExceptionClass: "E", ExceptionMessage: "m"})
	}
	for version, want := range map[string]string{
		"18.9": `{"id":120,"created_at":"2000-01-01T00:00:02.000Z","exception_class":"E","source":"s","exception_message":null,` +
			`"relation_name":"issues","line_number":119}`,
		"16.4": `{"id":120,"created_at":"2000-01-01T00:00:02.000Z","exception_class":"E","source":"s","exception_message":null,` +
			`"relation_name":"issues","line_number":119}`,
		"14.6": `{"id":120,"created_at":"2000-01-01T00:00:02.000Z","exception_class":"E","source":"s","exception_message":"m",` +
			`"relation_name":"issues","line_number":119}`,
		"16.3": `{"id":120,"created_at":"2000-01-01T00:00:02.000Z","exception_class":"E","source":"s","exception_message":"m",` +
			`"relation_name":"issues","line_number":119}`,
		"13.12": `{"id":120,"created_at":"2000-01-01T00:00:02.000Z","exception_class":"E","source":"s","exception_message":"m",` +
			`"relation_name":"issues"}`,
	} {
		inMemory(t, []Option{Version(version)}, func(t *testing.T, s *Server) {
			s.ScriptImport("", ImportScript{FailedRelations: many})
			importAs(t, s, Token, gz(plain("path", "widget"))...)
			time.Sleep(time.Minute)
			a := get(t, s, "projects/owner%2Fwidget/import")
			if n := len(a.member(t, "failed_relations").([]any)); n != 100 {
				t.Errorf("%d failed relations", n)
			}
			if !strings.Contains(a.body, `"failed_relations":[`+want+`,`) {
				t.Errorf("%s: got %.500s", version, a.body)
			}
			if version == "18.9" && !strings.Contains(a.body, `"id":21,`) {
				t.Errorf("the oldest is missing: %s", a.body[len(a.body)-300:])
			}
		})
	}
	inMemory(t, nil, func(t *testing.T, s *Server) {
		s.ScriptImport("owner/widget", ImportScript{FailedRelations: []FailedRelation{many[0], {RelationName: "labels", LineNumber: -1}}})
		importAs(t, s, Token, gz(plain("path", "widget"))...)
		time.Sleep(time.Minute)
		a := get(t, s, "projects/owner%2Fwidget/import")
		for _, want := range []string{`"relation_name":"labels","line_number":null`, `"relation_name":"issues","line_number":0`} {
			if !strings.Contains(a.body, want) {
				t.Errorf("got %s, want %s", a.body, want)
			}
		}
	})
}

// TestImportKeys checks which keys each version's answers have.
// wantMembers checks that a JSON object has these members and no others.
func wantMembers(t *testing.T, a answer, keys string) {
	t.Helper()
	got := slices.Sorted(maps.Keys(a.object(t)))
	if want := slices.Sorted(strings.FieldsSeq(keys)); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestImportKeys(t *testing.T) {
	const basic = "created_at description id import_status name name_with_namespace path path_with_namespace"
	for _, tt := range []struct{ version, running, failed string }{
		{"18.9", basic + " correlation_id failed_relations import_error import_type stats", ""},
		{"14.6", basic + " correlation_id failed_relations import_error import_type stats", ""},
		{"14.5", basic + " correlation_id failed_relations import_error", ""},
		{"13.0", basic + " correlation_id failed_relations import_error", ""},
		{"12.10", basic + " correlation_id", basic + " correlation_id import_error"},
		{"12.9", basic, basic + " import_error"},
		{"10.6", basic, basic + " import_error"},
	} {
		t.Run(tt.version, func(t *testing.T) {
			inMemory(t, []Option{Version(tt.version)}, func(t *testing.T, s *Server) {
				s.ScriptImport("", ImportScript{Error: "no"})
				a := importAs(t, s, Token, gz(plain("path", "widget"))...)
				wantMembers(t, a, tt.running)
				time.Sleep(time.Minute)
				a = get(t, s, "projects/owner%2Fwidget/import")
				if tt.failed == "" {
					tt.failed = tt.running
				}
				wantMembers(t, a, tt.failed)
			})
		})
	}
	inMemory(t, nil, func(t *testing.T, s *Server) {
		s.AddProject(Project{Path: "a/b", ID: 7, Description: "d", CreatedAt: time.Date(1999, 1, 2, 3, 4, 5, 0, time.UTC)})
		get(t, s, "projects/7/import").want(t, 200,
			`{"id":7,"description":"d","name":"b","name_with_namespace":"a / b","path":"b","path_with_namespace":"a/b",`+
				`"created_at":"1999-01-02T03:04:05.000Z","import_status":"none","import_type":null,"correlation_id":null,"failed_relations":[],`+
				`"import_error":null,"stats":null}`)
	})
}

func TestImportErrorIsMasked(t *testing.T) {
	for version, want := range map[string]string{"16.4": "Ask a maintainer to check the import status for more details.", "16.3": "no"} {
		inMemory(t, []Option{Version(version)}, func(t *testing.T, s *Server) {
			s.AddGroup("acme")
			s.AddUser(User{Username: "dev", Token: "dev"})
			s.AddMember("acme", "dev", Developer)
			s.ScriptImport("", ImportScript{Error: "no"})
			importAs(t, s, Token, gz(plain("path", "widget"), plain("namespace", "acme"))...)
			time.Sleep(time.Minute)
			a := do(t, s, request{method: "GET", path: "projects/acme%2Fwidget/import", header: as("dev")})
			if got := a.member(t, "import_error"); got != want {
				t.Errorf("%s: got %v, want %s", version, got, want)
			}
			if got := get(t, s, "projects/acme%2Fwidget/import").member(t, "import_error"); got != "no" {
				t.Errorf("%s: the owner gets %v", version, got)
			}
		})
	}
}

func TestImportTimesOut(t *testing.T) {
	for _, tt := range []struct {
		version string
		before  time.Duration
		text    string
	}{
		{"14.1", 24*time.Hour + 14*time.Minute, "Import timed out. Import took longer than 86400 seconds"},
		{"14.0", 15*time.Hour + 14*time.Minute, "Import timed out. Import took longer than 54000 seconds"},
	} {
		for _, script := range []ImportScript{{Stuck: true}, {Timing: &Timings{Import: 48 * time.Hour}}} {
			inMemory(t, []Option{Version(tt.version)}, func(t *testing.T, s *Server) {
				s.ScriptImport("", script)
				importAs(t, s, Token, gz(plain("path", "widget"))...)
				s.Advance(tt.before)
				if got := importStatusOf(t, s, "owner/widget"); got == "failed" {
					t.Errorf("%s: too early", tt.version)
				}
				s.Advance(time.Minute)
				if p := s.Project("owner/widget"); p.ImportStatus != "failed" || p.ImportError != tt.text {
					t.Errorf("%s: got %s, %s", tt.version, p.ImportStatus, p.ImportError)
				}
			})
		}
	}
}

// importCase is a form and what becomes of it.
type importCase struct {
	name    string
	version string
	token   string
	parts   []part
	status  int
	body    string // the whole for an error, where the project is for 201
}

func (tt importCase) run(t *testing.T, s *Server) {
	s.AddProject(Project{Path: "acme/widget", Name: "The Widget"})
	group := fmt.Sprint(s.AddGroup("acme"))
	s.AddGroup("acme/tools")
	for _, u := range []User{
		{Username: "stranger", Token: "stranger"},
		{Username: "guest", Token: "guest"},
		{Username: "developer", Token: "developer"},
		{Username: "maintainer", Token: "maintainer"},
		{Username: "bot", Token: "bot", Bot: true},
		{Username: "none", Token: "none", ProjectsLimit: -1},
		{Username: "one", Token: "one", ProjectsLimit: 1},
	} {
		s.AddUser(u)
	}
	s.AddMember("acme", "guest", Guest)
	s.AddMember("acme", "developer", Developer)
	s.AddMember("acme", "maintainer", Maintainer)
	s.AddProject(Project{Path: "one/already"})
	parts := slices.Clone(tt.parts)
	for i := range parts {
		if parts[i].value == "ID" {
			parts[i].value = group
		}
	}
	before := len(s.Projects())
	a := importAs(t, s, tt.token, parts...)
	if tt.status == 201 {
		if a.status != 201 || a.member(t, "path_with_namespace") != tt.body {
			t.Errorf("got %d %s, want a project at %s", a.status, a.body, tt.body)
		}
		return
	}
	a.want(t, tt.status, tt.body)
	if len(s.Projects()) != before {
		t.Error("a project was made")
	}
	if r := s.Requests(); !r[len(r)-1].Complete {
		t.Error("the answer came before the end of the body")
	}
}

func TestImportRefusals(t *testing.T) {
	const (
		badPath = `{"message":"Project namespace path can only include non-accented letters, digits, '_', '-' and '.'. It must not start ` +
			`with '-', '_', or '.', nor end with '-', '_', '.', '.git', or '.atom'."}`
		noGZ  = `{"message":{"error":"You need to upload a GitLab project export archive (ending in .gz)."}}`
		taken = `{"message":"Path has already been taken"}`
	)
	path := plain("path", "new")
	for _, tt := range []importCase{
		{"no path", "18.9", Token, gz(), 400, `{"error":"path is missing"}`},
		{"no file", "18.9", Token, []part{path}, 400, `{"error":"file is missing"}`},
		{"nothing", "18.9", Token, []part{plain("x", "y")}, 400, `{"error":"path is missing, file is missing"}`},
		{"file is a plain field", "18.9", Token, []part{path, plain("file", "x")}, 400, `{"error":"file is invalid"}`},
		{"file is a plain field, 12.9", "12.9", Token, []part{path, plain("file", "x")}, 400, `{"error":"file is invalid"}`},
		{"file is a plain field, 12.8", "12.8", Token, []part{path, plain("file", "x")}, 400, `{"message":"The file is invalid"}`},
		{"no path either, 12.8", "12.8", Token, []part{plain("file", "x")}, 400, `{"error":"path is missing"}`},
		{"no file, 10.6", "10.6", Token, []part{path}, 400, `{"error":"file is missing"}`},
		{"empty file name", "18.9", Token, []part{path, file("", "x")}, 400, `{"error":"file is invalid"}`},
		{"empty path", "18.9", Token, gz(plain("path", "")), 400, `{"message":"Path can't be blank"}`},
		{"slash", "18.9", Token, gz(plain("path", "a/b")), 400, badPath},
		{"dash first", "18.9", Token, gz(plain("path", "-a")), 400, badPath},
		{".git", "18.9", Token, gz(plain("path", "a.git")), 400, badPath},
		{".atom", "18.9", Token, gz(plain("path", "a.atom")), 400, badPath},
		{"umlaut", "18.9", Token, gz(plain("path", "ä")), 400, badPath},
		{"slash, 15.0", "15.0", Token, gz(plain("path", "a/b")), 400, badPath},
		{"slash, old", "13.12", Token, gz(plain("path", "a/b")), 400,
			`{"message":"Path can contain only letters, digits, '_', '-' and '.'. Cannot start with '-', end in '.git' or end in '.atom'"}`},
		{"taken", "18.9", Token, gz(plain("path", "WIDGET"), plain("namespace", "acme")), 400, taken},
		{"taken by a group", "18.9", Token, gz(plain("path", "tools"), plain("namespace", "acme")), 400, taken},
		{"name taken", "18.9", Token, gz(path, plain("namespace", "acme"), plain("name", "The Widget")), 400,
			`{"message":"Project namespace name has already been taken"}`},
		{"name taken, old", "13.12", Token, gz(path, plain("namespace", "acme"), plain("name", "The Widget")), 400,
			`{"message":"Name has already been taken"}`},
		{"name taken, 15.0", "15.0", Token, gz(path, plain("namespace", "acme"), plain("name", "The Widget")), 400,
			`{"message":"Project namespace name has already been taken"}`},
		{"name taken, 12.10", "12.10", Token, gz(path, plain("namespace", "acme"), plain("name", "The Widget")), 400,
			`{"message":"Name has already been taken"}`},
		{"name unknown before 12.10", "12.9", Token, gz(path, plain("namespace", "acme"), plain("name", "The Widget")), 201, "acme/new"},

		{"own namespace", "18.9", Token, gz(path), 201, "owner/new"},
		{"group", "18.9", Token, gz(path, plain("namespace", "acme/tools")), 201, "acme/tools/new"},
		{"group in other case", "18.9", Token, gz(path, plain("namespace", "ACME/tools")), 201, "acme/tools/new"},
		{"group by ID", "18.9", Token, gz(path, plain("namespace", "ID")), 201, "acme/new"},
		{"namespace_id", "18.9", Token, gz(path, plain("namespace_id", "ID")), 201, "acme/new"},
		{"namespace_path", "18.9", Token, gz(path, plain("namespace_path", "acme/tools")), 201, "acme/tools/new"},
		{"namespace_id dropped before 18.7", "18.6", Token, gz(path, plain("namespace_id", "ID")), 201, "owner/new"},
		{"namespace_path dropped before 18.7", "13.12", Token, gz(path, plain("namespace_path", "acme")), 201, "owner/new"},
		{"both before 18.7", "18.6", Token, gz(path, plain("namespace", "acme"), plain("namespace_path", "x")), 201, "acme/new"},
		{"blank namespace", "18.9", Token, gz(path, plain("namespace", " ")), 201, "owner/new"},
		{"blank namespace_id", "18.9", Token, gz(path, plain("namespace_id", "")), 201, "owner/new"},
		{"digits in namespace_path", "18.9", Token, gz(path, plain("namespace_path", "123")), 404, noNamespace},
		{"digits in namespace are an ID", "18.9", Token, gz(path, plain("namespace", "123")), 404, noNamespace},
		{"namespace_id is no number", "18.9", Token, gz(path, plain("namespace_id", "acme")), 400, `{"error":"namespace_id is invalid"}`},
		{"namespace_id is no number, 18.7", "18.7", Token, gz(path, plain("namespace_id", "acme")), 400, `{"error":"namespace_id is invalid"}`},
		{"namespace_path, 18.7", "18.7", Token, gz(path, plain("namespace_path", "acme/tools")), 201, "acme/tools/new"},
		{"two namespaces, 18.7", "18.7", Token, gz(path, plain("namespace", "acme"), plain("namespace_path", "acme")), 400,
			`{"error":"namespace, namespace_path are mutually exclusive"}`},
		{"two namespaces", "18.9", Token, gz(path, plain("namespace", "acme"), plain("namespace_path", "acme")), 400,
			`{"error":"namespace, namespace_path are mutually exclusive"}`},
		{"three namespaces, two blank", "18.9", Token,
			gz(path, plain("namespace", "acme"), plain("namespace_id", ""), plain("namespace_path", "")), 400,
			`{"error":"namespace, namespace_id, namespace_path are mutually exclusive"}`},
		{"no such group", "18.9", Token, gz(path, plain("namespace", "nope")), 404, noNamespace},
		{"somebody's namespace", "18.9", Token, gz(path, plain("namespace", "stranger")), 404, noNamespace},
		{"not a member", "18.9", "stranger", gz(path, plain("namespace", "acme")), 404, noNamespace},
		{"guest", "18.9", "guest", gz(path, plain("namespace", "acme")), 400, `{"message":"Namespace is not valid"}`},
		{"developer", "18.9", "developer", gz(path, plain("namespace", "acme")), 400, `{"message":"User is not allowed to import projects"}`},
		{"developer, 16.0", "16.0", "developer", gz(path, plain("namespace", "acme")), 400,
			`{"message":"User is not allowed to import projects"}`},
		{"developer before 16.0", "15.11", "developer", gz(path, plain("namespace", "acme")), 201, "acme/new"},
		{"maintainer", "18.9", "maintainer", gz(path, plain("namespace", "acme/tools")), 201, "acme/tools/new"},
		{"bot, own namespace", "18.9", "bot", gz(path), 400, `{"message":"Namespace is not valid"}`},
		{"no projects allowed", "18.9", "none", gz(path), 400,
			`{"message":"Limit reached You cannot create projects in your personal namespace. Contact your GitLab administrator."}`},
		{"one project allowed", "18.9", "one", gz(path), 400,
			`{"message":"Limit reached You've reached your limit of 1 projects created. Contact your GitLab administrator."}`},

		{"overwrite is no bool", "18.9", Token, gz(path, plain("overwrite", "maybe")), 400, `{"error":"overwrite is invalid"}`},
		{"overwrite is no bool, 10.7", "10.7", Token, gz(path, plain("overwrite", "maybe")), 400, `{"error":"overwrite is invalid"}`},
		{"overwrite does not exist yet", "10.6", Token, gz(plain("path", "widget"), plain("namespace", "acme"), plain("overwrite", "true")),
			400, taken},
		{"overwrite nothing", "18.9", Token, gz(path, plain("overwrite", "true")), 201, "owner/new"},
		{"several errors", "18.9", Token,
			[]part{plain("overwrite", "x"), plain("override_params", "{}"), plain("namespace", ""), plain("namespace_id", "x"), file("", "x")}, 400,
			`{"error":"path is missing, file is invalid, namespace_id is invalid, namespace, namespace_id are mutually exclusive, overwrite ` +
				`is invalid, override_params is invalid"}`},
		{"unknown parameters", "18.9", Token, gz(path, plain("nmaespace", "acme"), plain("override_params[nope]", "x")), 201, "owner/new"},
		{"NUL", "18.9", Token, gz(plain("path", "a\x00")), 400, "Bad Request"},

		{"upper case", "18.9", Token, []part{path, file("X.TAR.GZ", smallArchive)}, 422, noGZ},
		{"tgz", "18.9", Token, []part{path, file("x.tgz", smallArchive)}, 422, noGZ},
		{"zip", "18.9", Token, []part{path, file("x.zip", smallArchive)}, 422, noGZ},
		{"nothing but .gz", "18.9", Token, []part{path, file(".gz", smallArchive)}, 422, noGZ},
		{"trailing space", "18.9", Token, []part{path, file("x.gz ", smallArchive)}, 422, noGZ},
		{"tgz, 12.9", "12.9", Token, []part{path, file("x.tgz", smallArchive)}, 422, noGZ},
		{"tgz before 12.9", "12.8", Token, []part{path, file("x.tgz", smallArchive)}, 201, "owner/new"},
		{"422 before 404", "18.9", Token, []part{path, plain("namespace", "nope"), file("x.zip", smallArchive)}, 422, noGZ},
		{"blank path before the role", "18.9", "developer", gz(plain("path", " "), plain("namespace", "acme")), 400,
			`{"message":"Path can't be blank"}`},
		{"404 before 400", "18.9", Token, gz(plain("path", ""), plain("namespace", "nope")), 404, noNamespace},
		{"restricted visibility", "private", Token, gz(plain("path", ".")), 400,
			`{"message":"Visibility level private has been restricted by your GitLab administrator"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts := []Option{RestrictVisibility("private")}
			if tt.version != "private" {
				opts = []Option{Version(tt.version)}
			}
			inMemory(t, opts, tt.run)
		})
	}
}

func TestBotImports(t *testing.T) {
	inMemory(t, nil, func(t *testing.T, s *Server) {
		s.AddGroup("acme")
		s.AddUser(User{Username: "bot", Token: "bot", Bot: true})
		s.AddMember("acme", "bot", Maintainer)
		if a := importAs(t, s, "bot", gz(plain("path", "new"), plain("namespace", "acme"))...); a.status != 201 {
			t.Fatalf("got %d %s", a.status, a.body)
		}
		time.Sleep(time.Minute)
		const want = "Error importing repository  into acme/new - Error adding importer user to Project members. Validation failed: User " +
			"project bots cannot be added to other groups [FILTERED] projects"
		if p := s.Project("acme/new"); p.ImportStatus != "failed" || p.ImportError != want {
			t.Errorf("got %s, %s", p.ImportStatus, p.ImportError)
		}
	})
}

// overwrite imports over acme/widget and returns the new project's ID and its
// temporary path.
func overwrite(t *testing.T, s *Server, token string, more ...part) (id, path string) {
	t.Helper()
	a := importAs(t, s, token, gz(append(more, plain("path", "widget"), plain("namespace", "acme"), plain("overwrite", "true"))...)...)
	if a.status != 201 {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	path = a.member(t, "path").(string)
	if !regexp.MustCompile(`^widget-[0-9a-f]{32}$`).MatchString(path) || a.member(t, "path_with_namespace") != "acme/"+path {
		t.Errorf("path is %s in %s", path, a.body)
	}
	name := path
	if len(more) > 0 {
		name = "Another"
	}
	if a.member(t, "name") != name {
		t.Errorf("name is %s, want %s", a.member(t, "name"), name)
	}
	return fmt.Sprint(a.member(t, "id")), path
}

func TestOverwrite(t *testing.T) {
	for name, more := range map[string][]part{"fine": nil, "with a name": {plain("name", "Another")}} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, nil, func(t *testing.T, s *Server) {
				old := s.AddProject(Project{Path: "acme/widget", Name: "The Widget"})
				id, _ := overwrite(t, s, Token, more...)
				meanwhile := get(t, s, "projects/acme%2Fwidget/import")
				if meanwhile.member(t, "id") != float64(old) || meanwhile.member(t, "import_status") != "none" {
					t.Errorf("meanwhile the path gives %s", meanwhile.body)
				}
				time.Sleep(time.Minute)
				if p := s.Project(id); p.ImportStatus != "finished" || p.Path != "acme/widget" || p.Name != "The Widget" {
					t.Errorf("in the end it is %+v", p)
				}
				get(t, s, fmt.Sprintf("projects/%d/import", old)).want(t, 404, noProject)
			})
		})
	}
	inMemory(t, nil, func(t *testing.T, s *Server) {
		s.AddProject(Project{Path: "acme/widget"})
		importAs(t, s, Token, gz(plain("path", "widget"), plain("name", "widget"), plain("namespace", "acme"), plain("overwrite", "true"))...).
			want(t, 400, `{"message":"Project namespace name has already been taken"}`)
	})
}

// TestOverwriteFails checks that the old project stays at its path.
func TestOverwriteFails(t *testing.T) {
	for _, tt := range []struct {
		name, token string
		script      ImportScript
		err         string
	}{
		{"failed", Token, ImportScript{Error: "no"}, "no"},
		{"not the owner", "maintainer", ImportScript{}, "User maintainer (2) cannot overwrite a project in acme"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, nil, func(t *testing.T, s *Server) {
				s.AddUser(User{Username: "maintainer", Token: "maintainer"})
				old := s.AddProject(Project{Path: "acme/widget", Name: "The Widget"})
				s.AddMember("acme", "maintainer", Maintainer)
				s.ScriptImport("acme/widget", tt.script)
				id, path := overwrite(t, s, tt.token)
				time.Sleep(time.Minute)
				p := s.Project(id)
				if p.ImportStatus != "failed" || !strings.HasSuffix(p.ImportError, tt.err) || p.Path != "acme/"+path {
					t.Errorf("in the end it is %+v", p)
				}
				if got := s.Project("acme/widget").ID; got != old {
					t.Errorf("in the end %d is at the path", got)
				}
			})
		})
	}
}

func TestOverridesTakeEffect(t *testing.T) {
	inMemory(t, []Option{RestrictVisibility("public")}, func(t *testing.T, s *Server) {
		importAs(t, s, Token,
			gz(plain("path", "a"), plain("override_params[description]", "d"), plain("override_params[visibility]", "internal"))...)
		importAs(t, s, Token, gz(plain("path", "b"), plain("override_params[visibility]", "public"))...)
		if p := s.Project("owner/a"); p.Description != "" || p.Visibility != "private" {
			t.Errorf("at first: %+v", p)
		}
		time.Sleep(time.Minute)
		if p := s.Project("owner/a"); p.Description != "d" || p.Visibility != "internal" {
			t.Errorf("in the end: %+v", p)
		}
		if p := s.Project("owner/b"); p.Visibility != "private" {
			t.Errorf("a restricted visibility: %+v", p)
		}
	})
}

// TestEarlyRefusals checks what is answered while the client still sends.
func TestEarlyRefusals(t *testing.T) {
	const size = 64 << 20
	everyTransport(t, func(t *testing.T, s *Server) {
		s.AddUser(User{Username: "reader", Token: "reader", Scopes: []string{"read_api"}})
		for _, tt := range []struct {
			name, token string
			opts        []Option
			status      int
			body        string
		}{
			{"bad token", "x", nil, 401, unauthorized},
			{"anonymous", "", nil, 401, unauthorized},
			{"scope", "reader", nil, 403, ""},
			{"switched off", Token, []Option{ImportsDisabled()}, 403, forbidden},
			{"too large", Token, []Option{MaxImportSize(1 << 20)}, 413, "entity is too large\n"},
			{"throttled", Token, []Option{GlobalThrottle(1, time.Hour)}, 429, "Retry later\n"},
		} {
			s.Configure(Enabled(), MaxImportSize(0), GlobalThrottle(0, 0))
			s.Configure(tt.opts...)
			if tt.status == 429 {
				get(t, s, "projects/1/import")
			}
			body, ct := form(plain("path", "new"), file("x.tar.gz", "MIDDLE"))
			head, tail, _ := strings.Cut(body, "MIDDLE")
			sent := &countingReader{r: io.MultiReader(strings.NewReader(head), io.LimitReader(endless{}, size), strings.NewReader(tail))}
			a, err := try(t, s, request{
				method: "POST", path: "projects/import", header: as(tt.token, "Content-Type", ct),
				body: sent, length: int64(len(head)) + size + int64(len(tail)),
			})
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			if a.status != tt.status || tt.body != "" && a.body != tt.body {
				t.Errorf("%s: got %d %q", tt.name, a.status, a.body)
			}
			rs := s.Requests()
			if r := rs[len(rs)-1]; r.Complete || r.BodyBytes > 4<<20 {
				t.Errorf("%s: %d bytes were read, complete: %t", tt.name, r.BodyBytes, r.Complete)
			}
		}
		if len(s.Projects()) != 0 {
			t.Error("a project was made")
		}
	}, NoLimits())
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestExpectContinue checks that a request with Expect: 100-continue is told
// 200 whatever became of it, but not by an early refusal. HTTP/2 servers never
// show the header to their handlers.
func TestExpectContinue(t *testing.T) {
	everyTransport(t, func(t *testing.T, s *Server) {
		for _, tt := range []struct {
			token  string
			parts  []part
			status int
			body   string
		}{
			{Token, gz(plain("path", "ok")), 200, `"import_status":"scheduled"`},
			{Token, gz(plain("path", "n"), plain("namespace", "nope")), 200, noNamespace},
			{Token, []part{plain("path", "n"), file("x.zip", "")}, 200, "ending in .gz"},
			{"x", gz(plain("path", "n")), 401, unauthorized},
		} {
			body, ct := form(tt.parts...)
			a := do(t, s, request{method: "POST", path: "projects/import", header: as(tt.token, "Content-Type", ct, "Expect", "100-continue"),
				body: strings.NewReader(body)})
			if a.status != tt.status && !s.cfg.http2 || !strings.Contains(a.body, tt.body) {
				t.Errorf("got %d %s, want %d %s", a.status, a.body, tt.status, tt.body)
			}
		}
	})
}

func TestImportWithoutForm(t *testing.T) {
	inMemory(t, nil, func(t *testing.T, s *Server) {
		a := post(t, s, "projects/import", "", "")
		a.want(t, 400, `{"error":"path is missing, file is missing"}`)
		post(t, s, "projects/import", jsonType, `{"path":"x","file":"y"}`).want(t, 400, `{"error":"file is invalid"}`)
		post(t, s, "projects/import", formType, `path=x&file=y`).want(t, 400, `{"error":"file is invalid"}`)
		post(t, s, "projects/import", formType, `path=x&file=`).want(t, 422,
			`{"message":{"error":"You need to upload a GitLab project export archive (ending in .gz)."}}`)
		if a.header.Get("Content-Type") != "application/json" || a.header.Get("Date") != s.Now().Format(http.TimeFormat) {
			t.Errorf("headers: %v", a.header)
		}
	})
}
