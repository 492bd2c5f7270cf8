package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
)

// A work is one run over all projects: a goroutine for each. The clients make
// them wait for their turns and for room to transfer.
type work struct {
	from, to *instance // to is nil for exports
	journal  *journal
	maxAge   time.Duration
	rate     porter.Pacing // of the clients
	prove    bool
	spool    string
	view     view
	stop     context.CancelCauseFunc // ends all, when the journal can't be written

	mu       sync.Mutex // of what follows, and of the view
	projects []project
	tokenErr error                // that a token is not taken any more
	cancels  []context.CancelFunc // end the work on each project; nil if it has none yet
}

// run does what is left to do, and returns what became of every project.
func (w *work) run(ctx context.Context) []project {
	ctx, w.stop = context.WithCancelCause(ctx)
	defer w.stop(nil)
	begun := time.Now()
	failed := w.resume()
	w.view.begin(begin{Migrate: w.to != nil, Projects: slices.Clone(w.projects), Bound: w.estimate().bound, Pacing: w.rate})
	var wg sync.WaitGroup
	w.cancels = make([]context.CancelFunc, len(w.projects))
	for i, p := range w.projects {
		if err := failed[i]; err != nil {
			w.end(ctx, i, outcome{err: err})
		} else if !p.Step.ended() {
			wg.Go(func() {
				ctx, cancel := w.contextOf(ctx, i)
				defer cancel()
				out := w.one(ctx, i, p)
				w.end(ctx, i, out)
				w.checkTokens(ctx, out.err)
			})
		}
	}
	wg.Wait()
	w.close()
	w.view.end(slices.Clone(w.projects), time.Since(begun))
	return w.projects
}

func (w *work) estimate() estimate {
	return newEstimate(w.projects, w.rate, w.to != nil, w.journal.took)
}

// resume takes the journal's word for what is done already. It returns why
// projects can't be begun; those are waiting yet, as their end is told after the
// beginning.
func (w *work) resume() map[int]error {
	w.projects = recallAll(w.journal.past, w.projects)
	failed := map[int]error{}
	for i := range w.projects {
		if p := &w.projects[i]; p.Step == stepFailed {
			failed[i] = p.Err
			p.Step, p.Err = stepWaiting, nil
		}
	}
	return failed
}

// recallAll marks what is done by an earlier run.
func recallAll(past *history, projects []project) []project {
	projects = slices.Clone(projects)
	if past == nil {
		return projects
	}
	for i := range projects {
		p := &projects[i]
		r, known := past.of(*p)
		if !known || r.Step != stepDone && r.Step != stepIncomplete || p.File != "" && !sameSize(p.File, r.Bytes) {
			continue
		}
		p.ID = cmp.Or(r.ID, p.ID)
		p.Step, p.Begun, p.Ended, p.Bytes, p.Earlier = r.Step, r.Begun, r.Time, r.Bytes, true
		p.Lost, p.Unproven = r.Lost, r.Unproven
		p.Err = nil
	}
	return projects
}

func sameSize(file string, n int64) bool {
	fi, err := os.Stat(file)
	return err == nil && fi.Mode().IsRegular() && fi.Size() == n
}

// An outcome is how the work on a project ended.
type outcome struct {
	id         porter.ProjectID
	bytes      int64
	lost       []string
	unproven   []string
	checkpoint *porter.Checkpoint // to try again from, after an error
	err        error
}

// contextOf returns the context of the work on a project.
func (w *work) contextOf(ctx context.Context, i int) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cancels[i] = cancel
	if w.tokenErr != nil {
		cancel()
	}
	return ctx, cancel
}

// checkTokens asks, if that may be why a project failed, whether the tokens are
// still taken. If one is not, no more projects are begun: each would wait for its
// turn, and fail. Those under way go on, as they may not need it any more.
func (w *work) checkTokens(ctx context.Context, err error) {
	w.mu.Lock()
	known := w.tokenErr != nil
	w.mu.Unlock()
	if known || !errors.Is(err, porter.ErrUnauthorized) {
		return
	}
	for _, in := range []*instance{w.from, w.to} {
		if in == nil {
			continue
		}
		_, err := in.user(ctx)
		if err == nil {
			continue
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.tokenErr = err
		for i, cancel := range w.cancels {
			if cancel != nil && w.projects[i].Begun.IsZero() {
				cancel()
			}
		}
		return
	}
}

// take takes what counting has shown.
func (o *outcome) take(proof porter.Proof) {
	for _, l := range proof.Losses {
		o.lost = append(o.lost, l.String())
	}
	for _, r := range proof.Unproven {
		o.unproven = append(o.unproven, string(r))
	}
}

func (w *work) one(ctx context.Context, i int, p project) outcome {
	if ctx.Err() != nil {
		return outcome{err: context.Cause(ctx)}
	}
	ref, err := porter.ParseProject(p.Name)
	if err != nil {
		return outcome{err: err}
	}
	if w.to == nil {
		return w.export(ctx, i, p, ref)
	}
	return w.migrate(ctx, i, p, ref)
}

// clockSlack is how far the clocks of the machines of one instance may be apart.
const clockSlack = 3 * time.Minute

// export exports a project to its file. Of a run that is taken up, it takes the
// file or the archive that was made since that run began.
func (w *work) export(ctx context.Context, i int, p project, ref porter.ProjectRef) (out outcome) {
	opts := porter.ExportOptions{MaxAge: w.maxAge, Prove: w.prove}
	if w.journal.past != nil {
		if n := madeSince(p.File, w.journal.begun); n > 0 {
			w.update(i, func(p *project) { p.Step = stepDownloading })
			removeNote(p.File)
			out = outcome{bytes: n, err: syncFile(p.File)}
			if w.prove {
				out.unproven = []string{"all: an earlier run has made the file"}
			}
			return out
		}
		opts.MaxAge = max(opts.MaxAge, time.Since(w.journal.begun)+clockSlack)
	}
	if out.err = os.MkdirAll(filepath.Dir(p.File), 0o755); out.err != nil {
		return out
	}
	client, err := w.from.With(porter.WithObserver(w.observer(i, stepExporting, stepDownloading)))
	if err != nil {
		return outcome{err: err}
	}
	dl, err := client.ExportToFile(ctx, ref, p.File, &opts)
	if dl != nil {
		out.id, out.bytes = dl.Project.ID, dl.Bytes
		out.take(dl.Proof)
	}
	if err == nil {
		err = syncFile(p.File)
	}
	out.err = err
	return out
}

// madeSince returns the size of a file that got its name since then, because
// the run that made it was killed before it wrote so; 0 for another file. After a
// loss of power there may be less in it than was written.
func madeSince(file string, since time.Time) int64 {
	f, err := os.Open(file)
	if err != nil {
		return 0
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() || fi.ModTime().Before(since) {
		return 0
	}
	if _, err := porter.VerifyArchive(f); err != nil {
		return 0
	}
	return fi.Size()
}

// removeNote removes what the library notes of a part file, if that has become
// the file just before the process was killed.
func removeNote(file string) {
	if _, err := os.Lstat(file + ".part"); errors.Is(err, fs.ErrNotExist) {
		os.Remove(file + ".part.json")
	}
}

// migrate migrates a project, from where an earlier run has come to.
func (w *work) migrate(ctx context.Context, i int, p project, ref porter.ProjectRef) (out outcome) {
	from, err := w.from.With(porter.WithObserver(w.observer(i, stepExporting, stepMoving)))
	if err != nil {
		return outcome{err: err}
	}
	to, err := w.to.With(porter.WithObserver(w.observer(i, stepImporting, stepMoving)))
	if err != nil {
		return outcome{err: err}
	}
	opts := porter.MigrateOptions{
		Import:   importOf(p),
		Export:   &porter.ExportOptions{MaxAge: w.maxAge},
		SpoolDir: w.spool,
		Prove:    w.prove,
	}
	if w.journal.past != nil {
		if r, known := w.journal.past.of(p); known {
			opts.Resume = r.Checkpoint
		}
	}
	// A late checkpoint may yet come when an upload was broken off, so w.mu guards these.
	last, unnoted := opts.Resume, error(nil)
	opts.Checkpoint = func(_ context.Context, c porter.Checkpoint) error {
		r := recordOf(p)
		r.ID, r.Step, r.Checkpoint = c.Source, stepOf(c.Step), &c
		if err := w.write(r); err != nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			unnoted = fmt.Errorf("migrate %s: %w", p.Name, err)
			return err
		}
		w.update(i, func(p *project) { last, p.ID, p.Step = &c, c.Source, stepOf(c.Step) })
		return nil
	}
	if opts.Resume != nil {
		w.update(i, func(p *project) { p.ID, p.Step = opts.Resume.Source, stepOf(opts.Resume.Step) })
	}
	m, err := porter.Migrate(ctx, from, ref, to, opts)
	if m != nil {
		out.id, out.bytes, out.lost = m.Source.ID, m.Bytes, cli.Lost(m.Import)
		out.take(m.Proof)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if out.err, out.checkpoint = err, last; err != nil {
		out.err = cmp.Or(unnoted, err) // not that this has ended all
	}
	var exported *porter.ExportError
	var imported *porter.ImportError
	if errors.As(err, &exported) || errors.As(err, &imported) || last != nil && last.Import > 0 && errors.Is(err, porter.ErrNotFound) {
		out.checkpoint = nil // it has ended, and what it left is in the way, or gone: there is nothing to take up
	}
	return out
}

// importOf is how a project is imported.
func importOf(p project) porter.ImportOptions {
	return porter.ImportOptions{Namespace: porter.NamespacePath(path.Dir(p.Target)), Path: path.Base(p.Target)}
}

// stepOf is the step of a project at a checkpoint.
func stepOf(s porter.Step) step {
	switch s {
	case porter.StepScheduling:
		return stepWaiting
	case porter.StepExporting:
		return stepExporting
	case porter.StepUploading:
		return stepMoving
	}
	return stepImporting
}

// observer tells the view of a client's events, and takes the step from them:
// one while a job is waited for, another while bytes move.
func (w *work) observer(i int, job, transfer step) func(porter.Event) {
	return func(ev porter.Event) {
		switch ev.Kind {
		case porter.EventStatus:
			w.update(i, func(p *project) { p.Step = job })
		case porter.EventProgress:
			w.update(i, func(p *project) { p.Step, p.Bytes = transfer, max(ev.Total, p.Bytes) })
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if p := w.projects[i]; !p.Step.ended() {
			w.view.event(p, ev)
		}
	}
}

// update changes a project, and shows it if it comes to another step. Its work
// has begun once GitLab works on it. What has ended stays: an upload that hangs
// is left behind, and may yet tell something.
func (w *work) update(i int, change func(*project)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &w.projects[i]
	before := p.Step
	if before.ended() {
		return
	}
	change(p)
	if p.Step == before {
		return
	}
	if p.Begun.IsZero() && p.Step != stepWaiting && !p.Step.ended() {
		p.Begun = time.Now()
	}
	w.view.change(*p)
}

// write writes to the journal. Without it nothing more may be begun.
func (w *work) write(r record) error {
	err := w.journal.append(r)
	if err != nil {
		w.stop(err)
	}
	return err
}

// end notes how the work on a project has ended.
func (w *work) end(ctx context.Context, i int, out outcome) {
	w.mu.Lock()
	p := w.projects[i]
	w.mu.Unlock()
	p.ID, p.Bytes, p.Err, p.Unproven = cmp.Or(out.id, p.ID), cmp.Or(out.bytes, p.Bytes), out.err, out.unproven
	broken := w.journal.failure()
	cut := ctx.Err() != nil && !(broken != nil && errors.Is(out.err, broken))
	switch {
	case out.err == nil && len(out.lost) > 0:
		p.Step, p.Lost = stepIncomplete, out.lost
	case out.err == nil:
		p.Step = stepDone
	case cut && p.Begun.IsZero():
		return // it was not begun
	case cut && (errors.Is(out.err, context.Canceled) || errors.Is(out.err, context.DeadlineExceeded)):
		p.Step = stepInterrupted
	default:
		p.Step = stepFailed
	}
	p.Ended = time.Now()
	if p.Step != stepInterrupted && broken == nil {
		r := recordOf(p)
		if p.Err != nil {
			r.Error, r.Checkpoint = bounded(p.Err.Error()), out.checkpoint
		}
		if err := w.write(r); err != nil {
			p.Step, p.Err = stepFailed, fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	w.update(i, func(now *project) { *now = p })
}

// bounded keeps a line of the journal short.
func bounded(s string) string {
	if len(s) > 2000 {
		s = strings.ToValidUTF8(s[:2000], "") + "…"
	}
	return s
}

// close notes that nothing of an export is left to do, so that the next run makes
// new archives. Migrations are done for good.
func (w *work) close() {
	if w.to != nil {
		return
	}
	for _, p := range w.projects {
		if p.Step != stepDone && p.Step != stepIncomplete {
			return
		}
	}
	w.write(record{Step: stepEnded, Time: time.Now().UTC()}) // without it the next run finds all done, and writes it
}

// exitCode is what a run ends with that was not interrupted.
func exitCode(projects []project) int {
	code := cli.OK
	for _, p := range projects {
		switch {
		case p.Step == stepDone:
		case p.Step == stepIncomplete:
			if code == cli.OK {
				code = cli.Incomplete
			}
		case p.Step == stepFailed && !retryable(p.Err):
			return cli.Failure
		default: // also what was interrupted, or was not begun
			code = cli.Again
		}
	}
	return code
}

func retryable(err error) bool {
	_, ok := porter.Retryable(err)
	return ok
}
