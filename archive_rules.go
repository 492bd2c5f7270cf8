package porter

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// importRules says what would keep GitLab from importing an archive with these
// contents, in the order in which GitLab comes to it.
type importRules func(c *contents) []breach

// A breach is why GitLab would not import an archive.
type breach struct {
	ArchiveProblem
	err    error // ErrNotArchive or ErrUnimportable
	absent bool  // something is not there, which may come later
}

func (b breach) asError() error { return fmt.Errorf("%w: %s", b.err, b.ArchiveProblem) }

// absence is something that must be in an archive and is not.
func absence(err error, what string) breach {
	return breach{ArchiveProblem{Line: -1, What: what, Fatal: true}, err, true}
}

// broken is a file with something wrong in it.
func broken(entry, what string) breach {
	return breach{ArchiveProblem{Entry: entry, Line: -1, What: what, Fatal: true}, ErrUnimportable, false}
}

// wholeRules are those of the import of a project.
func wholeRules(c *contents) []breach {
	var all []breach
	if version := c.files["VERSION"]; version == nil || version.check == nil {
		all = append(all, absence(ErrNotArchive, "no VERSION in it"))
	}
	if c.info.Tree == "" {
		all = append(all, absence(ErrNotArchive, "no project tree in it"))
	}
	all = append(all, c.refused...)
	all = append(all, versionRules(c)...)
	for _, name := range []string{"project.bundle", "project.wiki.bundle"} {
		all = append(all, c.judge(name)...)
	}
	all = append(all, treeRules(c)...)
	all = append(all, c.judge("project.design.bundle")...)
	all = append(all, lfsRules(c)...)
	return append(all, manyRules(c)...)
}

// versionRules are those of VERSION, if there is one.
func versionRules(c *contents) []breach {
	if version := c.files["VERSION"]; version == nil || !version.whole {
		return nil
	}
	format, problem := parseFormat(c.line("VERSION"))
	switch {
	case problem != "":
		return []breach{broken("VERSION", problem)}
	case c.info.Tree == TreeJSON:
		// Which formats and which trees a GitLab of old takes depends on its
		// release. This is the place for it, once that of the destination is known.
	case format != formatVersion:
		return []breach{broken("VERSION", fmt.Sprintf("the format is %s, and GitLab reads %s only", format, formatVersion))}
	}
	return nil
}

// treeRules are those of the project tree.
func treeRules(c *contents) []breach {
	switch {
	case c.info.Tree == "":
		return nil
	case c.info.Tree == TreeJSON:
		return c.judge(jsonFile)
	}
	var all []breach
	if c.files[treeFile] == nil {
		all = append(all, absence(ErrUnimportable, "no "+treeFile+" in it"))
	}
	all = append(all, c.judge(treeFile)...)
	for _, r := range importedRelations {
		all = append(all, c.judge(r.file())...)
	}
	return all
}

// lfsRules are those of the list of LFS objects, which GitLab does not open if
// there are none.
func lfsRules(c *contents) []breach {
	if !c.listsLFS() || len(c.lfs.ids) == 0 {
		return nil
	}
	if all := c.judge(lfsFile); all != nil {
		return all
	}
	if id, n := c.lfs.missingIn(&c.files[lfsFile].check.(*lfsListCheck).list.lfsSet); n > 0 {
		b := broken(lfsFile, fmt.Sprintf("the object lfs-objects/%s is not listed%s", id, andMore(n-1)))
		b.absent = true
		return []breach{b}
	}
	return nil
}

// manyRules are those of files of which there may be any number.
func manyRules(c *contents) []breach {
	listed := c.listsLFS()
	var all []breach
	for _, name := range slices.Sorted(maps.Keys(c.problems)) {
		if listed || !strings.HasPrefix(name, "lfs-objects/") {
			all = append(all, broken(name, c.problems[name]))
		}
	}
	if c.overflow {
		all = append(all, broken("", "more LFS objects or bundles of snippets than are kept here are not what they should be"))
	}
	return all
}

// relationRules are those of the import of one relation: GitLab reads two
// files, and looks at nothing else.
func relationRules(r Relation) importRules {
	return func(c *contents) []breach {
		var all []breach
		if c.info.Tree == "" {
			all = append(all, absence(ErrNotArchive, "no project tree in it"))
		}
		all = append(all, c.refused...)
		if c.info.Tree == TreeJSON {
			return append(all, broken("", "the project tree is one file, and GitLab reads those with a file for each relation only"))
		}
		for _, r := range []PortableRelation{projectMembers, PortableRelation(r)} {
			all = append(all, c.judge(r.file())...)
		}
		return all
	}
}

// judge says what is wrong with a file that may be missing.
func (c *contents) judge(name string) []breach {
	f := c.files[name]
	if f == nil || f.problem == "" {
		return nil
	}
	r, ok := f.check.(*relationCheck)
	if !ok {
		return []breach{broken(name, f.problem)}
	}
	var all []breach
	for _, fault := range r.faults {
		b := broken(name, fault.what)
		b.Line = fault.line
		all = append(all, b)
	}
	if r.more > 0 {
		all = append(all, broken(name, fmt.Sprintf("%d more lines like these", r.more)))
	}
	return all
}
