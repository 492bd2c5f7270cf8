package fleet

import (
	"testing"

	"github.com/seed-5d77b939/porter"
)

// Each queue has the rate that its requests need. The one that schedules exports
// has none, as porter's own pacer keeps to the limit.
func TestQueues(t *testing.T) {
	t.Parallel()
	type limits struct {
		workflows bool
		perSecond float64 // of the whole queue; 0 is no limit
		atATime   int     // of a worker; 0 is the SDK's own choice
	}
	for _, tt := range []struct {
		kind string
		rate porter.Pacing
		want limits
	}{
		{Workflows, porter.Pacing{}, limits{workflows: true}},
		{Posts, porter.Pacing{Exports: 60}, limits{}},
		{Polls, porter.Pacing{}, limits{perSecond: 1.5}},
		{Polls, porter.Pacing{Polls: 600}, limits{perSecond: 10}},
		{Transfers, porter.Pacing{}, limits{perSecond: 0.1, atATime: 8}},
		{Transfers, porter.Pacing{Imports: -1}, limits{atATime: 8}},
	} {
		o := Config{Transfers: 8, Rate: tt.rate}.options(tt.kind)
		got := limits{!o.DisableWorkflowWorker, o.TaskQueueActivitiesPerSecond, o.MaxConcurrentActivityExecutionSize}
		if got != tt.want {
			t.Errorf("%s with %+v: %+v instead of %+v", tt.kind, tt.rate, got, tt.want)
		}
	}
}
