package input

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// show writes what was read in one line each.
func show(all []*Wanted) string {
	var b strings.Builder
	for _, w := range all {
		fmt.Fprintf(&b, "%s>%s>%s;", w.Name, w.namespace, w.base)
	}
	return b.String()
}

func TestParseList(t *testing.T) {
	t.Parallel()
	client, err := porter.NewClient("https://gitlab.example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, list string
		want       string
		err        string
	}{
		{"plain", "a/b\nc/d/e\n42\n", "a/b>>;c/d/e>>;42>>;", ""},
		{"no newline at the end", "a/b\nc/d", "a/b>>;c/d>>;", ""},
		{"byte order mark and CRLF", "\ufeffa/b\r\nc/d\r\n", "a/b>>;c/d>>;", ""},
		{"comments and blank lines", "# mine\n\n  \n\t\n  a/b  \n#c/d\n", "a/b>>;", ""},
		{"comma", "a/b, x/y , q\nc/d,x\n", "a/b>x/y>q;c/d>x>;", ""},
		{"tab", "a/b\tx/y\tq\r\nc/d\t\tq2\n42\tx\tz\n", "a/b>x/y>q;c/d>>q2;42>x>z;", ""},
		{"ID with zeros in front", "007\n", "7>>;", ""},
		{"empty", "", "", "l.txt: no projects"},
		{"only comments", "# a/b\n", "", "l.txt: no projects"},
		{"no namespace", "a/b\n\nwidget\n", "", "l.txt:3: project path \"widget\" has no namespace"},
		{"URLs", "https://gitlab.example.com/a/b/-/issues?state=all\ngit@gitlab.example.com:a/c.git,x\n" +
			"https://gitlab.example.com/api/v4/projects/42\nA/B\n", "a/b>>;a/c>x>;42>>;", ""},
		{"a URL of another instance", "a/b\nhttps://gitlab.com/a/b\n", "",
			"l.txt:2: project \"https://gitlab.com/a/b\" is not on this instance, https://gitlab.example.com"},
		{"twice", "a/b\n# x\nA/B\nc/d,x\na/b\nc/d, x\n", "a/b>>;c/d>x>;", ""},
		{"twice, with two targets", "a/b,x\n# x\nA/B,y\n", "", "l.txt:3: A/B is on line 1 already, with another target"},
		{"four columns", "a/b,c,d,e\n", "", "l.txt:1: 4 columns"},
		{"no project", "\tx\ty\n", "", "l.txt:1: project path is empty"},
		{"namespace by ID", "a/b,12\n", "", "l.txt:1: namespace 12 is an ID"},
		{"namespace with a space", "a/b,c d\n", "", "l.txt:1: namespace path \"c d\""},
		{"path with a slash", "a/b,c,d/e\n", "", "l.txt:1: path \"d/e\": the third column"},
		{"path of dots", "a/b,c,..\n", "", "l.txt:1: path \"..\": the third column"},
		{"dots", "a/../b\n", "", "l.txt:1: project path \"a/../b\""},
		{"a character of no path", "a/b:c\n", "", "l.txt:1: "},
		{"backslash", "a\\b/c\n", "", "l.txt:1: project path"},
		{"quotes", "\"a/b\"\n", "", "l.txt:1: project path"},
		{"UTF-16", "\xff\xfea\x00/\x00b\x00\n", "", "l.txt:1: not UTF-8"},
		{"long line", "a/b\n" + strings.Repeat("x", 70000), "", "l.txt:2: the line is too long"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := parseList(strings.NewReader(tt.list), "l.txt", client.ParseProject)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.err)) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			var usage *UsageError
			if err != nil && !errors.As(err, &usage) {
				t.Errorf("%v is no wrong usage", err)
			}
			if got := show(got); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestParseListFails(t *testing.T) {
	t.Parallel()
	_, err := parseList(failingReader{}, "standard input", porter.ParseProject)
	if err == nil || err.Error() != "standard input: broken pipe" {
		t.Errorf("got %v", err)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestParseRate(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]porter.Pacing{
		"exports=60":                          {Exports: 60},
		"exports=none, imports=7,downloads=2": {Exports: -1, Imports: 7, Downloads: 2},
		"polls=600":                           {Polls: 600},
	} {
		var got porter.Pacing
		if err := ParseRate(s, &got); err != nil || got != want {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "exports", "exports=", "exports=0", "exports=-1", "uploads=3", "exports=6;imports=6"} {
		var got porter.Pacing
		if err := ParseRate(s, &got); err == nil {
			t.Errorf("%q: %+v", s, got)
		}
	}
}

// newGroups returns an instance with some projects.
func newGroups(t *testing.T) (*portertest.Server, *porter.Client) {
	t.Helper()
	s := portertest.NewServer(portertest.NoLimits())
	t.Cleanup(s.Close)
	for i, p := range []string{"a/p", "a/x/p", "a/x/y/q", "b/p"} {
		s.AddProject(portertest.Project{ID: int64(10 + i), Path: p})
	}
	s.AddProject(portertest.Project{ID: 20, Path: "a/old", Archived: true})
	c, err := porter.NewClient(s.URL, porter.PrivateToken(portertest.Token))
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

func TestGather(t *testing.T) {
	t.Parallel()
	s, client := newGroups(t)
	for _, tt := range []struct {
		name string
		in   Input
		want string
		err  string
	}{
		{"in order", Input{Args: []string{"b/p"}, List: "-", Stdin: strings.NewReader("a/x/p\n"), Groups: []string{"a"}},
			"b/p>>;a/x/p>>;a/p>>;a/x/y/q>>;a/old>>;", ""},
		{"subgroup, and a group twice", Input{Groups: []string{"a/x", "a/x/y"}}, "a/x/p>>;a/x/y/q>>;", ""},
		{"URLs", Input{Args: []string{s.URL + "/b/p"}, Groups: []string{s.URL + "/groups/a/x/-/activity"}}, "b/p>>;a/x/p>>;a/x/y/q>>;", ""},
		{"a group of another instance", Input{Groups: []string{"https://gitlab.com/a"}}, "", "-group: namespace \"https://gitlab.com/a\" is not"},
		{"group by ID of none", Input{Groups: []string{"99999"}}, "", "list projects of 99999: "},
		{"no such group", Input{Groups: []string{"nobody"}}, "", "list projects of nobody: "},
		{"without archived ones", Input{Groups: []string{"a"}, Archived: "skip"}, "a/p>>;a/x/p>>;a/x/y/q>>;", ""},
		{"archived ones only", Input{Groups: []string{"a"}, Archived: "only"}, "a/old>>;", ""},
		{"argument twice, in any case", Input{Args: []string{"a/p", "A/P"}}, "a/p>>;", ""},
		{"by ID, and listed", Input{Args: []string{"11"}, Groups: []string{"a/x"}}, "11>>;a/x/y/q>>;", ""},
		{"the list says the target", Input{Args: []string{"a/p"}, List: "-", Stdin: strings.NewReader("A/p,n,m\n"), Groups: []string{"a/x"}},
			"a/p>n>m;a/x/p>>;a/x/y/q>>;", ""},
		{"include", Input{Groups: []string{"a"}, Include: []string{"a/*"}}, "a/p>>;a/old>>;", ""},
		{"include all below, in any case", Input{Groups: []string{"a"}, Include: []string{"A/X/**"}}, "a/x/p>>;a/x/y/q>>;", ""},
		{"exclude wins", Input{Groups: []string{"a"}, Include: []string{"**/p", "a/old"}, Exclude: []string{"a/p"}}, "a/x/p>>;a/old>>;", ""},
		{"choices", Input{Groups: []string{"a"}, Include: []string{"a/{p,x/y/*}"}}, "a/p>>;a/x/y/q>>;", ""},
		{"nothing left", Input{Groups: []string{"a"}, Exclude: []string{"**"}}, "", "no projects are left"},
		{"bad argument", Input{Args: []string{"../x/y"}}, "", "project path \"../x/y\""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := tt.in.Check("n"); err != nil && tt.err == "" {
				t.Error(err)
			}
			got, err := tt.in.Gather(context.Background(), client)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.err)) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			if got := show(got); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	s, client := newGroups(t)
	for _, tt := range []struct {
		name      string
		in        Input
		namespace string
		want      string // of each, or its error
		err       string
	}{
		{"the same paths", Input{Args: []string{"a/p", "b/p"}}, "", "a/p b/p", ""},
		{"the same path, by ID", Input{Args: []string{"12"}}, "", "a/x/y/q", ""},
		{"to a namespace", Input{Args: []string{"a/p", "a/x/y/q"}}, "n/m", "n/m/p n/m/q", ""},
		{"to a namespace, by ID", Input{Args: []string{"12"}}, "n", "n/q", ""},
		{"a group moves with its subgroups", Input{Groups: []string{"a"}, Archived: "skip"}, "n", "n/p n/x/p n/x/y/q", ""},
		{"a subgroup moves", Input{Groups: []string{"a/x"}}, "n/m", "n/m/p n/m/y/q", ""},
		{"a subgroup by its URL", Input{Groups: []string{s.URL + "/a/x"}}, "n/m", "n/m/p n/m/y/q", ""},
		{"a group in any case", Input{Groups: []string{"A/X"}}, "n", "n/p n/y/q", ""},
		{"the list wins", Input{Groups: []string{"a/x"}, List: "-", Stdin: strings.NewReader("a/x/p,k\na/x/y/q,,w\nb/p,k,v\n")}, "n",
			"k/p n/y/w k/v", ""},
		{"the list without a namespace", Input{List: "-", Stdin: strings.NewReader("a/x/p,,w\n")}, "", "a/x/w", ""},
		{"two to one", Input{Args: []string{"a/p", "b/p"}}, "n", "", "a/p and b/p would both become n/p"},
		{"an ID that is no project", Input{Args: []string{"77", "a/p"}}, "", "failed a/p", ""},
		{"an ID with a target is not looked up", Input{List: "-", Stdin: strings.NewReader("77,n,m\n")}, "", "n/m", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			all, err := tt.in.Gather(t.Context(), client)
			if err != nil {
				t.Fatal(err)
			}
			projects, err := Migrations(t.Context(), all, tt.namespace, client)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.err)) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			var got []string
			for _, p := range projects {
				if p.Err != nil {
					p.Target = "failed"
				}
				got = append(got, p.Target)
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// What GitLab lists is taken only if it is a path.
func TestListedNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a/../../etc", "/etc/x", "a/b\\c", "a//b", "a/b\x00", "..", "a/.", "C:/x", "a/b\n"} {
		if w, err := newWanted(name, porter.ParseProject); err == nil {
			t.Errorf("%q is taken for %+v", name, w)
		}
	}
}
