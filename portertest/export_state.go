package portertest

import "time"

// exportState computes a project's export status as u sees it.
func (s *exports) exportState(p *project, u *user) string {
	now := s.now()
	var queued, started, afterExport, file, failed bool
	for _, j := range s.exportsOf(p, u) {
		if j.active(now) {
			switch {
			case !reached(j.started, now):
				queued = true
			case reached(j.row, now) && (s.cfg.atLeast(10, 7) || reached(j.bytes, now)):
				afterExport = true
			default:
				started = true
			}
		}
		file = file || j.hasFile(now)
		failed = failed || reached(j.failed, now) && now.Before(j.queued.Add(7*24*time.Hour))
	}
	if !s.cfg.atLeast(12, 9) {
		// Without a job table the status is what lies in the shared directory.
		switch {
		case started:
			return "started"
		case afterExport && s.cfg.atLeast(10, 7):
			return "after_export_action"
		case file:
			return "finished"
		}
		return "none"
	}
	started = started || afterExport
	switch {
	case (queued || started) && file:
		return "regeneration_in_progress"
	case queued:
		return "queued"
	case started:
		return "started"
	case file:
		return "finished"
	case failed && s.cfg.atLeast(17, 3):
		return "failed"
	}
	return "none"
}
