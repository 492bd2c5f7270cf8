package porter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// A PortableRelation is a part of a project that GitLab exports by itself, as
// a file of its own. These files are for direct transfer: StartRelationImport
// wants a whole project export instead.
type PortableRelation string

// The relations of a project that GitLab exports. Licensed editions add some.
const (
	PortableLabels                    PortableRelation = "labels"
	PortableMilestones                PortableRelation = "milestones"
	PortableIssues                    PortableRelation = "issues"
	PortableSnippets                  PortableRelation = "snippets"
	PortableReleases                  PortableRelation = "releases"
	PortableMergeRequests             PortableRelation = "merge_requests"
	PortableExternalPullRequests      PortableRelation = "external_pull_requests"
	PortableCommitNotes               PortableRelation = "commit_notes"
	PortablePipelines                 PortableRelation = "ci_pipelines"
	PortableAutoDevops                PortableRelation = "auto_devops"
	PortablePipelineSchedules         PortableRelation = "pipeline_schedules"
	PortableContainerExpirationPolicy PortableRelation = "container_expiration_policy"
	PortableProtectedBranches         PortableRelation = "protected_branches"
	PortableProtectedTags             PortableRelation = "protected_tags"
	PortableProjectFeature            PortableRelation = "project_feature"
	PortableCustomAttributes          PortableRelation = "custom_attributes"
	PortableProjectBadges             PortableRelation = "project_badges"
	PortableCICDSettings              PortableRelation = "ci_cd_settings"
	PortableErrorTrackingSetting      PortableRelation = "error_tracking_setting"
	PortableBoards                    PortableRelation = "boards"
	PortableServiceDeskSetting        PortableRelation = "service_desk_setting"
	PortableUserContributions         PortableRelation = "user_contributions"
	PortableUploads                   PortableRelation = "uploads"
	PortableLFSObjects                PortableRelation = "lfs_objects"
	PortableRepository                PortableRelation = "repository"
	PortableDesign                    PortableRelation = "design"
	PortableSelf                      PortableRelation = "self" // the project's own attributes
)

// String returns r as GitLab writes it.
func (r PortableRelation) String() string { return string(r) }

// Known reports whether r is one of the constants of this package.
func (r PortableRelation) Known() bool {
	switch r {
	case PortableLabels, PortableMilestones, PortableIssues, PortableSnippets, PortableReleases, PortableMergeRequests,
		PortableExternalPullRequests, PortableCommitNotes, PortablePipelines, PortableAutoDevops, PortablePipelineSchedules,
		PortableContainerExpirationPolicy, PortableProtectedBranches, PortableProtectedTags, PortableProjectFeature,
		PortableCustomAttributes, PortableProjectBadges, PortableCICDSettings, PortableErrorTrackingSetting, PortableBoards,
		PortableServiceDeskSetting, PortableUserContributions, PortableUploads, PortableLFSObjects, PortableRepository, PortableDesign,
		PortableSelf:
		return true
	}
	return false
}

func (r PortableRelation) check() error { return checkRelation(string(r)) }

// RelationExportStatus is the state of the export of one relation, or of one
// batch of it. GitLab sends numbers, which mean different things for the two;
// one that is not known is kept as "status N".
type RelationExportStatus string

// The states of a relation's export.
const (
	RelationExportPending  RelationExportStatus = "pending"
	RelationExportCreated  RelationExportStatus = "created" // of batches only
	RelationExportStarted  RelationExportStatus = "started"
	RelationExportFinished RelationExportStatus = "finished"
	RelationExportFailed   RelationExportStatus = "failed"
)

var (
	relationCodes = map[int]RelationExportStatus{
		-2: RelationExportPending,
		-1: RelationExportFailed,
		0:  RelationExportStarted,
		1:  RelationExportFinished,
	}
	batchCodes = map[int]RelationExportStatus{
		-1: RelationExportFailed,
		0:  RelationExportCreated,
		1:  RelationExportFinished,
		2:  RelationExportStarted,
	}
)

// decodeRelationStatus reads a number, as GitLab writes it, or a name, as this
// package does.
func decodeRelationStatus(raw json.RawMessage, codes map[int]RelationExportStatus) (RelationExportStatus, error) {
	var n *int
	if json.Unmarshal(raw, &n) == nil && n != nil {
		if s, ok := codes[*n]; ok {
			return s, nil
		}
		return RelationExportStatus(fmt.Sprintf("status %d", *n)), nil
	}
	var s RelationExportStatus
	if json.Unmarshal(raw, &s) == nil && s != "" {
		return s, nil
	}
	return "", errors.New("no state of a relation export")
}

// String returns the state's name.
func (s RelationExportStatus) String() string { return string(s) }

// Known reports whether s is one of the constants of this package.
func (s RelationExportStatus) Known() bool {
	switch s {
	case RelationExportPending, RelationExportCreated, RelationExportStarted, RelationExportFinished, RelationExportFailed:
		return true
	}
	return false
}

// Terminal reports whether the export of the relation has ended: finished or failed.
func (s RelationExportStatus) Terminal() bool {
	return s == RelationExportFinished || s == RelationExportFailed
}

// RelationExport is the state of the export of one relation.
type RelationExport struct {
	Relation     PortableRelation     `json:"relation"`
	Status       RelationExportStatus `json:"status"`
	Error        string               `json:"error"`      // why it failed
	UpdatedAt    time.Time            `json:"updated_at"` // rows are reused, so this tells whose export it is
	Batched      bool                 `json:"batched"`
	TotalObjects int                  `json:"total_objects_count"` // such as issues; 0 before GitLab 16.2
	Batches      []RelationBatch      `json:"batches,omitempty"`   // if Batched
}

// RelationBatch is the state of one batch of a relation's export.
type RelationBatch struct {
	Number    int                  `json:"batch_number"` // counted from 1
	Status    RelationExportStatus `json:"status"`
	Error     string               `json:"error"` // why it failed
	UpdatedAt time.Time            `json:"updated_at"`
	Objects   int                  `json:"objects_count"`
}

// UnmarshalJSON decodes GitLab's form, whose states are numbers, and takes
// updated_at in any form.
func (r *RelationExport) UnmarshalJSON(b []byte) (err error) {
	type fields RelationExport
	w := struct {
		*fields
		Status    json.RawMessage `json:"status"`
		UpdatedAt *answerTime     `json:"updated_at"`
	}{fields: (*fields)(r), UpdatedAt: (*answerTime)(&r.UpdatedAt)}
	if err = json.Unmarshal(b, &w); err == nil {
		r.Status, err = decodeRelationStatus(w.Status, relationCodes)
	}
	if err == nil && r.Relation == "" {
		err = errors.New("no relation")
	}
	return err
}

// UnmarshalJSON decodes GitLab's form, whose states are numbers, and takes
// updated_at in any form.
func (b *RelationBatch) UnmarshalJSON(data []byte) (err error) {
	type fields RelationBatch
	w := struct {
		*fields
		Status    json.RawMessage `json:"status"`
		UpdatedAt *answerTime     `json:"updated_at"`
	}{fields: (*fields)(b), UpdatedAt: (*answerTime)(&b.UpdatedAt)}
	if err = json.Unmarshal(data, &w); err == nil {
		b.Status, err = decodeRelationStatus(w.Status, batchCodes)
	}
	return err
}

// Complete reports whether the export finished, and every batch of it. A nil one
// is not complete.
func (r *RelationExport) Complete() bool {
	return r != nil && r.Status == RelationExportFinished && !slices.ContainsFunc(r.Batches, func(b RelationBatch) bool {
		return b.Status != RelationExportFinished
	})
}

func (b RelationBatch) failed() bool { return b.Status == RelationExportFailed }

// RelationsExportOptions say how relations are exported.
type RelationsExportOptions struct {
	Batched bool // splits large relations into several files; GitLab before 16.2 ignores it
}

// StartRelationsExport asks GitLab to export every relation of the project as
// a file of its own, and returns when GitLab has accepted the job. Nil options
// are the zero value.
//
// It looks at the exports that are there first, and returns the server's time
// before the request, by which WaitForRelationExports tells this export from an
// earlier one. GitLab does not redo an unbatched relation that it finished less
// than three minutes before.
//
// The error is ErrNotFound if there is no such project or direct transfer is
// switched off on the instance, as it is by default, and ErrOutcomeUnknown,
// together with the time, if the answer was lost.
//
// POST /projects/:id/export_relations, GitLab 14.4 and later, needs the Maintainer role:
// https://docs.gitlab.com/api/project_relations_export/#schedule-new-export
func (c *Client) StartRelationsExport(ctx context.Context, p ProjectRef, opts *RelationsExportOptions) (since time.Time, err error) {
	id, err := c.resolve(ctx, p)
	if err != nil {
		return time.Time{}, fmt.Errorf("start relations export: %w", err)
	}
	ctx, o := c.begin(ctx, OpStartRelationsExport, id, p.String())
	defer o.end(&err)
	body := []byte(`{"batched":` + strconv.FormatBool(opts != nil && opts.Batched) + `}`)
	var asked time.Time
	r := &request{
		method:  http.MethodPost,
		url:     c.projectEndpoint(id, "export_relations"),
		project: p.String(),
		hints:   relationHints,
		open: func(context.Context) (*payload, error) {
			asked = time.Now()
			return newPayload("application/json", body), nil
		},
	}
	// What is there before is of an earlier export, whatever the clocks say.
	before, lerr := c.listRelationExports(ctx, id, p.String(), true)
	resp, err := c.send(ctx, r)
	if err == nil {
		err = accepted(r, resp)
	}
	if err == nil || errors.Is(err, ErrOutcomeUnknown) {
		// The answer told the server's clock, which may have been unknown before.
		since = c.clock.Now().Add(-time.Since(asked))
		if lerr == nil {
			c.created.note(relationsKey(id, since), newestOf(before))
		}
	}
	if err != nil {
		err = fmt.Errorf("start relations export of %s: %w", p, err)
	}
	return since, err
}

func relationsKey(id string, since time.Time) string {
	return fmt.Sprintf("relations of %s since %d", id, since.UnixNano())
}

func newestOf(list []*RelationExport) (newest time.Time) {
	for _, e := range list {
		if e.UpdatedAt.After(newest) {
			newest = e.UpdatedAt
		}
	}
	return newest
}

// ListRelationExports returns the states of the user's relation exports of the
// project. Right after StartRelationsExport it may be empty, or show an
// earlier export: rows appear, and are reused, as GitLab gets to them. The error
// is ErrNotFound if there is no such project or direct transfer is switched off on
// the instance, as it is by default.
//
// GET /projects/:id/export_relations/status, GitLab 14.4 and later, needs the Maintainer role:
// https://docs.gitlab.com/api/project_relations_export/#export-status
func (c *Client) ListRelationExports(ctx context.Context, p ProjectRef) (list []*RelationExport, err error) {
	id, err := c.resolve(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("list relation exports: %w", err)
	}
	ctx, o := c.begin(ctx, OpLook, id, p.String())
	defer o.end(&err)
	list, err = c.listRelationExports(ctx, id, p.String(), false)
	if err != nil {
		return nil, fmt.Errorf("list relation exports of %s: %w", p, err)
	}
	return list, nil
}

func (c *Client) listRelationExports(ctx context.Context, id, label string, once bool) ([]*RelationExport, error) {
	var list []*RelationExport
	err := c.getJSON(ctx, &request{
		url:     c.projectEndpoint(id, "export_relations/status"),
		project: label,
		hints:   relationHints,
		once:    once,
	}, &list, func() bool { return list != nil && allPresent(list) })
	return list, err
}

// GetRelationExport returns the state of the user's export of one relation.
// The error is ErrNotFound if there is none.
//
// GET /projects/:id/export_relations/status?relation=, GitLab 14.4 and later, needs the Maintainer role:
// https://docs.gitlab.com/api/project_relations_export/#export-status
func (c *Client) GetRelationExport(ctx context.Context, p ProjectRef, r PortableRelation) (exp *RelationExport, err error) {
	id, err := c.resolve(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("get relation export: %w", err)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("get relation export of %s: %w", p, err)
	}
	ctx, o := c.begin(ctx, OpLook, id, p.String())
	defer o.end(&err)
	exp = new(RelationExport)
	err = c.getJSON(ctx, &request{
		url:     c.projectEndpoint(id, "export_relations/status?"+url.Values{"relation": {string(r)}}.Encode()),
		project: p.String(),
		hints:   relationHints,
	}, exp, func() bool { return exp.Relation != "" })
	if err != nil {
		return nil, fmt.Errorf("get export of relation %s of %s: %w", r, p, err)
	}
	return exp, nil
}
