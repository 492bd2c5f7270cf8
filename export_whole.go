package porter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-5d77b939/porter/internal/redact"
)

// A wholeExport is what ExportTo and ExportToFile do, and Migrate at its source.
type wholeExport struct {
	c       *Client
	project ProjectRef // as the caller gave it
	opts    *ExportOptions
	trail   *trail
	before  *Export // at the look before
	proof   *prover // nil for none

	operation *operation // to be ended when the export is made
}

// newExport checks its arguments, begins the operation, and looks at the
// export of p.
func (c *Client) newExport(
	ctx context.Context, p ProjectRef, opts *ExportOptions, file bool,
) (context.Context, *wholeExport, error) {
	id, err := c.resolve(ctx, p)
	if err != nil {
		return ctx, nil, fmt.Errorf("export: %w", err)
	}
	if err := opts.check(file); err != nil {
		return ctx, nil, fmt.Errorf("export of %s: %w", p, err)
	}
	ctx, o := c.begin(ctx, OpExport, id, p.String())
	before, err := c.getExport(ctx, id, p.String(), false)
	if err != nil {
		err = fmt.Errorf("export of %s: %w", p, err)
		o.end(&err)
		return ctx, nil, err
	}
	w := &wholeExport{c: c, project: p, opts: opts, trail: new(trail), before: before, operation: o}
	if opts.proves() {
		w.proof = &prover{c: c, id: before.ref(p), label: p.String()}
	}
	return ctx, w, nil
}

// archive has use download the archive that is there, if it will do, and else
// makes one for it.
func (w *wholeExport) archive(ctx context.Context, use func(archive) error) (exp *Export, err error) {
	defer w.operation.end(&err)
	a := archive{c: w.c, id: w.before.ref(w.project), label: w.project.String(), outlasts: true}
	if a.since = w.oldest(); !a.since.IsZero() {
		err := use(a)
		if !errors.Is(err, errNotTaken) {
			return w.before, err
		}
		w.c.cfg.logger.InfoContext(ctx, "not taking the archive that is there", "project", a.label, "reason", err)
	}
	exp, err = w.export(ctx, a.id, a.label)
	if err != nil {
		return exp, err
	}
	w.operation.end(&err)
	a.since = time.Time{}
	return exp, use(a)
}

// oldest returns since when an archive must be there that is taken instead of
// making another, zero for none. What another process has scheduled is younger
// than its checkpoint.
func (w *wholeExport) oldest() (since time.Time) {
	if w.before.Status != ExportFinished {
		return since
	}
	if w.opts != nil && w.opts.MaxAge > 0 {
		since = w.c.clock.Now().Add(-w.opts.MaxAge)
	}
	if w.trail.earlier(StepScheduling, StepExporting) {
		if t := w.trail.from.Time.Add(-clockSlack); since.IsZero() || t.Before(since) {
			since = t
		}
	}
	return since
}

// export joins the export that was under way at the look before, or that
// another process has scheduled, and waits for it; else it makes one.
func (w *wholeExport) export(ctx context.Context, id, label string) (*Export, error) {
	opts := w.opts.schedule()
	clues := exportClues{
		running:  w.before.Status.underWay(),
		uploaded: opts != nil && opts.Upload != nil,
		older:    w.before.Status == ExportFinished,
		again:    true,
	}
	if clues.running {
		w.c.cfg.logger.InfoContext(ctx, "joining the export under way",
			"project", label, "status", redact.Line(string(w.before.Status), 64))
		if err := w.reach(ctx, StepExporting); err != nil {
			return nil, err
		}
		return w.wait(ctx, id, label, clues)
	}
	earlier := clues
	if earlier.takeUp(w.trail, clues.older, w.trail.recent(w.c.clock.Now(), w.c.cfg.polling.Grace)) {
		w.proof.beganAt(w.trail.from.Time)
		if exp, err := w.wait(ctx, id, label, earlier); !errors.Is(err, errNotScheduled) {
			return exp, err
		}
	}
	return w.schedule(ctx, id, label, clues)
}

// schedule schedules an export and waits for it. If the answer to the POST was
// lost and no export shows, it is scheduled once more: nothing is there that
// this deletes.
func (w *wholeExport) schedule(ctx context.Context, id, label string, clues exportClues) (*Export, error) {
	if err := w.proof.begin(ctx); err != nil {
		return nil, fmt.Errorf("export of %s: %w", label, err)
	}
	ahead := func(ctx context.Context) error {
		if err := w.reach(ctx, StepScheduling); err != nil {
			return w.trail.stop(ctx, err)
		}
		return nil
	}
	for {
		err := w.c.scheduleExport(ctx, id, label, w.opts.schedule(), ahead)
		clues.running = errors.Is(err, ErrExportInProgress)
		clues.accepted = err == nil
		clues.unsure = nil
		switch {
		case errors.Is(err, ErrOutcomeUnknown) && ctx.Err() == nil:
			clues.unsure = err
		case err != nil && !clues.running:
			return nil, err
		default:
			if err := w.reach(ctx, StepExporting); err != nil {
				return nil, err
			}
		}
		exp, err := w.wait(ctx, id, label, clues)
		if errors.Is(err, errNotScheduled) {
			w.c.cfg.logger.WarnContext(ctx, "scheduling the export once more", "project", label, "error", clues.unsure)
			clues.again = false
			continue
		}
		if err != nil && clues.unsure != nil && !errors.Is(err, ErrOutcomeUnknown) {
			err = fmt.Errorf("%w (%w)", err, clues.unsure)
		}
		return exp, err
	}
}

func (w *wholeExport) wait(ctx context.Context, id, label string, clues exportClues) (*Export, error) {
	return last(watch(ctx, &w.c.core, w.c.exportJob(id, label, clues)))
}

// reach tells the caller that a step begins.
func (w *wholeExport) reach(ctx context.Context, step Step) error {
	return w.trail.reach(ctx, Checkpoint{Step: step, Time: w.c.clock.Now()})
}
