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
	"/group/app":           "empty segment",
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
