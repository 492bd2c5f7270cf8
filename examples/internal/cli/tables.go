package cli

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/seed-5d77b939/porter"
)

// Findings prints what a check has found before a job, nothing if that is
// nothing.
func Findings(w io.Writer, check *porter.Check) {
	if len(check.Findings) == 0 {
		return
	}
	table := newTable(w)
	fmt.Fprintln(table, "FOUND BEFORE\tABOUT\t")
	for _, f := range check.Findings {
		what := "note"
		if f.Certain {
			what = "would fail"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", what, f.Kind, f.Text)
	}
	table.Flush()
}

// Proof prints what counting afterwards has shown.
func Proof(w io.Writer, proof porter.Proof) {
	if len(proof.Losses)+len(proof.Unproven) == 0 {
		fmt.Fprintln(w, "Counted afterwards: nothing is missing.")
		return
	}
	table := newTable(w)
	fmt.Fprintln(table, "COUNTED AFTERWARDS\tOF\tARE THERE\t")
	for _, l := range proof.Losses {
		fmt.Fprintf(table, "%s\t%s\t%s\tlost in the %s\n", named(l.Relation), l.Want, l.Have, l.In)
		for _, ref := range l.Refs {
			fmt.Fprintf(table, "  %s\t\t\t\n", ref)
		}
	}
	for _, r := range proof.Unproven {
		fmt.Fprintf(table, "%s\t\t\tnot known\n", named(r))
	}
	table.Flush()
	fmt.Fprintln(w, "Of everything else that GitLab counts, nothing is missing.")
}

// named names what is counted.
func named(r porter.PortableRelation) string {
	if r == porter.PortableRepository {
		return "branches and tags"
	}
	return string(r)
}

func newTable(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }
