package porter

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// An Edit is a change that EditArchive makes to an archive. They are made by
// Drop, KeepItems and MapUsers.
type Edit struct {
	what     string                              // for errors
	err      error                               // what is wrong with it
	drops    func(name string, folder bool) bool // nil for nothing
	relation PortableRelation                    // that it is about; "" for none
	required bool                                // the relation must have a file
	keep     func(Item) bool                     // nil for all
	address  func(Contributor) (string, bool)    // nil for no change
}

// inTree reports whether the edit needs a tree with a file for each relation.
func (e Edit) inTree() bool { return e.relation != "" }

// Drop leaves parts of an archive out: PartRepository, PartWiki, PartDesigns,
// PartSnippets, PartUploads, PartLFS, PartAvatar, PartMembers, PartPipelines,
// PartOther, which is all that GitLab does not read, and any relation by its
// PortableRelation.Part. GitLab imports what is left:
//
//   - without PartRepository into an empty repository, where merge requests
//     from forks lose their branches
//   - without PartMembers with the importer as the only member, and the author
//     of everything
//   - without PartLFS with pointers to objects that must be pushed by other means
//   - without PartUploads with broken links
//   - without PartSnippets with an import failure for each snippet, unless
//     PortableSnippets.Part is left out, too
//
// The tree as a whole cannot be left out.
func Drop(parts ...ArchivePart) Edit {
	e := Edit{what: "drop"}
	for _, p := range parts {
		relation, isRelation := strings.CutPrefix(string(p), string(PartTree)+"/")
		switch {
		case isRelation && relationName.MatchString(relation):
			e.relation = PortableRelation(relation)
		case p == PartTree:
			e.err = errors.New("part tree: without it GitLab imports nothing")
		case !slices.Contains(droppable, p):
			e.err = fmt.Errorf("part %q: there is no such part", p)
		}
	}
	parts = slices.Clone(parts)
	e.drops = func(name string, folder bool) bool {
		if r, ok := relationOf(name); ok && slices.Contains(parts, r.Part()) {
			return true
		}
		part := partOf(name)
		if folder && part == PartOther {
			part = partOf(name + "/")
		}
		return slices.Contains(parts, part) && name != "" && !isVersion(name)
	}
	return e
}

var droppable = []ArchivePart{
	PartRepository, PartWiki, PartDesigns, PartSnippets, PartUploads, PartLFS, PartAvatar, PartOther,
}

// isVersion reports whether a file says what made the archive.
func isVersion(name string) bool {
	return name == "VERSION" || name == "GITLAB_VERSION" || name == "GITLAB_REVISION"
}

// KeepItems keeps those records of a relation for which keep returns true, and
// leaves out all others, such as those with a Problem, because of which GitLab
// would import nothing. rel is any relation that has a file in an archive. keep
// is called for each record in the order of their lines, in a goroutine of its
// own, and again whenever the archive is read again.
func KeepItems(rel Relation, keep func(Item) bool) Edit {
	e := Edit{what: "keep items of " + string(rel), relation: PortableRelation(rel), keep: keep}
	switch {
	case keep == nil:
		e.err = errors.New("function is nil")
	case !relationName.MatchString(string(rel)):
		e.err = fmt.Errorf("there is no relation %q", rel)
	}
	return e
}

// MapUsers gives members of the archive the e-mail addresses by which GitLab
// finds the users of the destination, whose are then their issues, comments and
// the like. That takes an administrator to import: for others GitLab maps nobody.
//
// f is called for each record of the members that names a user, as it is in the
// archive, in a goroutine of its own, and again whenever the archive is read
// again. A user may have several records. Their References are 0, because they
// are not counted yet: InspectArchive counts them. f returns the address, "" for
// none and c.Email for no change, and whether the member is kept: one that is not
// does not become a member, and everything that is theirs is the importer's.
func MapUsers(f func(c Contributor) (email string, keep bool)) Edit {
	e := Edit{what: "map users", relation: projectMembers, address: f}
	if f == nil {
		e.err = errors.New("function is nil")
	}
	return e
}

// keepOnly leaves out all that the import of one relation does not need.
func keepOnly(rel Relation) Edit {
	e := Edit{what: "keep " + string(rel), relation: PortableRelation(rel), required: true}
	if !relationName.MatchString(string(rel)) {
		e.err = fmt.Errorf("there is no relation %q", rel)
	}
	needed := []string{"", "tree", treeFile, "tree/project", projectMembers.file(), e.relation.file()}
	e.drops = func(name string, _ bool) bool { return !isVersion(name) && !slices.Contains(needed, name) }
	return e
}

// dropped reports whether one of the edits leaves a file or folder out. What
// macOS puts beside a file, ._NAME, goes with it.
func dropped(edits []Edit, name string, folder bool) bool {
	dir, base := path.Split(name)
	name = dir + strings.TrimPrefix(base, "._")
	return slices.ContainsFunc(edits, func(e Edit) bool { return e.drops != nil && e.drops(name, folder) })
}
