package portertest

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Project is a project to be added to a Server.
type Project struct {
	Path        string // in full, such as "group/subgroup/app"; required
	ID          int64  // 0 means the next free one
	Name        string // defaults to the last part of Path
	Description string
	Visibility  string // "private", the default, "internal" or "public"
	CreatedAt   time.Time

	// Archived projects are listed as such, and an import of their archives makes
	// an archived project, unless Archive says otherwise. So it is with those to be
	// deleted on the date DeletionOn, such as "2026-05-01".
	Archived   bool
	DeletionOn string
	// SharedWith are full paths of other groups that the project is shared with.
	SharedWith []string

	// Archive is what an export of the project yields. The default is a
	// small one, different for every project.
	Archive *Archive
	// Size is the project's size in GitLab's statistics, for MaxExportSize.
	// It defaults to that of Archive.
	Size int64
	// Artifacts is the size of its job artifacts in the statistics, which counts
	// for MaxExportSize before GitLab 16.8.
	Artifacts int64

	// Items, Branches and Tags are what the project holds, and what an export of
	// it yields, unless Archive says otherwise. Branches and Tags are SHAs by
	// name. Without any of the three the project holds what is in its archive.
	Items          Items
	Branches, Tags map[string]string
	// Disabled are the features that are switched off: "issues",
	// "merge_requests", "repository", "builds", "snippets" or "releases".
	Disabled []string

	// Members are the roles of users in the project itself, by username.
	Members map[string]Role
	// FormerPaths are full paths that the project had before it was moved.
	FormerPaths []string
}

type project struct {
	id          int64
	ns          *namespace
	path        string // the last part
	name        string
	description string
	visibility  string
	created     time.Time
	archived    bool
	deletionOn  string
	shared      []string
	archive     *Archive
	made        *Archive  // of what it holds
	holds       *contents // nil for what is in its archive
	disabled    []string
	size        int64
	artifacts   int64
	members     map[string]Role
	references  map[string]int // from imported records to users, by their names
	former      []string
}

func (p *project) fullPath() string { return p.ns.path + "/" + p.path }

func (p *project) role(u *user) Role {
	if u == nil {
		return 0
	}
	return max(p.ns.role(u), p.members[u.username])
}

func (p *project) readable(u *user) bool {
	switch p.visibility {
	case "public":
		return true
	case "internal":
		return u != nil
	}
	return p.role(u) > 0
}

// projects are the projects of the instance. Only lists of projects look at all
// of them, so that a test may have thousands.
type projects struct {
	*settings
	*accounts
	byID        map[int64]*project
	sorted      []*project          // all, once they are asked for
	byPath      map[string]*project // in full, in lower case
	byFormer    map[string]*project // by a path that it had before
	names       map[nameKey]int     // how many have a name
	owned       map[*namespace]int  // how many are in a namespace
	lastProject int64
}

type nameKey struct {
	ns   *namespace
	name string
}

func newProjects(s *settings, a *accounts) projects {
	return projects{
		settings: s, accounts: a, lastProject: 1000,
		byID: map[int64]*project{}, byPath: map[string]*project{}, byFormer: map[string]*project{},
		names: map[nameKey]int{}, owned: map[*namespace]int{},
	}
}

// insert adds a project that is not there.
func (s *projects) insert(p *project) {
	s.byID[p.id], s.sorted = p, nil
	s.byPath[strings.ToLower(p.fullPath())] = p
	for _, f := range p.former {
		s.byFormer[strings.ToLower(f)] = p
	}
	s.names[nameKey{p.ns, p.name}]++
	s.owned[p.ns]++
}

// remove takes a project away.
func (s *projects) remove(p *project) {
	delete(s.byID, p.id)
	s.sorted = nil
	delete(s.byPath, strings.ToLower(p.fullPath()))
	for _, f := range p.former {
		delete(s.byFormer, strings.ToLower(f))
	}
	s.names[nameKey{p.ns, p.name}]--
	s.owned[p.ns]--
}

// source returns the archive that an export of p yields.
func (s *projects) source(p *project) *Archive {
	v := s.cfg.version
	switch {
	case p.archive != nil:
	case p.holds != nil:
		if p.made == nil {
			p.made = itemsArchive(p.holds, v)
		}
		return p.made
	default:
		p.archive = NewArchive(64<<10, ArchiveSeed(p.id), madeBy(v), ArchiveArchived(p.archived))
	}
	return p.archive
}

func (s *projects) statisticsSize(p *project) int64 {
	if p.size > 0 {
		return p.size
	}
	return s.source(p).Size()
}

// exportedSize is what is compared with MaxExportSize.
func (s *projects) exportedSize(p *project) int64 {
	if s.cfg.atLeast(16, 8) {
		return s.statisticsSize(p)
	}
	return s.statisticsSize(p) + p.artifacts
}

// hasRoom reports whether u may create one more project in the own namespace.
func (s *projects) hasRoom(u *user) bool {
	return !u.bot && (u.limit == 0 || s.owned[u.home] < u.limit)
}

// AddProject adds a project and the groups it is in, and returns its ID. A
// first path segment that is a user's name means that user's own namespace.
func (s *projects) AddProject(p Project) int64 {
	s.lock()
	defer s.unlock()
	dir, base := path.Split(strings.Trim(p.Path, "/"))
	if dir == "" || base == "" {
		panic("portertest: a project's path needs a namespace: " + strconv.Quote(p.Path))
	}
	if s.projectAt(p.Path) != nil {
		panic("portertest: there is a project at " + p.Path)
	}
	if p.ID != 0 && s.byID[p.ID] != nil {
		panic("portertest: there is a project with ID " + strconv.FormatInt(p.ID, 10))
	}
	prj := s.newProject(s.addGroup(dir), base, p.Name)
	s.remove(prj)
	defer s.insert(prj) // as what the rest makes of it
	if p.ID != 0 {
		prj.id = p.ID
		s.lastProject = max(s.lastProject, p.ID)
	}
	prj.description = p.Description
	if p.Visibility != "" {
		prj.visibility = p.Visibility
	}
	if !p.CreatedAt.IsZero() {
		prj.created = p.CreatedAt
	}
	prj.archive, prj.size, prj.artifacts, prj.former = p.Archive, p.Size, p.Artifacts, p.FormerPaths
	prj.archived, prj.deletionOn, prj.shared = p.Archived || p.DeletionOn != "", p.DeletionOn, p.SharedWith
	for name, r := range p.Members {
		prj.members[name] = r
	}
	s.fill(prj, p)
	return prj.id
}

func (s *projects) newProject(ns *namespace, base, name string) *project {
	if name == "" {
		name = base
	}
	s.lastProject++
	p := &project{
		id: s.lastProject, ns: ns, path: base, name: name,
		visibility: "private", created: s.now(), members: map[string]Role{},
	}
	s.insert(p)
	return p
}

// RemoveProject deletes a project, given by its full path or its ID. It
// reports whether there was one.
func (s *projects) RemoveProject(ref string) bool {
	s.lock()
	defer s.unlock()
	p := s.lookup(ref)
	if p == nil {
		return false
	}
	s.remove(p)
	return true
}

// AddMember gives a user a role in the group or project at a full path. A role
// of 0 takes it away again.
func (s *projects) AddMember(fullPath, username string, r Role) {
	s.lock()
	defer s.unlock()
	if s.users[username] == nil {
		panic("portertest: no user " + username)
	}
	if p := s.projectAt(fullPath); p != nil {
		p.members[username] = r
		return
	}
	n := s.namespaces[strings.ToLower(fullPath)]
	if n == nil {
		panic("portertest: no group or project " + fullPath)
	}
	n.members[username] = r
}

// projectAt returns the project at a full path, whatever its case.
func (s *projects) projectAt(fullPath string) *project {
	return s.byPath[strings.ToLower(strings.Trim(fullPath, "/"))]
}

// lookup finds a project for the test's own use.
func (s *projects) lookup(ref string) *project {
	if id, err := strconv.ParseInt(ref, 10, 64); err == nil {
		return s.byID[id]
	}
	return s.projectAt(ref)
}

// projectOnceAt returns the project that had a full path before it was moved.
func (s *projects) projectOnceAt(fullPath string) (*project, bool) {
	if !s.cfg.atLeast(16, 7) {
		return nil, false
	}
	p := s.byFormer[strings.ToLower(fullPath)]
	return p, p != nil
}

// sortedProjects returns all projects in the order of their IDs.
func (s *projects) sortedProjects() []*project {
	if s.sorted == nil {
		s.sorted = slices.SortedFunc(maps.Values(s.byID), func(a, b *project) int { return cmp.Compare(a.id, b.id) })
	}
	return s.sorted
}

// refuseProject returns why GitLab refuses a new project, "" if it does not.
func (s *projects) refuseProject(u *user, ns *namespace, path, name string) string {
	role := ns.role(u)
	switch {
	case slices.Contains(s.cfg.restricted, "private"):
		return "Visibility level private has been restricted by your GitLab administrator"
	case role < Developer, !ns.admits(u, role):
		return "Namespace is not valid"
	case role < Maintainer && s.cfg.atLeast(16, 0):
		return "User is not allowed to import projects"
	case !validPath(path) && s.cfg.atLeast(15, 0):
		return "Project namespace path can only include non-accented letters, digits, '_', '-' and '.'. " +
			"It must not start with '-', '_', or '.', nor end with '-', '_', '.', '.git', or '.atom'."
	case !validPath(path):
		return "Path can contain only letters, digits, '_', '-' and '.'. Cannot start with '-', end in '.git' or end in '.atom'"
	case s.projectAt(ns.path+"/"+path) != nil, s.namespaces[strings.ToLower(ns.path+"/"+path)] != nil:
		return "Path has already been taken"
	}
	taken := s.names[nameKey{ns, name}] > 0
	switch {
	case taken && s.cfg.atLeast(15, 0):
		return "Project namespace name has already been taken"
	case taken:
		return "Name has already been taken"
	case ns.owner == nil || u.limit == 0:
	case u.limit < 0:
		return "Limit reached You cannot create projects in your personal namespace. Contact your GitLab administrator."
	case s.owned[ns] >= u.limit:
		return fmt.Sprintf("Limit reached You've reached your limit of %d projects created. Contact your GitLab administrator.", u.limit)
	}
	return ""
}

var pathPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$`)

func validPath(p string) bool {
	return pathPattern.MatchString(p) && !strings.HasSuffix(p, ".git") && !strings.HasSuffix(p, ".atom")
}
