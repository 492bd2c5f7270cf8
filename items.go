package porter

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"iter"
)

// Items yields the records of a relation in an archive, such as its issues, in
// the order of their lines. rel is any relation that has a file in an archive,
// not only those that can be imported by themselves. There are none if the
// archive has no such file.
//
// It reads r to its end: that the archive is undamaged is known only once the
// loop has ended without an error, which comes last. It is ErrArchiveDamaged,
// ErrNotArchive, or r's own; it is ErrUnimportable if the archive is one whose
// tree is in one file (TreeJSON), or has two files for the relation. A record that
// GitLab cannot read is no error, but an Item with a Problem.
//
// A record is held in memory up to 256 KiB, and what is longer in a temporary
// file (in os.TempDir).
func Items(r io.Reader, rel Relation) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		err := readItems(r, rel, func(i Item) bool { return yield(i, nil) })
		if err != nil && !errors.Is(err, errEnough) {
			yield(Item{}, fmt.Errorf("items of %s: %w", rel, err))
		}
	}
}

func readItems(r io.Reader, rel Relation, yield func(Item) bool) error {
	if r == nil {
		return errors.New("reader is nil")
	}
	if err := checkRelation(string(rel)); err != nil {
		return err
	}
	text := temporaryFolder().scratch()
	defer text.Close()
	v := &oneFile{name: PortableRelation(rel).file()}
	v.open = func() entrySink {
		return newItemLines(text, func(i Item) (bool, []byte, error) {
			if !yield(i) {
				return false, nil, errEnough
			}
			return false, nil, nil
		})
	}
	if _, err := readArchive(r, maxUnpacked, v); err != nil {
		return err
	}
	return v.trees.check()
}

// oneFile is a visitor that reads one file of an archive.
type oneFile struct {
	name  string
	open  func() entrySink
	found bool
	trees trees
}

func (o *oneFile) entry(h *tar.Header) (entrySink, error) {
	if kindOf(h) != fileEntry {
		return nil, nil
	}
	name := unpackedName(h)
	o.trees.note(name)
	if name != o.name {
		return nil, nil
	}
	if o.found {
		return nil, unimportable(name + ": it is in the archive twice")
	}
	o.found = true
	return o.open(), nil
}

// trees says which kinds of project trees there are in an archive.
type trees struct{ ndjson, json bool }

func (t *trees) note(name string) {
	t.json = t.json || name == jsonFile
	t.ndjson = t.ndjson || isIn(name, "tree")
}

// check reports a tree whose records cannot be told apart.
func (t *trees) check() error {
	if t.json && !t.ndjson {
		return unimportable(jsonFile + ": the project tree is one file, of which no part can be taken or changed")
	}
	return nil
}
