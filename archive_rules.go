package porter

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// importRules says whether GitLab could import an archive with these contents.
type importRules func(c *contents) error

// wholeRules are those of the import of a project, in the order in which
// GitLab goes by them.
func wholeRules(c *contents) error {
	version := c.files["VERSION"]
	switch {
	case version == nil || version.check == nil:
		return fmt.Errorf("%w: no VERSION in it", ErrNotArchive)
	case c.info.Tree == "":
		return fmt.Errorf("%w: no project tree in it", ErrNotArchive)
	case c.refused != "":
		return unimportable(c.refused)
	}
	format, problem := parseFormat(c.line("VERSION"))
	switch {
	case problem != "":
		return unimportable("VERSION: " + problem)
	case c.info.Tree == TreeJSON:
		// Which formats and which trees a GitLab of old takes depends on its
		// release. This is the place for it, once that of the destination is known.
	case format != formatVersion:
		return unimportable(fmt.Sprintf("VERSION: the format is %s, and GitLab reads %s only", format, formatVersion))
	}
	for _, name := range []string{"project.bundle", "project.wiki.bundle"} {
		if err := c.judge(name); err != nil {
			return err
		}
	}
	if err := treeRules(c); err != nil {
		return err
	}
	if err := c.judge("project.design.bundle"); err != nil {
		return err
	}
	return manyRules(c)
}

// treeRules are those of the project tree.
func treeRules(c *contents) error {
	if c.info.Tree == TreeJSON {
		return c.judge(jsonFile)
	}
	if c.files[treeFile] == nil {
		return unimportable("no " + treeFile + " in it")
	}
	if err := c.judge(treeFile); err != nil {
		return err
	}
	for _, r := range importedRelations {
		if err := c.judge("tree/project/" + string(r) + ".ndjson"); err != nil {
			return err
		}
	}
	return nil
}

// manyRules are those of files of which there may be any number.
func manyRules(c *contents) error {
	listed := c.listsLFS()
	if listed && len(c.lfs.ids) > 0 { // else GitLab does not open the list
		if err := c.judge(lfsFile); err != nil {
			return err
		}
		if id, missing := c.lfs.missingIn(&c.files[lfsFile].check.(*lfsListCheck).list.lfsSet); missing {
			return unimportable(fmt.Sprintf("%s: the object lfs-objects/%s is not listed", lfsFile, id))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.problems)) {
		if listed || !strings.HasPrefix(name, "lfs-objects/") {
			return unimportable(name + ": " + c.problems[name])
		}
	}
	if c.overflow {
		return unimportable("more LFS objects or bundles of snippets than are kept here are not what they should be")
	}
	return nil
}

// relationRules are those of the import of one relation: GitLab reads two
// files, and looks at nothing else.
func relationRules(r Relation) importRules {
	return func(c *contents) error {
		switch {
		case c.info.Tree == "":
			return fmt.Errorf("%w: no project tree in it", ErrNotArchive)
		case c.refused != "":
			return unimportable(c.refused)
		case c.info.Tree == TreeJSON:
			return unimportable("the project tree is one file, and GitLab reads those with a file for each relation only")
		}
		for _, name := range []string{"project_members", string(r)} {
			if err := c.judge("tree/project/" + name + ".ndjson"); err != nil {
				return err
			}
		}
		return nil
	}
}

// judge says what is wrong with a file that may be missing.
func (c *contents) judge(name string) error {
	if f := c.files[name]; f != nil && f.problem != "" {
		return unimportable(name + ": " + f.problem)
	}
	return nil
}

func unimportable(why string) error { return fmt.Errorf("%w: %s", ErrUnimportable, why) }
