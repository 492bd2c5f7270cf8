package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
)

// A gap is what a project lacks of a relation.
type gap struct {
	relation  porter.Relation
	inArchive int
	before    porter.Count // in the project; zero if it is not compared
	compared  bool         // else only what the import tells is known
	missing   []item
}

// An item is one that the project lacks.
type item struct {
	line  int // in the archive's file, from 0
	iid   int64
	title string
	why   string // what the import said of it
}

// A job is an archive, and the project that was imported from it.
type job struct {
	options
	client  *porter.Client
	api     api
	project porter.ProjectPath
	source  porter.Source
	stdout  io.Writer
}

// A find is what is known of a project before anything is imported.
type find struct {
	gaps     []*gap
	failures map[porter.Relation]map[int]string // by relation and line
	beyond   []string                           // losses that cannot be repaired by this program
	info     *porter.ArchiveInfo
}

// look finds what the project lacks.
func (j *job) look(ctx context.Context) (*find, error) {
	f := &find{failures: map[porter.Relation]map[int]string{}}
	var err error
	if f.info, err = j.verify(ctx); err != nil {
		return nil, err
	}
	imp, err := j.client.GetImport(ctx, j.project)
	if err != nil {
		return nil, err
	}
	switch imp.Status {
	case porter.ImportScheduled, porter.ImportStarted:
		return nil, fmt.Errorf("the import of %s is under way (%s): what it leaves out is not known yet", j.project, imp.Status)
	case porter.ImportFailed:
		f.beyond = append(f.beyond, "whatever else the import has not come to, which failed: "+imp.Error)
	}
	f.note(imp.FailedRelations)
	counts, err := j.client.CountRelations(ctx, j.project)
	if err != nil {
		return nil, err
	}
	for _, r := range relations {
		if j.relation != "" && porter.Relation(j.relation) != r.name {
			continue
		}
		g := &gap{relation: r.name}
		g.before, g.compared = counts[porter.PortableRelation(r.name)]
		if err := j.compare(ctx, g, r.list, f.failures[r.name]); err != nil {
			return nil, err
		}
		f.gaps = append(f.gaps, g)
	}
	if j.relation == "" {
		f.compareOthers(counts)
	}
	return f, nil
}

// verify reads the archive once: what is missing is looked for in whole ones
// only.
func (j *job) verify(ctx context.Context) (*porter.ArchiveInfo, error) {
	r, err := j.open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return porter.VerifyArchive(r)
}

// open opens the archive, to be read until ctx ends.
func (j *job) open(ctx context.Context) (io.ReadCloser, error) {
	r, err := j.source.Open(ctx)
	if err != nil {
		return nil, err
	}
	return &cancelable{ctx, r}, nil
}

// A cancelable reader ends with its context.
type cancelable struct {
	ctx context.Context
	io.ReadCloser
}

func (c *cancelable) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.ReadCloser.Read(p)
}

// note takes in what the import tells of items that it could not restore.
func (f *find) note(failed []porter.FailedRelation) {
	for _, r := range failed {
		relation := porter.Relation(r.RelationName)
		if importable(relation) && r.LineNumber >= 0 {
			if f.failures[relation] == nil {
				f.failures[relation] = map[int]string{}
			}
			f.failures[relation][r.LineNumber] = r.ExceptionClass
			continue
		}
		// Parts of an item have no line. An item that is there is not imported again.
		f.beyond = append(f.beyond, "The import reports "+cli.FailedRelation(r))
	}
}

// compare looks for the items of the archive that are not in the project's list,
// or, without a list, of which the import has told.
func (j *job) compare(ctx context.Context, g *gap, list string, failures map[int]string) error {
	var there map[int64]bool
	var err error
	if g.compared {
		if there, err = j.api.numbers(ctx, j.project.String(), list); err != nil {
			return err
		}
	}
	r, err := j.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	for it, err := range porter.Items(r, g.relation) {
		if err != nil {
			return err
		}
		g.inArchive++
		why, failed := failures[it.Line]
		if g.compared && !there[it.IID] || !g.compared && failed {
			g.missing = append(g.missing, item{it.Line, it.IID, it.Title, why})
		}
	}
	return nil
}

// compareOthers notes the losses of relations that GitLab cannot import by
// themselves. Of labels, say, a project may have more than its archive.
func (f *find) compareOthers(counts map[porter.PortableRelation]porter.Count) {
	for r, want := range f.info.Relations {
		have, counted := counts[r]
		if counted && !importable(porter.Relation(r)) && have.Exact && have.N < want {
			f.beyond = append(f.beyond, fmt.Sprintf("%s: %d in the archive, %s in the project", r, want, have))
		}
	}
}

// missing is how many items are missing.
func (f *find) missing() (n int) {
	for _, g := range f.gaps {
		n += len(g.missing)
	}
	return n
}

// shownItems is how many missing items of a relation are named.
const shownItems = 10

// print says what is missing, with names of items if wanted.
func (f *find) print(w io.Writer, names bool) {
	for _, g := range f.gaps {
		there := g.before.String()
		if !g.compared {
			there = "?"
		}
		fmt.Fprintf(w, "%s: %d in the archive, %s in the project, %d missing\n", g.relation, g.inArchive, there, len(g.missing))
		if !g.compared && g.inArchive > 0 {
			fmt.Fprintf(w, "  GitLab does not show those of the project: only what the import tells is known.\n")
		}
		for i, it := range g.missing {
			if !names {
				break
			}
			if i == shownItems {
				fmt.Fprintf(w, "  and %d more\n", len(g.missing)-i)
				break
			}
			text := fmt.Sprintf("  %d %s", it.iid, cut(it.title))
			if it.why != "" {
				text += " (" + it.why + ")"
			}
			fmt.Fprintln(w, cli.Printable(strings.TrimRight(text, " ")))
		}
	}
	for _, s := range f.beyond {
		fmt.Fprintf(w, "Cannot be imported by itself: %s\n", cli.Printable(s))
	}
}

// cut shortens a title.
func cut(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return strings.TrimSpace(string(r[:most])) + "…"
	}
	return s
}
