package fleet

import (
	"errors"
	"math"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/seed-5d77b939/porter"
)

// SignalStop ends a MigrateProject that has not begun its export. One that has
// goes on.
const SignalStop = "stop"

// rounds is how often an export is made whose archive expires before its turn.
const rounds = 3

// MigrateProject moves one project. If it is cancelled it ends, while GitLab goes
// on with what it has begun.
func MigrateProject(ctx workflow.Context, job Job) (out Outcome, err error) {
	beginning, stop := workflow.WithCancel(ctx)
	begun := false
	workflow.Go(ctx, func(ctx workflow.Context) {
		workflow.GetSignalChannel(ctx, SignalStop).Receive(ctx, nil)
		if !begun {
			stop()
		}
	})
	var a *Activities
	if err := workflow.ExecuteActivity(job.look(beginning), a.Check, job).Get(ctx, nil); err != nil {
		return out, err
	}
	for round := 1; ; round++ {
		var c *porter.Checkpoint
		if err := workflow.ExecuteActivity(job.work(beginning, Posts), a.Schedule, job).Get(ctx, &c); err != nil {
			return out, err
		}
		begun = true
		if err := workflow.ExecuteActivity(job.look(ctx), a.AwaitExport, job, c).Get(ctx, nil); err != nil {
			return out, err
		}
		var m Moved
		err := workflow.ExecuteActivity(job.work(ctx, Transfers), a.Transfer, job, c).Get(ctx, &m)
		if expired(err) && round < rounds {
			continue
		}
		if err == nil {
			err = workflow.ExecuteActivity(job.look(ctx), a.AwaitImport, job, m).Get(ctx, &out)
		}
		return out, err
	}
}

func expired(err error) bool {
	var e *temporal.ApplicationError
	return errors.As(err, &e) && e.Type() == typeExpired
}

// look has a look made, and repeated as long as it says so. That costs no slot of
// a worker and no event of the history.
func (j Job) look(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           j.Queue(Polls),
		StartToCloseTimeout: j.Timing.look(),
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    min(2*time.Second, j.Timing.poll()),
			BackoffCoefficient: 1.5,
			MaximumInterval:    j.Timing.poll(),
			MaximumAttempts:    anyNumber,
		},
	})
}

// work has something done that may take hours. Cancelled, it tells how far it has
// come.
func (j Job) work(ctx workflow.Context, kind string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           j.Queue(kind),
		StartToCloseTimeout: longest,
		HeartbeatTimeout:    j.Timing.heartbeat(),
		WaitForCancellation: true,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    time.Second,
			BackoffCoefficient: 2,
			MaximumInterval:    5 * time.Minute,
			MaximumAttempts:    anyNumber,
		},
	})
}

const (
	longest   = 7 * 24 * time.Hour
	anyNumber = math.MaxInt32 // of attempts; 0 is the same, but 10 in the SDK's test environment
)
