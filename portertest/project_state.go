package portertest

import (
	"maps"
	"net/url"
	"time"
)

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
	// References are how often the imported records name a user, as their author,
	// assignee and the like, by the user's name here.
	References map[string]int
}

// Project returns the project with the given full path or decimal ID, or nil
// if there is none.
func (s *imports) Project(ref string) *ProjectState {
	s.lock()
	defer s.unlock()
	if p := s.lookup(ref); p != nil {
		return s.state(p)
	}
	return nil
}

// Projects returns all projects in the order of their IDs.
func (s *imports) Projects() []*ProjectState {
	s.lock()
	defer s.unlock()
	var states []*ProjectState
	for _, p := range s.sortedProjects() {
		states = append(states, s.state(p))
	}
	return states
}

func (s *imports) state(p *project) *ProjectState {
	st := &ProjectState{
		ID: p.id, Path: p.fullPath(), Name: p.name, Description: p.description,
		Visibility: p.visibility, CreatedAt: p.created, ImportStatus: s.importStatus(p),
	}
	if j := s.jobs[p]; j != nil {
		st.ImportError = j.errorAt(s.now())
		for _, f := range j.failuresAt(s.now()) {
			st.FailedRelations = append(st.FailedRelations, f.FailedRelation)
		}
		st.CorrelationID = j.correlation
		st.ArchiveName, st.ArchiveSize, st.ArchiveSHA256 = j.upload.name, j.upload.size, j.upload.sha256
		st.Overrides, st.References = j.overrides, maps.Clone(p.references)
	}
	return st
}
