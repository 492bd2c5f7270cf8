package porter

import (
	"fmt"
	"strings"
)

// Where items were lost.
const (
	lostInExport = "export"
	lostInImport = "import"
)

// A Loss is what an export or an import has left out of a relation.
type Loss struct {
	Relation PortableRelation // PortableRepository for branches and tags
	In       string           // "export" or "import"
	Want     Count            // in the project that was exported, or in the archive that was imported
	Have     Count            // in the archive, or in the project that was made of it
	// Refs are the first of the branches and tags that are missing or point to
	// something else, such as "branch main".
	Refs []string
}

// String says how many of what were lost where.
func (l Loss) String() string {
	what := string(l.Relation)
	if l.Relation == PortableRepository {
		what = "branches and tags"
	}
	lost := Count{l.Want.N - l.Have.N, l.Want.Exact && l.Have.Exact}
	text := fmt.Sprintf("%s of %s %s lost in the %s", lost, l.Want, what, l.In)
	if len(l.Refs) > 0 {
		text += " (" + strings.Join(l.Refs, ", ")
		if int64(len(l.Refs)) < lost.N {
			text += ", …"
		}
		text += ")"
	}
	return text
}

// A LossError reports what was lost, where Strict asks for it.
type LossError struct{ Losses []Loss }

// Error names each relation.
func (e *LossError) Error() string {
	texts := make([]string, len(e.Losses))
	for i, l := range e.Losses {
		texts[i] = l.String()
	}
	return "incomplete: " + strings.Join(texts, "; ")
}

// A Proof is what counting has shown.
type Proof struct {
	Losses []Loss
	// Unproven are the relations of which something could not be compared, so
	// that nothing is known of a loss: GitLab did not tell, counts no further, or
	// the project may have changed since.
	Unproven []PortableRelation
}

// err returns the losses as an error, nil if there are none.
func (p *Proof) err() error {
	if len(p.Losses) == 0 {
		return nil
	}
	return &LossError{p.Losses}
}

// A comparison is what two counts tell.
type comparison int

const (
	complete comparison = iota
	short               // items were lost
	unclear
)

// compareCounts compares what there had to be with what there is, which may be
// more. A want that is not sure may count what was made later.
func compareCounts(want, have Count, sure bool) comparison {
	switch {
	case have.N >= want.N:
		if !want.Exact {
			return unclear
		}
		return complete
	case sure && have.Exact:
		return short
	}
	return unclear
}
