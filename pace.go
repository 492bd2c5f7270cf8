package porter

import (
	"context"
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

// pace waits for a turn, for one that was lost at its old place. A nil turn
// means that this request is not paced.
func (c *core) pace(ctx context.Context, project string, b pace.Budget, lost *pace.Turn) (*pace.Turn, error) {
	if ctx.Err() != nil {
		return nil, wait.Ended(ctx)
	}
	if b.Key == "" || b.Limit < 0 || c.cfg.unpaced {
		return nil, nil
	}
	t := c.pacer.Ask(b, lost)
	d := t.Left()
	if d <= 0 {
		return t, nil
	}
	c.cfg.logger.InfoContext(ctx, "waiting for a turn", "project", project, "delay", d)
	if err := c.pauseUntil(ctx, Event{Kind: EventPaced, Project: project, Delay: d}, t.Left, t.Given()); err != nil {
		t.NotSent()
		return nil, err
	}
	return t, nil
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
