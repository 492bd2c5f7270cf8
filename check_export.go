package porter

import (
	"context"
	"fmt"
)

// CheckExport looks for what would make an export of p fail, and exports
// nothing. The look at the project's export is the export's own: its error is
// that of GetExport, such as ErrForbidden for less than the Maintainer role.
// Other looks add findings if they are answered. In the text of a finding the
// host says which token it is of.
//
// It makes 3 requests, and up to 2 more for an administrator. The answers about
// the token, its user and the settings are kept for a minute:
// GET /projects/:id/export, /personal_access_tokens/self, /user,
// /application/settings and /projects/:id:
// https://docs.gitlab.com/api/project_import_export/#retrieve-the-status-of-an-export
// and the pages of the others
func (c *Client) CheckExport(ctx context.Context, p ProjectRef) (_ *Check, err error) {
	id, err := c.resolve(ctx, p)
	if err != nil {
		return nil, checkError("export", err)
	}
	ctx, o := c.begin(ctx, OpLook, id, p.String())
	defer o.end(&err)
	k := new(Check)
	x := &exportCheck{c: c, check: k}
	if err = x.begin(ctx, id, p.String()); err == nil {
		err = x.size(ctx)
	}
	if err != nil {
		return nil, checkError("export of "+p.String(), err)
	}
	return k, nil
}

// An exportCheck checks an export.
type exportCheck struct {
	c        *Client
	check    *Check
	id       string // of the project
	label    string
	before   *Export
	settings *settingsLook
	sized    bool // the size was asked for
	of       *sizeLook
}

// begin looks at the export, the token and the settings.
func (x *exportCheck) begin(ctx context.Context, id, label string) (err error) {
	if x.before, err = x.c.getExport(ctx, id, label, false); err != nil {
		return err
	}
	x.id, x.label = id, label
	if err := x.check.token(ctx, x.c, "exporting"); err != nil {
		return err
	}
	u, err := x.c.lookAtUser(ctx)
	if err == nil {
		x.settings, err = x.c.lookAtSettings(ctx, u)
	}
	return err
}

// size compares what GitLab does before it exports. Packages and job artifacts
// don't count, or did not before 16.8.
func (x *exportCheck) size(ctx context.Context) error {
	if x.settings == nil || x.settings.MaxExportSize == 0 {
		return nil
	}
	s, err := x.statistics(ctx)
	if s == nil {
		return err
	}
	if n := s.Storage - s.Artifacts - s.Packages; over(n, x.settings.MaxExportSize) {
		x.check.add(FindingExportSize, true, "the project is %s large, and %s exports no more than %d MiB",
			mebibytes(n), x.c.base.Host, x.settings.MaxExportSize)
	}
	return nil
}

// statistics looks at the project's size, once.
func (x *exportCheck) statistics(ctx context.Context) (_ *sizeLook, err error) {
	if !x.sized {
		x.of, err = x.c.lookAtSize(ctx, x.id, x.label)
		x.sized = err == nil
	}
	return x.of, err
}

// over reports whether n bytes are more than a limit in MiB, of which 0 is none.
func over(n, limit int64) bool { return limit > 0 && n>>20 >= limit && n > limit<<20 }

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
