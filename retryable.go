package porter

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Retryable reports whether the whole operation that ended with err may be
// tried again, and after how long at the earliest; 0 if nothing is known of
// that, so space the attempts all the same. The client has then tried single
// requests again already, as its options say.
//
// It may after what passes by itself: no answer of the network, a server in
// trouble, a lost turn, another job under way, an archive that is not stored
// yet or that was replaced during a download. It may, in another context, if
// the context ended. If a wait ended so, GitLab goes on with the job, and what
// is to be tried again is the waiting: WaitForImport, say, because Import would
// find the project there.
//
// It may not if the outcome is unknown, as it could be done twice, though a
// Migrate or Import that is resumed from its last Checkpoint finds out; if the source
// can be read only once; and after all that is not known to pass. That includes
// a job that failed, such as an *ExportError: GitLab has tried it again by itself
// and does not say why it failed, a new export takes hours, and what a failed
// import left stands in the way of another. A program that knows better can find
// these errors with errors.As. An error of a source of another server is judged
// by what came of that.
func Retryable(err error) (after time.Duration, ok bool) {
	var source *sourceError
	switch {
	case errors.Is(err, ErrOutcomeUnknown):
		return 0, false
	case errors.As(err, &source):
		return Retryable(source.err)
	}
	o := outcomeOf(err)
	e := o.answer
	if e != nil && e.Method == http.MethodPost && e.StatusCode < 300 {
		return 0, false // it was done, whatever the answer says
	}
	for _, p := range passingKinds {
		if errors.Is(err, p.kind) {
			after, ok = p.after, true
			break
		}
	}
	if e != nil && e.RetryAfter > 0 {
		after = e.RetryAfter
	}
	if !ok && !o.passing() && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return 0, false
	}
	return after, true
}

// passingKinds are what passes by itself, and how soon. Limits are counted by
// the minute, and exports end on a grid of a minute.
var passingKinds = []struct {
	kind  error
	after time.Duration
}{
	{ErrRateLimited, time.Minute},
	{ErrConflict, time.Minute},
	{ErrExportInProgress, time.Minute},
	{ErrExportNotReady, notReadyPause},
	{ErrArchiveChanged, 0},
	{ErrStalled, 0},
}
