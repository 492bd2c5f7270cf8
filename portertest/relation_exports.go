package portertest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"slices"
	"time"
)

// batchSize is how many objects a batch of a relation holds.
const batchSize = 1000

// freshRelation is how long an exported relation is not exported again.
const freshRelation = 3 * time.Minute

// The parts of a project that can be exported one by one: lists of objects,
// which can be batched, and others.
var (
	listRelations = []string{
		"labels", "milestones", "issues", "snippets", "releases", "merge_requests", "external_pull_requests", "commit_notes",
		"ci_pipelines", "pipeline_schedules", "protected_branches", "protected_tags", "custom_attributes", "project_badges",
		"boards", "user_contributions", "uploads", "lfs_objects",
	}
	singleRelations = []string{
		"auto_devops", "container_expiration_policy", "project_feature", "ci_cd_settings", "error_tracking_setting",
		"service_desk_setting", "repository", "design", "self",
	}
)

func portable(relation string) bool {
	return slices.Contains(listRelations, relation) || slices.Contains(singleRelations, relation)
}

// Relation is what a project's export of one relation yields.
type Relation struct {
	Objects int      // how many there are; a batch holds 1000
	Archive *Archive // the file, or each batch's; the default has a line for each object
	Error   string   // lets the export fail
}

// relationExports are the exports of single relations.
type relationExports struct {
	*settings
	*projects
	runs    []*relationExport
	results map[*project]map[string]Relation
}

func newRelationExports(s *settings, p *projects) relationExports {
	return relationExports{settings: s, projects: p, results: map[*project]map[string]Relation{}}
}

// SetRelation sets what the next exports of a relation of a project yield, if
// they are switched on by RelationExports. By default every relation is empty.
func (s *relationExports) SetRelation(project, relation string, r Relation) {
	s.lock()
	defer s.unlock()
	p := s.lookup(project)
	if p == nil || !portable(relation) {
		panic("portertest: no project " + project + " or no relation " + relation)
	}
	if s.results[p] == nil {
		s.results[p] = map[string]Relation{}
	}
	s.results[p][relation] = r
}

// relationExport is one run of the export of a relation.
type relationExport struct {
	project  *project
	user     *user
	relation string
	batched  bool
	result   Relation

	queued, ended time.Time
	files         []storedFile // one, or one for each batch
}

func (s *relationExports) exportRelation(p *project, u *user, relation string, batched bool) {
	now, t := s.now(), s.cfg.timings
	old := s.relationRow(p, u, relation)
	if old != nil && !old.batched && !batched && old.result.Error == "" &&
		reached(old.ended, now) && now.Before(old.ended.Add(freshRelation)) {
		return
	}
	e := &relationExport{project: p, user: u, relation: relation, batched: batched, result: s.results[p][relation]}
	e.queued = now.Add(t.Queue)
	e.ended = e.queued.Add(t.Start + t.Assemble + t.Store)
	n := 1
	if batched {
		n = (e.result.Objects + batchSize - 1) / batchSize
	}
	for i := range n {
		name := relationFile(relation)
		e.files = append(e.files, storedFile{
			name:   name,
			key:    fmt.Sprintf("/%s/@hashed/project_%d/bulk_imports/%d/%d/%s", exportBucket, p.id, len(s.runs)+1, i+1, name),
			stored: e.ended,
		})
	}
	s.runs = append(s.runs, e)
}

func relationFile(relation string) string {
	switch relation {
	case "uploads", "lfs_objects", "repository", "design":
		return relation + ".tar.gz"
	case "self":
		return "self.json.gz"
	}
	return relation + ".ndjson.gz"
}

// content makes the file of a run, or of batch i of it.
func (e *relationExport) content(i int) *Archive {
	if e.result.Archive != nil {
		return e.result.Archive
	}
	from, to := 0, e.result.Objects
	if e.batched {
		from, to = i*batchSize, min((i+1)*batchSize, to)
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	for n := from; n < to; n++ {
		fmt.Fprintf(w, `{"iid":%d,"title":"%s %d of %s"}`+"\n", n+1, e.relation, n+1, e.project.name)
	}
	w.Close()
	return BytesArchive(b.Bytes())
}

// file returns a file of a finished run.
func (e *relationExport) file(i int) *storedFile {
	f := &e.files[i]
	if f.content == nil {
		f.content = e.content(i)
	}
	return f
}

// relationRow returns what GitLab has on record of a relation's export, nil if
// it has nothing: the last run that a worker has got to.
func (s *relationExports) relationRow(p *project, u *user, relation string) *relationExport {
	now := s.now()
	var row *relationExport
	for _, e := range s.runs {
		if e.project == p && (e.user == u || !s.cfg.atLeast(17, 3)) && e.relation == relation && reached(e.queued, now) {
			row = e
		}
	}
	return row
}

// relationFileAt returns the file that has a key in the object storage, nil if
// there is none.
func (s *relationExports) relationFileAt(key string) *storedFile {
	for _, e := range s.runs {
		for i := range e.files {
			if e.files[i].key == key && reached(e.ended, s.now()) {
				return e.file(i)
			}
		}
	}
	return nil
}
