package porter

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
)

// An Inspection is what InspectArchive found in an archive.
type Inspection struct {
	ArchiveInfo
	// Contents are the relations that the archive has a file for, in the order
	// in which GitLab imports them, and then those that it does not read. There
	// are none in a TreeJSON.
	Contents []RelationContents
	// People are the users who are members, those with the most references first.
	People []Contributor
	// Strangers is how many references are to users who are no members. Nothing
	// in the archive says who these are, and GitLab takes the importer for them.
	Strangers int64
	// Problems are what is wrong, in the order in which GitLab comes to it, and
	// then what is odd. VerifyArchive takes an archive if none is Fatal.
	Problems []ArchiveProblem
}

// RelationContents is how much of a relation an archive holds.
type RelationContents struct {
	Relation    PortableRelation
	Items       int64 // records that are JSON; a line that is null is none
	Bytes       int64
	LongestItem int64 // bytes, with its newline
	HighestIID  int64 // 0 if its records have none
}

// InspectArchive reads r to its end and tells what is in it: how much of what,
// who is in it and how often, and what is wrong with it. Unlike VerifyArchive it
// takes any file: an archive that is damaged, or cannot be imported, is no
// error, and the Inspection holds what could be read of it. An error is r's own.
//
// It tells up to 16 faulty lines of a relation, 64 other faulty entries of a
// kind, and 65,536 users; references to more are among the Strangers. These
// users apart, it holds no more than 3 MiB in memory, whatever the archive holds.
func InspectArchive(r io.Reader) (*Inspection, error) {
	if r == nil {
		return nil, errors.New("inspect archive: reader is nil")
	}
	i, err := inspectBy(r, wholeRules)
	if i == nil {
		return nil, fmt.Errorf("inspect archive: %w", err)
	}
	return i, nil
}

// inspectBy inspects an archive, and verifies it by the rules of an import. There
// is no Inspection if r itself fails.
func inspectBy(r io.Reader, by importRules) (*Inspection, error) {
	c := newContents()
	c.census = newCensus()
	foreign, damage := c.read(r, maxUnpacked)
	if foreign {
		return nil, damage
	}
	i := &Inspection{ArchiveInfo: *c.finish(), Contents: c.relations()}
	i.People, i.Strangers = c.census.list()
	verdict := damage
	if damage != nil {
		i.Problems = append(i.Problems, ArchiveProblem{Line: -1, What: damage.Error(), Fatal: true})
	}
	for _, b := range by(c) {
		if damage != nil && b.absent {
			continue // it may be in what could not be read
		}
		if verdict == nil {
			verdict = b.asError()
		}
		i.Problems = append(i.Problems, b.ArchiveProblem)
	}
	i.Problems = append(i.Problems, c.minor(damage == nil)...)
	return i, verdict
}

// relations tells how much there is of each relation.
func (c *contents) relations() []RelationContents {
	var all []RelationContents
	for name, f := range c.files {
		relation, _ := relationOf(name)
		r, ok := f.check.(*relationCheck)
		if !ok {
			continue
		}
		rc := RelationContents{Relation: relation, Items: r.records, Bytes: r.bytes, LongestItem: r.longest}
		if r.items != nil {
			rc.HighestIID = r.items.highest
		}
		all = append(all, rc)
	}
	place := func(r PortableRelation) int {
		if i := slices.Index(importedRelations, r); i >= 0 {
			return i
		}
		return len(importedRelations)
	}
	slices.SortFunc(all, func(a, b RelationContents) int {
		return cmp.Or(cmp.Compare(place(a.Relation), place(b.Relation)), cmp.Compare(a.Relation, b.Relation))
	})
	return all
}

// minor is what is wrong that GitLab imports all the same.
func (c *contents) minor(whole bool) []ArchiveProblem {
	var all []ArchiveProblem
	note := func(entry, what string) { all = append(all, ArchiveProblem{Entry: entry, Line: -1, What: what}) }
	if c.info.Tree == TreeJSON {
		note(jsonFile, "the project tree is one file, which GitLab does not import since 15.11")
	}
	if f := c.files[lfsFile]; f != nil && whole {
		if l, ok := f.check.(*lfsListCheck); ok {
			if id, n := l.list.missingIn(&c.lfs); n > 0 {
				note(lfsFile, "the object lfs-objects/"+id+" is listed, but the export has left it out"+andMore(n-1))
			}
		}
	}
	if n := c.census.left; n > 0 {
		note(projectMembers.file(), fmt.Sprintf("%d members more than are told apart here", n))
	}
	return append(all, c.odd.problems()...)
}
