package portertest

import "net/http"

// listRelationImports answers GET /projects/:id/relation-imports.
func (c *call) listRelationImports() *reply {
	u, r := c.authenticated()
	if r != nil {
		return r
	}
	p, r := c.userProject(u)
	switch {
	case r != nil:
		return r
	case p.role(u) < Maintainer:
		return message(http.StatusForbidden, "403 Forbidden - Project")
	}
	list := []object{}
	for _, t := range c.m.relationImports.list {
		if t.project == p {
			list = append(list, c.relationImportBody(t))
		}
	}
	return jsonReply(http.StatusOK, list)
}

func (c *call) relationImportBody(t *relationImport) object {
	status, updated := t.status(c.m.now())
	return object{
		{"id", t.id},
		{"project_path", t.project.fullPath()},
		{"relation", t.relation},
		{"status", status},
		{"created_at", c.m.timestamp(t.created)},
		{"updated_at", c.m.timestamp(updated)},
	}
}
