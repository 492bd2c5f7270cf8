package porter_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// The probe tells what GitLab says before it creates anything.
func TestProbeImport(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		opts []portertest.Option
		eve  portertest.User
		ns   porter.NamespaceRef
		want string
		text string // of a finding or the error
		err  error
	}{
		{name: "fine", ns: porter.NamespacePath("new")},
		{name: "fine by ID", ns: porter.NamespaceID(104)},
		{name: "fine in the own namespace"},
		{name: "fine in another language", opts: []portertest.Option{portertest.Localized()}},
		{name: "10.6", opts: []portertest.Option{portertest.Version("10.6")}, ns: porter.NamespacePath("new")},
		{name: "13.12", opts: []portertest.Option{portertest.Version("13.12")}, ns: porter.NamespacePath("new")},
		{name: "namespace", ns: porter.NamespacePath("nwe"), want: "namespace!", text: "the namespace nwe does not exist"},
		{name: "source", opts: []portertest.Option{portertest.ImportsDisabled()}, want: "import source!", text: "switched off"},
		{name: "scope", eve: portertest.User{Scopes: []string{"read_api"}}, want: "scope!", text: "insufficient_scope"},
		{name: "permission", eve: portertest.User{Lacks: []string{"import_project"}}, want: "scope!", text: "import_project"},
		{name: "token", eve: portertest.User{Revoked: true}, err: porter.ErrUnauthorized, text: "probe import into one's own namespace: POST"},
		{name: "blocked", eve: portertest.User{Blocked: true}, err: porter.ErrForbidden, text: "blocked"},
		{name: "reference", ns: porter.NamespaceID(-1), err: errAny, text: "probe import: namespace ID -1 is not positive"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := portertest.NewServer(append([]portertest.Option{portertest.InMemory()}, tt.opts...)...)
				defer s.Close()
				tt.eve.Username, tt.eve.Token = "eve", "glpat-eve"
				s.AddUser(tt.eve)
				s.AddGroup("other")
				if id := s.AddGroup("new"); id != 104 {
					t.Fatalf("the group's ID is %d", id)
				}
				s.AddMember("new", "eve", portertest.Maintainer)
				check, err := connectAs(t, s, "glpat-eve").ProbeImport(t.Context(), tt.ns)
				if tt.err != nil {
					if check != nil || err == nil || tt.err != errAny && !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.text) {
						t.Errorf("found %v, %v", check, err)
					}
				} else if err != nil || kindsOf(check.Findings) != tt.want || tt.want != "" && !strings.Contains(check.Findings[0].Text, tt.text) {
					t.Errorf("found %v, %v", check, err)
				}
				if n := len(s.Projects()); n != 0 {
					t.Errorf("%d projects were created", n)
				}
			})
		})
	}
}

// errAny stands for an error without a sentinel.
var errAny = errors.New("any")

// A probe takes a turn among the imports.
func TestProbeImportIsPaced(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *portertest.Server, c *porter.Client) {
		start := time.Now()
		for range 7 {
			if check, err := c.ProbeImport(t.Context(), nil); err != nil || len(check.Findings) != 0 {
				t.Fatalf("found %v, %v", check, err)
			}
		}
		if d := time.Since(start); d < 59*time.Second || d > 2*time.Minute || refusals(s, 429) != 0 {
			t.Errorf("took %v, with %d refused", d, refusals(s, 429))
		}
	})
}

// A GitLab that takes the probe for an import has created a project, which the
// error names.
func TestProbeImportTaken(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *portertest.Server, c *porter.Client) {
		s.Inject(portertest.Fault{Method: "POST", Do: portertest.Respond(201, jsonType,
			`{"id":9,"path_with_namespace":"owner/x","import_status":"scheduled"}`)})
		check, err := c.ProbeImport(t.Context(), nil)
		if check != nil || err == nil || !strings.Contains(err.Error(), "created project 9, owner/x") {
			t.Errorf("found %v, %v", check, err)
		}
		s.Inject(portertest.Fault{Method: "POST", Do: portertest.Respond(502, nil, "")})
		if _, err := c.ProbeImport(t.Context(), nil); !errors.Is(err, porter.ErrOutcomeUnknown) {
			t.Errorf("got %v", err)
		}
	})
}
