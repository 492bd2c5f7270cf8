package porter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// An archive is what an export has made, to be downloaded.
type archive struct {
	c        *Client
	id       string    // what the project is asked for by
	label    string    // of the project, in messages
	outlasts bool      // it was made for this download, which bears an outage
	since    time.Time // it will do only if it is not older; zero for any
}

// errNotTaken reports that an archive will not do: it is too old, its age is not
// told, or it is not there.
var errNotTaken = errors.New("archive is too old, or its age is not known")

// open opens the archive, from where on start tells.
func (a archive) open(ctx context.Context, start start) (*download, error) {
	d, err := a.c.openExport(ctx, a.id, a.label, start, a.outlasts)
	switch {
	case a.since.IsZero():
		return d, err
	case errors.Is(err, ErrExportExpired), errors.Is(err, ErrExportNotReady):
		return nil, fmt.Errorf("%w (%w)", errNotTaken, err)
	case err == nil && !a.young(d.v.Modified):
		d.Close()
		return nil, fmt.Errorf("%w (Last-Modified %q)", errNotTaken, d.v.Modified)
	}
	return d, err
}

// young reports whether an archive that was written then will do. One of the
// future tells no age.
func (a archive) young(modified string) bool {
	t, err := http.ParseTime(modified)
	return err == nil && !t.Before(a.since) && t.Before(a.c.clock.Now().Add(clockSlack))
}

// openExport opens the archive of a project, from where on start tells. If it
// outlasts an outage, the export was made for this download.
func (c *Client) openExport(ctx context.Context, id, label string, start start, outlasts bool) (*download, error) {
	op := "download export of " + label
	r := request{
		url:      c.projectEndpoint(id, "export/download"),
		project:  label,
		hints:    exportHints,
		kind:     missingArchive,
		outlasts: outlasts,
		budget:   c.downloadBudget(label),
	}
	ctx, _ = c.transfer(ctx) // asked for again, it keeps its place in the line
	deadline := time.Now().Add(c.cfg.polling.Patience)
	for n := 0; ; n++ {
		d, err := openDownload(ctx, &c.core, op, label, r, start)
		if err == nil {
			return d, nil
		}
		if !errors.Is(err, ErrExportNotReady) || c.cfg.retries == 0 || time.Now().Add(notReadyPause).After(deadline) {
			return nil, fmt.Errorf("%s: %w", op, err)
		}
		if ended := c.pauseForRetry(ctx, &r, n, notReadyPause, err); ended != nil {
			return nil, fmt.Errorf("%s: %w", op, insteadOf(ended, err))
		}
	}
}

// missingArchive tells an archive that is not stored yet from one that is gone.
// Both texts are fixed English.
func missingArchive(e *APIError) error {
	switch {
	case e.StatusCode != http.StatusNotFound:
	case strings.Contains(e.Message, "not available yet"):
		return ErrExportNotReady
	case strings.Contains(e.Message, "has expired"):
		return ErrExportExpired
	}
	return nil
}

// reader opens the archive for reading.
func (a archive) reader(ctx context.Context) (*ExportReader, error) {
	return opener(a.open).observedReader(ctx, &a.c.core, a.id, a.label)
}

// copyTo writes the archive to w.
func (a archive) copyTo(ctx context.Context, w io.Writer, opts *DownloadOptions) (dl *Download, err error) {
	ctx, o := a.c.begin(ctx, OpDownload, a.id, a.label)
	defer o.end(&err)
	return opener(a.open).copyTo(ctx, w, opts.verifier(verifyBy(wholeRules)))
}
