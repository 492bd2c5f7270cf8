package porter

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/seed-5d77b939/porter/internal/wait"
)

// A Checkpoint is how far a migration or an import has come: what another
// process needs to take it up. It is plain JSON and holds no secret.
type Checkpoint struct {
	Step   Step        `json:"step"`
	Time   time.Time   `json:"time"`             // when the step began, by the clock of the instance that it is at
	Source ProjectID   `json:"source,omitempty"` // what is migrated; 0 for an import
	Target ProjectPath `json:"target,omitempty"` // was free at Time; empty if it cannot be known
	Import ProjectID   `json:"import,omitempty"` // the new project, once GitLab has told
}

// Step is what a migration or an import is about to do, or has begun.
type Step string

// The steps of a migration; an import has the last three.
const (
	StepScheduling Step = "scheduling" // the export is about to be scheduled
	StepExporting  Step = "exporting"  // GitLab has accepted the export, or it was under way
	StepUploading  Step = "uploading"  // the last byte of the archive is about to be sent
	StepImporting  Step = "importing"  // GitLab has created the project
	StepDone       Step = "done"       // the import is finished
)

// String returns s as it is written in JSON.
func (s Step) String() string { return string(s) }

// sent reports whether the archive may have been sent whole by then.
func (s Step) sent() bool { return s == StepUploading || s == StepImporting || s == StepDone }

// check refuses a checkpoint that no call has told.
func (p *Checkpoint) check() error {
	switch p.Step {
	case StepScheduling, StepExporting, StepUploading:
		if p.Time.IsZero() {
			return misfit("it has no time")
		}
	case StepImporting, StepDone:
		if p.Import <= 0 {
			return misfit("it does not say which project was created")
		}
	default:
		return misfit("its step is %q", string(p.Step))
	}
	return nil
}

func misfit(format string, args ...any) error {
	return fmt.Errorf("checkpoint does not fit: "+format, args...)
}

// A trail tells the caller how far a job has come, and knows how far another
// process had come with it. The zero trail is of a job that begins and tells
// nobody.
type trail struct {
	from Checkpoint // zero for the beginning
	tell func(context.Context, Checkpoint) error
	turn tellLock // of tell: an upload may be tried again while the one before still ends

	mu      sync.Mutex
	at      Checkpoint
	stopped error // why the job was ended by what it does before a request
}

// newTrail checks the checkpoint to take up, nil for the beginning.
func newTrail(from *Checkpoint, tell func(context.Context, Checkpoint) error) (*trail, error) {
	k := &trail{tell: tell, turn: newTellLock()}
	if from == nil {
		return k, nil
	}
	k.from, k.at = *from, *from
	return k, from.check()
}

// earlier reports whether another process had come to one of the steps.
func (k *trail) earlier(steps ...Step) bool { return slices.Contains(steps, k.from.Step) }

// recent reports whether the other process came there less than d before now.
func (k *trail) recent(now time.Time, d time.Duration) bool {
	return now.Sub(k.from.Time) < d
}

// reach tells the caller of p. What p leaves out stays as it was.
func (k *trail) reach(ctx context.Context, p Checkpoint) error {
	if k.tell == nil {
		return nil
	}
	select {
	case k.turn <- struct{}{}:
		defer k.turn.Unlock()
	case <-ctx.Done():
		return wait.Ended(ctx)
	}
	k.mu.Lock()
	p.Time = p.Time.UTC().Round(0) // without the reading of the monotonic clock
	p.Source = cmp.Or(p.Source, k.at.Source)
	p.Target = cmp.Or(p.Target, k.at.Target)
	p.Import = cmp.Or(p.Import, k.at.Import)
	k.at = p
	k.mu.Unlock()
	if err := k.tell(ctx, p); err != nil {
		return fmt.Errorf("checkpoint %q: %w", string(p.Step), err)
	}
	return nil
}

// know notes what the next checkpoints say.
func (k *trail) know(source ProjectID, target ProjectPath) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.at.Source = cmp.Or(source, k.at.Source)
	k.at.Target = cmp.Or(target, k.at.Target)
}

// stop notes that err keeps a request from being sent. What is returned for it
// is never taken for that request's outcome.
func (k *trail) stop(ctx context.Context, err error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if ctx.Err() == nil { // else the request had ended before
		k.stopped = err
	}
	return &sourceError{err}
}

// end returns why the job ended, of which err is what came of its requests.
func (k *trail) end(err error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil && k.stopped != nil {
		return k.stopped
	}
	return err
}
