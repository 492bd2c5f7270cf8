package porter

import (
	"crypto/sha256"
	"path"
	"regexp"
	"slices"
	"strings"
)

// projectMembers is the relation of the members, which GitLab does not export by
// itself.
const projectMembers PortableRelation = "project_members"

// importedRelations are the relations that GitLab reads, in the order in which
// it does. The members come first; a file of any other name is not opened.
var importedRelations = []PortableRelation{
	projectMembers, PortableLabels, PortableMilestones, PortableIssues, PortableSnippets, PortableReleases, PortableMergeRequests,
	PortableExternalPullRequests, PortableCommitNotes, PortablePipelines, PortableAutoDevops, PortablePipelineSchedules,
	PortableContainerExpirationPolicy, PortableProtectedBranches, PortableProtectedTags, PortableProjectFeature,
	PortableCustomAttributes, PortableProjectBadges, PortableCICDSettings, PortableErrorTrackingSetting, PortableBoards,
	PortableServiceDeskSetting, PortableUserContributions,
	// of licensed editions
	"protected_environments", "security_setting", "push_rule", "approval_rules", "vulnerabilities",
}

// relationName is what the name of a relation may be.
var relationName = regexp.MustCompile(`^[a-z][a-z_]{0,63}$`)

const (
	// maxRelations is how many relations GitLab does not read are counted.
	maxRelations = 64
	// maxProblems is how many problems are kept of files of which there may be
	// any number.
	maxProblems = 64
	// maxProblemName is the longest name that is kept with one.
	maxProblemName = 4 << 10
)

// A fileCheck reads a file of an archive. end returns what is wrong with it, or "".
type fileCheck interface {
	write(p []byte)
	end() (problem string)
}

// A foundFile is what was found of a file by the last entry of that name, as
// tar lets a later entry replace an earlier one.
type foundFile struct {
	check   fileCheck // nil for a directory
	whole   bool      // it was read to its end
	problem string
}

// contents is what is known of an archive's files.
type contents struct {
	info     ArchiveInfo
	files    map[string]*foundFile // those with a name of their own
	problems map[string]string     // of LFS objects and of the bundles of snippets
	overflow bool                  // there are more of these
	lfs      lfsSet
	tree     bool // there is a directory tree
	odd      oddities
	refused  []breach // entries that GitLab refuses, whatever comes later
	census   *census  // nil if nobody asks
}

func newContents() *contents {
	return &contents{
		info:     ArchiveInfo{Relations: map[PortableRelation]int64{}, Parts: map[ArchivePart]int64{}},
		files:    map[string]*foundFile{},
		problems: map[string]string{},
	}
}

// file begins a file and returns what reads it, nil if nobody does.
func (c *contents) file(name string, size int64) fileCheck {
	c.info.Parts[partOf(name)] += size
	c.tree = c.tree || strings.HasPrefix(name, "tree/")
	check := c.checkFor(name)
	if check != nil && !isOneOfMany(name) {
		c.files[name] = &foundFile{check: check}
	}
	return check
}

// endFile ends a file that was read whole.
func (c *contents) endFile(name string, check fileCheck) {
	problem := check.end()
	if f := c.files[name]; f != nil {
		f.problem, f.whole = problem, true
		return
	}
	delete(c.problems, name)
	switch {
	case problem == "":
	case len(c.problems) < maxProblems && len(name) <= maxProblemName:
		c.problems[name] = problem
	default:
		c.overflow = true
	}
}

// directory notes a directory, which may stand where GitLab reads a file.
func (c *contents) directory(name string) {
	c.tree = c.tree || isIn(name, "tree")
	if c.checkFor(name) != nil && !isOneOfMany(name) {
		c.files[name] = &foundFile{problem: "is a directory"}
	}
}

// removed notes an entry that GitLab removes once the archive is unpacked.
func (c *contents) removed(name string) {
	delete(c.files, name)
	delete(c.problems, name)
	if name == "tree" || name == "tree/project" {
		c.refuse(name, "is no directory")
	}
}

func (c *contents) refuse(entry, rule string) {
	if len(c.refused) < maxProblems {
		c.refused = append(c.refused, broken(strings.Clone(entry[:min(len(entry), maxProblemName)]), rule))
	}
}

const (
	treeFile = "tree/project.json"
	jsonFile = "project.json"
	lfsFile  = "lfs-objects.json"
)

var bundleParts = map[string]ArchivePart{
	"project.bundle":        PartRepository,
	"project.wiki.bundle":   PartWiki,
	"project.design.bundle": PartDesigns,
}

// isOneOfMany reports whether there may be any number of such files, so that
// only what is wrong with them is kept.
func isOneOfMany(name string) bool {
	dir, _ := path.Split(name)
	return dir == "snippets/" || dir == "lfs-objects/"
}

// checkFor returns what reads the file of that name, or nil.
func (c *contents) checkFor(name string) fileCheck {
	dir, base := path.Split(name)
	switch {
	case name == "VERSION", name == "GITLAB_VERSION", name == "GITLAB_REVISION":
		return new(lineCheck)
	case name == treeFile:
		return newDocumentCheck(maxDocument, nil)
	case name == jsonFile:
		return newDocumentCheck(0, nil)
	case name == lfsFile:
		return newLFSListCheck()
	case bundleParts[name] != "", dir == "snippets/" && path.Ext(base) == ".bundle" && base[0] != '.':
		return newBundleCheck()
	case dir == "lfs-objects/" && base[0] != '.':
		return &lfsCheck{name: base, hash: sha256.New(), set: &c.lfs}
	}
	if r, ok := relationOf(name); ok && (slices.Contains(importedRelations, r) || len(c.files) < maxRelations) {
		census := c.census
		if !slices.Contains(importedRelations, r) {
			census = nil
		}
		return newRelationCheck(r == projectMembers, census)
	}
	return nil
}

// relationOf returns the relation whose records a file holds.
func relationOf(name string) (PortableRelation, bool) {
	base, ok := strings.CutPrefix(name, "tree/project/")
	r, ndjson := strings.CutSuffix(base, ".ndjson")
	return PortableRelation(r), ok && ndjson && relationName.MatchString(r)
}

// file is the file of an archive that holds the records of a relation.
func (r PortableRelation) file() string { return "tree/project/" + string(r) + ".ndjson" }

// isIn reports whether a name is that of a folder, or of something in it.
func isIn(name, folder string) bool { return name == folder || strings.HasPrefix(name, folder+"/") }

func partOf(name string) ArchivePart {
	top, _, inside := strings.Cut(name, "/")
	switch part := bundleParts[name]; {
	case part != "":
		return part
	case name == jsonFile, inside && top == "tree":
		return PartTree
	case name == lfsFile, inside && top == "lfs-objects":
		return PartLFS
	case inside && (top == "snippets" || top == "uploads" || top == "avatar"):
		return ArchivePart(top)
	}
	return PartOther
}

// finish fills in what is known only after the last entry.
func (c *contents) finish() *ArchiveInfo {
	i := &c.info
	i.GitLabVersion, i.Revision = c.word("GITLAB_VERSION"), c.word("GITLAB_REVISION")
	i.FormatVersion, _ = parseFormat(c.line("VERSION"))
	i.HasRepository = c.files["project.bundle"] != nil
	switch {
	case c.tree:
		i.Tree = TreeNDJSON
	case c.files[jsonFile] != nil:
		i.Tree = TreeJSON
	}
	for name, f := range c.files {
		if r, ok := f.check.(*relationCheck); ok {
			relation, _ := relationOf(name)
			i.Relations[relation] = r.records
			i.LongestLine = max(i.LongestLine, r.longest)
			if r.members != nil {
				i.Members, i.Unmappable = r.members.users, r.members.unmappable
			}
			if f.problem != "" && !slices.Contains(importedRelations, relation) {
				c.odd.note("relation that GitLab does not read, with records that it could not", name)
			}
		}
	}
	if !c.listsLFS() {
		for name := range c.problems {
			if strings.HasPrefix(name, "lfs-objects/") {
				c.odd.note("LFS object that is not what its name says", name)
			}
		}
	}
	i.Odd = c.odd.list()
	return i
}

// listsLFS reports whether there is a list of the LFS objects, which GitLab then
// goes by.
func (c *contents) listsLFS() bool {
	f := c.files[lfsFile]
	if f == nil {
		return false
	}
	l, ok := f.check.(*lfsListCheck)
	return !ok || l.list.any
}

func (c *contents) line(name string) string {
	if f := c.files[name]; f != nil && f.check != nil {
		return f.check.(*lineCheck).line()
	}
	return ""
}

func (c *contents) word(name string) string {
	if f := c.files[name]; f != nil && f.check != nil {
		return f.check.(*lineCheck).word()
	}
	return ""
}

// oddities counts what is odd, by kind.
type oddities struct {
	kinds []string
	count map[string]int
	first map[string]string
}

func (o *oddities) note(kind, example string) {
	if o.count == nil {
		o.count, o.first = map[string]int{}, map[string]string{}
	}
	if o.count[kind]++; o.count[kind] == 1 {
		o.kinds = append(o.kinds, kind)
	}
	if o.count[kind] == 1 || example < o.first[kind] && len(example) <= maxQuoted {
		o.first[kind] = example
	}
}

// problems are what is odd, none of which keeps GitLab from importing.
func (o *oddities) problems() []ArchiveProblem {
	var all []ArchiveProblem
	slices.Sort(o.kinds)
	for _, kind := range o.kinds {
		all = append(all, ArchiveProblem{Entry: o.first[kind], Line: -1, What: kind + andMore(o.count[kind]-1)})
	}
	return all
}

func (o *oddities) list() []string {
	var list []string
	slices.Sort(o.kinds)
	for _, kind := range o.kinds {
		text := kind
		if first := o.first[kind]; first != "" {
			text += ": " + quote(first)
		}
		list = append(list, text+andMore(o.count[kind]-1))
	}
	return list
}
