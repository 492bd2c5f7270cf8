package porter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/seed-5d77b939/porter/internal/pace"
	"github.com/seed-5d77b939/porter/internal/redact"
)

// Export is the state of a project's export.
type Export struct {
	Project
	Status ExportStatus `json:"export_status"`
	Links  ExportLinks  `json:"_links"` // set once Status is ExportFinished
}

// UnmarshalJSON takes created_at in any form.
func (e *Export) UnmarshalJSON(b []byte) error {
	type fields Export
	return json.Unmarshal(b, &struct {
		*fields
		CreatedAt *answerTime `json:"created_at"`
	}{(*fields)(e), (*answerTime)(&e.CreatedAt)})
}

// ExportLinks says where a finished export can be downloaded.
type ExportLinks struct {
	API string `json:"api_url"` // with a token of this user
	Web string `json:"web_url"` // in the browser
}

// ScheduleExportOptions are the optional parameters of ScheduleExport.
type ScheduleExportOptions struct {
	Description string        // replaces the project's description in the archive
	Upload      *UploadTarget // where GitLab puts the archive as well
}

// UploadTarget is a URL, usually signed, that GitLab itself uploads the
// archive to, with Content-Type application/gzip, when the export is made.
//
// GitLab never tells whether that worked: an export ends as finished even if
// the upload failed, so look at the destination. If GitLab keeps its files in
// object storage, the destination must answer 200; it takes 201 and 204 for
// failures. The signature must cover the content type and outlive the export,
// which may take hours.
type UploadTarget struct {
	URL    string // http or https
	Method string // PUT, the default, or POST
}

// check refuses what GitLab would refuse after deleting the previous archive,
// or would silently take for no target, and returns what to send of it.
func (t UploadTarget) check() (*uploadRequest, error) {
	u, err := remoteURL("upload URL", t.URL, "https", "http")
	if err != nil {
		return nil, err
	}
	switch t.Method {
	case "", http.MethodPut, http.MethodPost:
		return &uploadRequest{u, t.Method}, nil
	}
	return nil, fmt.Errorf("upload method %q is neither PUT nor POST", t.Method)
}

// String returns the target without the URL's query, which holds its signature.
func (t UploadTarget) String() string {
	method := t.Method
	if method == "" {
		method = http.MethodPut
	}
	return method + " " + redact.URLText(t.URL)
}

// GoString returns the target without the URL's query.
func (t UploadTarget) GoString() string { return fmt.Sprintf("porter.UploadTarget{%s}", t) }

// MarshalJSON returns an error, because the target would come back without the
// signature in its URL.
func (t UploadTarget) MarshalJSON() ([]byte, error) { return nil, errHoldsSecret(t) }

// MarshalText returns an error, as MarshalJSON does; it is also for XML.
func (t UploadTarget) MarshalText() ([]byte, error) { return nil, errHoldsSecret(t) }

// MarshalBinary returns an error, as MarshalJSON does; it is also for gob.
func (t UploadTarget) MarshalBinary() ([]byte, error) { return nil, errHoldsSecret(t) }

// errHoldsSecret says why v is not marshaled.
func errHoldsSecret(v any) error {
	return fmt.Errorf("a %T is not marshaled: it holds a secret, without which it would come back", v)
}

// LogValue leaves out the URL's query, which holds its signature.
func (t UploadTarget) LogValue() slog.Value {
	return slog.GroupValue(slog.String("url", redact.URLText(t.URL)), slog.String("method", t.Method))
}

// exportRequest is the body of POST /projects/:id/export. JSON, because a
// read-only instance answers other forms with a redirect to its start page.
type exportRequest struct {
	Description string         `json:"description,omitempty"`
	Upload      *uploadRequest `json:"upload,omitempty"`
}

type uploadRequest struct {
	URL    string `json:"url"`
	Method string `json:"http_method,omitempty"`
}

func (o *ScheduleExportOptions) encode() ([]byte, error) {
	var r exportRequest
	if o != nil {
		if !utf8.ValidString(o.Description) || strings.ContainsRune(o.Description, 0) {
			return nil, errors.New("description holds a NUL byte or invalid UTF-8")
		}
		r.Description = o.Description
		if o.Upload != nil {
			var err error
			if r.Upload, err = o.Upload.check(); err != nil {
				return nil, err
			}
		}
	}
	return json.Marshal(r)
}

// ScheduleExport asks GitLab to export the project, and returns when GitLab
// has accepted the job. Since GitLab 13.3 that deletes the archive of the
// user's previous export, even if GitLab then refuses. The error is
// ErrExportInProgress if an export is already under way (18.5 and later; before,
// GitLab accepts another), and ErrOutcomeUnknown if the answer was lost and the
// status does not show the export running; it is never sent twice.
//
// POST /projects/:id/export, needs the Maintainer role:
// https://docs.gitlab.com/api/project_import_export/#schedule-an-export
func (c *Client) ScheduleExport(ctx context.Context, p ProjectRef, opts *ScheduleExportOptions) error {
	id, err := resolve(p)
	if err != nil {
		return fmt.Errorf("schedule export: %w", err)
	}
	return c.scheduleExport(ctx, id, p.String(), opts)
}

func (c *Client) scheduleExport(ctx context.Context, id, label string, opts *ScheduleExportOptions) error {
	body, err := opts.encode()
	if err != nil {
		return fmt.Errorf("schedule export of %s: %w", label, err)
	}
	var signed []string
	if opts != nil && opts.Upload != nil {
		signed = []string{opts.Upload.URL}
	}
	r := &request{
		method:  http.MethodPost,
		url:     c.projectEndpoint(id, "export"),
		project: label,
		secrets: signed,
		hints:   exportHints,
		budget:  pace.Budget{Key: "export", Limit: c.cfg.pacing.Exports},
		open: func(context.Context) (*payload, error) {
			return newPayload("application/json", body), nil
		},
	}
	resp, err := c.send(ctx, r)
	if err == nil {
		err = accepted(r, resp)
	}
	if err = c.explainSchedule(ctx, id, label, err); err != nil {
		return fmt.Errorf("schedule export of %s: %w", label, err)
	}
	return nil
}

// explainSchedule looks at the export's status where the answer to the POST
// leaves open what came of it: because it was lost, or because it is a 400
// whose text is in the user's language.
func (c *Client) explainSchedule(ctx context.Context, id, label string, err error) error {
	e := answerOf(err)
	refused := e != nil && e.StatusCode == http.StatusBadRequest && e.key == "message" && e.Fields == nil
	if !refused && !errors.Is(err, ErrOutcomeUnknown) || ctx.Err() != nil {
		return err
	}
	exp, gerr := c.getExport(ctx, id, label, false)
	switch {
	case gerr != nil || !exp.Status.underWay():
		return err
	case refused:
		return e.as(ErrExportInProgress)
	}
	return nil
}

// GetExport returns the state of the project's export, as the user of the
// token sees it: since GitLab 17.3 exports of other users do not show. The
// error is an *APIError if GitLab refused, such as ErrNotFound for a project
// that the user can't see.
//
// GET /projects/:id/export, needs the Maintainer role:
// https://docs.gitlab.com/api/project_import_export/#retrieve-the-status-of-an-export
func (c *Client) GetExport(ctx context.Context, p ProjectRef) (*Export, error) {
	id, err := resolve(p)
	if err != nil {
		return nil, fmt.Errorf("get export: %w", err)
	}
	exp, err := c.getExport(ctx, id, p.String(), false)
	if err != nil {
		return nil, fmt.Errorf("get export of %s: %w", p, err)
	}
	return exp, nil
}

func (c *Client) getExport(ctx context.Context, id, label string, once bool) (*Export, error) {
	exp := new(Export)
	err := c.getJSON(ctx, &request{
		url:     c.projectEndpoint(id, "export"),
		project: label,
		hints:   exportHints,
		once:    once,
	}, exp, func() bool { return exp.Status != "" })
	if err != nil {
		return nil, err
	}
	return exp, nil
}

// WatchExport polls the project's export and yields every answer, ending with
// the terminal one or with an error. The error comes last, with a nil Export;
// an export that failed is yielded first and then is an *ExportError. See
// WaitForExport for the errors.
func (c *Client) WatchExport(ctx context.Context, p ProjectRef) iter.Seq2[*Export, error] {
	id, err := resolve(p)
	if err != nil {
		return func(yield func(*Export, error) bool) {
			yield(nil, fmt.Errorf("watch export: %w", err))
		}
	}
	return watch(ctx, &c.core, c.exportJob(id, p.String(), exportClues{}))
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
		judge: func(e *Export, s *sight) (bool, error) {
			switch {
			case e.Status.underWay():
				s.running()
				return false, nil
			case e.Status == ExportFinished && (s.seen || !clues.older):
				return true, nil
			case clues.again && clues.unsure != nil && !s.seen && s.waited >= c.cfg.polling.Grace/lostSchedule:
				return false, errNotScheduled
			case e.Status == ExportFinished:
				if s.overdue && clues.unsure != nil {
					return false, &WaitError{Err: clues.unsure}
				}
				return s.overdue, nil // by then a job that was accepted must have run unseen
			case !s.seen && !s.overdue: // not picked up yet
				clues.older = false // its archive is gone
				return false, nil
			case e.Status == ExportFailed:
				return false, &ExportError{e}
			case s.seen && !s.gone():
				return false, nil
			case clues.uploaded:
				return false, &WaitError{Err: errNoArchive}
			case s.seen:
				return false, &ExportError{e}
			}
			return false, &WaitError{Err: ErrExportExpired}
		},
	}
}

// errNoArchive is an export with an upload target that is not there any more.
// Before 14.0 GitLab removes an archive that it has uploaded, but in any
// version an export that cannot be packed looks the same.
var errNoArchive = fmt.Errorf("%w: it left no archive to download, because it failed or because this GitLab removes what it has uploaded: look at the upload's destination", ErrExportExpired)

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

// ExportTo schedules an export or joins the one under way, waits for it and
// writes its archive to w. An export that is joined keeps the options it was
// scheduled with. If the answer to the scheduling is lost, and for a quarter of
// Polling.Grace no export shows, it is scheduled once more. The download bears
// an outage for Polling.Patience. Errors are those of ScheduleExport,
// WaitForExport and DownloadExport.
//
// With an upload target, the error is ErrExportExpired if the export ends
// without an archive: before 14.0 GitLab removes it once it is uploaded, and
// does not tell that from a failure.
func (c *Client) ExportTo(ctx context.Context, p ProjectRef, w io.Writer, opts *ScheduleExportOptions) (*Export, error) {
	if w == nil {
		return nil, errors.New("export: writer is nil")
	}
	exp, err := c.findAndMakeExport(ctx, p, opts)
	if err != nil {
		return exp, err
	}
	_, err = c.downloadExport(ctx, exp.ref(p), p.String(), w, true)
	return exp, err
}

// ExportToFile schedules an export or joins the one under way, waits for it
// and downloads it to a file, as DownloadExportFile does. An export that is
// joined keeps the options it was scheduled with. Errors are those of
// ScheduleExport, WaitForExport and DownloadExportFile; of those of an export
// with an upload target see ExportTo.
func (c *Client) ExportToFile(ctx context.Context, p ProjectRef, name string, opts *ScheduleExportOptions) (*Export, error) {
	name, err := checkPart(name) // before the hours of exporting
	if err != nil {
		return nil, fmt.Errorf("export to file: %w", err)
	}
	exp, err := c.findAndMakeExport(ctx, p, opts)
	if err != nil {
		return exp, err
	}
	given, _ := resolve(p) // it was fine before
	_, err = c.downloadExportFile(ctx, exp.ref(p), given, p.String(), name, true)
	return exp, err
}

// findAndMakeExport checks its arguments and makes the export of p.
func (c *Client) findAndMakeExport(ctx context.Context, p ProjectRef, opts *ScheduleExportOptions) (*Export, error) {
	id, err := resolve(p)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	if _, err := opts.encode(); err != nil {
		return nil, fmt.Errorf("export of %s: %w", p, err)
	}
	before, err := c.getExport(ctx, id, p.String(), false)
	if err != nil {
		return nil, fmt.Errorf("export of %s: %w", p, err)
	}
	return c.makeExport(ctx, before, p, opts)
}

// errNotScheduled is an export whose POST was lost, and of which nothing has
// shown since.
var errNotScheduled = errors.New("the export was not scheduled")

// lostSchedule is the part of Grace after which an export that was perhaps not
// scheduled, and does not show, is scheduled once more: two and a half of the
// default ten minutes.
const lostSchedule = 4

// makeExport schedules an export, or joins the one that was under way at the
// look before, and waits for it. If the answer to the POST was lost and no
// export shows, it is scheduled once more: nothing is there that this deletes.
func (c *Client) makeExport(ctx context.Context, before *Export, p ProjectRef, opts *ScheduleExportOptions) (*Export, error) {
	id, label := before.ref(p), p.String()
	clues := exportClues{
		running:  before.Status.underWay(),
		uploaded: opts != nil && opts.Upload != nil,
		older:    before.Status == ExportFinished,
		again:    true,
	}
	if clues.running {
		c.cfg.logger.InfoContext(ctx, "joining the export under way", "project", label, "status", redact.Line(string(before.Status), 64))
		return last(watch(ctx, &c.core, c.exportJob(id, label, clues)))
	}
	for {
		err := c.scheduleExport(ctx, id, label, opts)
		clues.running = errors.Is(err, ErrExportInProgress)
		clues.accepted = err == nil
		clues.unsure = nil
		switch {
		case errors.Is(err, ErrOutcomeUnknown) && ctx.Err() == nil:
			clues.unsure = err
		case err != nil && !clues.running:
			return nil, err
		}
		exp, err := last(watch(ctx, &c.core, c.exportJob(id, label, clues)))
		if errors.Is(err, errNotScheduled) {
			c.cfg.logger.WarnContext(ctx, "scheduling the export once more", "project", label, "error", clues.unsure)
			clues.again = false
			continue
		}
		if err != nil && clues.unsure != nil && !errors.Is(err, ErrOutcomeUnknown) {
			err = fmt.Errorf("%w (%w)", err, clues.unsure)
		}
		return exp, err
	}
}
