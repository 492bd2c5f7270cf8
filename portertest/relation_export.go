package portertest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// batchSize is how many objects a batch of a relation holds.
const batchSize = 1000

// freshRelation is how young an exported relation is not exported again.
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

// SetRelation sets what the next exports of a relation of a project yield, if
// they are switched on by RelationExports. By default every relation is empty.
func (s *Server) SetRelation(project, relation string, r Relation) {
	s.lock()
	defer s.unlock()
	p := s.lookup(project)
	if p == nil || !portable(relation) {
		panic("portertest: no project " + project + " or no relation " + relation)
	}
	if p.relations == nil {
		p.relations = map[string]Relation{}
	}
	p.relations[relation] = r
}

// relationExport is one run of the export of a relation.
type relationExport struct {
	project  *project
	user     *user
	relation string
	batched  bool
	what     Relation

	queued, ended time.Time
	files         []storedFile // one, or one for each batch
}

// exportRelations answers POST /projects/:id/export_relations.
func (c *call) exportRelations() *reply {
	s := c.s
	u, p, r := c.relationsProject()
	if r != nil {
		return r
	}
	var v validation
	batched := false
	if s.cfg.atLeast(16, 2) {
		batched, _ = v.boolean("batched", c.params["batched"])
	}
	if r := v.refusal(); r != nil {
		return r
	}
	for _, relation := range slices.Concat(listRelations, singleRelations) {
		s.exportRelation(p, u, relation, batched && slices.Contains(listRelations, relation))
	}
	return message(http.StatusAccepted, "202 Accepted")
}

func (s *Server) exportRelation(p *project, u *user, relation string, batched bool) {
	now, t := s.now(), s.cfg.timings
	old := s.relationRow(p, u, relation)
	if old != nil && !old.batched && !batched && old.what.Error == "" && reached(old.ended, now) && now.Before(old.ended.Add(freshRelation)) {
		return
	}
	e := &relationExport{project: p, user: u, relation: relation, batched: batched, what: p.relations[relation]}
	e.queued = now.Add(t.Queue)
	e.ended = e.queued.Add(t.Start + t.Assemble + t.Store)
	n := 1
	if batched {
		n = (e.what.Objects + batchSize - 1) / batchSize
	}
	for i := range n {
		name := relationFile(relation)
		e.files = append(e.files, storedFile{
			name:   name,
			key:    fmt.Sprintf("/%s/@hashed/project_%d/bulk_imports/%d/%d/%s", exportBucket, p.id, len(s.relations)+1, i+1, name),
			stored: e.ended,
		})
	}
	s.relations = append(s.relations, e)
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
	if e.what.Archive != nil {
		return e.what.Archive
	}
	from, to := 0, e.what.Objects
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

// relationRow returns what GitLab has on record of a relation's export, nil if
// it has nothing: the last run that a worker has got to.
func (s *Server) relationRow(p *project, u *user, relation string) *relationExport {
	now := s.now()
	var row *relationExport
	for _, e := range s.relations {
		if e.project == p && (e.user == u || !s.cfg.atLeast(17, 3)) && e.relation == relation && reached(e.queued, now) {
			row = e
		}
	}
	return row
}

// relationsProject is the gate before all three endpoints. Unlike that of
// project exports it looks at the token before the switch.
func (c *call) relationsProject() (u *user, p *project, r *reply) {
	switch u, r = c.authenticate(); {
	case r != nil:
	case !c.s.cfg.relations:
		r = message(http.StatusNotFound, "404 Not Found")
	default:
		p, r = c.maintainedProject(u)
	}
	return u, p, r
}

// relationExportStatus answers GET /projects/:id/export_relations/status.
func (c *call) relationExportStatus() *reply {
	u, p, r := c.relationsProject()
	if r != nil {
		return r
	}
	var v validation
	relation := v.text("relation", c.params["relation"])
	if r := v.refusal(); r != nil {
		return r
	}
	if c.params["relation"] != nil {
		row := c.s.relationRow(p, u, relation)
		if row == nil {
			return message(http.StatusNotFound, "Export not found")
		}
		return jsonReply(http.StatusOK, row.body(c.s))
	}
	list := []object{}
	for _, relation := range slices.Concat(listRelations, singleRelations) {
		if row := c.s.relationRow(p, u, relation); row != nil {
			list = append(list, row.body(c.s))
		}
	}
	return jsonReply(http.StatusOK, list)
}

// The numbers of relation and batch statuses. A relation's 0 means started.
const (
	relationStarted  = 0
	relationFinished = 1
	relationFailed   = -1
	batchStarted     = 2
)

func (e *relationExport) body(s *Server) object {
	status, batch, updated, problem := relationStarted, batchStarted, e.queued, ""
	if reached(e.ended, s.now()) {
		status, batch, updated, problem = relationFinished, relationFinished, e.ended, e.what.Error
	}
	if problem != "" {
		status, batch = relationFailed, relationFailed
	}
	at := s.timestamp(updated)
	o := object{{"relation", e.relation}, {"status", status}, {"error", orNull(problem)}, {"updated_at", at}}
	if !s.cfg.atLeast(16, 2) {
		return o
	}
	batches := 0
	if e.batched {
		batches = len(e.files)
	}
	o = append(o, member{"batched", e.batched}, member{"batches_count", batches}, member{"total_objects_count", e.what.Objects})
	if !e.batched {
		return o
	}
	list := []object{}
	for i := range e.files {
		objects := 0
		if status == relationFinished {
			objects = min(e.what.Objects-i*batchSize, batchSize)
		}
		list = append(list, object{
			{"status", batch}, {"batch_number", i + 1}, {"objects_count", objects}, {"error", orNull(problem)}, {"updated_at", at},
		})
	}
	return append(o, member{"batches", list})
}

// downloadRelation answers GET and HEAD /projects/:id/export_relations/download.
func (c *call) downloadRelation() *reply {
	u, p, r := c.relationsProject()
	if r != nil {
		return r
	}
	relation, batched, batch, r := c.relationFileParams()
	if r != nil {
		return r
	}
	row := c.s.relationRow(p, u, relation)
	switch {
	case row == nil:
		return message(http.StatusNotFound, "Export not found")
	case batched && !row.batched:
		return message(http.StatusBadRequest, "Export is not batched")
	case !batched && row.batched:
		return message(http.StatusBadRequest, "Export is batched")
	case batch < 1 || batch > len(row.files):
		return message(http.StatusNotFound, "Batch not found")
	}
	ready := reached(row.ended, c.s.now()) && row.what.Error == ""
	switch {
	case !ready && row.batched:
		return message(http.StatusNotFound, "Batch file not found")
	case !ready:
		return message(http.StatusNotFound, "Export file not found")
	}
	return c.deliverFile(row.file(batch - 1))
}

// file returns a file of a finished run.
func (e *relationExport) file(i int) *storedFile {
	f := &e.files[i]
	if f.content == nil {
		f.content = e.content(i)
	}
	return f
}

// relationFileParams reads which file is asked for. A relation that is not
// batched has a single one.
func (c *call) relationFileParams() (relation string, batched bool, batch int, r *reply) {
	var v validation
	relation = v.text("relation", v.required(c.params, "relation"))
	if !portable(relation) {
		v.fail("relation", "is not portable")
	}
	if !c.s.cfg.atLeast(16, 2) {
		return relation, false, 1, v.refusal()
	}
	batched, _ = v.boolean("batched", c.params["batched"])
	number, _ := v.integer("batch_number", c.params["batch_number"])
	_, hasBatched := c.params["batched"]
	if _, hasNumber := c.params["batch_number"]; hasBatched != hasNumber {
		v.fail("batched, batch_number", "provide all or none of parameters")
	}
	if !batched {
		number = 1
	}
	return relation, batched, int(number), v.refusal()
}
