package fleet

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/seed-5d77b939/porter"
)

// A pulse tells Temporal that an attempt lives, and its checkpoint, which the
// next attempt is given if this one dies. A checkpoint is kept once tell has
// returned, and it is refused if another attempt has taken the place of this one.
// The SDK's own RecordHeartbeat promises neither: it gathers what it is told.
type pulse struct {
	ctx  context.Context // ends with the attempt, and when Temporal wants it to
	end  context.CancelCauseFunc
	beat Beat
	wg   sync.WaitGroup

	mu     sync.Mutex
	last   *porter.Checkpoint // nil for none yet
	untold error              // why a checkpoint was not kept
}

// Beat tells Temporal of an attempt, as client.Client's RecordActivityHeartbeat does.
type Beat func(ctx context.Context, taskToken []byte, details ...any) error

// newPulse takes up the checkpoint of the attempt before. Stop it.
func newPulse(ctx context.Context, beat Beat) (*pulse, error) {
	p := &pulse{beat: beat}
	if activity.HasHeartbeatDetails(ctx) {
		if err := activity.GetHeartbeatDetails(ctx, &p.last); err != nil {
			return nil, err
		}
	}
	p.ctx, p.end = context.WithCancelCause(ctx)
	p.wg.Go(p.run)
	return p, nil
}

// stop ends the pulse. Whatever an upload that was broken off still tells after it
// is refused.
func (p *pulse) stop() {
	p.end(nil)
	p.wg.Wait()
	p.mu.Lock() // until what is being told has been
	defer p.mu.Unlock()
}

// at returns the last checkpoint, nil for none.
func (p *pulse) at() *porter.Checkpoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// tell has a checkpoint kept. Nothing that comes after it may be done on an error.
func (p *pulse) tell(c porter.Checkpoint) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.untold = p.send(&c); p.untold == nil {
		p.last = &c
	}
	return p.untold
}

// run tells three times as often as Temporal waits for it.
func (p *pulse) run() {
	tick := time.NewTicker(activity.GetInfo(p.ctx).HeartbeatTimeout / 3)
	defer tick.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-tick.C:
			p.mu.Lock()
			p.send(p.last) // another try comes with the next tick
			p.mu.Unlock()
		}
	}
}

// send needs the lock, so that an older checkpoint never follows a newer one.
func (p *pulse) send(c *porter.Checkpoint) error {
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	info := activity.GetInfo(p.ctx)
	ctx, cancel := context.WithTimeout(p.ctx, info.HeartbeatTimeout)
	defer cancel()
	var details []any
	if c != nil {
		details = append(details, c)
	}
	err := p.beat(ctx, info.TaskToken, details...)
	var canceled *temporal.CanceledError
	var gone *serviceerror.NotFound
	switch {
	case errors.As(err, &canceled):
		activity.RecordHeartbeat(p.ctx, details...) // the SDK has to hear of it, too
		p.end(err)
	case errors.As(err, &gone), errors.Is(err, activity.ErrActivityPaused), errors.Is(err, activity.ErrActivityReset):
		p.end(err)
	}
	return err
}

// failed returns what an attempt ends with that did not succeed.
func (p *pulse) failed(err error) error {
	var canceled *temporal.CanceledError
	if errors.As(context.Cause(p.ctx), &canceled) {
		return canceled
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// If the worker was stopped, or Temporal was in trouble, the next attempt goes on
	// from the checkpoint: even where porter.Retryable says no, because nobody knows
	// what came of a request.
	if p.untold != nil || p.ctx.Err() != nil {
		return temporal.NewApplicationError(bounded(err.Error()), typePassing)
	}
	return failure(err)
}
