package portertest

import (
	"slices"
	"time"
)

// relationImport is an import of one relation. GitLab calls it a tracker.
type relationImport struct {
	id       int64
	project  *project
	user     *user
	relation string
	upload   *upload
	failed   bool
	lost     int // of the items, the last

	created, started, ended time.Time
}

func (t *relationImport) status(now time.Time) (string, time.Time) {
	switch {
	case reached(t.ended, now) && t.failed:
		return "failed", t.ended
	case reached(t.ended, now):
		return "finished", t.ended
	case reached(t.started, now):
		return "started", t.started
	}
	return "created", t.created
}

// relationImports are the imports of single relations.
type relationImports struct {
	*settings
	*imports
	list    []*relationImport
	pending []*relationImport // those that have not settled
}

// importing reports whether an import into the project is running. One that
// has not been picked up does not count, and one that never ends does so for a
// day only.
func (s *relationImports) importing(p *project) bool {
	now := s.now()
	if s.importStatus(p) == "started" {
		return true
	}
	for _, t := range s.list {
		status, _ := t.status(now)
		if t.project == p && status == "started" && now.Before(t.created.Add(24*time.Hour)) {
			return true
		}
	}
	return false
}

// startRelationImport begins an import of a relation, which goes by the script
// for the project's path.
func (s *relationImports) startRelationImport(u *user, p *project, relation string, up *upload) *relationImport {
	now, script := s.now(), s.importScript(p.fullPath())
	timing := s.cfg.timingsOf(script.Timing)
	t := &relationImport{
		id: int64(len(s.list) + 1), project: p, user: u, relation: relation, upload: up, created: now, failed: script.Error != "",
		lost: script.LoseItems[relation],
	}
	if !script.Stuck {
		t.started = now.Add(timing.ImportQueue)
		t.ended = t.started.Add(timing.Import)
		if up != nil && up.holds != nil {
			t.ended = t.ended.Add(timing.ImportItem * time.Duration(len(up.holds.items[relation])))
		}
		s.pending = append(s.pending, t)
	}
	s.list = append(s.list, t)
	return t
}

// settleRelationImports does what the end of an import of a relation does to its
// project: what is not there is taken in.
func (s *relationImports) settleRelationImports() {
	s.pending = slices.DeleteFunc(s.pending, func(t *relationImport) bool {
		if !reached(t.ended, s.now()) {
			return false
		}
		if gone := s.byID[t.project.id] != t.project; !gone && !t.failed && t.upload != nil && t.upload.holds != nil {
			s.takeInRelation(t)
		}
		return true
	})
}

func (s *relationImports) takeInRelation(t *relationImport) {
	from := t.upload.holds.clone()
	from.lose(t.relation, t.lost)
	held := s.holding(t.project)
	taken := held.takeMissing(t.relation, from.items[t.relation])
	t.project.made = nil
	s.attribute(t.project, t.user, from.people, taken...)
}
