package porter

import (
	"context"
	"time"

	"github.com/seed-5d77b939/porter/internal/wait"
)

// heartbeat is how often an operation that pauses says that it does.
const heartbeat = 30 * time.Second

// pause waits for ev.Delay, and tells ev.
func (c *core) pause(ctx context.Context, ev Event) error {
	end := time.Now().Add(ev.Delay)
	return c.pauseUntil(ctx, ev, func() time.Duration { return time.Until(end) }, nil)
}

// pauseUntil waits until nothing is left of a pause that is to last ev.Delay,
// or over is closed. It tells ev at once and at every heartbeat, with the time
// that is left.
func (c *core) pauseUntil(ctx context.Context, ev Event, left func() time.Duration, over <-chan struct{}) error {
	for {
		c.emit(ctx, ev)
		if err := wait.SleepOr(ctx, min(ev.Delay, heartbeat), over); err != nil {
			return err
		}
		if ev.Delay = left(); ev.Delay <= 0 {
			return nil
		}
	}
}

// pauseToVerify waits until over is closed, when something was verified, which also
// ends with ctx. It tells of that if it takes long.
func (c *core) pauseToVerify(ctx context.Context, project string, over <-chan struct{}) {
	if !wait.AtMost(heartbeat, over) {
		c.pauseFor(ctx, Event{Kind: EventPaced, Project: project}, over)
	}
	<-over
}

// pauseFor waits until over is closed, of which nobody knows when it will be.
// It tells ev at once and at every heartbeat.
func (c *core) pauseFor(ctx context.Context, ev Event, over <-chan struct{}) error {
	for {
		c.emit(ctx, ev)
		if err := wait.SleepOr(ctx, heartbeat, over); err != nil {
			return err
		}
		select {
		case <-over:
			return nil
		default:
		}
	}
}
