package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
)

// repair imports what the project lacks, and counts. It reports whether nothing
// is missing any more.
func (j *job) repair(ctx context.Context) (complete bool, err error) {
	before, err := j.look(ctx)
	if err != nil {
		return false, err
	}
	before.print(j.stdout, !j.isNew)
	if before.missing() == 0 || j.dryRun {
		return before.missing()+len(before.beyond) == 0, nil
	}
	sent, imports := int64(0), 0
	for _, g := range before.gaps {
		for slice := range slices.Chunk(g.missing, sliceSize(j.slice, len(g.missing))) {
			n, err := j.bringIn(ctx, g.relation, slice)
			sent += n
			if imports++; err != nil {
				return false, err
			}
		}
	}
	rest := ", of an archive of " + j.size()
	if j.isNew {
		rest = " beside the rest"
	}
	fmt.Fprintf(j.stdout, "Sent %s%s. Number of imports: %d.\n", cli.Size(sent), rest, imports)
	return j.count(ctx, before)
}

// size is that of the whole archive.
func (j *job) size() string {
	if j.source.Size < 0 {
		return "unknown size"
	}
	return cli.Size(j.source.Size)
}

// sliceSize is how many of n items go into one archive.
func sliceSize(slice, n int) int {
	if slice > 0 {
		return slice
	}
	return max(n, 1)
}

// bringIn imports items of a relation by an archive of just these, and returns
// its size. GitLab takes one such import at a time. That it is finished does not
// say that the items are there.
func (j *job) bringIn(ctx context.Context, r porter.Relation, items []item) (size int64, err error) {
	lines := make(map[int]bool, len(items))
	for _, it := range items {
		lines[it.line] = true
	}
	dir, err := os.MkdirTemp("", "relations-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "part.tar.gz")
	small := porter.RelationArchive(j.source, r, func(it porter.Item) bool { return lines[it.Line] })
	if size, err = save(ctx, small, name); err != nil {
		return 0, err
	}
	fmt.Fprintf(j.stdout, "Importing %d %s by an archive of %s.\n", len(items), r, cli.Size(size))
	source, err := porter.FileSource(name)
	if err != nil {
		return 0, err
	}
	imp, err := j.client.StartRelationImport(ctx, source, j.project, r)
	if err != nil {
		return 0, err
	}
	_, err = j.client.WaitForRelationImport(ctx, j.project, imp.ID)
	var failed *porter.RelationImportError
	if errors.As(err, &failed) { // the other parts may go well; the count tells
		fmt.Fprintln(j.stdout, cli.Printable(failed.Error()))
		return size, nil
	}
	return size, err
}

// save copies an archive to a file, so that its size is known before it is sent.
func save(ctx context.Context, source porter.Source, name string) (int64, error) {
	r, err := source.Open(ctx)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(f, r)
	return n, errors.Join(err, f.Close())
}

// count compares once more, and says what became of the gaps.
func (j *job) count(ctx context.Context, before *find) (complete bool, err error) {
	after, err := j.look(ctx)
	if err != nil {
		return false, err
	}
	complete = len(after.beyond) == 0
	for i, g := range after.gaps {
		was := before.gaps[i]
		switch {
		case len(was.missing) == 0:
		case !g.compared:
			fmt.Fprintf(j.stdout, "Whether the %s are there now is not known.\n", g.relation)
			complete = false
		default:
			fmt.Fprintf(j.stdout, "%s: %s before, %s after, %d still missing\n", g.relation, was.before, g.before, len(g.missing))
		}
		complete = complete && (!g.compared || len(g.missing) == 0)
	}
	return complete, nil
}

// splitSlice is how many items an archive has by default, of what -split leaves
// for later.
const splitSlice = 500

// split imports a new project without merge requests and pipelines, and then
// these in slices.
func (j *job) split(ctx context.Context) (complete bool, err error) {
	rest := porter.EditArchive(j.source, porter.Drop(porter.PortableMergeRequests.Part(), porter.PartPipelines))
	namespace, name := path.Split(j.project.String())
	fmt.Fprintf(j.stdout, "Importing all but merge requests and pipelines into %s.\n", j.project)
	imp, err := j.client.Import(ctx, rest, porter.ImportOptions{Path: name, Namespace: porter.NamespacePath(path.Clean(namespace))})
	if errors.Is(err, porter.ErrProjectExists) {
		return false, fmt.Errorf("%w; to import what it lacks, leave out -split", err)
	}
	if err != nil {
		return false, err
	}
	for _, r := range imp.FailedRelations {
		fmt.Fprintf(j.stdout, "The import reports %s\n", cli.Printable(cli.FailedRelation(r)))
	}
	if j.slice == 0 {
		j.slice = splitSlice
	}
	return j.repair(ctx)
}
