package portertest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// imports are the imports of projects.
type imports struct {
	*settings
	*projects
	jobs        map[*project]*importJob
	pending     []*importJob              // those that have not settled, by their end
	scripts     map[string][]ImportScript // by lower-case path
	lastFailure int64
	// fetch reads an archive from a URL, up to a limit.
	fetch func(url string, limit int64) *upload
}

func newImports(s *settings, p *projects) imports {
	return imports{settings: s, projects: p, jobs: map[*project]*importJob{}, scripts: map[string][]ImportScript{}}
}

// ScriptImport sets how the next imports to a full path go, one script each;
// those for "" are for any path that has none of its own.
func (s *imports) ScriptImport(path string, scripts ...ImportScript) {
	s.lock()
	defer s.unlock()
	key := strings.ToLower(strings.Trim(path, "/"))
	s.scripts[key] = append(s.scripts[key], scripts...)
}

// importScript takes the script for an import to a full path.
func (s *imports) importScript(path string) ImportScript {
	for _, key := range []string{strings.ToLower(path), ""} {
		if q := s.scripts[key]; len(q) > 0 {
			s.scripts[key] = q[1:]
			return q[0]
		}
	}
	return ImportScript{}
}

// importRequest is what the caller of an import asks for.
type importRequest struct {
	path, name string
	ns         *namespace
	overwrite  bool
	overrides  url.Values
}

// startImport makes the project that an import fills, or returns why GitLab
// refuses it.
func (s *imports) startImport(u *user, req *importRequest, up *upload, correlation string) (p *project, problem string) {
	ns, path, name := req.ns, req.path, req.name
	original := ""
	if req.overwrite && s.projectAt(ns.path+"/"+path) != nil {
		original = path
		var random [16]byte
		rand.Read(random[:])
		path += "-" + hex.EncodeToString(random[:])
	}
	if strings.TrimSpace(name) == "" {
		name = path
	}
	if problem := s.refuseProject(u, ns, path, name); problem != "" {
		return nil, problem
	}
	p = s.newProject(ns, path, name)
	p.holds = newContents() // until the import ends
	j := &importJob{
		script: s.importScript(ns.path + "/" + req.path), project: p, user: u, correlation: correlation,
		overrides: req.overrides, upload: *up, original: original,
	}
	j.upload.problem = s.cfg.version.archiveProblem(up.problem)
	s.jobs[p] = j
	s.plan(j, s.now())
	if !j.ended.IsZero() {
		s.expect(j)
	}
	return p, ""
}

// plan sets the times of an import and what becomes of it.
func (s *imports) plan(j *importJob, now time.Time) {
	t := s.cfg.timingsOf(j.script.Timing)
	j.started = now.Add(t.ImportQueue)
	j.ended = j.started.Add(t.Import)
	if held := j.upload.holds; held != nil {
		j.ended = j.ended.Add(t.ImportItem * time.Duration(len(held.all())))
	}
	for _, f := range j.script.FailedRelations {
		s.lastFailure++
		j.failures = append(j.failures, failure{f, s.lastFailure, j.ended})
	}
	switch {
	case j.script.Error != "":
		j.err = j.script.Error
	case j.script.Canceled:
	case j.upload.problem != nil:
		j.err = importFailure(j.project, j.upload.problem.Error())
	case j.user.bot:
		j.err = importFailure(j.project, "Error adding importer user to Project members. "+
			"Validation failed: User project bots cannot be added to other groups / projects")
	}
	// An hourly job ends what takes too long.
	patience := 24 * time.Hour
	if !s.cfg.atLeast(14, 1) {
		patience = 15 * time.Hour
	}
	sweep := nextMinuteOfHour(now.Add(patience), 15)
	if j.script.Stuck {
		j.started = time.Time{}
	}
	if j.script.Stuck || j.ended.After(sweep) {
		j.ended = sweep
		j.err = fmt.Sprintf("Import timed out. Import took longer than %d seconds", int(patience.Seconds()))
	} else if j.upload.from != "" {
		j.fetched, j.ended = j.ended, time.Time{}
		s.schedule(j.started, func() { s.download(j) })
	}
}

// filtered is what GitLab hides from an import_error: all that looks like a path.
var filtered = regexp.MustCompile(`[^\s]*/[^\s]*`)

func importFailure(p *project, detail string) string {
	// The two spaces are left by an empty URL.
	return fmt.Sprintf("Error importing repository  into %s - %s", p.fullPath(), filtered.ReplaceAllString(detail, "[FILTERED]"))
}

// download gets the archive of an import that has a URL instead, when it starts.
func (s *imports) download(j *importJob) {
	s.lock()
	from, limit := j.upload.from, s.cfg.maxRemote
	s.unlock()
	up := s.fetch(from, limit)
	s.lock()
	defer s.unlock()
	up.problem = s.cfg.version.archiveProblem(up.problem)
	j.upload = *up
	if up.problem != nil && j.script.Error == "" && !j.script.Canceled {
		j.err = importFailure(j.project, up.problem.Error())
	}
	// j.fetched is when the import ends if the download is no slower.
	j.ended = j.fetched
	if s.now().After(j.ended) {
		j.ended = s.now()
	}
	s.expect(j)
}

// expect has an import settle when it ends.
func (s *imports) expect(j *importJob) {
	i, _ := slices.BinarySearchFunc(s.pending, j, func(a, b *importJob) int {
		if a.ended.After(b.ended) {
			return 1
		}
		return -1 // after those that end at the same time
	})
	s.pending = slices.Insert(s.pending, i, j)
}

// settleImports does what the end of an import does to projects.
func (s *imports) settleImports() {
	for len(s.pending) > 0 && reached(s.pending[0].ended, s.now()) {
		j := s.pending[0]
		s.pending = s.pending[1:]
		if gone := s.byID[j.project.id] != j.project; !gone && j.err == "" && !j.script.Canceled {
			s.finish(j)
		}
	}
}

// importStatus is "none" for a project that was not imported.
func (s *imports) importStatus(p *project) string {
	if j := s.jobs[p]; j != nil {
		return j.status(s.now())
	}
	return "none"
}

func (s *imports) finish(j *importJob) {
	p := j.project
	s.takeIn(j)
	if d, ok := j.overrides["description"]; ok {
		p.description = d[0]
	}
	if v := j.overrides.Get("visibility"); v != "" && !slices.Contains(s.cfg.restricted, v) {
		p.visibility = v
	}
	if j.original == "" {
		return
	}
	old := s.projectAt(p.ns.path + "/" + j.original)
	switch {
	case old == nil:
	case p.ns.role(j.user) < Owner:
		j.err = importFailure(p,
			fmt.Sprintf("User %s (%d) cannot overwrite a project in %s", j.user.username, j.user.id, p.ns.base()))
	default:
		s.remove(old) // GitLab renames it and deletes it later
		s.remove(p)
		p.path, p.name = old.path, old.name
		s.insert(p)
	}
}

// takeIn gives the project of an import what was in its archive, but for what
// the import loses.
func (s *imports) takeIn(j *importJob) {
	if j.upload.holds == nil {
		return
	}
	held := j.upload.holds.clone()
	for relation, n := range j.script.LoseItems {
		held.lose(relation, n)
	}
	j.project.archived = held.archived
	j.project.holds, j.project.made, j.project.disabled = held, nil, j.script.Disabled
	s.join(j.project, j.user)
	s.attribute(j.project, j.user, held.people, held.all()...)
}
