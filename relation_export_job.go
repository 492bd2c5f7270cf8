package porter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-5d77b939/porter/internal/redact"
)

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

// relationsReuse is how old a finished relation may be that GitLab does not
// export again.
const relationsReuse = 3 * time.Minute

// relationsSlack allows for the server's clock being known to the second only,
// where nobody looked before the export.
const relationsSlack = 5 * time.Second

// relationsQuiet is how long nothing must have changed before the relations
// that are there are taken for all, and those of an earlier export for reused.
const relationsQuiet = time.Minute

// WatchRelationExports polls the exports of the given relations, or of all if
// none is given, and yields the states of those that have appeared, ending when
// they are done or with an error. The error comes last, with nil states; exports
// of which some failed are yielded first. See WaitForRelationExports for since
// and the errors.
func (c *Client) WatchRelationExports(
	ctx context.Context, p ProjectRef, since time.Time, relations ...PortableRelation,
) iter.Seq2[[]*RelationExport, error] {
	return func(yield func([]*RelationExport, error) bool) {
		j, err := c.relationExportsJob(ctx, p, since, relations)
		if err != nil {
			yield(nil, err)
			return
		}
		seq := func(ctx context.Context) iter.Seq2[*[]*RelationExport, error] { return watch(ctx, &c.core, j) }
		for list, err := range watched(ctx, &c.core, OpRelationExports, j.id, j.project, seq) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(*list, nil) {
				return
			}
		}
	}
}

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
func (c *Client) WaitForRelationExports(
	ctx context.Context, p ProjectRef, since time.Time, relations ...PortableRelation,
) ([]*RelationExport, error) {
	var states []*RelationExport
	for list, err := range c.WatchRelationExports(ctx, p, since, relations...) {
		if err != nil {
			return states, err
		}
		states = list
	}
	return states, nil
}

// relationExportsJob says how the exports of relations are polled.
func (c *Client) relationExportsJob(
	ctx context.Context, p ProjectRef, since time.Time, relations []PortableRelation,
) (job[[]*RelationExport], error) {
	var none job[[]*RelationExport]
	id, err := c.resolve(ctx, p)
	if err != nil {
		return none, fmt.Errorf("wait for relation exports: %w", err)
	}
	for _, r := range relations {
		if err := r.check(); err != nil {
			return none, fmt.Errorf("wait for relation exports of %s: %w", p, err)
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
	return job[[]*RelationExport]{
		op:       "relation exports",
		id:       id,
		project:  p.String(),
		accepted: !since.IsZero(),
		get: func(ctx context.Context) (*[]*RelationExport, error) {
			list, err := c.listRelationExports(ctx, id, p.String(), true)
			list = w.ours(list)
			return &list, err
		},
		status: func(list *[]*RelationExport) (string, bool) { return w.summary(*list), true },
		judge:  func(list *[]*RelationExport, _ *sight) (bool, error) { return w.judge(*list) },
	}, nil
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
