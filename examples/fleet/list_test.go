package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"
)

// A listScene is a list whose projects take as long as their names say.
type listScene struct {
	env   *testsuite.TestWorkflowEnvironment
	list  List
	began []string
	most  int // open at a time
	open  int
}

// newListScene makes projects of "minutes" or "minutes what", of which what
// becomes "fail" or "lose".
func newListScene(t *testing.T, names ...string) *listScene {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))))
	s := &listScene{env: suite.NewTestWorkflowEnvironment(), list: List{Site: Site{User: "me", Source: "src"}, Window: 3, Renew: 500}}
	for i, n := range names {
		s.list.Projects = append(s.list.Projects, Project{Name: fmt.Sprintf("p%d %s", i, n)})
	}
	s.env.RegisterWorkflow(MigrateList)
	s.env.RegisterWorkflowWithOptions(s.project, workflow.RegisterOptions{Name: "MigrateProject"})
	s.env.RegisterActivity(&Watcher{})
	return s
}

// project stands for MigrateProject.
func (s *listScene) project(ctx workflow.Context, job Job) (Outcome, error) {
	s.began = append(s.began, strings.Fields(job.Name)[0])
	s.open++
	s.most = max(s.most, s.open)
	out, err := s.work(ctx, job)
	s.open--
	return out, err
}

func (s *listScene) work(ctx workflow.Context, job Job) (Outcome, error) {
	var minutes int
	var what string
	fmt.Sscanf(job.Name[strings.Index(job.Name, " ")+1:], "%d %s", &minutes, &what)
	stopped := false
	workflow.Go(ctx, func(ctx workflow.Context) {
		workflow.GetSignalChannel(ctx, SignalStop).Receive(ctx, nil)
		stopped = true
	})
	if what == "queued" { // it has not begun its export
		if err := workflow.Await(ctx, func() bool { return stopped }); err != nil {
			return Outcome{}, err
		}
		return Outcome{}, temporal.NewCanceledError()
	}
	if err := workflow.Sleep(ctx, time.Duration(minutes)*time.Minute); err != nil {
		return Outcome{}, err
	}
	switch what {
	case "fail":
		return Outcome{}, temporal.NewNonRetryableApplicationError("it broke", typeFailed, nil)
	case "lose":
		return Outcome{Lost: []string{"issues"}}, nil
	}
	return Outcome{ID: 1}, nil
}

// after calls f so many minutes after the beginning.
func (s *listScene) after(minutes int, f func()) {
	s.env.RegisterDelayedCallback(f, time.Duration(minutes)*time.Minute)
}

func (s *listScene) counts(t *testing.T) (c Counts) {
	t.Helper()
	v, err := s.env.QueryWorkflow(QueryCounts)
	if err == nil {
		err = v.Get(&c)
	}
	if err != nil {
		t.Error(err)
	}
	return c
}

func (s *listScene) run(t *testing.T) (sum Summary) {
	t.Helper()
	s.env.ExecuteWorkflow(MigrateList, s.list)
	err := s.env.GetWorkflowError()
	var canceled *temporal.CanceledError
	switch {
	case err == nil:
		err = s.env.GetWorkflowResult(&sum)
	case errors.As(err, &canceled):
		err = canceled.Details(&sum)
	}
	if err != nil {
		t.Error(err)
	}
	return sum
}

// A slow project does not hold up the others: as soon as one has ended, the next
// begins.
func TestWindow(t *testing.T) {
	t.Parallel()
	s := newListScene(t, "100", "1", "1", "1", "1", "1 fail", "1 lose", "1")
	s.after(3, func() {
		if c := s.counts(t); c.Open != 3 || c.Done < 4 || c.Waiting+c.Done+c.Failed+c.Incomplete != 5 {
			t.Errorf("after three minutes %+v", c)
		}
	})
	sum := s.run(t)
	want := []Trouble{{"p5 1 fail", "it broke"}, {"p6 1 lose", "incomplete: issues"}}
	if (sum.Counts != Counts{Done: 6, Failed: 1, Incomplete: 1}) || !slices.Equal(sum.Troubles, want) || s.most != 3 {
		t.Errorf("%+v, %d at a time", sum, s.most)
	}
}

func TestPaused(t *testing.T) {
	t.Parallel()
	s := newListScene(t, "2", "2", "2", "2", "2")
	s.after(1, func() { s.env.SignalWorkflow(SignalPaused, true) })
	s.after(60, func() {
		if c := s.counts(t); (c != Counts{Done: 3, Waiting: 2, Paused: true}) {
			t.Errorf("paused: %+v", c)
		}
		s.env.SignalWorkflow(SignalPaused, false)
	})
	if sum := s.run(t); (sum.Counts != Counts{Done: 5}) {
		t.Errorf("%+v", sum)
	}
}

// A cancelled list begins no more. Those under way finish if they have begun their
// export, or end.
func TestCancelled(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		endAll bool
		want   Counts
	}{
		{false, Counts{Waiting: 1, Done: 2, Canceled: 1}},
		{true, Counts{Waiting: 1, Canceled: 3}},
	} {
		s := newListScene(t, "5", "50", "1 queued", "1")
		s.list.EndAll = tt.endAll
		s.after(2, s.env.CancelWorkflow)
		if sum := s.run(t); sum.Counts != tt.want {
			t.Errorf("end all %v: %+v", tt.endAll, sum)
		}
		if !s.env.IsWorkflowCompleted() || !temporal.IsCanceledError(s.env.GetWorkflowError()) {
			t.Errorf("it ended with %v", s.env.GetWorkflowError())
		}
	}
}

// After so many, the list continues as new, and knows those that are open by their
// workflows.
func TestRenewed(t *testing.T) {
	t.Parallel()
	s := newListScene(t, "100", "1", "1", "1", "1 fail", "1", "1")
	s.list.Renew = 4
	s.env.ExecuteWorkflow(MigrateList, s.list)
	var renewed *workflow.ContinueAsNewError
	if !errors.As(s.env.GetWorkflowError(), &renewed) {
		t.Fatal(s.env.GetWorkflowError())
	}
	next := newListScene(t)
	if err := converter.GetDefaultDataConverter().FromPayloads(renewed.Input, &next.list); err != nil {
		t.Fatal(err)
	}
	if l := next.list; len(l.Open) == 0 || l.Open[0].Name != "p0 100" || l.Counts.Done != 3 || l.Counts.Failed != 1 {
		t.Fatalf("%+v", l)
	}
	var mu sync.Mutex
	var watched []string
	next.env.OnActivity((&Watcher{}).Ended, mock.Anything, mock.Anything).Return(func(_ context.Context, id string) (End, error) {
		mu.Lock()
		defer mu.Unlock()
		if watched = append(watched, id); len(watched) < 5 {
			return End{}, running(id, "running")
		}
		return End{Outcome: Outcome{ID: 5}}, nil
	})
	sum := next.run(t)
	if (sum.Counts != Counts{Done: 6, Failed: 1}) || len(watched) < 5 || !slices.Contains(watched, "migrate:src:p0 100") {
		t.Errorf("%+v, %q", sum, watched)
	}
}

// A project that another list moves, or has moved, is waited for.
func TestJoined(t *testing.T) {
	t.Parallel()
	s := newListScene(t, "1", "1")
	s.list.Projects[1] = s.list.Projects[0] // as another list would have it
	s.env.OnActivity((&Watcher{}).Ended, mock.Anything, "migrate:src:p0 1").Return(End{Outcome: Outcome{Lost: []string{"wiki"}}}, nil)
	if sum := s.run(t); (sum.Counts != Counts{Done: 1, Incomplete: 1}) || len(s.began) != 1 {
		t.Errorf("%+v, begun were %q", sum, s.began)
	}
}

// A list that is cancelled leaves the projects of other lists alone, and waits for
// them.
func TestJoinedCancelled(t *testing.T) {
	t.Parallel()
	for _, endAll := range []bool{false, true} {
		s := newListScene(t, "1", "1")
		s.list.Projects[1] = s.list.Projects[0] // when its turn comes it is moved, as if by another list
		s.list.Open = []UnderWay{{Project{Name: "p9 50"}, true, true}}
		s.list.Window, s.list.EndAll = 2, endAll
		var moved atomic.Bool
		s.env.OnActivity((&Watcher{}).Ended, mock.Anything, mock.Anything).Return(func(_ context.Context, id string) (End, error) {
			if !moved.Load() {
				return End{}, running(id, "running")
			}
			return End{Outcome: Outcome{ID: 5}}, nil
		})
		s.env.OnSignalExternalWorkflow(mock.Anything, mock.Anything, mock.Anything, mock.Anything, mock.Anything).Return(
			func(_, id, _, signal string, _ any) error {
				t.Errorf("%s was sent %q", id, signal)
				return nil
			})
		s.env.OnRequestCancelExternalWorkflow(mock.Anything, mock.Anything, mock.Anything).Return(func(_, id, _ string) error {
			t.Errorf("%s was cancelled", id)
			return nil
		})
		s.after(5, s.env.CancelWorkflow)
		s.after(10, func() { moved.Store(true) })
		if sum := s.run(t); (sum.Counts != Counts{Done: 3}) {
			t.Errorf("end all %v: %+v", endAll, sum)
		}
	}
}
