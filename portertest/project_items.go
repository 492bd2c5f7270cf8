package portertest

import "maps"

// holding returns what p holds: what the test said, or else what is in its
// archive.
func (s *projects) holding(p *project) *contents {
	if p.holds == nil {
		p.holds, _ = unpackArchive(s.source(p).NewReader())
	}
	return p.holds
}

// fill gives a new project what the test says that it holds.
func (s *projects) fill(prj *project, p Project) {
	prj.disabled = p.Disabled
	if p.Items == nil && p.Branches == nil && p.Tags == nil {
		return
	}
	prj.holds = newContents()
	prj.holds.archived = prj.archived
	maps.Copy(prj.holds.branches, p.Branches)
	maps.Copy(prj.holds.tags, p.Tags)
	for relation, list := range p.Items {
		prj.holds.add(relation, prj.created, list...)
	}
}

// AddItems adds items to the project with the given full path or ID. What an
// export of it yields that is scheduled later changes with it, unless the
// project was given an Archive.
func (s *projects) AddItems(ref, relation string, items ...Item) {
	s.change(ref, func(p *project, c *contents) { c.add(relation, p.created, items...) })
}

// RemoveItems takes the last n items of a relation away from a project.
func (s *projects) RemoveItems(ref, relation string, n int) {
	s.change(ref, func(_ *project, c *contents) { c.lose(relation, n) })
}

// SetBranch has a branch of a project point to a SHA; an empty one removes it.
func (s *projects) SetBranch(ref, name, sha string) {
	s.change(ref, func(_ *project, c *contents) {
		if sha == "" {
			delete(c.branches, name)
			return
		}
		c.branches[name] = sha
	})
}

// change changes what a project holds.
func (s *projects) change(ref string, f func(*project, *contents)) {
	s.lock()
	defer s.unlock()
	p := s.lookup(ref)
	if p == nil {
		panic("portertest: no project " + ref)
	}
	f(p, s.holding(p))
	p.made = nil
}
