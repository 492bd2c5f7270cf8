package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
)

const (
	maxName    = 28 // columns of a name in a table
	maxAddress = 60
	maxPeople  = 20 // rows
	barWidth   = 26 // columns of all bytes
)

// writeText writes the report for people.
func (r *report) writeText(w io.Writer) error {
	var b bytes.Buffer
	r.writeHead(&b)
	r.writeVerdict(&b)
	r.writePicture(&b)
	r.writeRelations(&b)
	r.writePeople(&b)
	_, err := w.Write(b.Bytes())
	return err
}

func (r *report) writeHead(w io.Writer) {
	size := "of unknown size"
	if r.size >= 0 {
		size = cli.Size(r.size)
	}
	fmt.Fprintf(w, "%s: %s, unpacked %s in %d entries\n", cli.Printable(r.name), size, cli.Size(r.Bytes), r.Entries)
	if made := r.made(); made != "" {
		fmt.Fprintln(w, made)
	}
}

// writeVerdict says whether GitLab imports the archive, and all that is wrong.
func (r *report) writeVerdict(w io.Writer) {
	v, _ := r.verdict()
	fmt.Fprintln(w, "\n"+map[verdict]string{
		importable:   "GitLab can import it.",
		olderOnly:    "GitLab before 15.11 can import it. Later releases import nothing of it.",
		unimportable: "GitLab will not import it whole.",
	}[v])
	for _, p := range r.Problems {
		kind := "odd:  "
		if p.Fatal {
			kind = "fatal:"
		}
		fmt.Fprintf(w, "  %s %s\n", kind, cli.Printable(p.String()))
	}
}

// made says what made the archive, as far as that could be read.
func (r *report) made() string {
	var parts []string
	if r.Tree != "" || r.GitLabVersion != "" {
		text := "made by GitLab " + cmp.Or(short(r.GitLabVersion, maxName), "of unknown version")
		if r.Revision != "" {
			text += " (revision " + short(r.Revision, maxName) + ")"
		}
		parts = append(parts, text)
	}
	if r.FormatVersion != "" {
		parts = append(parts, "format "+short(r.FormatVersion, maxName))
	}
	return strings.Join(parts, ", ")
}

// A share is a row of the picture of where the bytes are.
type share struct {
	name  string
	bytes int64
}

// picture returns the parts, the largest first, and below the tree the
// relations that are at least a hundredth of all. sum is what the parts have.
func (r *report) picture() (rows []share, sum int64) {
	var relations []share
	for part, n := range r.Parts {
		rows = append(rows, share{string(part), n})
		sum += n
	}
	for _, c := range r.Contents {
		if c.Bytes >= max(1, sum/100) {
			relations = append(relations, share{"  " + short(string(c.Relation), maxName), c.Bytes})
		}
	}
	bySize := func(a, b share) int { return cmp.Or(cmp.Compare(b.bytes, a.bytes), strings.Compare(a.name, b.name)) }
	slices.SortFunc(rows, bySize)
	slices.SortFunc(relations, bySize)
	if i := slices.IndexFunc(rows, func(s share) bool { return s.name == string(porter.PartTree) }); i >= 0 {
		rows = slices.Insert(rows, i+1, relations...)
	}
	return rows, sum
}

// writePicture draws a bar for each row, of which a full one is all bytes.
func (r *report) writePicture(w io.Writer) {
	rows, sum := r.picture()
	if sum == 0 {
		return
	}
	t := newTable(w, "Where the bytes are")
	for _, s := range rows {
		part := float64(s.bytes) / float64(sum)
		bar := strings.Repeat("#", int(part*barWidth+0.5))
		if bar == "" && s.bytes > 0 {
			bar = "."
		}
		t.row(s.name, right(cli.Size(s.bytes), 10), fmt.Sprintf("%5.1f %%", 100*part), bar)
	}
	t.Flush()
}

func (r *report) writeRelations(w io.Writer) {
	if len(r.Contents) == 0 {
		return
	}
	t := newTable(w, "What is in it")
	t.row("relation", right("records", 8), right("bytes", 10), right("longest", 10), right("highest iid", 11))
	empty := 0
	for _, c := range r.Contents {
		if c.Items == 0 && c.Bytes <= int64(len("null\n")) {
			empty++
			continue
		}
		iid := ""
		if c.HighestIID > 0 {
			iid = strconv.FormatInt(c.HighestIID, 10)
		}
		t.row(short(string(c.Relation), maxName), right(strconv.FormatInt(c.Items, 10), 8), right(cli.Size(c.Bytes), 10),
			right(cli.Size(c.LongestItem), 10), right(iid, 11))
	}
	t.Flush()
	if empty > 0 {
		fmt.Fprintf(w, "and %d without records\n", empty)
	}
}

// writePeople tells who can be mapped, and what becomes the importer's.
func (r *report) writePeople(w io.Writer) {
	if len(r.People) == 0 && r.Strangers == 0 {
		return
	}
	fmt.Fprintf(w, `
Who is in it
GitLab knows people by their e-mail address alone, and looks for them only if an
administrator imports. Else, and without an address, all is the importer's.
`)
	var known, unknown []porter.Contributor
	for _, p := range r.People {
		if p.Email != "" {
			known = append(known, p)
		} else {
			unknown = append(unknown, p)
		}
	}
	if len(known) > 0 {
		writeMembers(w, "Can be mapped, if the destination has a user with the address", known)
	}
	if len(unknown) > 0 {
		writeMembers(w, "Become the importer's", unknown)
	}
	a := r.attribution()
	fmt.Fprintf(w, "\nOf %d references, %d can be mapped and %d become the importer's.\n", a.mappable+a.importers, a.mappable, a.importers)
	if r.Strangers > 0 {
		fmt.Fprintf(w, "%d of the latter are to users who are no members.\n", r.Strangers)
	}
}

func writeMembers(w io.Writer, title string, people []porter.Contributor) {
	t := newTable(w, title)
	t.row("user", "role", right("references", 10), "address")
	for _, p := range people[:min(len(people), maxPeople)] {
		t.row(cmp.Or(short(p.Username, maxName), fmt.Sprintf("user %d", p.SourceID)), role(p.AccessLevel),
			right(strconv.FormatInt(p.References, 10), 10), short(p.Email, maxAddress))
	}
	t.Flush()
	if left := people[min(len(people), maxPeople):]; len(left) > 0 {
		var references int64
		for _, p := range left {
			references += p.References
		}
		fmt.Fprintf(w, "and %d more with %d references: -json tells all\n", len(left), references)
	}
}

var roles = map[int]string{
	5: "minimal", 10: "guest", 15: "planner", 20: "reporter", 25: "security", 30: "developer", 40: "maintainer", 50: "owner",
}

func role(level int) string { return cmp.Or(roles[level], strconv.Itoa(level)) }

// A table has columns as wide as they need to be.
type table struct{ *tabwriter.Writer }

func newTable(w io.Writer, title string) table {
	fmt.Fprintf(w, "\n%s\n", title)
	return table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
}

// row writes cells that have no tabs in them.
func (t table) row(cells ...string) {
	fmt.Fprintln(t, strings.TrimRight(strings.Join(cells, "\t"), "\t "))
}

// right puts a text at the right end of so many columns.
func right(text string, columns int) string { return fmt.Sprintf("%*s", columns, text) }

// short is a text from an archive, cut to so many characters.
func short(s string, most int) string {
	s = cli.Printable(s)
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}
