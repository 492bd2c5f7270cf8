package porter

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/seed-5d77b939/porter/internal/redact"
	"github.com/seed-5d77b939/porter/internal/wait"
)

// A job is something that GitLab does in the background, to be polled.
type job[T any] struct {
	op       string // for WaitError
	id       string // of the project, as GitLab is asked
	project  string // as the caller gave it
	accepted bool   // GitLab has accepted it, so that a look that finds nothing came too early
	running  bool   // it was seen running before the first poll
	get      func(context.Context) (*T, error)
	status   func(*T) (text string, known bool)
	// judge says whether the job is done, or went wrong. A *WaitError it
	// returns is completed by the waiter.
	judge func(*T, *sight) (done bool, err error)
}

// A sight is what a waiter has seen of a job so far.
type sight struct {
	seen    bool          // the job was seen running
	since   time.Time     // when it first was, or else was first looked at
	overdue bool          // it was not, and Grace is over
	waited  time.Duration // since the first poll
	missing int           // looks in a row at which a job seen running was not there
}

// running notes that the job runs.
func (s *sight) running() {
	if !s.seen {
		s.since = time.Now()
	}
	s.seen, s.missing = true, 0
}

// gone notes that a job seen running is not there, and reports whether a
// second look, one poll later, said the same. The first may have been at a
// replica that lags.
func (s *sight) gone() bool {
	s.missing++
	return s.missing > 1
}

// watch polls a job and yields every answer, and if it fails an error at last.
func watch[T any](ctx context.Context, c *core, j job[T]) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		w := &waiter[T]{job: j, c: c, start: time.Now(), logged: make(map[string]bool)}
		w.sight.seen, w.sight.since = j.running, w.start
		w.run(ctx, yield)
	}
}

// A waiter is one run of watch.
type waiter[T any] struct {
	job[T]
	c        *core
	start    time.Time
	sight    sight
	last     string // the last status
	polls    int
	failures int       // in a row, lost turns among them
	lost     int       // turns that a 429 cost, in a row
	failing  time.Time // since when polls fail, without the pauses for turns, lost or not
	logged   map[string]bool
}

func (w *waiter[T]) run(ctx context.Context, yield func(*T, error) bool) {
	defer w.c.polls.Join()()
	var pause time.Duration
	for n := 0; w.turn(ctx, pause); n++ {
		t, err := w.get(ctx)
		w.polls++
		if err != nil && ctx.Err() != nil {
			break
		}
		pause = w.c.cfg.polling.Backoff.wait(n)
		if err != nil {
			if err = w.failed(ctx, err, pause); err != nil {
				yield(nil, err)
				return
			}
			continue
		}
		w.answered(ctx, t)
		if !yield(t, nil) {
			return
		}
		done, err := w.verdict(t)
		switch {
		case err != nil:
			yield(nil, err)
			return
		case done:
			return
		}
		w.rest(ctx, untilNextPoll(ctx, w.unhurried(pause))) // which ends with ctx, as the loop does
	}
	yield(nil, w.ended(wait.Ended(ctx)))
}

// turn waits for the turn of the next poll, and reports whether there is one.
// That costs no patience: where many wait it takes minutes.
func (w *waiter[T]) turn(ctx context.Context, paused time.Duration) bool {
	asked := time.Now()
	err := w.c.pollTurn(ctx, paused)
	if !w.failing.IsZero() {
		w.failing = w.failing.Add(time.Since(asked))
	}
	return err == nil
}

// rest pauses between two polls. The status has just been told, so only a long
// pause is told as well.
func (w *waiter[T]) rest(ctx context.Context, d time.Duration) {
	if d <= heartbeat {
		wait.Sleep(ctx, d)
		return
	}
	w.c.pause(ctx, Event{Kind: EventPaced, Project: w.project, Delay: d})
}

// answered notes the answer of a poll.
func (w *waiter[T]) answered(ctx context.Context, t *T) {
	w.failures, w.lost, w.failing = 0, 0, time.Time{}
	status, known := w.status(t)
	log := w.c.cfg.logger.With("project", w.project, "status", redact.Line(status, 64))
	if status != w.last {
		log.InfoContext(ctx, w.op+" status")
	}
	if !known && !w.logged[status] {
		w.logged[status] = true
		log.WarnContext(ctx, "unknown status taken for a running job")
	}
	w.last = status
	w.c.emit(ctx, Event{Kind: EventStatus, Project: w.project, Status: status})
}

// failed pauses after a poll that failed with err. It returns the error that
// ends the wait, if it is not the context's.
func (w *waiter[T]) failed(ctx context.Context, err error, delay time.Duration) error {
	o := outcomeOf(err)
	if !w.bears(o) {
		return w.ended(err)
	}
	w.failures++
	pause := w.c.pauseAfter(err, delay)
	if o.limited() {
		pause += spread(w.lost)
		w.lost++
		if !w.failing.IsZero() {
			w.failing = w.failing.Add(pause)
		}
	} else {
		w.lost = 0
	}
	if pause <= delay { // else the server wants none before
		pause = untilNextPoll(ctx, delay)
	}
	w.c.cfg.logger.WarnContext(ctx, "poll failed", "project", w.project, "error", err, "delay", pause)
	w.c.pause(ctx, Event{Kind: EventRetry, Project: w.project, Attempt: w.failures, Delay: pause, Err: err})
	return nil
}

// bears reports whether the wait goes on after a poll that came to o. A job
// that was accepted or seen exists: where it is not found, a replica lags. A
// lost turn is no failure, and costs no patience.
func (w *waiter[T]) bears(o outcome) bool {
	switch {
	case o.limited():
		return true
	case o.answer != nil && o.answer.StatusCode == http.StatusNotFound && w.sight.seen:
		return !w.sight.gone()
	case o.answer != nil && o.answer.StatusCode == http.StatusNotFound && w.accepted:
		w.look()
		return !w.sight.overdue
	}
	if w.failing.IsZero() {
		w.failing = time.Now()
	}
	return o.passing() && !w.c.tooLong(o) && time.Since(w.failing) < w.c.cfg.polling.Patience
}

// look notes how long the wait has taken.
func (w *waiter[T]) look() {
	w.sight.waited = time.Since(w.start)
	w.sight.overdue = !w.sight.seen && w.sight.waited >= w.c.cfg.polling.Grace
}

// verdict judges the answer of a poll.
func (w *waiter[T]) verdict(t *T) (done bool, err error) {
	w.look()
	done, err = w.judge(t, &w.sight)
	var wait *WaitError
	if errors.As(err, &wait) {
		return false, w.ended(wait.Err)
	}
	return done, err
}

// ended says why the wait ended before the job did.
func (w *waiter[T]) ended(err error) error {
	return &WaitError{
		Op:      w.op,
		Project: w.project,
		Status:  w.last,
		Polls:   w.polls,
		Elapsed: time.Since(w.start),
		Err:     err,
	}
}

// An export is looked at by GitLab itself some ten seconds after it started,
// and then once a minute; when all of it is there it takes a few seconds more
// until it can be downloaded.
const (
	firstEnd = 20 * time.Second
	nextEnd  = time.Minute
)

// unhurried returns the pause to make instead of pause, which may be longer
// where polls are scarce: a job that has run for long is looked at when it may
// have ended, and no more.
func (w *waiter[T]) unhurried(pause time.Duration) time.Duration {
	ran := time.Since(w.sight.since)
	if ran < nextEnd || !w.c.pollsScarce() {
		return pause
	}
	after := ran + pause*3/4 - firstEnd // a little early is better than a minute late
	return firstEnd + (after+nextEnd-1)/nextEnd*nextEnd - ran
}

// lastLook is how long before the context's deadline the last poll is placed.
const lastLook = time.Second

// untilNextPoll moves a poll that would come too late for the context's
// deadline to just before it.
func untilNextPoll(ctx context.Context, delay time.Duration) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return delay
	}
	left := time.Until(deadline)
	if delay > left-lastLook && left > lastLook {
		return left - lastLook
	}
	return delay
}

// last returns a job's last answer, and the error that the wait ended with.
func last[T any](seq iter.Seq2[*T, error]) (*T, error) {
	var answer *T
	for t, err := range seq {
		if err != nil {
			return answer, err
		}
		answer = t
	}
	return answer, nil
}

// WaitError reports that a wait ended before the job did. If the context ended
// it, GitLab goes on with the job, and a later wait can pick it up.
type WaitError struct {
	Op      string // "export", "import", "relation import" or "relation exports"
	Project string // as the caller gave it
	Status  string // as last seen, "" if never; of relation exports how many are done
	Polls   int
	Elapsed time.Duration
	Err     error // the context's error and cause, or the last poll's error
}

// Error says why the wait ended, with the last status, the time and the number of polls.
func (e *WaitError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "wait for %s of %s", e.Op, e.Project)
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	b.WriteString(" (")
	if e.Status != "" {
		fmt.Fprintf(&b, "status %q ", redact.Line(e.Status, 64))
	} else {
		b.WriteString("no status seen ")
	}
	elapsed := e.Elapsed.Round(time.Millisecond)
	if elapsed > time.Second {
		elapsed = elapsed.Round(time.Second)
	}
	fmt.Fprintf(&b, "after %v, %s", elapsed, plural(e.Polls, "poll"))
	if errors.Is(e.Err, context.Canceled) || errors.Is(e.Err, context.DeadlineExceeded) {
		b.WriteString("; GitLab goes on with it")
	}
	b.WriteString(")")
	return b.String()
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Unwrap returns e.Err.
func (e *WaitError) Unwrap() error { return e.Err }
