package portertest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed-5d77b939/porter/portertest"
)

// TestMisuse makes the mistakes that a test can make, which panic with a text
// that says what they are.
func TestMisuse(t *testing.T) {
	s := portertest.NewServer()
	defer s.Close()
	s.AddProject(portertest.Project{Path: "group/app"})
	archive := portertest.NewArchive(portertest.MinArchiveSize)
	for want, misuse := range map[string]func(){
		"option is nil":                      func() { portertest.NewServer(nil) },
		"option is nil ":                     func() { s.Configure(nil) },
		`version "x"`:                        func() { portertest.Version("x") },
		"a project's path needs a namespace": func() { s.AddProject(portertest.Project{}) },
		"there is a project at group/app":    func() { s.AddProject(portertest.Project{Path: "group/app"}) },
		"no project no/where":                func() { s.ScriptExport("no/where", portertest.ExportScript{}) },
		"no project no/where ":               func() { s.AddItems("no/where", "issues") },
		"no project no/where or no relation": func() { s.SetRelation("no/where", "issues", portertest.Relation{}) },
		"or no user nobody":                  func() { s.AddExport("group/app", "nobody") },
		"no user nobody":                     func() { s.AddMember("group", "nobody", portertest.Guest) },
		"no group or project no/where":       func() { s.AddMember("no/where", "owner", portertest.Guest) },
		"a user needs a name and a token":    func() { s.AddUser(portertest.User{}) },
		"a group needs a path":               func() { s.AddGroup("") },
		"is not on the loopback":             func() { s.AllowOutbound("https://example.com") },
		"bytes are too few":                  func() { portertest.NewArchive(1) },
		"AddObject: path \"x\" without":      func() { s.AddObject("x", "application/gzip", archive) },
		"or no archive":                      func() { s.AddObject("/x", "application/gzip", nil) },
	} {
		text := panicOf(misuse)
		if !strings.HasPrefix(text, "portertest: ") || !strings.Contains(text, strings.TrimSpace(want)) {
			t.Errorf("got %q, want %q", text, want)
		}
	}
}

// panicOf returns what f panics with, as a text.
func panicOf(f func()) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprint(v)
		}
	}()
	f()
	return ""
}
