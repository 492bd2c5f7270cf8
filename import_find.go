package porter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-5d77b939/porter/internal/wait"
)

// resolve looks for the project, after the answer to a POST that was sent after
// asked was lost, with the error lost.
func (w *wholeImport) resolve(ctx context.Context, asked time.Time, lost error) (*Import, error) {
	deadline := time.Now().Add(w.c.cfg.polling.Patience)
	found, err := w.find(ctx, w.target, search{
		since: func() time.Time { return w.c.clock.Now().Add(-time.Since(asked)) },
		left:  func() time.Duration { return time.Until(deadline) },
		free:  w.free,
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w (%w)", lost, err)
	case found == nil:
		return nil, lost
	}
	w.c.cfg.logger.InfoContext(ctx, "the import was accepted, although its answer was lost",
		"project", string(w.target), "id", int64(found.ID))
	return found, nil
}

// takeUp returns the import that another process has started, or nil if it has
// started none.
func (w *wholeImport) takeUp(ctx context.Context) (*Import, error) {
	from := w.trail.from
	switch {
	case w.trail.earlier(StepImporting, StepDone):
		if w.trail.recent(w.c.clock.Now(), w.c.cfg.polling.Grace) {
			w.c.created.note(from.Import.String(), time.Time{}) // a replica may lag
		}
		return &Import{Project: Project{ID: from.Import}}, nil
	case !w.trail.earlier(StepUploading):
		return nil, nil
	case from.Target == "":
		return nil, fmt.Errorf("%w: another process may have sent the archive whole, and its checkpoint cannot say to where", ErrOutcomeUnknown)
	}
	found, err := w.find(ctx, from.Target, search{
		since: func() time.Time { return from.Time },
		left:  func() time.Duration { return from.Time.Add(w.c.cfg.polling.Patience).Sub(w.c.clock.Now()) },
	})
	switch exists := (*ProjectExistsError)(nil); {
	case errors.As(err, &exists):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	case found == nil:
		return nil, nil
	}
	return found, w.trail.reach(ctx, Checkpoint{Step: StepImporting, Time: w.c.clock.Now(), Import: found.ID})
}

// A search is for the project of an upload whose answer nobody has.
type search struct {
	since func() time.Time     // by the server's clock: what is older is not of it
	left  func() time.Duration // while GitLab may still be at it: its front server waits five minutes for it
	free  bool                 // nothing was there before, so that what is there needs no age
}

// find looks for a project at target, and returns nil if there is none.
func (w *wholeImport) find(ctx context.Context, target ProjectPath, s search) (*Import, error) {
	c, begun := w.c, time.Now()
	lost := 0    // turns in a row, which are no failures and cost no patience
	missing := 0 // looks in a row that found nothing; one alone may be a replica's that lags
	for n := 0; ; n++ {
		found, err := c.lookUp(ctx, target, true)
		switch {
		case ctx.Err() != nil:
			return nil, wait.Ended(ctx)
		case err != nil && !passing(err):
			return nil, fmt.Errorf("looked for the project: %w", err)
		case found != nil && !s.free && found.CreatedAt.Before(s.since().Add(-clockSlack)):
			return nil, fmt.Errorf("an older project is there: %w", &ProjectExistsError{found})
		case found != nil && found.Status != ImportNone: // else not yet, or no import at all
			return found, nil
		}
		delay := c.cfg.polling.Backoff.wait(n)
		pause := c.pauseAfter(err, delay)
		left := s.left()
		missing++
		if err != nil { // which tells nothing
			left = max(left, c.cfg.polling.Patience-time.Since(begun))
			missing = 0
		}
		switch over := left < 0 || pause > delay && pause > left; {
		case outcomeOf(err).limited():
			pause += spread(lost)
			lost++
			begun = begun.Add(pause)
		case over && err != nil:
			return nil, fmt.Errorf("looked for the project: %w", err)
		case over && found != nil:
			return nil, &ProjectExistsError{found}
		case over && missing > 1:
			return nil, nil
		default:
			lost = 0
		}
		if err == nil {
			err = errNotThere
		}
		if ended := c.pause(ctx, Event{Kind: EventRetry, Project: w.opts.label(), Attempt: n + 1, Delay: pause, Err: err}); ended != nil {
			return nil, ended
		}
	}
}

// errNotThere is why a look for a project is made again.
var errNotThere = errors.New("the project is not there yet")

// clockSlack is how far the clocks of the machines of one instance may be
// apart: the time of a Date, when a project was created and when a file was
// written are told by different ones.
const clockSlack = 3 * time.Minute
