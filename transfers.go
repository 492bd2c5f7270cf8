package porter

import (
	"context"

	"github.com/seed-5d77b939/porter/internal/pace"
)

type placeKey struct{}

// withPlace returns a context whose transfers share one place among those of
// the clients: they are the halves of one transfer.
func withPlace(ctx context.Context, clients ...*core) context.Context {
	place, ok := ctx.Value(placeKey{}).(*pace.Place)
	if !ok {
		place = new(pace.Place)
		ctx = context.WithValue(ctx, placeKey{}, place)
	}
	for _, c := range clients {
		place.Among(c.places, c.cfg.transfers)
	}
	return ctx
}

// transfer returns the context of a transfer and its hold on a place, which it
// does not have yet.
func (c *core) transfer(ctx context.Context) (context.Context, *pace.Holder) {
	ctx = withPlace(ctx, c)
	return ctx, ctx.Value(placeKey{}).(*pace.Place).Holder()
}

// placed returns a context that gives the place back when it ends.
func placed(ctx context.Context, place *pace.Holder) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, place.End)
	return ctx, func() {
		stop()
		cancel()
		place.End()
	}
}

// awaitPlace waits for the place of r until given is closed; nil is at once.
func (c *core) awaitPlace(ctx context.Context, r *request, given <-chan struct{}) error {
	if given == nil {
		return nil
	}
	c.cfg.logger.InfoContext(ctx, "waiting until other transfers end", "project", r.project)
	err := c.pauseFor(ctx, Event{Kind: EventPaced, Project: r.project}, given)
	if err != nil {
		r.place.Give()
	}
	return err
}
