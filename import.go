package porter

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/seed-5d77b939/porter/internal/pace"
	"github.com/seed-5d77b939/porter/internal/redact"
)

// Import is the state of a project's import.
type Import struct {
	Project
	Status          ImportStatus     `json:"import_status"`
	Type            string           `json:"import_type"`      // "gitlab_project", or "" for a project that was not imported
	Error           string           `json:"import_error"`     // why it failed, or is incomplete
	CorrelationID   string           `json:"correlation_id"`   // of the import in GitLab's logs
	FailedRelations []FailedRelation `json:"failed_relations"` // at most 100
}

// UnmarshalJSON takes created_at in any form.
func (i *Import) UnmarshalJSON(b []byte) error {
	type fields Import
	return json.Unmarshal(b, &struct {
		*fields
		CreatedAt *answerTime `json:"created_at"`
	}{(*fields)(i), (*answerTime)(&i.CreatedAt)})
}

// Complete reports whether the import finished, without an error and with
// every relation. GitLab before 13.0 does not tell what an import left out. A nil
// one is not complete.
func (i *Import) Complete() bool {
	return i != nil && i.Status == ImportFinished && i.Error == "" && len(i.FailedRelations) == 0
}

// FailedRelation is one item that GitLab could not import.
type FailedRelation struct {
	ID               int64     `json:"id"` // of the failure, not of the item
	CreatedAt        time.Time `json:"created_at"`
	RelationName     string    `json:"relation_name"`     // such as "merge_requests"
	LineNumber       int       `json:"line_number"`       // of the item in the archive's file of that relation, from 0; -1 if unknown
	Source           string    `json:"source"`            // where in GitLab's code it failed
	ExceptionClass   string    `json:"exception_class"`   // of GitLab's code
	ExceptionMessage string    `json:"exception_message"` // current GitLab leaves it empty
}

// UnmarshalJSON takes created_at in any form, and a line number that is null
// or missing, as it is before GitLab 14.6, for unknown.
func (f *FailedRelation) UnmarshalJSON(b []byte) error {
	type fields FailedRelation
	f.LineNumber = -1
	return json.Unmarshal(b, &struct {
		*fields
		CreatedAt *answerTime `json:"created_at"`
	}{(*fields)(f), (*answerTime)(&f.CreatedAt)})
}

// StartImport uploads an archive and starts its import. It returns when GitLab
// has accepted the archive and created the project. GitLab checks the user's
// rights before the upload, but the namespace and the path only after it.
//
// The error is ErrOutcomeUnknown if the connection broke after the whole
// archive was sent, or if a gateway answered instead of GitLab (408, 502, 503,
// 504 and Cloudflare's own) when it was: the project may exist, and nothing is
// sent again. What was not sent whole is. It is ErrProjectExists if
// the path or name is taken, ErrTooLarge if the instance refuses the archive's
// size, and ErrWrongNamespace, together with the Import, if the project was
// created elsewhere than asked for.
//
// POST /projects/import, needs the Maintainer role in the group, and the import
// source "GitLab export" to be allowed on the instance:
// https://docs.gitlab.com/api/project_import_export/#import-a-file
func (c *Client) StartImport(ctx context.Context, src Source, opts ImportOptions) (imp *Import, err error) {
	if err := c.ready(ctx); err != nil {
		return nil, startError(opts, err)
	}
	ctx, o := c.begin(ctx, OpUpload, "", opts.label())
	defer o.end(&err)
	imp, err = c.startImport(ctx, src, opts, false)
	return imp, startError(opts, err)
}

// startError names the operation and the project in the errors of the methods
// that start an import.
func startError(opts ImportOptions, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("start import of %s: %w", opts.label(), err)
}

// startImport is StartImport. If it outlasts an outage, hours of exporting would
// be lost with it.
func (c *Client) startImport(ctx context.Context, src Source, opts ImportOptions, outlasts bool) (*Import, error) {
	fields, err := opts.fields()
	if err != nil {
		return nil, err
	}
	src, err = src.check()
	if err != nil {
		return nil, err
	}
	f := form{fields: fields, source: src}
	if opts.Override != nil {
		f.avatar = opts.Override.Avatar
	}
	ctx, place := c.transfer(ctx)
	defer place.End()
	return c.postImport(ctx, &request{
		url:      c.endpoint("projects/import"),
		outlasts: outlasts,
		place:    place,
		open:     func(ctx context.Context) (*payload, error) { return f.open(ctx, &c.core, opts.label()) },
	}, opts)
}

// postImport sends the request of any of the endpoints that create a project.
func (c *Client) postImport(ctx context.Context, r *request, opts ImportOptions) (*Import, error) {
	r.project = opts.label()
	r.kind = takenProject
	imp := new(Import)
	err := c.postForImport(ctx, r, imp, func() bool { return imp.ID > 0 && imp.Status != "" })
	if err != nil {
		return nil, err
	}
	c.created.note(imp.ID.String(), time.Time{})
	learn(ctx, imp.ID)
	return imp, checkNamespace(imp, opts)
}

// postForImport sends a POST that counts against the limit of imports and
// decodes its answer into v, which is one only if ok says so.
func (c *Client) postForImport(ctx context.Context, r *request, v any, ok func() bool) error {
	r.method = http.MethodPost
	r.hints = importHints
	r.budget = pace.Budget{Key: "import", Limit: c.cfg.pacing.Imports}
	resp, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	err = decode(r, resp, v, ok)
	if e := answerOf(err); err == nil || e != nil && e.key != "" {
		return err // a readable refusal is one, whatever its status
	}
	return outcomeUnknown(err)
}

// takenProject recognizes a taken path or name. The text may be in the user's
// language, so this is at best.
func takenProject(e *APIError) error {
	if (e.StatusCode == http.StatusBadRequest || e.StatusCode < 300) && strings.Contains(e.Message, "already been taken") {
		return ErrProjectExists
	}
	return nil
}

// checkNamespace makes sure that GitLab did not drop the namespace and create
// the project in the user's own.
func checkNamespace(imp *Import, opts ImportOptions) error {
	want, ok := opts.Namespace.(NamespacePath)
	if !ok {
		return nil
	}
	got := path.Dir(string(imp.PathWithNamespace))
	if imp.PathWithNamespace == "" || strings.EqualFold(got, string(want)) {
		return nil
	}
	return fmt.Errorf("%w: asked for %q, but project %d exists now as %q",
		ErrWrongNamespace, string(want), imp.ID, redact.Line(string(imp.PathWithNamespace), 300))
}

// GetImport returns the state of the project's import. The error is an
// *APIError if GitLab refused, such as ErrNotFound for a project that the user
// can't see.
//
// GET /projects/:id/import, for users who can read the project:
// https://docs.gitlab.com/api/project_import_export/#retrieve-the-status-of-an-import
func (c *Client) GetImport(ctx context.Context, p ProjectRef) (imp *Import, err error) {
	id, err := c.resolve(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("get import: %w", err)
	}
	ctx, o := c.begin(ctx, OpLook, id, p.String())
	defer o.end(&err)
	imp, err = c.getImport(ctx, id, p.String(), false)
	if err != nil {
		return nil, fmt.Errorf("get import of %s: %w", p, err)
	}
	learn(ctx, imp.ID)
	return imp, nil
}

func (c *Client) getImport(ctx context.Context, id, label string, once bool) (*Import, error) {
	imp := new(Import)
	err := c.getJSON(ctx, &request{
		url:     c.projectEndpoint(id, "import"),
		project: label,
		hints:   importHints,
		once:    once,
	}, imp, func() bool { return imp.Status != "" })
	if err != nil {
		return nil, err
	}
	return imp, nil
}
