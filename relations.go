package porter

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-5d77b939/porter/internal/redact"
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

// Complete reports whether the export finished, and every batch of it.
func (r *RelationExport) Complete() bool {
	return r.Status == RelationExportFinished && !slices.ContainsFunc(r.Batches, func(b RelationBatch) bool {
		return b.Status != RelationExportFinished
	})
}

func (b RelationBatch) failed() bool { return b.Status == RelationExportFailed }

// RelationExportError reports that the export of a relation, or of a batch of
// it, failed.
type RelationExportError struct {
	Export *RelationExport // the last answer
}

// Error names the relation and its batches that failed, and GitLab's reason.
func (e *RelationExportError) Error() string {
	if e.Export == nil {
		return "relation export failed"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "export of relation %s failed", redact.Line(string(e.Export.Relation), 64))
	var batches []string
	why := ""
	for _, batch := range e.Export.Batches {
		if batch.failed() {
			batches = append(batches, strconv.Itoa(batch.Number))
			why = cmp.Or(why, batch.Error)
		}
	}
	if len(batches) > 0 {
		fmt.Fprintf(&b, " (batch %s of %d)", redact.Line(strings.Join(batches, ", "), 100), len(e.Export.Batches))
	}
	if why = cmp.Or(e.Export.Error, why); why != "" {
		b.WriteString(": " + redact.Line(why, 500))
	}
	return b.String()
}

// StartRelationsExport asks GitLab to export every relation of the project as
// a file of its own, and returns when GitLab has accepted the job. With
// batched, large relations are split; GitLab before 16.2 ignores that.
//
// It looks at the exports that are there first, and returns the server's time
// before the request, which WaitForRelationExports takes to tell this export
// from an earlier one. GitLab does not redo an
// unbatched relation that it finished less than three minutes before.
//
// The error is ErrNotFound if there is no such project or direct transfer is
// switched off on the instance, as it is by default, and ErrOutcomeUnknown,
// together with the time, if the answer was lost.
//
// POST /projects/:id/export_relations, GitLab 14.4 and later, needs the Maintainer role:
// https://docs.gitlab.com/api/project_relations_export/#schedule-new-export
func (c *Client) StartRelationsExport(ctx context.Context, p ProjectRef, batched bool) (time.Time, error) {
	id, err := resolve(p)
	if err != nil {
		return time.Time{}, fmt.Errorf("start relations export: %w", err)
	}
	body := []byte(`{"batched":` + strconv.FormatBool(batched) + `}`)
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
	var since time.Time
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
// earlier export: rows appear, and are reused, as GitLab gets to them.
//
// GET /projects/:id/export_relations/status, GitLab 14.4 and later, needs the Maintainer role:
// https://docs.gitlab.com/api/project_relations_export/#export-status
func (c *Client) ListRelationExports(ctx context.Context, p ProjectRef) ([]*RelationExport, error) {
	id, err := resolve(p)
	if err != nil {
		return nil, fmt.Errorf("list relation exports: %w", err)
	}
	list, err := c.listRelationExports(ctx, id, p.String(), false)
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
func (c *Client) GetRelationExport(ctx context.Context, p ProjectRef, r PortableRelation) (*RelationExport, error) {
	id, err := resolve(p)
	if err != nil {
		return nil, fmt.Errorf("get relation export: %w", err)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("get relation export of %s: %w", p, err)
	}
	exp := new(RelationExport)
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

func (r PortableRelation) check() error { return checkRelation(string(r)) }

// relationsReuse is how old a finished relation may be that GitLab does not
// export again.
const relationsReuse = 3 * time.Minute

// relationsSlack allows for the server's clock being known to the second only,
// where nobody looked before the export.
const relationsSlack = 5 * time.Second

// relationsQuiet is how long nothing must have changed before the relations
// that are there are taken for all, and those of an earlier export for reused.
const relationsQuiet = time.Minute

// WaitForRelationExports waits until the given relations are exported, or all
// of them if none is given, and returns their states. GitLab does not say how
// many there will be, so all means that every one that has appeared is done
// and that nothing has changed for a minute.
//
// What was last changed before since, the time that StartRelationsExport
// returned, is taken for an earlier export that is about to be redone, or, if
// it is so recent that GitLab does not redo it, is taken as it is after a
// minute. The zero time takes every export as it is at once.
//
// The error is a *RelationExportError, or several joined, if relations or
// batches of them failed, once the others are done; and a *WaitError if ctx
// ended first, if polls were refused or kept failing for Polling.Patience, or,
// wrapping ErrNotFound, if relations are missing and nothing has changed for
// Polling.Grace. The last answer comes with the error.
func (c *Client) WaitForRelationExports(ctx context.Context, p ProjectRef, since time.Time, relations ...PortableRelation) ([]*RelationExport, error) {
	id, err := resolve(p)
	if err != nil {
		return nil, fmt.Errorf("wait for relation exports: %w", err)
	}
	for _, r := range relations {
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("wait for relation exports of %s: %w", p, err)
		}
	}
	w := relationsWait{
		since:  since,
		fresh:  since.Add(-relationsSlack),
		sure:   since,
		wanted: slices.Compact(slices.Sorted(slices.Values(relations))),
		grace:  c.cfg.polling.Grace,
	}
	if newest, ok := c.created.before(relationsKey(id, since)); ok {
		w.fresh = newest.Add(1)
		w.sure = w.fresh
	}
	list, err := last(watch(ctx, &c.core, job[[]*RelationExport]{
		op:       "relation exports",
		project:  p.String(),
		accepted: !since.IsZero(),
		get: func(ctx context.Context) (*[]*RelationExport, error) {
			list, err := c.listRelationExports(ctx, id, p.String(), true)
			return &list, err
		},
		status: func(list *[]*RelationExport) (string, bool) { return w.summary(w.ours(*list)), true },
		judge:  func(list *[]*RelationExport, _ *sight) (bool, error) { return w.judge(w.ours(*list)) },
	}))
	if list == nil {
		return nil, err
	}
	return w.ours(*list), err
}

// relationsWait knows which rows belong to the export that is waited for.
type relationsWait struct {
	since   time.Time
	fresh   time.Time          // what was changed then or later may be of this export
	sure    time.Time          // what was changed then or later is
	wanted  []PortableRelation // sorted; none means all
	grace   time.Duration
	last    string    // summary
	changed time.Time // when it did last
}

// ours returns the rows that are wanted and may be of this export.
func (w *relationsWait) ours(list []*RelationExport) []*RelationExport {
	var ours []*RelationExport
	for _, e := range list {
		oldest := w.fresh
		if reused := w.since.Add(-relationsReuse); !e.Batched && e.Status == RelationExportFinished && reused.Before(oldest) {
			oldest = reused
		}
		fresh := w.since.IsZero() || !e.UpdatedAt.Before(oldest)
		if fresh && (len(w.wanted) == 0 || slices.Contains(w.wanted, e.Relation)) {
			ours = append(ours, e)
		}
	}
	return ours
}

func (w *relationsWait) summary(ours []*RelationExport) string {
	done := 0
	for _, e := range ours {
		if e.Status.Terminal() {
			done++
		}
	}
	return fmt.Sprintf("%d of %d done", done, max(len(ours), len(w.wanted)))
}

func (w *relationsWait) judge(ours []*RelationExport) (bool, error) {
	if s := w.summary(ours); s != w.last {
		w.last, w.changed = s, time.Now()
	}
	quiet := time.Since(w.changed)
	var failed []error
	settled := len(w.wanted) > 0 || w.since.IsZero()
	for _, e := range ours {
		if !e.Status.Terminal() {
			return false, nil
		}
		if !e.Complete() {
			failed = append(failed, &RelationExportError{e})
		}
		settled = settled && !e.UpdatedAt.Before(w.sure)
	}
	switch missing := w.missing(ours); {
	case missing != "" && quiet >= w.grace:
		return false, &WaitError{Err: fmt.Errorf("%w: no export of %s has appeared", ErrNotFound, missing)}
	case missing != "", !settled && quiet < relationsQuiet:
		return false, nil
	}
	return true, errors.Join(failed...)
}

// missing names what has not appeared, "" for nothing.
func (w *relationsWait) missing(ours []*RelationExport) string {
	if len(ours) == 0 && len(w.wanted) == 0 {
		return "any relation"
	}
	var names []string
	for _, r := range w.wanted {
		if !slices.ContainsFunc(ours, func(e *RelationExport) bool { return e.Relation == r }) {
			names = append(names, string(r))
		}
	}
	return strings.Join(names, ", ")
}

// OpenRelationExport opens the exported file of a relation, or with a batch
// above 0 of one batch of it, for reading. It is gzipped: lines of JSON, one
// JSON object, or a tar, as the relation is. Close the reader; it resumes and
// checks as that of OpenExport does. The error is ErrNotFound if there is no
// such file.
//
// GET /projects/:id/export_relations/download, GitLab 14.4 and later, needs the Maintainer role:
// https://docs.gitlab.com/api/project_relations_export/#export-download
func (c *Client) OpenRelationExport(ctx context.Context, p ProjectRef, r PortableRelation, batch int) (*ExportReader, error) {
	f, err := c.relationFile(p, r, batch)
	if err != nil {
		return nil, err
	}
	d, err := f.open(ctx, 0, validator{})
	if err != nil {
		return nil, err
	}
	return newExportReader(d)
}

// DownloadRelationExport writes the exported file of a relation, or of one
// batch of it, to w, as DownloadExport does, and returns how many bytes it wrote.
func (c *Client) DownloadRelationExport(ctx context.Context, p ProjectRef, r PortableRelation, batch int, w io.Writer) (int64, error) {
	f, err := c.relationFile(p, r, batch)
	if err != nil {
		return 0, err
	}
	if w == nil {
		return 0, fmt.Errorf("%s: writer is nil", f.op)
	}
	d, err := f.open(ctx, 0, validator{})
	if err != nil {
		return 0, err
	}
	return copyDownload(w, d)
}

// DownloadRelationExportFile downloads the exported file of a relation, or of
// one batch of it, to a file, as DownloadExportFile does, and returns its size
// in bytes.
func (c *Client) DownloadRelationExportFile(ctx context.Context, p ProjectRef, r PortableRelation, batch int, name string) (int64, error) {
	f, err := c.relationFile(p, r, batch)
	if err != nil {
		return 0, err
	}
	s := saving{
		c:       c,
		op:      f.op,
		project: f.request.project,
		origin:  f.request.url,
		open:    func(off int64, v validator) (*download, error) { return f.open(ctx, off, v) },
		verify:  verifyGzip,
	}
	return s.to(ctx, name)
}

// A relationFile is the exported file of a relation or batch.
type relationFile struct {
	c       *Client
	op      string
	request request
}

func (c *Client) relationFile(p ProjectRef, r PortableRelation, batch int) (*relationFile, error) {
	id, err := resolve(p)
	if err != nil {
		return nil, fmt.Errorf("download relation export: %w", err)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("download relation export of %s: %w", p, err)
	}
	op := fmt.Sprintf("download export of relation %s of %s", r, p)
	if batch < 0 {
		return nil, fmt.Errorf("%s: batch %d is negative", op, batch)
	}
	query := url.Values{"relation": {string(r)}}
	if batch > 0 {
		query.Set("batched", "true")
		query.Set("batch_number", strconv.Itoa(batch))
	}
	return &relationFile{c, op, request{
		url:     c.projectEndpoint(id, "export_relations/download?"+query.Encode()),
		project: p.String(),
		hints:   relationHints,
	}}, nil
}

func (f *relationFile) open(ctx context.Context, off int64, v validator) (*download, error) {
	d, err := openDownload(ctx, &f.c.core, f.op, f.request.project, f.request, off, v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.op, err)
	}
	return d, nil
}
