package main

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
func show(all []*wanted) string {
	var b strings.Builder
	for _, w := range all {
		fmt.Fprintf(&b, "%s>%s>%s;", w.name, w.namespace, w.base)
	}
	return b.String()
}

func TestParseList(t *testing.T) {
	t.Parallel()
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
		{"a URL", "https://gitlab.example.com/a/b\n", "", "l.txt:1: project \"https://gitlab.example.com/a/b\" looks like a URL"},
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
			got, err := parseList(strings.NewReader(tt.list), "l.txt")
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.err)) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			var usage *usageError
			if err != nil && !errors.As(err, &usage) {
				t.Errorf("%v is no wrong usage", err)
			}
			if got := show(got); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// What -rate says twice adds up.
func TestRateRepeated(t *testing.T) {
	t.Parallel()
	var o options
	want := porter.Pacing{Exports: 60, Imports: -1}
	if err := o.flags().Parse([]string{"-rate", "exports=60", "-rate", "imports=none"}); err != nil || o.rate != want {
		t.Errorf("%+v, %v", o.rate, err)
	}
}

func TestParseListFails(t *testing.T) {
	t.Parallel()
	if _, err := parseList(failingReader{}, "standard input"); err == nil || err.Error() != "standard input: broken pipe" {
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
		if err := parseRate(s, &got); err != nil || got != want {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "exports", "exports=", "exports=0", "exports=-1", "uploads=3", "exports=6;imports=6"} {
		var got porter.Pacing
		if err := parseRate(s, &got); err == nil {
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
	_, client := newGroups(t)
	for _, tt := range []struct {
		name string
		in   input
		want string
		err  string
	}{
		{"in order", input{args: []string{"b/p"}, list: "-", stdin: strings.NewReader("a/x/p\n"), groups: []string{"a"}},
			"b/p>>;a/x/p>>;a/p>>;a/x/y/q>>;a/old>>;", ""},
		{"subgroup, and a group twice", input{groups: []string{"a/x", "a/x/y"}}, "a/x/p>>;a/x/y/q>>;", ""},
		{"group by ID of none", input{groups: []string{"99999"}}, "", "list projects of 99999: "},
		{"no such group", input{groups: []string{"nobody"}}, "", "list projects of nobody: "},
		{"without archived ones", input{groups: []string{"a"}, archived: "skip"}, "a/p>>;a/x/p>>;a/x/y/q>>;", ""},
		{"archived ones only", input{groups: []string{"a"}, archived: "only"}, "a/old>>;", ""},
		{"argument twice, in any case", input{args: []string{"a/p", "A/P"}}, "a/p>>;", ""},
		{"by ID, and listed", input{args: []string{"11"}, groups: []string{"a/x"}}, "11>>;a/x/y/q>>;", ""},
		{"the list says the target", input{args: []string{"a/p"}, list: "-", stdin: strings.NewReader("A/p,n,m\n"), groups: []string{"a/x"}},
			"a/p>n>m;a/x/p>>;a/x/y/q>>;", ""},
		{"include", input{groups: []string{"a"}, include: []string{"a/*"}}, "a/p>>;a/old>>;", ""},
		{"include all below, in any case", input{groups: []string{"a"}, include: []string{"A/X/**"}}, "a/x/p>>;a/x/y/q>>;", ""},
		{"exclude wins", input{groups: []string{"a"}, include: []string{"**/p", "a/old"}, exclude: []string{"a/p"}}, "a/x/p>>;a/old>>;", ""},
		{"choices", input{groups: []string{"a"}, include: []string{"a/{p,x/y/*}"}}, "a/p>>;a/x/y/q>>;", ""},
		{"nothing left", input{groups: []string{"a"}, exclude: []string{"**"}}, "", "no projects are left"},
		{"bad argument", input{args: []string{"../x/y"}}, "", "project path \"../x/y\""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := tt.in.gather(context.Background(), client)
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
	_, client := newGroups(t)
	for _, tt := range []struct {
		name      string
		in        input
		namespace string
		want      string // of each, or its error
		err       string
	}{
		{"the same paths", input{args: []string{"a/p", "b/p"}}, "", "a/p b/p", ""},
		{"the same path, by ID", input{args: []string{"12"}}, "", "a/x/y/q", ""},
		{"to a namespace", input{args: []string{"a/p", "a/x/y/q"}}, "n/m", "n/m/p n/m/q", ""},
		{"to a namespace, by ID", input{args: []string{"12"}}, "n", "n/q", ""},
		{"a group moves with its subgroups", input{groups: []string{"a"}, archived: "skip"}, "n", "n/p n/x/p n/x/y/q", ""},
		{"a subgroup moves", input{groups: []string{"a/x"}}, "n/m", "n/m/p n/m/y/q", ""},
		{"a group in any case", input{groups: []string{"A/X"}}, "n", "n/p n/y/q", ""},
		{"the list wins", input{groups: []string{"a/x"}, list: "-", stdin: strings.NewReader("a/x/p,k\na/x/y/q,,w\nb/p,k,v\n")}, "n",
			"k/p n/y/w k/v", ""},
		{"the list without a namespace", input{list: "-", stdin: strings.NewReader("a/x/p,,w\n")}, "", "a/x/w", ""},
		{"two to one", input{args: []string{"a/p", "b/p"}}, "n", "", "a/p and b/p would both become n/p"},
		{"an ID that is no project", input{args: []string{"77", "a/p"}}, "", "failed a/p", ""},
		{"an ID with a target is not looked up", input{list: "-", stdin: strings.NewReader("77,n,m\n")}, "", "n/m", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			all, err := tt.in.gather(t.Context(), client)
			if err != nil {
				t.Fatal(err)
			}
			projects, err := migrations(t.Context(), all, tt.namespace, client)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.err)) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			var got []string
			for _, p := range projects {
				if p.Step == stepFailed && p.Err != nil {
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

// What GitLab lists becomes a file's name only if it is a path.
func TestListedNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a/../../etc", "/etc/x", "a/b\\c", "a//b", "a/b\x00", "..", "a/.", "C:/x", "a/b\n"} {
		if w, err := newWanted(name); err == nil {
			t.Errorf("%q is taken for %+v", name, w)
		}
	}
	all, err := exports([]*wanted{{name: "a/x.y/_b-1"}, {name: "42", id: 42}}, "dir")
	if err != nil || len(all) != 2 || all[1].File != "dir/42.tar.gz" && all[1].File != `dir\42.tar.gz` || all[1].ID != 42 {
		t.Errorf("got %+v, %v", all, err)
	}
}
