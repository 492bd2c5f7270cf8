package portertest

import "net/http"

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
	row := c.m.relationRow(p, u, relation)
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
	ready := reached(row.ended, c.m.now()) && row.result.Error == ""
	switch {
	case !ready && row.batched:
		return message(http.StatusNotFound, "Batch file not found")
	case !ready:
		return message(http.StatusNotFound, "Export file not found")
	}
	return c.sendFile(row.file(batch - 1))
}

// relationFileParams reads which file is asked for. A relation that is not
// batched has a single one.
func (c *call) relationFileParams() (relation string, batched bool, batch int, r *reply) {
	var v validation
	relation = v.text("relation", v.required(c.params, "relation"))
	if !portable(relation) {
		v.fail("relation", "is not portable")
	}
	if !c.m.cfg.atLeast(16, 2) {
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
