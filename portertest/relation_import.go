package portertest

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

var importableRelations = []string{"issues", "merge_requests", "milestones", "ci_pipelines"}

// tracker is an import of one relation.
type tracker struct {
	id       int64
	project  *project
	relation string
	failed   bool

	created, started, ended time.Time
}

func (t *tracker) status(now time.Time) (string, time.Time) {
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

func (s *Server) trackerBody(t *tracker) object {
	status, updated := t.status(s.now())
	return object{
		{"id", t.id},
		{"project_path", t.project.fullPath()},
		{"relation", t.relation},
		{"status", status},
		{"created_at", s.timestamp(t.created)},
		{"updated_at", s.timestamp(updated)},
	}
}

// importRelation answers POST /projects/import-relation, once the file is stored.
func (c *call) importRelation() *reply {
	s := c.s
	u, r := c.importer()
	if r != nil {
		return r
	}
	var v validation
	path := v.text("path", v.required(c.params, "path"))
	c.validateFile(&v)
	relation := v.text("relation", v.required(c.params, "relation"))
	if r := v.refusal(); r != nil {
		return r
	}
	if s.cfg.importsOff {
		return message(http.StatusForbidden, "403 Forbidden")
	}
	if r := s.importLimited(u); r != nil {
		return r
	}
	if r := c.refuseArchiveName(); r != nil {
		return r
	}
	p, now := s.projectAt(path), s.now()
	switch {
	case p == nil || strings.Trim(path, "/") != path:
		return s.serviceError(http.StatusNotFound, "Project not found")
	case !slices.Contains(importableRelations, relation):
		return s.serviceError(http.StatusBadRequest, "Imported relation must be one of issues, merge_requests, milestones, or ci_pipelines")
	case p.role(u) < Maintainer:
		return s.serviceError(http.StatusForbidden, "You are not authorized to perform this action")
	case s.importing(p, now):
		return s.serviceError(http.StatusConflict, "A relation import is already in progress for this project")
	case p.imp != nil && p.imp.status(now) == "scheduled":
		return s.serviceError(http.StatusBadRequest, "Relation import could not be created: Relation import tracker cannot be created for project with ongoing import")
	}
	t := s.track(p, relation, now)
	t.failed = t.failed || c.upload.problem != nil
	return jsonReply(http.StatusCreated, s.trackerBody(t))
}

// importing reports whether an import into the project is running. One that
// has not been picked up does not count, and one that never ends does so for a
// day only.
func (s *Server) importing(p *project, now time.Time) bool {
	if p.imp != nil && p.imp.status(now) == "started" {
		return true
	}
	for _, t := range s.trackers {
		status, _ := t.status(now)
		if t.project == p && status == "started" && now.Before(t.created.Add(24*time.Hour)) {
			return true
		}
	}
	return false
}

// track begins an import of a relation, which goes by the script for the
// project's path.
func (s *Server) track(p *project, relation string, now time.Time) *tracker {
	script := s.importScript(p.fullPath())
	timing := s.cfg.timings
	if script.Timing != nil {
		timing = *script.Timing
	}
	s.lastTracker++
	t := &tracker{id: s.lastTracker, project: p, relation: relation, created: now, failed: script.Error != ""}
	if !script.Stuck {
		t.started = now.Add(timing.ImportQueue)
		t.ended = t.started.Add(timing.Import)
	}
	s.trackers = append(s.trackers, t)
	return t
}

// listRelationImports answers GET /projects/:id/relation-imports.
func (c *call) listRelationImports() *reply {
	u, r := c.importer()
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
	for _, t := range c.s.trackers {
		if t.project == p {
			list = append(list, c.s.trackerBody(t))
		}
	}
	return jsonReply(http.StatusOK, list)
}
