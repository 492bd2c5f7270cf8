package fleet

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// A scene is two simulated instances, whose jobs take as long as real ones, and
// the test environment of the SDK, whose clock they follow.
type scene struct {
	from, to *portertest.Server
	archive  *portertest.Archive
	env      *testsuite.TestWorkflowEnvironment
	a        *Activities
	job      Job

	// What a test may do before an attempt.
	before func(ctx context.Context, kind string) context.Context

	mu       sync.Mutex
	now      time.Time      // by the clock of the environment
	attempts map[string]int // of the activities
	told     []porter.Step  // by all attempts
	history  strings.Builder
}

func newScene(t *testing.T, opts ...portertest.Option) *scene {
	t.Helper()
	s := &scene{attempts: map[string]int{}, archive: portertest.NewArchive(portertest.MinArchiveSize)}
	opts = append([]portertest.Option{portertest.RealTiming(), portertest.NoLimits()}, opts...)
	s.from, s.to = portertest.NewServer(opts...), portertest.NewServer(opts...)
	t.Cleanup(s.from.Close)
	t.Cleanup(s.to.Close)
	s.from.AddProject(portertest.Project{Path: "a/p", Archive: s.archive})
	s.to.AddGroup("n")
	token := porter.PrivateToken(portertest.Token)
	c := Config{User: "me", Source: s.from.URL, Destination: s.to.URL, SourceAuth: token, DestinationAuth: token, Spool: t.TempDir(),
		Rate:    porter.Pacing{Exports: -1, Imports: -1, Downloads: -1, Polls: -1},
		Polling: porter.Polling{Backoff: porter.ConstantBackoff(time.Millisecond), Patience: 100 * time.Millisecond, Grace: 2 * time.Second}}
	var err error
	if s.a, err = c.activities(s.beat); err != nil {
		t.Fatal(err)
	}
	s.job = Job{Site: s.a.Site, Project: Project{Name: "a/p", Target: "n/p"}}

	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))))
	s.env = suite.NewTestWorkflowEnvironment()
	s.now = s.env.Now()
	s.env.SetTestTimeout(20 * time.Second)
	s.env.SetDataConverter(converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), s))
	s.env.SetFailureConverter(failures{temporal.GetDefaultFailureConverter(), s})
	s.env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&onAttempt{scene: s}}})
	s.env.RegisterWorkflow(MigrateProject)
	s.env.RegisterActivity(s.a)
	return s
}

// beat is what Temporal is told. The SDK's own heartbeat is all that its test
// environment knows.
func (s *scene) beat(ctx context.Context, _ []byte, details ...any) error {
	for _, d := range details {
		s.mu.Lock()
		s.told = append(s.told, d.(*porter.Checkpoint).Step)
		s.mu.Unlock()
	}
	activity.RecordHeartbeat(ctx, details...)
	return nil
}

// Encode keeps what would be in a history.
func (s *scene) Encode(payloads []*common.Payload) ([]*common.Payload, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range payloads {
		s.history.Write(p.GetData())
	}
	return payloads, nil
}

// Decode has nothing to do.
func (s *scene) Decode(payloads []*common.Payload) ([]*common.Payload, error) { return payloads, nil }

// failures keep the errors that would be in a history.
type failures struct {
	converter.FailureConverter
	s *scene
}

func (f failures) ErrorToFailure(err error) *failurepb.Failure {
	fail := f.FailureConverter.ErrorToFailure(err)
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.s.history.WriteString(fail.String())
	return fail
}

// onAttempt is called for each attempt of an activity.
type onAttempt struct {
	interceptor.WorkerInterceptorBase
	interceptor.ActivityInboundInterceptorBase
	scene *scene
}

func (o *onAttempt) InterceptActivity(
	_ context.Context, next interceptor.ActivityInboundInterceptor,
) interceptor.ActivityInboundInterceptor {
	return &onAttempt{ActivityInboundInterceptorBase: interceptor.ActivityInboundInterceptorBase{Next: next}, scene: o.scene}
}

func (o *onAttempt) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	s := o.scene
	kind := activity.GetInfo(ctx).ActivityType.Name
	s.mu.Lock()
	now := s.env.Now()
	s.from.Advance(now.Sub(s.now))
	s.to.Advance(now.Sub(s.now))
	s.now = now
	s.attempts[kind]++
	s.mu.Unlock()
	if s.before != nil {
		ctx = s.before(ctx, kind)
	}
	return o.Next.ExecuteActivity(ctx, in)
}

// run runs MigrateProject.
func (s *scene) run(t *testing.T) (Outcome, error) {
	t.Helper()
	s.env.ExecuteWorkflow(MigrateProject, s.job)
	var out Outcome
	if err := s.env.GetWorkflowError(); err != nil {
		return out, err
	}
	return out, s.env.GetWorkflowResult(&out)
}

// migrated checks that the project was exported, sent whole and made so often,
// and is what it was.
func (s *scene) migrated(t *testing.T, exports, uploads int) {
	t.Helper()
	whole := 0
	for _, r := range s.to.Requests() {
		if r.Method == "POST" && r.Complete {
			whole++
		}
	}
	if n := len(s.from.Exports("a/p")); n != exports || whole != uploads {
		t.Errorf("%d exports instead of %d, and %d archives sent whole instead of %d", n, exports, whole, uploads)
	}
	p := s.to.Project("n/p")
	if p == nil || p.ImportStatus != "finished" || p.ArchiveSHA256 != s.archive.SHA256() || len(s.to.Projects()) != 1 {
		t.Errorf("at the destination is %+v, of %d projects", p, len(s.to.Projects()))
	}
}
