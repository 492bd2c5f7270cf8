package porter

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// ExportError reports that GitLab could not make an export. GitLab tells the
// reason by e-mail only.
type ExportError struct {
	Export *Export // the last answer
}

// Error names the project, and what is known of the failure.
func (e *ExportError) Error() string {
	if e.Export == nil {
		return "export failed"
	}
	if e.Export.Status == ExportNone {
		return fmt.Sprintf("export of %s failed: it ran and ended without an archive (GitLab tells the reason by e-mail only; "+
			"before 14.0 an export that was uploaded to a target ends like this, too)", e.Export.label())
	}
	return fmt.Sprintf("export of %s failed (status %q; GitLab tells the reason by e-mail only)", e.Export.label(), e.Export.Status)
}

// WatchExport polls the project's export and yields every answer, ending with
// the terminal one or with an error. The error comes last, with a nil Export;
// an export that failed is yielded first and then is an *ExportError. See
// WaitForExport for the errors.
func (c *Client) WatchExport(ctx context.Context, p ProjectRef) iter.Seq2[*Export, error] {
	id, err := c.resolve(ctx, p)
	if err != nil {
		return func(yield func(*Export, error) bool) {
			yield(nil, fmt.Errorf("wait for export: %w", err))
		}
	}
	return watched(ctx, &c.core, OpExport, id, p.String(), func(ctx context.Context) iter.Seq2[*Export, error] {
		return watch(ctx, &c.core, c.exportJob(id, p.String(), exportClues{}))
	})
}

// WaitForExport waits until the project's export is finished. The error is an
// *ExportError if it failed and a *WaitError if ctx ended first, if polls were
// refused or kept failing for Polling.Patience, or, wrapping ErrExportExpired,
// if no export showed for Polling.Grace. A single 404 of an export that was seen
// running is taken for that of a replica that lags. The last answer comes with
// the error.
//
// Before GitLab 13.3 a new export first shows as finished if there is an older
// one; ExportTo knows the difference. Before 14.0 an export with an upload
// target ends like one that failed, with status none, because GitLab removes
// an archive that it has uploaded.
func (c *Client) WaitForExport(ctx context.Context, p ProjectRef) (*Export, error) {
	return last(c.WatchExport(ctx, p))
}

// exportClues are what is known of an export before the first poll.
type exportClues struct {
	running  bool  // it was seen under way
	uploaded bool  // GitLab was asked to upload it
	older    bool  // there is an older one, which servers before 13.3 keep showing at first
	unsure   error // why nobody knows whether it was scheduled
	again    bool  // it may be scheduled once more
	accepted bool  // GitLab has accepted it
}

// takeUp notes what another process knew of an export that does not run, and
// reports whether it may be on its way, or be made.
func (clues *exportClues) takeUp(k *trail, finished, recent bool) bool {
	switch {
	case finished && k.earlier(StepExporting, StepUploading):
		clues.older = recent && k.earlier(StepExporting)
		clues.accepted = true
		return true
	case recent && k.earlier(StepScheduling, StepExporting):
		clues.accepted = k.earlier(StepExporting)
		clues.unsure = errNotScheduled
		return true
	}
	return false
}

// exportJob says how an export is polled.
func (c *Client) exportJob(id, label string, clues exportClues) job[Export] {
	return job[Export]{
		op:       "export",
		project:  label,
		accepted: clues.accepted,
		running:  clues.running,
		get: func(ctx context.Context) (*Export, error) {
			return c.getExport(ctx, id, label, true)
		},
		status: func(e *Export) (string, bool) { return string(e.Status), e.Status.Known() },
		judge:  func(e *Export, s *sight) (bool, error) { return clues.judge(e, s, c.cfg.polling.Grace) },
	}
}

// judge says whether the export is done, or went wrong.
func (clues *exportClues) judge(e *Export, s *sight, grace time.Duration) (bool, error) {
	switch {
	case e.Status.underWay():
		s.running()
		return false, nil
	case e.Status == ExportFinished && (s.seen || !clues.older):
		return true, nil
	case clues.again && clues.unsure != nil && !s.seen && s.waited >= clues.lostAfter(grace):
		return false, errNotScheduled
	case e.Status == ExportFinished && s.overdue && clues.unsure != nil:
		return false, &WaitError{Err: clues.unsure}
	case e.Status == ExportFinished:
		return s.overdue, nil // by then a job that was accepted must have run unseen
	case !s.seen && !s.overdue: // not picked up yet
		clues.older = false // its archive is gone
		return false, nil
	}
	return false, clues.ended(e, s)
}

// ended says why an export that is not under way left no archive, nil if that
// is not sure yet.
func (clues *exportClues) ended(e *Export, s *sight) error {
	switch {
	case e.Status == ExportFailed:
		return &ExportError{e}
	case s.seen && !s.gone():
		return nil
	case clues.uploaded:
		return &WaitError{Err: errNoArchive}
	case s.seen:
		return &ExportError{e}
	}
	return &WaitError{Err: ErrExportExpired}
}

// errNoArchive is an export with an upload target that is not there any more.
// Before 14.0 GitLab removes an archive that it has uploaded, but in any
// version an export that cannot be packed looks the same.
var errNoArchive = fmt.Errorf("%w: it left no archive to download, because it failed or because this GitLab removes what it has uploaded: "+
	"look at the upload's destination", ErrExportExpired)

// errNotScheduled is an export whose POST was lost, and of which nothing has
// shown since.
var errNotScheduled = errors.New("the export was not scheduled")

// lostAfter returns how long an export may not show before it was not scheduled.
func (clues *exportClues) lostAfter(grace time.Duration) time.Duration {
	if clues.accepted {
		return grace
	}
	return grace / lostSchedule
}

// lostSchedule is the part of Grace after which an export that was perhaps not
// scheduled, and does not show, is scheduled once more: two and a half of the
// default ten minutes.
const lostSchedule = 4
