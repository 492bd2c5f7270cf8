package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"golang.org/x/sync/errgroup"

	"github.com/seed-5d77b939/porter"
)

// input is what names the projects.
type input struct {
	args     []string
	list     string // file, "-" for standard input
	stdin    io.Reader
	groups   []string
	include  []string // patterns
	exclude  []string
	archived string
}

// A wanted is a project as it was named.
type wanted struct {
	name      string // as it was given, or the path that GitLab lists
	id        porter.ProjectID
	group     string // that was listed
	namespace string // target columns of the list, "" for none
	base      string
	source    string // its path, once it is known
	err       error  // why it can't be told
}

// usageError is what is wrong with the command line or a list.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func misused(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// check refuses what can be refused before anything is asked.
func (in *input) check() error {
	switch {
	case len(in.args) == 0 && in.list == "" && len(in.groups) == 0:
		return misused("no projects are named")
	case in.archived != "" && len(in.groups) == 0:
		return misused("-archived is for -group")
	case in.archived != "" && in.archived != "skip" && in.archived != "only" && in.archived != "all":
		return misused("-archived can be skip, only or all, not %q", in.archived)
	}
	for _, arg := range in.args {
		if strings.HasPrefix(arg, "-") {
			return misused("%s is behind a project; flags come first", arg)
		}
	}
	for _, g := range in.groups {
		if _, err := porter.ParseNamespace(g); err != nil {
			return misused("-group: %v", err)
		}
	}
	for _, pattern := range append(in.include[:len(in.include):len(in.include)], in.exclude...) {
		if !doublestar.ValidatePattern(pattern) {
			return misused("pattern %q is malformed", pattern)
		}
	}
	return nil
}

// gather returns the projects in the order in which they were given: arguments,
// list, groups.
func (in *input) gather(ctx context.Context, from *porter.Client) ([]*wanted, error) {
	all := gathered{selects: in.selects, seen: map[string]*wanted{}}
	for _, arg := range in.args {
		w, err := newWanted(arg)
		if err != nil {
			return nil, misused("%v", err)
		}
		all.add(w)
	}
	listed, err := in.readList()
	if err != nil {
		return nil, err
	}
	for _, w := range listed {
		all.add(w)
	}
	for _, group := range in.groups {
		if err := in.gatherGroup(ctx, from, group, &all); err != nil {
			return nil, err
		}
	}
	if len(all.wanted) == 0 {
		return nil, misused("no projects are left of those that are named")
	}
	return all.wanted, nil
}

func (in *input) gatherGroup(ctx context.Context, from *porter.Client, group string, all *gathered) error {
	ns, err := porter.ParseNamespace(group)
	if err != nil {
		return misused("-group: %v", err)
	}
	for p, err := range from.Projects(ctx, ns, &porter.ListOptions{Archived: porter.Archived(in.archived)}) {
		if err != nil {
			return err
		}
		name := string(p.PathWithNamespace)
		w, err := newWanted(name)
		if err != nil {
			return fmt.Errorf("list projects of %s: project %d: %w", group, p.ID, err)
		}
		w.id, w.group, w.source = p.ID, group, name
		all.add(w)
	}
	return nil
}

// gathered are the projects so far. Who is named twice is in the first place,
// with the target of the list.
type gathered struct {
	wanted  []*wanted
	seen    map[string]*wanted // by name, and by ID
	selects func(name string) bool
}

func (g *gathered) add(w *wanted) {
	key := strings.ToLower(w.name)
	for _, known := range []*wanted{g.seen[key], g.seen[w.id.String()]} {
		if known != nil {
			known.namespace, known.base = cmp.Or(w.namespace, known.namespace), cmp.Or(w.base, known.base)
			known.group = cmp.Or(known.group, w.group)
			known.source = cmp.Or(known.source, w.source)
			return
		}
	}
	g.seen[key] = w
	if g.selects(w.name) {
		g.wanted = append(g.wanted, w)
	}
}

// selects goes by the patterns. As in GitLab's paths, case does not matter.
func (in *input) selects(name string) bool {
	match := func(pattern string) bool {
		return doublestar.MatchUnvalidated(strings.ToLower(pattern), strings.ToLower(name))
	}
	included := len(in.include) == 0
	for _, pattern := range in.include {
		included = included || match(pattern)
	}
	for _, pattern := range in.exclude {
		included = included && !match(pattern)
	}
	return included
}

// segment is a part of a path. GitLab takes no other characters, and nothing
// else becomes a file's name.
var segment = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// newWanted checks the name of a project: an ID or a full path.
func newWanted(name string) (*wanted, error) {
	p, err := porter.ParseProject(name)
	if err != nil {
		return nil, err
	}
	if id, ok := p.(porter.ProjectID); ok {
		return &wanted{name: id.String(), id: id}, nil
	}
	if err := checkSegments(name); err != nil {
		return nil, fmt.Errorf("project path %q: %w", name, err)
	}
	return &wanted{name: name, source: name}, nil
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
func (in *input) readList() ([]*wanted, error) {
	switch in.list {
	case "":
		return nil, nil
	case "-":
		return parseList(in.stdin, "standard input")
	}
	f, err := os.Open(in.list)
	if err != nil {
		return nil, misused("-list: %v", err)
	}
	defer f.Close()
	return parseList(f, in.list)
}

// parseList reads a list: on each line a project and, after a tab or comma each,
// its namespace at the destination and its path there. Blank lines and those
// with # in front are left out, and so is a line that is there already.
func parseList(r io.Reader, name string) ([]*wanted, error) {
	var all []*wanted
	type listedAt struct {
		*wanted
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
			return nil, misused("%s:%d: not UTF-8; save the list as UTF-8", name, n)
		}
		text = strings.Trim(text, " \r")
		if strings.TrimSpace(text) == "" || strings.HasPrefix(text, "#") {
			continue
		}
		w, err := parseLine(text)
		if err != nil {
			return nil, misused("%s:%d: %v", name, n, err)
		}
		key := strings.ToLower(w.name)
		if before := lineOf[key]; before.n > 0 {
			if before.namespace != w.namespace || before.base != w.base {
				return nil, misused("%s:%d: %s is on line %d already, with another target", name, n, w.name, before.n)
			}
			continue
		}
		lineOf[key] = listedAt{w, n}
		all = append(all, w)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, misused("%s:%d: the line is too long", name, n+1)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	case len(all) == 0:
		return nil, misused("%s: no projects", name)
	}
	return all, nil
}

func parseLine(text string) (*wanted, error) {
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
	w, err := newWanted(fields[0])
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

// exports returns the projects with their files.
func exports(all []*wanted, dir string) ([]project, error) {
	var projects []project
	for _, w := range all {
		name := filepath.FromSlash(w.name) + ".tar.gz"
		if !filepath.IsLocal(name) {
			return nil, misused("%s can be no file on this system", name)
		}
		projects = append(projects, project{Name: w.name, ID: w.id, File: filepath.Join(dir, name), Step: stepWaiting})
	}
	return projects, nil
}

// migrations returns the projects with their targets. Those of which the path
// has to be known and can't be have failed.
func migrations(ctx context.Context, all []*wanted, namespace string, from *porter.Client) ([]project, error) {
	findPaths(ctx, all, namespace, from)
	var projects []project
	byTarget := map[string]string{}
	for _, w := range all {
		p := project{Name: w.name, ID: w.id, Step: stepWaiting}
		if p.Err = w.err; p.Err == nil {
			p.Target, p.Err = w.target(namespace)
		}
		if p.Err != nil {
			p.Step = stepFailed
			projects = append(projects, p)
			continue
		}
		key := strings.ToLower(p.Target)
		if other, taken := byTarget[key]; taken {
			return nil, misused("%s and %s would both become %s; give one of them another target in a list", other, p.Name, p.Target)
		}
		byTarget[key] = p.Name
		projects = append(projects, p)
	}
	return projects, nil
}

// findPaths asks for the paths of projects that were given by ID, where they
// are needed.
func findPaths(ctx context.Context, all []*wanted, namespace string, from *porter.Client) {
	var g errgroup.Group
	g.SetLimit(lookers)
	for _, w := range all {
		if w.source != "" || w.base != "" && (w.namespace != "" || namespace != "") {
			continue
		}
		g.Go(func() error {
			exp, err := from.GetExport(ctx, w.id)
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

// lookers is how many projects are looked at at a time.
const lookers = 8

// target is where a project goes. Below a group that was listed the subgroups
// stay as they are; what was named by itself goes to the namespace. Without a
// namespace every path stays as it is.
func (w *wanted) target(namespace string) (string, error) {
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

// parseRate reads a -rate into p.
func parseRate(s string, p *porter.Pacing) error {
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
