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

// pace waits for a turn. A nil turn means that this request is not paced.
func (c *core) pace(ctx context.Context, project string, b pace.Budget) (*pace.Turn, error) {
	if ctx.Err() != nil {
		return nil, wait.Ended(ctx)
	}
	if b.Key == "" || c.cfg.unpaced {
		return nil, nil
	}
	return c.pacer.Wait(ctx, b, func(d time.Duration) {
		c.cfg.logger.InfoContext(ctx, "waiting for a turn", "project", project, "delay", d)
		c.emit(ctx, Event{Kind: EventPaced, Project: project, Delay: d})
	})
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
