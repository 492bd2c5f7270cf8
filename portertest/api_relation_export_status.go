package portertest

import (
	"net/http"
	"slices"
)

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
		row := c.m.relationRow(p, u, relation)
		if row == nil {
			return message(http.StatusNotFound, "Export not found")
		}
		return jsonReply(http.StatusOK, c.relationExportBody(row))
	}
	list := []object{}
	for _, relation := range slices.Concat(listRelations, singleRelations) {
		if row := c.m.relationRow(p, u, relation); row != nil {
			list = append(list, c.relationExportBody(row))
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

func (c *call) relationExportBody(e *relationExport) object {
	status, batch, updated, problem := relationStarted, batchStarted, e.queued, ""
	if reached(e.ended, c.m.now()) {
		status, batch, updated, problem = relationFinished, relationFinished, e.ended, e.result.Error
	}
	if problem != "" {
		status, batch = relationFailed, relationFailed
	}
	at := c.m.timestamp(updated)
	o := object{{"relation", e.relation}, {"status", status}, {"error", orNull(problem)}, {"updated_at", at}}
	if !c.m.cfg.atLeast(16, 2) {
		return o
	}
	batches := 0
	if e.batched {
		batches = len(e.files)
	}
	o = append(o, member{"batched", e.batched}, member{"batches_count", batches}, member{"total_objects_count", e.result.Objects})
	if !e.batched {
		return o
	}
	list := []object{}
	for i := range e.files {
		objects := 0
		if status == relationFinished {
			objects = min(e.result.Objects-i*batchSize, batchSize)
		}
		list = append(list, object{
			{"status", batch}, {"batch_number", i + 1}, {"objects_count", objects}, {"error", orNull(problem)}, {"updated_at", at},
		})
	}
	return append(o, member{"batches", list})
}
