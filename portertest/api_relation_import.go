package portertest

import (
	"net/http"
	"slices"
	"strings"
)

// importRelation answers POST /projects/import-relation, once the file is stored.
func (c *call) importRelation() *reply {
	m := c.m
	u, r := c.authenticated()
	if r != nil {
		return r
	}
	var v validation
	path := v.text("path", v.required(c.params, "path"))
	c.validateFile(&v)
	relation := v.text("relation", v.required(c.params, "relation"))
	if r := c.admitImport(u, &v); r != nil {
		return r
	}
	if r := c.refuseArchiveName(); r != nil {
		return r
	}
	p := m.projectAt(path)
	switch {
	case p == nil || strings.Trim(path, "/") != path:
		return c.serviceError(http.StatusNotFound, "Project not found")
	case !slices.Contains(importableRelations, relation):
		return c.serviceError(http.StatusBadRequest, "Imported relation must be one of issues, merge_requests, milestones, or ci_pipelines")
	case p.role(u) < Maintainer:
		return c.serviceError(http.StatusForbidden, "You are not authorized to perform this action")
	case m.importing(p):
		return c.serviceError(http.StatusConflict, "A relation import is already in progress for this project")
	case m.importStatus(p) == "scheduled":
		return c.serviceError(http.StatusBadRequest,
			"Relation import could not be created: Relation import tracker cannot be created for project with ongoing import")
	}
	// Whatever is wrong with the archive, the import finishes: GitLab unpacks
	// what it can, reads two files of it, and swallows what it cannot parse.
	t := m.startRelationImport(u, p, relation, c.upload)
	return jsonReply(http.StatusCreated, c.relationImportBody(t))
}
