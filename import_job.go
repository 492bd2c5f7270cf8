package porter

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/seed-5d77b939/porter/internal/redact"
)

// ImportError reports that an import failed or was canceled or, with
// MigrateOptions.Strict, was incomplete. The project remains and occupies its
// path, until it is deleted or ImportOptions.Overwrite replaces it.
type ImportError struct {
	Import *Import // the last answer
}

// Error names the project, GitLab's reason, how many relations of which kinds
// failed, and the correlation ID.
func (e *ImportError) Error() string {
	imp := e.Import
	if imp == nil {
		return "import failed"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "import of %s ", imp.label())
	switch imp.Status {
	case ImportFailed:
		b.WriteString("failed")
	case ImportFinished:
		b.WriteString("is incomplete")
	default:
		fmt.Fprintf(&b, "ended with status %q", imp.Status)
	}
	if imp.Error != "" {
		b.WriteString(": " + redact.Line(imp.Error, 1024))
	}
	if n := len(imp.FailedRelations); n > 0 {
		fmt.Fprintf(&b, ": %s (%s)", plural(n, "failed relation"), relationCounts(imp.FailedRelations))
	}
	if imp.CorrelationID != "" {
		fmt.Fprintf(&b, " (correlation ID %s)", redact.Line(imp.CorrelationID, 64))
	}
	return b.String()
}

// relationCounts writes "issues 2, merge_requests 1".
func relationCounts(failed []FailedRelation) string {
	counts := make(map[string]int)
	for _, f := range failed {
		counts[cmp.Or(redact.Line(f.RelationName, 64), "unknown")]++
	}
	var parts []string
	for name, n := range counts {
		parts = append(parts, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// WatchImport polls the project's import and yields every answer, ending with
// the terminal one or with an error. The error comes last, with a nil Import;
// an import that failed is yielded first and then is an *ImportError. Watch a
// new project by the ID that StartImport returned: with Overwrite, its path
// still shows the old project. See WaitForImport for the errors.
func (c *Client) WatchImport(ctx context.Context, p ProjectRef) iter.Seq2[*Import, error] {
	id, err := c.resolve(ctx, p)
	if err != nil {
		return func(yield func(*Import, error) bool) {
			yield(nil, fmt.Errorf("wait for import: %w", err))
		}
	}
	return watched(ctx, &c.core, OpImport, id, p.String(), func(ctx context.Context) iter.Seq2[*Import, error] {
		return c.watchImport(ctx, id, p.String())
	})
}

func (c *Client) watchImport(ctx context.Context, id, label string) iter.Seq2[*Import, error] {
	return watch(ctx, &c.core, job[Import]{
		op:       "import",
		project:  label,
		accepted: c.created.has(id),
		get: func(ctx context.Context) (*Import, error) {
			imp, err := c.getImport(ctx, id, label, true)
			if err == nil {
				learn(ctx, imp.ID)
			}
			return imp, err
		},
		status: func(i *Import) (string, bool) { return string(i.Status), i.Status.Known() },
		judge: func(i *Import, s *sight) (bool, error) {
			switch i.Status {
			case ImportFinished:
				if i.Error != "" {
					c.cfg.logger.WarnContext(ctx, "import finished with an error", "project", label, "error", redact.Line(i.Error, 1024))
				}
				if len(i.FailedRelations) > 0 {
					c.cfg.logger.WarnContext(ctx, "import left relations out", "project", label, "failed_relations", len(i.FailedRelations))
				}
				return true, nil
			case ImportFailed, ImportCanceled:
				return false, &ImportError{i}
			case ImportNone:
				if s.overdue || s.seen && s.gone() {
					return false, &ImportError{i}
				}
				return false, nil
			}
			s.running()
			return false, nil
		},
	})
}

// WaitForImport waits until the project's import is finished. The error is an
// *ImportError if it failed, or if the project shows no import for
// Polling.Grace, and a *WaitError if ctx ended first, or if polls were refused
// or kept failing for Polling.Patience. A 404 ends it too, but not the first
// ones of an import that this client has just started, nor one in between: a
// replica of GitLab's database may lag. A finished import may still be
// incomplete; see Import.Complete. The last answer comes with the error.
func (c *Client) WaitForImport(ctx context.Context, p ProjectRef) (*Import, error) {
	return last(c.WatchImport(ctx, p))
}
