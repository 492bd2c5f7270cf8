package portertest

import (
	"net/http"
	"slices"
)

// exportRelations answers POST /projects/:id/export_relations.
func (c *call) exportRelations() *reply {
	m := c.m
	u, p, r := c.relationsProject()
	if r != nil {
		return r
	}
	var v validation
	batched := false
	if m.cfg.atLeast(16, 2) {
		batched, _ = v.boolean("batched", c.params["batched"])
	}
	if r := v.refusal(); r != nil {
		return r
	}
	for _, relation := range slices.Concat(listRelations, singleRelations) {
		m.exportRelation(p, u, relation, batched && slices.Contains(listRelations, relation))
	}
	return message(http.StatusAccepted, "202 Accepted")
}

// relationsProject is the gate before all endpoints of relation exports.
// Unlike exportProject it looks at the token before the switch.
func (c *call) relationsProject() (u *user, p *project, r *reply) {
	switch u, r = c.authenticate(); {
	case r != nil:
	case !c.m.cfg.relations:
		r = message(http.StatusNotFound, "404 Not Found")
	default:
		p, r = c.maintainedProject(u)
	}
	return u, p, r
}
