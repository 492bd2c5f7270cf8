package fleet

import (
	"cmp"
	"context"
	"fmt"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/seed-5d77b939/porter"
)

// A Config says what a worker process does.
type Config struct {
	User            string
	Source          string // URL
	Destination     string // URL
	SourceAuth      porter.Auth
	DestinationAuth porter.Auth
	Kinds           []string      // of queues, of those in Kinds
	Transfers       int           // at a time
	Rate            porter.Pacing // as porter.WithPacing has it
	Polling         porter.Polling
	Spool           string // folder for archives on their way, "" for the system's
}

// Work serves the queues until ctx ends, or Temporal refuses to give it work any
// more. What is not done by then another worker takes up.
func Work(ctx context.Context, c client.Client, cfg Config) error {
	a, err := cfg.activities(c.RecordActivityHeartbeat)
	if err != nil {
		return err
	}
	refused := make(chan error, len(cfg.Kinds))
	for _, kind := range cfg.Kinds {
		o := cfg.options(kind)
		o.OnFatalError = func(err error) { refused <- fmt.Errorf("queue %s: %w", kind, err) }
		w := worker.New(c, a.Site.Queue(kind), o)
		if kind == Workflows {
			w.RegisterWorkflow(MigrateList)
			w.RegisterWorkflow(MigrateProject)
			w.RegisterActivity(&Watcher{c})
		} else {
			w.RegisterActivity(a)
		}
		if err := w.Start(); err != nil {
			return fmt.Errorf("queue %s: %w", kind, err)
		}
		defer w.Stop()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-refused:
		return err
	}
}

// options are those of the worker of a queue. A rate is that of the whole queue,
// whatever the number of its workers.
func (cfg Config) options(kind string) worker.Options {
	o := worker.Options{DisableWorkflowWorker: kind != Workflows}
	switch kind {
	case Polls:
		o.TaskQueueActivitiesPerSecond = perSecond(cfg.Rate.Polls, 90)
	case Transfers:
		o.MaxConcurrentActivityExecutionSize = cfg.Transfers
		o.TaskQueueActivitiesPerSecond = perSecond(cfg.Rate.Imports, 6)
	}
	return o
}

// perSecond is a limit of porter.Pacing as Temporal has it.
func perSecond(limit, standard int) float64 {
	if limit < 0 {
		return 0 // none
	}
	return float64(cmp.Or(limit, standard)) / 60
}

func (cfg Config) activities(beat Beat) (*Activities, error) {
	opts := []porter.Option{porter.WithPacing(cfg.Rate), porter.WithPolling(cfg.Polling), porter.WithTransfers(0)}
	a := &Activities{Site: Site{User: cfg.User}, Spool: cfg.Spool, Grace: cfg.Polling.Grace, Beat: beat}
	var err error
	if a.From, err = porter.NewClient(cfg.Source, cfg.SourceAuth, opts...); err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	if a.To, err = porter.NewClient(cfg.Destination, cfg.DestinationAuth, opts...); err != nil {
		return nil, fmt.Errorf("destination: %w", err)
	}
	if a.Site.Source, err = Instance(cfg.Source); err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	if a.Site.Destination, err = Instance(cfg.Destination); err != nil {
		return nil, fmt.Errorf("destination: %w", err)
	}
	return a, nil
}
