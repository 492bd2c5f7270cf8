package portertest

import (
	"net/url"
	"path"
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

	// Archive is what an export of the project yields. The default is a
	// small one, different for every project.
	Archive *Archive
	// Size is the project's size in GitLab's statistics, for MaxExportSize.
	// It defaults to that of Archive.
	Size int64

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
	archive     *Archive
	size        int64
	members     map[string]Role
	former      []string

	imp       *importJob // nil if not imported
	relations map[string]Relation
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

// source returns the archive that an export of p yields.
func (s *Server) source(p *project) *Archive {
	if p.archive == nil {
		v := s.cfg.version
		p.archive = NewArchive(64<<10, ArchiveSeed(p.id), ArchiveFormatVersion(v.archiveFormat()), ArchiveGitLabVersion(v.String()))
	}
	return p.archive
}

func (s *Server) statisticsSize(p *project) int64 {
	if p.size > 0 {
		return p.size
	}
	return s.source(p).Size()
}

// AddProject adds a project and the groups it is in, and returns its ID. A
// first path segment that is a user's name means that user's own namespace.
func (s *Server) AddProject(p Project) int64 {
	s.lock()
	defer s.unlock()
	dir, base := path.Split(strings.Trim(p.Path, "/"))
	if dir == "" || base == "" {
		panic("portertest: a project's path needs a namespace: " + strconv.Quote(p.Path))
	}
	if s.projectAt(p.Path) != nil {
		panic("portertest: there is a project at " + p.Path)
	}
	if p.ID != 0 && s.projects[p.ID] != nil {
		panic("portertest: there is a project with ID " + strconv.FormatInt(p.ID, 10))
	}
	prj := s.newProject(s.addGroup(dir), base, p.Name)
	if p.ID != 0 {
		delete(s.projects, prj.id)
		prj.id = p.ID
		s.projects[p.ID] = prj
		s.lastProject = max(s.lastProject, p.ID)
	}
	prj.description = p.Description
	if p.Visibility != "" {
		prj.visibility = p.Visibility
	}
	if !p.CreatedAt.IsZero() {
		prj.created = p.CreatedAt
	}
	prj.archive, prj.size, prj.former = p.Archive, p.Size, p.FormerPaths
	for name, r := range p.Members {
		prj.members[name] = r
	}
	return prj.id
}

func (s *Server) newProject(ns *namespace, base, name string) *project {
	if name == "" {
		name = base
	}
	s.lastProject++
	p := &project{
		id: s.lastProject, ns: ns, path: base, name: name,
		visibility: "private", created: s.now(), members: map[string]Role{},
	}
	s.projects[p.id] = p
	return p
}

// RemoveProject deletes a project, given by its full path or its ID. It
// reports whether there was one.
func (s *Server) RemoveProject(ref string) bool {
	s.lock()
	defer s.unlock()
	p := s.lookup(ref)
	if p == nil {
		return false
	}
	delete(s.projects, p.id)
	return true
}

// projectAt returns the project at a full path, whatever its case.
func (s *Server) projectAt(fullPath string) *project {
	fullPath = strings.Trim(fullPath, "/")
	for _, p := range s.projects {
		if strings.EqualFold(p.fullPath(), fullPath) {
			return p
		}
	}
	return nil
}

// lookup finds a project for the test's own use.
func (s *Server) lookup(ref string) *project {
	if id, err := strconv.ParseInt(ref, 10, 64); err == nil {
		return s.projects[id]
	}
	return s.projectAt(ref)
}

// ProjectState is a project as an administrator would see it.
type ProjectState struct {
	ID          int64
	Path        string // in full
	Name        string
	Description string
	Visibility  string
	CreatedAt   time.Time

	// The remaining fields are set for imported projects only.

	ImportStatus    string
	ImportError     string
	CorrelationID   string
	FailedRelations []FailedRelation
	ArchiveName     string     // the file name that came with the upload
	ArchiveSize     int64      // of what was uploaded
	ArchiveSHA256   string     // of what was uploaded, in hex
	Overrides       url.Values // override_params, flattened: "topics" → a, b
}

// Project returns the project with the given full path or decimal ID, or nil
// if there is none.
func (s *Server) Project(ref string) *ProjectState {
	s.lock()
	defer s.unlock()
	if p := s.lookup(ref); p != nil {
		return s.state(p)
	}
	return nil
}

// Projects returns all projects in the order of their IDs.
func (s *Server) Projects() []*ProjectState {
	s.lock()
	defer s.unlock()
	var states []*ProjectState
	for _, p := range s.sortedProjects() {
		states = append(states, s.state(p))
	}
	return states
}

func (s *Server) state(p *project) *ProjectState {
	st := &ProjectState{
		ID: p.id, Path: p.fullPath(), Name: p.name, Description: p.description,
		Visibility: p.visibility, CreatedAt: p.created, ImportStatus: "none",
	}
	if j := p.imp; j != nil {
		now := s.now()
		st.ImportStatus = j.status(now)
		st.ImportError = j.errorAt(now)
		st.FailedRelations = j.failedAt(now)
		st.CorrelationID = j.correlation
		st.ArchiveName, st.ArchiveSize, st.ArchiveSHA256 = j.upload.name, j.upload.size, j.upload.sha256
		st.Overrides = j.overrides
	}
	return st
}
