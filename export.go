package porter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/seed-5d77b939/porter/internal/pace"
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

// exportRequest is the body of POST /projects/:id/export. JSON, because a
// read-only instance answers other forms with a redirect to its start page.
type exportRequest struct {
	Description string         `json:"description,omitempty"`
	Upload      *uploadRequest `json:"upload,omitempty"`
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
func (c *Client) ScheduleExport(ctx context.Context, p ProjectRef, opts *ScheduleExportOptions) (err error) {
	id, err := c.resolve(ctx, p)
	if err != nil {
		return fmt.Errorf("schedule export: %w", err)
	}
	ctx, o := c.begin(ctx, OpScheduleExport, id, p.String())
	defer o.end(&err)
	return c.scheduleExport(ctx, id, p.String(), opts, nil)
}

// scheduleExport is ScheduleExport. It calls ahead, if that is not nil, before
// each time that the request is sent, and sends none after an error of it.
func (c *Client) scheduleExport(
	ctx context.Context, id, label string, opts *ScheduleExportOptions, ahead func(context.Context) error,
) error {
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
		open: func(ctx context.Context) (*payload, error) {
			if ahead != nil {
				if err := ahead(ctx); err != nil {
					return nil, err
				}
			}
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
func (c *Client) GetExport(ctx context.Context, p ProjectRef) (exp *Export, err error) {
	id, err := c.resolve(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("get export: %w", err)
	}
	label := p.String()
	ctx, o := c.begin(ctx, OpLook, id, label)
	defer o.end(&err)
	exp, err = c.getExport(ctx, id, label, false)
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
	learn(ctx, exp.ID)
	return exp, nil
}
