package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
)

// A plan gives members of an archive the addresses that the file of users has
// for them. It remembers whom it was asked for.
type plan struct {
	users *users

	mu    sync.Mutex
	found map[int64][]*line // by the user's ID
	had   map[int64]string  // addresses in the archive
}

func newPlan(u *users) *plan {
	return &plan{users: u, found: map[int64][]*line{}, had: map[int64]string{}}
}

// address is what MapUsers asks for.
func (p *plan) address(c porter.Contributor) (email string, keep bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ask(c), true
}

func (p *plan) ask(c porter.Contributor) string {
	for _, l := range p.users.find(c) {
		if !slices.Contains(p.found[c.SourceID], l) {
			p.found[c.SourceID] = append(p.found[c.SourceID], l)
		}
	}
	p.had[c.SourceID] = cmp.Or(p.had[c.SourceID], c.Email)
	if l := p.found[c.SourceID]; len(l) > 0 {
		return l[0].address
	}
	return c.Email
}

// A mapped person gets an address, by a line of the file or by the archive.
type mapped struct {
	porter.Contributor
	address string
	line    *line // nil for the archive's own address
}

// A result is what becomes of the people in an archive.
type result struct {
	mapped    []mapped
	left      []porter.Contributor // to the importer
	strangers int64                // references to nobody who is a member
	unmatched []*line
	shared    []string // addresses of several members
}

// apply says what becomes of these people, who were asked for before or have not
// been changed. A person whom two lines name is an error.
func (p *plan) apply(people []porter.Contributor, strangers int64) (*result, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &result{strangers: strangers}
	matched := map[*line]bool{}
	owner := map[string]string{}
	for _, c := range people {
		if _, asked := p.had[c.SourceID]; !asked {
			p.ask(c)
		}
		lines := p.found[c.SourceID]
		if len(lines) > 1 {
			slices.SortFunc(lines, func(a, b *line) int { return cmp.Compare(a.number, b.number) })
			return nil, fmt.Errorf("lines %d and %d both name %s", lines[0].number, lines[1].number, called(c))
		}
		m := mapped{Contributor: c, address: p.had[c.SourceID]}
		if len(lines) == 1 {
			m.line, m.address = lines[0], lines[0].address
			matched[m.line] = true
		}
		if m.address == "" {
			r.left = append(r.left, c)
			continue
		}
		r.mapped = append(r.mapped, m)
		lower := strings.ToLower(m.address)
		if other := owner[lower]; other != "" {
			r.shared = append(r.shared, fmt.Sprintf("%s and %s both become %s.", other, called(c), m.address))
		}
		owner[lower] = called(c)
	}
	for _, l := range p.users.lines {
		if !matched[l] {
			r.unmatched = append(r.unmatched, l)
		}
	}
	return r, nil
}

// called is how a report calls a person.
func called(c porter.Contributor) string {
	return fmt.Sprintf("%s (%d)", cmp.Or(c.Username, "?"), c.SourceID)
}

func referred(n int64) string {
	if n == 1 {
		return "1 reference"
	}
	return fmt.Sprintf("%d references", n)
}

// references are how many of them are mapped, and how many there are.
func (r *result) references() (mapped, all int64) {
	for _, m := range r.mapped {
		mapped += m.References
	}
	all = mapped + r.strangers
	for _, c := range r.left {
		all += c.References
	}
	return mapped, all
}

// complete reports whether nothing is left to the importer, and every line of
// the file names somebody.
func (r *result) complete() bool {
	mapped, all := r.references()
	return mapped == all && len(r.left)+len(r.unmatched) == 0
}

// onlyAdmins is said before anything runs.
const onlyAdmins = `GitLab maps people only if an administrator of the destination imports, and only
to users with that primary address there; they become members of the project. Of
an import by anybody else, all is the importer's, whatever the addresses are.
`

// print writes the report.
func (r *result) print(w io.Writer) {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	if len(r.mapped) > 0 {
		fmt.Fprintln(&b, "Mapped, if an administrator imports:")
		for _, m := range r.mapped {
			by := "address in the archive"
			if m.line != nil {
				by = fmt.Sprintf("line %d", m.line.number)
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", called(m.Contributor), referred(m.References), m.address, by)
		}
		t.Flush()
	}
	if len(r.left) > 0 || r.strangers > 0 {
		fmt.Fprintln(&b, "Left to the importer:")
		for _, c := range r.left {
			fmt.Fprintf(t, "  %s\t%s\tno address, and no line\n", called(c), referred(c.References))
		}
		if r.strangers > 0 {
			fmt.Fprintf(t, "  no members\t%s\tnothing says who they are, and GitLab maps members only\n", referred(r.strangers))
		}
		t.Flush()
	}
	if len(r.unmatched) > 0 {
		fmt.Fprintln(&b, "Lines that name nobody in the archive:")
		for _, l := range r.unmatched {
			fmt.Fprintf(&b, "  line %d: %s\n", l.number, l.user)
		}
	}
	for _, s := range r.shared {
		fmt.Fprintln(&b, "Note:", s)
	}
	for l := range strings.Lines(b.String()) {
		fmt.Fprintln(w, cli.Printable(strings.TrimRight(l, "\n")))
	}
	mapped, all := r.references()
	fmt.Fprintf(w, "%d of %s mapped.\n", mapped, referred(all))
}

// errLeft ends a run with -strict.
var errLeft = errors.New("something is left to the importer, or a line names nobody (-strict)")
