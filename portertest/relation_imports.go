package portertest

import "time"

// relationImport is an import of one relation. GitLab calls it a tracker.
type relationImport struct {
	id       int64
	project  *project
	relation string
	failed   bool

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
	list []*relationImport
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
func (s *relationImports) startRelationImport(p *project, relation string) *relationImport {
	now, script := s.now(), s.importScript(p.fullPath())
	timing := s.cfg.timingsOf(script.Timing)
	t := &relationImport{id: int64(len(s.list) + 1), project: p, relation: relation, created: now, failed: script.Error != ""}
	if !script.Stuck {
		t.started = now.Add(timing.ImportQueue)
		t.ended = t.started.Add(timing.Import)
	}
	s.list = append(s.list, t)
	return t
}
