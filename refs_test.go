package porter_test

import (
	"strings"
	"testing"

	"github.com/seed-5d77b939/porter"
)

// badRefs are refused by both parsers, with an error that holds the text.
var badRefs = map[string]string{
	"":                     "path is empty",
	"0":                    "ID 0 is not positive",
	"99999999999999999999": "ID 99999999999999999999 is too large",
	" group/app":           "white space, control or invisible characters",
	"group/app\r":          `"group/app\r" holds white space, control`,
	"\ufeffgroup/app":      `"\ufeffgroup/app" holds white space, control or invisible characters`,
	"group/\u200bapp":      "invisible characters",
	" 42":                  "white space",
	"group%2Fapp":          "is escaped already",
	"/group/app":           "empty segment: leave out slashes at its ends",
	"group/app/":           "empty segment",
	"group/../app":         `segment ".."`,

	"https://gitlab.example.com/group/app": `"https://gitlab.example.com/group/app" looks like a URL: give the full path alone`,

	"https://oauth2:SECRET@gitlab.example.com/group/app.git":    `"gitlab.example.com/group/app.git" looks like a URL`,
	"https://gitlab.example.com/group/app?private_token=SECRET": `"https://gitlab.example.com/group/app" looks like a URL`,
	"https://gitlab.example.com/group/app#SECRET":               `"https://gitlab.example.com/group/app" looks like a URL`,
	"git@gitlab.example.com:group/app.git":                      `"gitlab.example.com:group/app.git" looks like a URL`,
}

func TestParseProject(t *testing.T) {
	for s, want := range map[string]porter.ProjectRef{
		"42": porter.ProjectID(42), "9223372036854775807": porter.ProjectID(9223372036854775807), "007": porter.ProjectID(7),
		"group/app": porter.ProjectPath("group/app"), "group/sub.group/42": porter.ProjectPath("group/sub.group/42"),
		"42/43": porter.ProjectPath("42/43"),
	} {
		if p, err := porter.ParseProject(s); err != nil || p != want {
			t.Errorf("%q: %#v, %v", s, p, err)
		}
	}
	for s, want := range badRefs {
		p, err := porter.ParseProject(s)
		if p != nil || err == nil || !strings.HasPrefix(err.Error(), "project ") || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q: %#v, %v, want %s", s, p, err, want)
		}
	}
	if p, err := porter.ParseProject("app"); p != nil || err == nil || !strings.Contains(err.Error(), "has no namespace") {
		t.Errorf("without a namespace: %#v, %v", p, err)
	}
}

func TestParseNamespace(t *testing.T) {
	for s, want := range map[string]porter.NamespaceRef{
		"42": porter.NamespaceID(42), "group": porter.NamespacePath("group"), "group/42": porter.NamespacePath("group/42"),
	} {
		if ns, err := porter.ParseNamespace(s); err != nil || ns != want {
			t.Errorf("%q: %#v, %v", s, ns, err)
		}
	}
	for s, want := range badRefs {
		ns, err := porter.ParseNamespace(s)
		if ns != nil || err == nil || !strings.HasPrefix(err.Error(), "namespace ") || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q: %#v, %v, want %s", s, ns, err, want)
		}
	}
}

// The URL of a project or group is said to be one wherever a path is asked for,
// without what is secret in it.
func TestPathIsURL(t *testing.T) {
	c := newClient(t, "https://gitlab.example.com", nil, porter.WithTransport(noRequest(t)))
	const given = "https://oauth2:SECRET@gitlab.example.com/group/app?private_token=SECRET"
	_, exp := c.GetExport(t.Context(), porter.ProjectPath(given))
	into := porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath(given)}
	_, imp := c.StartImportFromURL(t.Context(), "https://example.com/a.gz", into)
	for name, err := range map[string]error{"project": exp, "namespace": imp} {
		if err == nil || !strings.Contains(err.Error(), `"gitlab.example.com/group/app" looks like a URL`) ||
			strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What people paste, by the instance that the client is of.
func TestClientParses(t *testing.T) {
	const app = porter.ProjectPath("group/app")
	clients := map[string]*porter.Client{}
	for name, base := range map[string]string{
		"plain": "https://gitlab.example.com", "root": "https://example.com/git lab/", "port": "http://localhost:8080",
	} {
		clients[name] = newClient(t, strings.ReplaceAll(base, " ", "%20"), nil, porter.WithTransport(noRequest(t)))
	}
	for _, tt := range []struct {
		client, text string
		project      porter.ProjectRef // nil for an error
		namespace    porter.NamespaceRef
	}{
		{"plain", "42", porter.ProjectID(42), porter.NamespaceID(42)},
		{"plain", "group/app", app, porter.NamespacePath("group/app")},
		{"plain", "group", nil, porter.NamespacePath("group")},

		// from a browser
		{"plain", "https://gitlab.example.com/group/app", app, porter.NamespacePath("group/app")},
		{"plain", "https://gitlab.example.com/group/app/", app, porter.NamespacePath("group/app")},
		{"plain", "HTTPS://GitLab.Example.com:443/group/app", app, porter.NamespacePath("group/app")},
		{"plain", "http://gitlab.example.com/group/app", app, porter.NamespacePath("group/app")},
		{"plain", "https://gitlab.example.com/group/app/-/issues/7?sort=asc#note_1", app, porter.NamespacePath("group/app")},
		{"plain", "https://gitlab.example.com/group/app/-", app, porter.NamespacePath("group/app")},
		{"plain", "https://gitlab.example.com/a/b/c/d/-/tree/main/x/-/y", porter.ProjectPath("a/b/c/d"), porter.NamespacePath("a/b/c/d")},
		{"plain", "https://gitlab.example.com/group/app?private_token=SECRET", app, porter.NamespacePath("group/app")},
		{"plain", "https://gitlab.example.com/group", nil, porter.NamespacePath("group")},
		{"plain", "https://gitlab.example.com/groups/group/sub/-/edit", porter.ProjectPath("groups/group/sub"),
			porter.NamespacePath("group/sub")},
		{"plain", "https://gitlab.example.com/42", nil, nil},

		// for git
		{"plain", "https://gitlab.example.com/group/app.git", app, porter.NamespacePath("group/app.git")},
		{"plain", "https://oauth2:SECRET@gitlab.example.com/group/app.git", app, porter.NamespacePath("group/app.git")},
		{"plain", "git@gitlab.example.com:group/app.git", app, porter.NamespacePath("group/app.git")},
		{"plain", "git@gitlab.example.com:/group/app.git", app, porter.NamespacePath("group/app.git")},
		{"plain", "ssh://git@gitlab.example.com:2222/group/app.git", app, porter.NamespacePath("group/app.git")},

		// of the API
		{"plain", "https://gitlab.example.com/api/v4/projects/42", porter.ProjectID(42), nil},
		{"plain", "https://gitlab.example.com/api/v4/projects/group%2Fapp/export?x=1", app, nil},
		{"plain", "https://gitlab.example.com/api/v4/groups/7/projects", nil, porter.NamespaceID(7)},
		{"plain", "https://gitlab.example.com/api/v4/namespaces/group%2Fsub", nil, porter.NamespacePath("group/sub")},
		{"plain", "https://gitlab.example.com/api/v4/projects", nil, nil},
		{"plain", "https://gitlab.example.com/api/v4/projects/", nil, nil},
		{"plain", "https://gitlab.example.com/api/v4/version", nil, nil},

		// of another place, or of none
		{"plain", "https://gitlab.com/group/app?private_token=SECRET", nil, nil},
		{"plain", "https://x:SECRET@gitlab.com/group/app", nil, nil},
		{"plain", "https://gitlab.example.com:8443/group/app", nil, nil},
		{"plain", "https://gitlab.example.com.evil.test/group/app", nil, nil},
		{"plain", "git@gitlab.com:group/app.git", nil, nil},
		{"plain", "ssh://git@gitlab.com/group/app.git", nil, nil},
		{"plain", "https://gitlab.example.com", nil, nil},
		{"plain", "https://gitlab.example.com/", nil, nil},
		{"plain", "https://gitlab.example.com/-/p/42", nil, nil},
		{"plain", "https://gitlab.example.com/group//app", nil, nil},
		{"plain", "https://gitlab.example.com/group/%2e%2e/app", nil, nil},
		{"plain", "https://gitlab.example.com/group/%zz", nil, nil},
		{"plain", "ftp://gitlab.example.com/group/app", nil, nil},
		{"plain", "gitlab.example.com:group/app", nil, nil},
		{"plain", "https://", nil, nil},
		{"plain", ":", nil, nil},
		{"plain", "", nil, nil},
		{"plain", " https://gitlab.example.com/group/app", nil, nil},

		// below a relative URL root, of which SSH knows nothing
		{"root", "https://example.com/git%20lab/group/app/-/issues", app, porter.NamespacePath("group/app")},
		{"root", "https://example.com/git%20lab/api/v4/projects/42", porter.ProjectID(42), nil},
		{"root", "git@example.com:group/app.git", app, porter.NamespacePath("group/app.git")},
		{"root", "https://example.com/group/app", nil, nil},
		{"root", "https://example.com/git%20labs/group/app", nil, nil},
		{"root", "https://example.com/git%20lab", nil, nil},

		{"port", "http://localhost:8080/group/app", app, porter.NamespacePath("group/app")},
		{"port", "http://localhost/group/app", nil, nil},
		{"port", "localhost:8080/group/app", nil, nil},
	} {
		p, err := clients[tt.client].ParseProject(tt.text)
		if p != tt.project || (err == nil) != (tt.project != nil) {
			t.Errorf("%s: project %q: got %#v, %v", tt.client, tt.text, p, err)
		}
		ns, nerr := clients[tt.client].ParseNamespace(tt.text)
		if ns != tt.namespace || (nerr == nil) != (tt.namespace != nil) {
			t.Errorf("%s: namespace %q: got %#v, %v", tt.client, tt.text, ns, nerr)
		}
		for kind, err := range map[string]error{"project ": err, "namespace ": nerr} {
			if err != nil && (!strings.HasPrefix(err.Error(), kind) || strings.Contains(err.Error(), "SECRET")) {
				t.Errorf("%s: %q: %v", tt.client, tt.text, err)
			}
		}
	}
	_, err := clients["root"].ParseProject("https://gitlab.com/group/app")
	want := `project "https://gitlab.com/group/app" is not on this instance, https://example.com/git%20lab`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
