package porter

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/seed-5d77b939/porter/internal/pace"
	"github.com/seed-5d77b939/porter/internal/wait"
)

// downloadBudget is what a download of the project counts against.
func (c *core) downloadBudget(label string) pace.Budget {
	label = strings.ToLower(label)
	return pace.Budget{
		Key:   "download of " + label,
		Limit: c.cfg.pacing.Downloads,
		Wider: "downloads from " + path.Dir(label), // "." for all IDs
	}
}

// admit waits until r may be sent: until it has a turn and, if it is of a
// transfer, a place. It asks for what was lost at its old place. Neither is kept
// while the other is waited for: a turn is of this minute, and another transfer
// may use the place. A nil turn means that r is not paced.
func (c *core) admit(ctx context.Context, r *request, lost *pace.Turn) (*pace.Turn, error) {
	for {
		if ctx.Err() != nil {
			return nil, wait.Ended(ctx)
		}
		if err := c.awaitPlace(ctx, r, r.place.Take()); err != nil {
			return nil, err
		}
		if r.budget.Key == "" || r.budget.Limit < 0 || c.cfg.unpaced {
			return nil, nil
		}
		t := c.pacer.Ask(r.budget, lost)
		d := t.Left()
		if d <= 0 {
			return t, nil
		}
		r.place.Give()
		c.cfg.logger.InfoContext(ctx, "waiting for a turn", "project", r.project, "delay", d)
		if err := c.pauseUntil(ctx, Event{Kind: EventPaced, Project: r.project, Delay: d}, t.Left, t.Given()); err != nil {
			t.NotSent()
			return nil, fmt.Errorf("waiting for a turn: %w", err)
		}
		if r.place.TryTake() {
			return t, nil
		}
		t.NotSent()
		lost = t
	}
}

// pollTurn waits until one more poll stays within what all waits may make
// together. The wait that asks has paused for so long; 0 is one that begins.
func (c *core) pollTurn(ctx context.Context, paused time.Duration) error {
	if ctx.Err() != nil {
		return wait.Ended(ctx)
	}
	if c.cfg.pacing.Polls < 0 || c.cfg.unpaced {
		return nil
	}
	return c.polls.Wait(ctx, c.cfg.pacing.Polls, paused)
}

// pollsScarce reports whether waits should not poll more often than they need.
func (c *core) pollsScarce() bool {
	return c.cfg.pacing.Polls > 0 && !c.cfg.unpaced && c.polls.Scarce(c.cfg.pacing.Polls)
}

// settle has a turn count as it did at the server, by what came of the request.
func settle(t *pace.Turn, o outcome) {
	switch {
	case t == nil: // it was not paced
	case !o.counted():
		t.NotSent()
	case o.limited():
		t.Refused(!o.answer.retryAfter)
	case o.fault == noFault:
		t.Counted()
	}
}
