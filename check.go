package porter

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed-5d77b939/porter/internal/redact"
)

// A Check is what was found before a job that would make it fail, or that its
// user may not expect. No finding is no promise: what GitLab does not tell this
// user is not known.
type Check struct {
	Findings []Finding
}

// Err returns a *CheckError with the findings that are certain, nil if none is.
func (k *Check) Err() error {
	if k == nil {
		return nil
	}
	certain := slices.DeleteFunc(slices.Clone(k.Findings), func(f Finding) bool { return !f.Certain })
	if len(certain) == 0 {
		return nil
	}
	return &CheckError{certain}
}

func (k *Check) add(kind FindingKind, certain bool, format string, args ...any) {
	k.Findings = append(k.Findings, Finding{kind, certain, fmt.Sprintf(format, args...)})
}

// A Finding is one thing that was found.
type Finding struct {
	Kind    FindingKind
	Certain bool   // as things are, the job would fail
	Text    string // a sentence for people, without a full stop
}

// FindingKind is what a finding is about.
type FindingKind string

// The kinds of findings. Those that can be certain say so.
const (
	FindingTokenExpires  FindingKind = "token expires"  // before the deadline of the context, or within a day if there is none
	FindingScope         FindingKind = "scope"          // certain: the token lacks the scope api
	FindingBot           FindingKind = "bot"            // certain: a project or group access token can't import
	FindingImportSource  FindingKind = "import source"  // certain: “GitLab export” is switched off
	FindingNamespace     FindingKind = "namespace"      // certain: none for this user
	FindingRole          FindingKind = "role"           // mostly certain: the user may not import there
	FindingNamespaceFull FindingKind = "namespace full" // certain: no more projects in the user's own namespace
	FindingPathTaken     FindingKind = "path taken"     // certain: by a project or a subgroup
	FindingArchiveSize   FindingKind = "archive size"   // certain if the size is that of an archive: over the limit for imports
	FindingExportSize    FindingKind = "export size"    // certain: over the limit for exports
	FindingFormat        FindingKind = "format"         // certain: the destination's release doesn't read what the source's writes
	FindingVersion       FindingKind = "version"        // the releases are further apart than GitLab supports
	FindingUsers         FindingKind = "users"          // what people wrote becomes the importing user's
)

// CheckError reports that a job was not begun, or should not be, because it
// would fail. It matches ErrWillFail, and the Err variable that the job itself
// would have ended with, such as ErrProjectExists.
type CheckError struct {
	Findings []Finding // all of them certain
}

// Error lists the findings.
func (e *CheckError) Error() string {
	texts := make([]string, len(e.Findings))
	for i, f := range e.Findings {
		texts[i] = f.Text
	}
	return fmt.Sprintf("%v: %s", ErrWillFail, strings.Join(texts, "; "))
}

// Is reports whether target is ErrWillFail or stands for one of the findings.
func (e *CheckError) Is(target error) bool {
	return target == ErrWillFail ||
		slices.ContainsFunc(e.Findings, func(f Finding) bool { return findingErrors[f.Kind] == target && target != nil })
}

// findingErrors are what jobs end with today for what is found before.
var findingErrors = map[FindingKind]error{
	FindingScope:        ErrForbidden,
	FindingImportSource: ErrForbidden,
	FindingNamespace:    ErrNotFound,
	FindingPathTaken:    ErrProjectExists,
	FindingArchiveSize:  ErrTooLarge,
}

// token adds what is wrong with the token for a job that does.
func (k *Check) token(ctx context.Context, c *Client, does string) error {
	t, err := c.lookAtToken(ctx)
	if t == nil {
		return err
	}
	if t.mayNotWrite() {
		k.add(FindingScope, true, "the token at %s has only the scopes %s, but %s needs api",
			c.base.Host, redact.Line(strings.Join(t.Scopes, ", "), 300), does)
	}
	left, before := 24*time.Hour, "in less than a day"
	if deadline, ok := ctx.Deadline(); ok {
		left, before = time.Until(deadline), "before the deadline"
	}
	// An error is no date, or none that is understood.
	if ends, err := time.Parse(time.DateOnly, t.ExpiresAt); err == nil && ends.Sub(c.clock.Now()) < left {
		k.add(FindingTokenExpires, false, "the token at %s ends %s, at 00:00 UTC on %s", c.base.Host, before, ends.Format(time.DateOnly))
	}
	return nil
}

// checkError names what was checked.
func checkError(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("check %s: %w", what, err)
}
