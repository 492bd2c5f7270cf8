package fleet

import (
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// What MigrateList can be told and asked.
const (
	SignalPaused = "paused" // true or false: whether no other project may begin
	QueryCounts  = "counts" // a Counts
)

// Renew is a good number of projects after which a list continues as new: about
// ten thousand events.
const Renew = 500

// A List is what MigrateList is started with, and goes on with.
type List struct {
	Site     Site      `json:"site"`
	Timing   Timing    `json:"timing"`
	Projects []Project `json:"projects"` // that have not begun
	Window   int       `json:"window"`   // how many are under way at a time
	EndAll   bool      `json:"end_all"`  // cancelled, it ends those that have begun too, instead of having them finish
	Renew    int       `json:"renew"`    // after how many projects it continues as new

	// What an earlier run of the workflow has come to.
	Counts   Counts     `json:"counts"`
	Open     []UnderWay `json:"open,omitempty"`
	Troubles []Trouble  `json:"troubles,omitempty"`
}

// Counts are how many projects of a list have come how far.
type Counts struct {
	Waiting    int  `json:"waiting"`
	Open       int  `json:"open"`
	Done       int  `json:"done"`
	Incomplete int  `json:"incomplete"` // done, but GitLab has left something out
	Failed     int  `json:"failed"`
	Canceled   int  `json:"canceled"`
	Paused     bool `json:"paused"`
}

// String leaves out what there is none of: "waiting 3, done 4".
func (c Counts) String() string {
	var parts []string
	for _, k := range []struct {
		name string
		n    int
	}{
		{"waiting", c.Waiting}, {"under way", c.Open},
		{"done", c.Done}, {"incomplete", c.Incomplete}, {"failed", c.Failed}, {"cancelled", c.Canceled},
	} {
		if k.n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", k.name, k.n))
		}
	}
	if c.Paused {
		parts = append(parts, "paused")
	}
	return strings.Join(parts, ", ")
}

// Summary is what came of a list.
type Summary struct {
	Counts
	Troubles []Trouble `json:"troubles,omitempty"` // the first hundred
}

// A Trouble is what is wrong with a project.
type Trouble struct {
	Project string `json:"project"`
	Text    string `json:"text"`
}

const maxTroubles = 100

// UnderWay is a project whose workflow has not ended.
type UnderWay struct {
	Project
	Begun  bool `json:"begun"`            // its workflow is known to run
	Joined bool `json:"joined,omitempty"` // that is another list's
}

// lister is a run of MigrateList.
type lister struct {
	List
	ended   int // projects in this run
	stopped bool
}

// MigrateList moves the projects of a list, so many at a time. A project that
// another list migrates, or has migrated, is that list's work: it is waited for.
func MigrateList(ctx workflow.Context, list List) (Summary, error) {
	l := &lister{List: list}
	if err := workflow.SetQueryHandler(ctx, QueryCounts, func() (Counts, error) { return l.counts(), nil }); err != nil {
		return Summary{}, err
	}
	// What goes on when the list is cancelled is in a context of its own.
	free, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	paused := workflow.GetSignalChannel(ctx, SignalPaused)
	workflow.Go(free, func(ctx workflow.Context) {
		for {
			paused.Receive(ctx, &l.Counts.Paused)
		}
	})
	done := ctx.Done()
	workflow.Go(free, func(ctx workflow.Context) {
		done.Receive(ctx, nil)
		l.stop(ctx)
	})
	for _, o := range slices.Clone(l.Open) {
		workflow.Go(free, func(ctx workflow.Context) { l.end(o.Project, l.await(ctx, o.Project)) })
	}
	for {
		for l.mayBegin() {
			l.begin(free)
		}
		if l.over() {
			break
		}
		if l.renewable() {
			for paused.ReceiveAsync(&l.Counts.Paused) {
			}
			return Summary{}, workflow.NewContinueAsNewError(ctx, MigrateList, l.List)
		}
		if err := workflow.Await(free, func() bool { return l.mayBegin() || l.over() || l.renewable() }); err != nil {
			return Summary{}, err
		}
	}
	s := Summary{Counts: l.counts(), Troubles: l.Troubles}
	if l.stopped {
		return s, temporal.NewCanceledError(s)
	}
	return s, nil
}

func (l *lister) mayBegin() bool {
	return !l.stopped && !l.Counts.Paused && !l.full() && len(l.Projects) > 0 && len(l.Open) < l.Window
}

func (l *lister) over() bool { return len(l.Open) == 0 && (l.stopped || len(l.Projects) == 0) }

// full reports whether this run has begun or ended enough for one history.
func (l *lister) full() bool { return l.Renew > 0 && l.ended >= l.Renew }

// renewable reports whether the next run can take over. It finds those that have
// begun by their workflow IDs.
func (l *lister) renewable() bool {
	return l.full() && !l.stopped && !slices.ContainsFunc(l.Open, func(o UnderWay) bool { return !o.Begun })
}

func (l *lister) counts() Counts {
	c := l.Counts
	c.Waiting, c.Open = len(l.Projects), len(l.Open)
	return c
}

// begin starts the next project.
func (l *lister) begin(ctx workflow.Context) {
	p := l.Projects[0]
	l.Projects = l.Projects[1:]
	l.Open = append(l.Open, UnderWay{Project: p})
	workflow.Go(ctx, func(ctx workflow.Context) { l.end(p, l.migrate(ctx, p)) })
}

// migrate starts the workflow of a project, or joins it, and waits for its end.
func (l *lister) migrate(ctx workflow.Context, p Project) End {
	child := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            l.Site.WorkflowID(p),
		TaskQueue:             l.Site.Queue(Workflows),
		WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
		ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_ABANDON, // or it would end when the list continues as new
	}), MigrateProject, Job{Site: l.Site, Project: p, Timing: l.Timing})
	err := child.GetChildWorkflowExecution().Get(ctx, nil)
	o := &l.Open[l.index(p)]
	o.Begun = true
	if temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		o.Joined = true
		return l.await(ctx, p)
	}
	if l.stopped {
		l.tell(ctx, *o)
	}
	var out Outcome
	err = child.Get(ctx, &out)
	return endOf(out, err)
}

// await waits for the end of a workflow that this run of the list did not start.
func (l *lister) await(ctx workflow.Context, p Project) (end End) {
	var w *Watcher
	look := Job{Site: l.Site, Timing: l.Timing}.look(ctx)
	look = workflow.WithTaskQueue(look, l.Site.Queue(Workflows)) // it asks Temporal, not GitLab
	if err := workflow.ExecuteActivity(look, w.Ended, l.Site.WorkflowID(p)).Get(ctx, &end); err != nil {
		return endOf(Outcome{}, err)
	}
	return end
}

// stop begins no other project, and tells those under way.
func (l *lister) stop(ctx workflow.Context) {
	l.stopped = true
	for _, o := range l.Open {
		if o.Begun {
			l.tell(ctx, o)
		}
	}
}

// tell has a project end, or end if it has not begun its export.
func (l *lister) tell(ctx workflow.Context, o UnderWay) {
	id := l.Site.WorkflowID(o.Project)
	switch {
	case o.Joined:
	case l.EndAll:
		workflow.RequestCancelExternalWorkflow(ctx, id, "")
	default:
		workflow.SignalExternalWorkflow(ctx, id, "", SignalStop, nil)
	}
}

func (l *lister) index(p Project) int {
	return slices.IndexFunc(l.Open, func(o UnderWay) bool { return o.Project == p })
}

// end counts a project.
func (l *lister) end(p Project, e End) {
	i := l.index(p)
	l.Open = slices.Delete(l.Open, i, i+1)
	l.ended++
	text := e.Failure
	switch {
	case e.Canceled:
		l.Counts.Canceled++
		return
	case e.Failure != "":
		l.Counts.Failed++
	case len(e.Outcome.Lost) > 0:
		l.Counts.Incomplete++
		text = fmt.Sprintf("incomplete: %s", e.Outcome.Lost[0])
	default:
		l.Counts.Done++
		return
	}
	if len(l.Troubles) < maxTroubles {
		l.Troubles = append(l.Troubles, Trouble{p.Name, text})
	}
}
