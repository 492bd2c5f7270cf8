// Package input reads which projects a command is about.
package input

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"golang.org/x/sync/errgroup"

	"github.com/seed-5d77b939/porter"
)

// An Input is what names the projects.
type Input struct {
	Args     []string
	List     string // file, "-" for standard input
	Stdin    io.Reader
	Groups   []string
	Include  []string // patterns
	Exclude  []string
	Archived string // "skip", "only" or "all"; "" is all
}

// Flags defines the flags that name projects.
func (in *Input) Flags(fs *flag.FlagSet) {
	more := func(list *[]string) func(string) error {
		return func(s string) error {
			*list = append(*list, s)
			return nil
		}
	}
	fs.StringVar(&in.List, "list", "", "`file` with a project on each line; - for standard input")
	fs.Func("group", "`group` whose projects, and those of its subgroups, are taken; may be repeated", more(&in.Groups))
	fs.Func("include", "take only projects that match a `pattern`; may be repeated", more(&in.Include))
	fs.Func("exclude", "leave out projects that match a `pattern`; may be repeated", more(&in.Exclude))
	fs.StringVar(&in.Archived, "archived", "", "archived projects of -group: skip, only or all (default all)")
}

// A Wanted is a project as it was named.
type Wanted struct {
	Name      string           // as it was given, or the path that GitLab lists
	ID        porter.ProjectID // 0 if it is not known
	group     string           // that was listed
	namespace string           // target columns of the list, "" for none
	base      string
	source    string // its path, once it is known
	err       error  // why it can't be told
}

// A UsageError is what is wrong with the command line or a list.
type UsageError struct{ text string }

// Error says what is wrong.
func (e *UsageError) Error() string { return e.text }

// Misused returns a *UsageError with a text.
func Misused(format string, args ...any) error { return &UsageError{fmt.Sprintf(format, args...)} }

// Check refuses what can be refused before anything is asked. The namespace is
// where all go whose targets are not in the list; "" has every project keep its
// path.
func (in *Input) Check(namespace string) error {
	if err := in.checkGroups(namespace); err != nil {
		return err
	}
	switch {
	case len(in.Args) == 0 && in.List == "" && len(in.Groups) == 0:
		return Misused("no projects are named")
	case in.Archived != "" && len(in.Groups) == 0:
		return Misused("-archived is for -group")
	case in.Archived != "" && in.Archived != "skip" && in.Archived != "only" && in.Archived != "all":
		return Misused("-archived can be skip, only or all, not %q", in.Archived)
	}
	for _, arg := range in.Args {
		if strings.HasPrefix(arg, "-") {
			return Misused("%s is behind a project; flags come first", arg)
		}
	}
	for _, pattern := range append(in.Include[:len(in.Include):len(in.Include)], in.Exclude...) {
		if !doublestar.ValidatePattern(pattern) {
			return Misused("pattern %q is malformed", pattern)
		}
	}
	return nil
}

// checkGroups refuses groups, and a namespace that they can't go to.
func (in *Input) checkGroups(namespace string) error {
	if namespace != "" {
		if err := checkNamespace(namespace); err != nil {
			return Misused("-namespace: %v", err)
		}
	}
	for _, g := range in.Groups {
		if strings.Contains(g, ":") {
			continue // a URL, which takes a client to read
		}
		if _, err := porter.ParseNamespace(g); err != nil {
			return Misused("-group: %v", err)
		}
		if namespace == "" {
			continue
		}
		if err := checkNamespace(g); err != nil {
			return Misused("-group with -namespace: %v", err)
		}
	}
	return nil
}

// Gather returns the projects in the order in which they were given: arguments,
// list, groups.
func (in *Input) Gather(ctx context.Context, from *porter.Client) ([]*Wanted, error) {
	all := gathered{selects: in.selects, seen: map[string]*Wanted{}}
	for _, arg := range in.Args {
		w, err := newWanted(arg, from.ParseProject)
		if err != nil {
			return nil, Misused("%v", err)
		}
		all.add(w)
	}
	listed, err := in.readList(from.ParseProject)
	if err != nil {
		return nil, err
	}
	for _, w := range listed {
		all.add(w)
	}
	for _, group := range in.Groups {
		if err := in.gatherGroup(ctx, from, group, &all); err != nil {
			return nil, err
		}
	}
	if len(all.wanted) == 0 {
		return nil, Misused("no projects are left of those that are named")
	}
	return all.wanted, nil
}

func (in *Input) gatherGroup(ctx context.Context, from *porter.Client, group string, all *gathered) error {
	ns, err := from.ParseNamespace(group)
	if err != nil {
		return Misused("-group: %v", err)
	}
	group = ns.String()
	for p, err := range from.Projects(ctx, ns, &porter.ListOptions{Archived: porter.Archived(in.Archived)}) {
		if err != nil {
			return err
		}
		name := string(p.PathWithNamespace)
		w, err := newWanted(name, porter.ParseProject)
		if err != nil {
			return fmt.Errorf("list projects of %s: project %d: %w", group, p.ID, err)
		}
		w.ID, w.group, w.source = p.ID, group, name
		all.add(w)
	}
	return nil
}

// gathered are the projects so far. Who is named twice is in the first place,
// with the target of the list.
type gathered struct {
	wanted  []*Wanted
	seen    map[string]*Wanted // by name, and by ID
	selects func(name string) bool
}

func (g *gathered) add(w *Wanted) {
	key := strings.ToLower(w.Name)
	for _, known := range []*Wanted{g.seen[key], g.seen[w.ID.String()]} {
		if known != nil {
			known.namespace, known.base = cmp.Or(w.namespace, known.namespace), cmp.Or(w.base, known.base)
			known.group = cmp.Or(known.group, w.group)
			known.source = cmp.Or(known.source, w.source)
			return
		}
	}
	g.seen[key] = w
	if g.selects(w.Name) {
		g.wanted = append(g.wanted, w)
	}
}

// selects goes by the patterns. As in GitLab's paths, case does not matter.
func (in *Input) selects(name string) bool {
	match := func(pattern string) bool {
		return doublestar.MatchUnvalidated(strings.ToLower(pattern), strings.ToLower(name))
	}
	included := len(in.Include) == 0
	for _, pattern := range in.Include {
		included = included || match(pattern)
	}
	for _, pattern := range in.Exclude {
		included = included && !match(pattern)
	}
	return included
}

// segment is a part of a path. GitLab takes no other characters, and nothing
// else becomes a file's name.
var segment = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// A parser reads the name of a project: that of package porter an ID or a full
// path, that of a client a URL of its instance, too.
type parser func(string) (porter.ProjectRef, error)

// newWanted checks the name of a project.
func newWanted(name string, parse parser) (*Wanted, error) {
	p, err := parse(name)
	if err != nil {
		return nil, err
	}
	if id, ok := p.(porter.ProjectID); ok {
		return &Wanted{Name: id.String(), ID: id}, nil
	}
	name = p.String()
	if err := checkSegments(name); err != nil {
		return nil, fmt.Errorf("project path %q: %w", name, err)
	}
	return &Wanted{Name: name, source: name}, nil
}

func isSegment(s string) bool { return segment.MatchString(s) && strings.Trim(s, ".") != "" }

func checkSegments(p string) error {
	for s := range strings.SplitSeq(p, "/") {
		if !isSegment(s) {
			return fmt.Errorf("%q is no part of a path", s)
		}
	}
	return nil
}

// readList reads the file of -list, if there is one.
func (in *Input) readList(parse parser) ([]*Wanted, error) {
	switch in.List {
	case "":
		return nil, nil
	case "-":
		return parseList(in.Stdin, "standard input", parse)
	}
	f, err := os.Open(in.List)
	if err != nil {
		return nil, Misused("-list: %v", err)
	}
	defer f.Close()
	return parseList(f, in.List, parse)
}

// parseList reads a List: on each line a project and, after a tab or comma each,
// its namespace at the destination and its path there. Blank lines and those
// with # in front are left out, and so is a line that is there already.
func parseList(r io.Reader, name string, parse parser) ([]*Wanted, error) {
	var all []*Wanted
	type listedAt struct {
		*Wanted
		n int
	}
	lineOf := map[string]listedAt{}
	lines := bufio.NewScanner(r)
	n := 0
	for lines.Scan() {
		n++
		text := lines.Text()
		if n == 1 {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		if !utf8.ValidString(text) || strings.Contains(text, "\x00") {
			return nil, Misused("%s:%d: not UTF-8; save the list as UTF-8", name, n)
		}
		text = strings.Trim(text, " \r")
		if strings.TrimSpace(text) == "" || strings.HasPrefix(text, "#") {
			continue
		}
		w, err := parseLine(text, parse)
		if err != nil {
			return nil, Misused("%s:%d: %v", name, n, err)
		}
		key := strings.ToLower(w.Name)
		if before := lineOf[key]; before.n > 0 {
			if before.namespace != w.namespace || before.base != w.base {
				return nil, Misused("%s:%d: %s is on line %d already, with another target", name, n, w.Name, before.n)
			}
			continue
		}
		lineOf[key] = listedAt{w, n}
		all = append(all, w)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, Misused("%s:%d: the line is too long", name, n+1)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	case len(all) == 0:
		return nil, Misused("%s: no projects", name)
	}
	return all, nil
}

func parseLine(text string, parse parser) (*Wanted, error) {
	separator := ","
	if strings.Contains(text, "\t") {
		separator = "\t"
	}
	fields := strings.Split(text, separator)
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	if len(fields) > 3 {
		return nil, fmt.Errorf("%d columns; there are a project, a namespace and a path", len(fields))
	}
	w, err := newWanted(fields[0], parse)
	if err != nil {
		return nil, err
	}
	fields = append(fields, "", "")
	if w.namespace = fields[1]; w.namespace != "" {
		if err := checkNamespace(w.namespace); err != nil {
			return nil, err
		}
	}
	if w.base = fields[2]; w.base != "" && !isSegment(w.base) {
		return nil, fmt.Errorf("path %q: the third column is the last part of a project's path", w.base)
	}
	return w, nil
}

// checkNamespace wants a path, because what stands at the destination is found
// by the path.
func checkNamespace(s string) error {
	switch ns, err := porter.ParseNamespace(s); {
	case err != nil:
		return err
	default:
		if _, ok := ns.(porter.NamespaceID); ok {
			return fmt.Errorf("namespace %s is an ID; give the full path", s)
		}
	}
	if err := checkSegments(s); err != nil {
		return fmt.Errorf("namespace path %q: %w", s, err)
	}
	return nil
}

// A Migration is a project with its target.
type Migration struct {
	Name   string           // as it was given, or its path if a group was listed
	ID     porter.ProjectID // 0 if it is not known
	Target string           // full path at the destination
	Err    error            // why that can't be told
}

// Migrations returns the projects with their targets. Those of which the path
// has to be known and can't be have an error. Two with the same target are wrong
// usage.
func Migrations(ctx context.Context, all []*Wanted, namespace string, from *porter.Client) ([]Migration, error) {
	findPaths(ctx, all, namespace, from)
	var migrations []Migration
	byTarget := map[string]string{}
	for _, w := range all {
		m := Migration{Name: w.Name, ID: w.ID, Err: w.err}
		if m.Err == nil {
			m.Target, m.Err = w.target(namespace)
		}
		migrations = append(migrations, m)
		if m.Err != nil {
			continue
		}
		key := strings.ToLower(m.Target)
		if other, taken := byTarget[key]; taken {
			return nil, Misused("%s and %s would both become %s; give one of them another target in a list", other, m.Name, m.Target)
		}
		byTarget[key] = m.Name
	}
	return migrations, nil
}

// findPaths asks for the paths of projects that were given by ID, where they
// are needed.
func findPaths(ctx context.Context, all []*Wanted, namespace string, from *porter.Client) {
	var g errgroup.Group
	g.SetLimit(Lookers)
	for _, w := range all {
		if w.source != "" || w.base != "" && (w.namespace != "" || namespace != "") {
			continue
		}
		g.Go(func() error {
			exp, err := from.GetExport(ctx, w.ID)
			if err == nil {
				w.source = string(exp.PathWithNamespace)
				err = checkSegments(w.source)
			}
			w.err = err
			return nil // the others go on
		})
	}
	g.Wait()
}

// Lookers is how many projects are looked at at a time.
const Lookers = 8

// target is where a project goes. Below a group that was listed the subgroups
// stay as they are; what was named by itself goes to the namespace. Without a
// namespace every path stays as it is.
func (w *Wanted) target(namespace string) (string, error) {
	base := cmp.Or(w.base, path.Base(w.source))
	switch {
	case w.namespace != "":
		return w.namespace + "/" + base, nil
	case namespace == "":
		return path.Dir(w.source) + "/" + base, nil
	case w.group == "":
		return namespace + "/" + base, nil
	}
	rest := path.Dir(w.source) + "/"
	if len(rest) <= len(w.group) || !strings.EqualFold(rest[:len(w.group)+1], w.group+"/") {
		return "", fmt.Errorf("%s is not below the group %s; name the group by its present path", w.source, w.group)
	}
	return path.Join(namespace, rest[len(w.group)+1:], base), nil
}

// ParseRate reads a -rate into p.
func ParseRate(s string, p *porter.Pacing) error {
	limits := map[string]*int{"exports": &p.Exports, "imports": &p.Imports, "downloads": &p.Downloads, "polls": &p.Polls}
	for part := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		limit := limits[name]
		switch n, err := strconv.Atoi(value); {
		case limit == nil:
			return fmt.Errorf("%q is none of exports, imports, downloads and polls", name)
		case value == "none":
			*limit = -1
		case err != nil || n <= 0:
			return fmt.Errorf("%s=%s: give a number per minute, or none", name, value)
		default:
			*limit = n
		}
	}
	return nil
}
