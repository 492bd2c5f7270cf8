package cli

import (
	"bytes"
	"testing"

	"github.com/seed-5d77b939/porter"
)

func TestFindings(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	Findings(&out, &porter.Check{})
	if out.Len() > 0 {
		t.Errorf("got %q of nothing", &out)
	}
	Findings(&out, &porter.Check{Findings: []porter.Finding{
		{Kind: porter.FindingRole, Certain: true, Text: "the group is archived"},
		{Kind: porter.FindingVersion, Text: "the source is newer"},
	}})
	const want = `FOUND BEFORE  ABOUT    
would fail    role     the group is archived
note          version  the source is newer
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
}

func TestProof(t *testing.T) {
	t.Parallel()
	exact := func(n int64) porter.Count { return porter.Count{N: n, Exact: true} }
	for want, proof := range map[string]porter.Proof{
		"Counted afterwards: nothing is missing.\n": {},
		`COUNTED AFTERWARDS  OF              ARE THERE  
issues              250             150        lost in the export
ci_pipelines        at least 10001  4          lost in the import
branches and tags   3               2          lost in the import
  branch main                                  
labels                                         not known
branches and tags                              not known
Of everything else that GitLab counts, nothing is missing.
`: {
			Losses: []porter.Loss{
				{Relation: porter.PortableIssues, In: "export", Want: exact(250), Have: exact(150)},
				{Relation: porter.PortablePipelines, In: "import", Want: porter.Count{N: 10001}, Have: exact(4)},
				{Relation: porter.PortableRepository, In: "import", Want: exact(3), Have: exact(2), Refs: []string{"branch main"}},
			},
			Unproven: []porter.PortableRelation{porter.PortableLabels, porter.PortableRepository},
		},
	} {
		var out bytes.Buffer
		if Proof(&out, proof); out.String() != want {
			t.Errorf("got\n%swant\n%s", &out, want)
		}
	}
}
