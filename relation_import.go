package porter

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/seed-5d77b939/porter/internal/redact"
)

// RelationImport is the state of a single-relation import.
type RelationImport struct {
	ID          int64                `json:"id"`
	ProjectPath ProjectPath          `json:"project_path"`
	Relation    Relation             `json:"relation"`
	Status      RelationImportStatus `json:"status"`
	CreatedAt   time.Time            `json:"created_at"`
	UpdatedAt   time.Time            `json:"updated_at"`
}

// UnmarshalJSON takes created_at and updated_at in any form.
func (i *RelationImport) UnmarshalJSON(b []byte) error {
	type fields RelationImport
	return json.Unmarshal(b, &struct {
		*fields
		CreatedAt *answerTime `json:"created_at"`
		UpdatedAt *answerTime `json:"updated_at"`
	}{(*fields)(i), (*answerTime)(&i.CreatedAt), (*answerTime)(&i.UpdatedAt)})
}

// StartRelationImport uploads an archive and imports one relation of it into
// an existing project, leaving out items that are already there. The archive
// is a whole project export. It returns when GitLab has accepted it; wait with
// WaitForRelationImport.
//
// GitLab reads the members and the relation's own file, does not look at
// whether the archive is whole, and finishes in any case. So the archive
// is verified while it is uploaded, and the upload is not completed if it is
// bad: the error is then ErrArchiveDamaged, ErrNotArchive, or, of one with a
// file for this relation or the members that GitLab could not read,
// ErrUnimportable. See VerifyArchive for these.
//
// The error is ErrNotFound if there is no such project (a renamed one is not
// found by its old path), ErrConflict if another import into it is under way,
// and otherwise one of those of StartImport. Imports of all kinds share one
// rate limit.
//
// POST /projects/import-relation, GitLab 17.1 and later, needs the Maintainer role:
// https://docs.gitlab.com/api/project_import_export/#import-project-relations
func (c *Client) StartRelationImport(ctx context.Context, src Source, p ProjectPath, r Relation) (imp *RelationImport, err error) {
	if _, err := c.resolve(ctx, p); err != nil {
		return nil, fmt.Errorf("start relation import: %w", err)
	}
	if err := checkRelation(string(r)); err != nil {
		return nil, fmt.Errorf("start relation import into %s: %w", p, err)
	}
	ctx, o := c.begin(ctx, OpUpload, "", p.String())
	defer o.end(&err)
	imp, err = c.startRelationImport(ctx, src, p, r)
	if err != nil {
		return nil, fmt.Errorf("start import of %s into %s: %w", r, p, err)
	}
	return imp, nil
}

func (c *Client) startRelationImport(ctx context.Context, src Source, p ProjectPath, r Relation) (*RelationImport, error) {
	src, err := src.check()
	if err != nil {
		return nil, err
	}
	src = src.checked(relationRules(r))
	f := form{fields: url.Values{"path": {string(p)}, "relation": {string(r)}}, source: src}
	ctx, place := c.transfer(ctx)
	defer place.End()
	imp := new(RelationImport)
	err = c.postForImport(ctx, &request{
		place:   place,
		url:     c.endpoint("projects/import-relation"),
		project: p.String(),
		kind:    busyProject,
		open:    func(ctx context.Context) (*payload, error) { return f.open(ctx, &c.core, p.String()) },
	}, imp, func() bool { return imp.ID > 0 && imp.Status != "" })
	if err != nil {
		return nil, err
	}
	c.created.note(relationImportKey(imp.ID), time.Time{})
	return imp, nil
}

func relationImportKey(id int64) string { return fmt.Sprint("relation import ", id) }

// busyProject recognizes a project whose own import is scheduled but not
// started, which is no 409.
func busyProject(e *APIError) error {
	if e.StatusCode == http.StatusBadRequest && strings.Contains(e.Message, "ongoing import") {
		return ErrConflict
	}
	return nil
}

// ListRelationImports returns all single-relation imports of the project, in
// no particular order. The error is an *APIError if GitLab refused, such as
// ErrForbidden for a role that is too low, or ErrNotFound for a project that the
// user can't see.
//
// GET /projects/:id/relation-imports, GitLab 17.1 and later, needs the Maintainer role:
// https://docs.gitlab.com/api/project_import_export/#retrieve-the-status-of-relation-imports
func (c *Client) ListRelationImports(ctx context.Context, p ProjectRef) (list []*RelationImport, err error) {
	id, err := c.resolve(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("list relation imports: %w", err)
	}
	ctx, o := c.begin(ctx, OpLook, id, p.String())
	defer o.end(&err)
	list, err = c.listRelationImports(ctx, id, p.String(), false)
	if err != nil {
		return nil, fmt.Errorf("list relation imports of %s: %w", p, err)
	}
	return list, nil
}

func (c *Client) listRelationImports(ctx context.Context, id, label string, once bool) ([]*RelationImport, error) {
	var list []*RelationImport
	err := c.getJSON(ctx, &request{
		url:     c.projectEndpoint(id, "relation-imports"),
		project: label,
		hints:   importHints,
		once:    once,
	}, &list, func() bool { return list != nil && allPresent(list) })
	return list, err
}

// WatchRelationImport polls the single-relation import with the given ID, which
// StartRelationImport returned, and yields every answer that lists it, ending
// with the terminal one or with an error. The error comes last, with a nil
// RelationImport; an import that failed is yielded first and then is a
// *RelationImportError. See WaitForRelationImport for the errors.
func (c *Client) WatchRelationImport(ctx context.Context, p ProjectRef, id int64) iter.Seq2[*RelationImport, error] {
	return func(yield func(*RelationImport, error) bool) {
		project, err := c.resolve(ctx, p)
		switch {
		case err != nil:
			yield(nil, fmt.Errorf("wait for relation import: %w", err))
			return
		case id <= 0:
			yield(nil, fmt.Errorf("wait for relation import of %s: ID %d is not positive", p, id))
			return
		}
		seq := func(ctx context.Context) iter.Seq2[*RelationImport, error] {
			return watch(ctx, &c.core, c.relationImportJob(project, p.String(), id))
		}
		for i, err := range watched(ctx, &c.core, OpRelationImport, project, p.String(), seq) {
			if (i != nil || err != nil) && !yield(i, err) {
				return
			}
		}
	}
}

// WaitForRelationImport waits until the single-relation import with the given
// ID, which StartRelationImport returned, is finished. That it is finished does
// not prove that anything was imported: GitLab finishes an import of a damaged
// archive too, and tells nobody which items it could not import. Count them in
// the project. The error is a
// *RelationImportError if it failed and a *WaitError if ctx ended first, if
// polls were refused or kept failing for Polling.Patience, or, wrapping
// ErrNotFound, if the project shows no such import for Polling.Grace or no
// longer. An import still under way a day after it was created is a *WaitError
// too: GitLab itself then takes it for dead. The last answer that listed it
// comes with the error.
func (c *Client) WaitForRelationImport(ctx context.Context, p ProjectRef, id int64) (*RelationImport, error) {
	return last(c.WatchRelationImport(ctx, p, id))
}

// relationImportJob says how a single-relation import is polled. One that is
// not listed is nil.
func (c *Client) relationImportJob(project, label string, id int64) job[RelationImport] {
	return job[RelationImport]{
		op:       "relation import",
		project:  label,
		accepted: c.created.has(relationImportKey(id)),
		get: func(ctx context.Context) (*RelationImport, error) {
			list, err := c.listRelationImports(ctx, project, label, true)
			i := slices.IndexFunc(list, func(imp *RelationImport) bool { return imp.ID == id })
			if err != nil || i < 0 {
				return nil, err
			}
			return list[i], nil
		},
		status: func(i *RelationImport) (string, bool) {
			if i == nil {
				return "none", true
			}
			return string(i.Status), i.Status.Known()
		},
		judge: func(i *RelationImport, s *sight) (bool, error) {
			switch {
			case i == nil:
				if s.overdue || s.seen && s.gone() {
					return false, &WaitError{Err: fmt.Errorf("%w: the project has no relation import %d", ErrNotFound, id)}
				}
				return false, nil
			case i.Status == RelationImportFinished:
				return true, nil
			case i.Status == RelationImportFailed:
				return false, &RelationImportError{i}
			case !i.CreatedAt.IsZero() && c.clock.Now().Sub(i.CreatedAt) > relationImportLife:
				return false, &WaitError{Err: fmt.Errorf("created more than %v ago, so GitLab takes it for dead", relationImportLife)}
			}
			s.running()
			return false, nil
		},
	}
}

// relationImportLife is after how long an import under way no longer keeps
// GitLab from taking another one.
const relationImportLife = 24 * time.Hour

// RelationImportError reports that a single-relation import failed.
type RelationImportError struct {
	Import *RelationImport // the last answer
}

// Error names the relation, the project, and the import's ID.
func (e *RelationImportError) Error() string {
	if e.Import == nil {
		return "relation import failed"
	}
	return fmt.Sprintf("import of %s into %s failed (relation import %d)",
		redact.Line(string(e.Import.Relation), 64), redact.Line(string(e.Import.ProjectPath), 300), e.Import.ID)
}
