package porter

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/seed-5d77b939/porter/internal/diskio"
	"github.com/seed-5d77b939/porter/internal/redact"
)

// ExportReader reads an archive and resumes by itself where a broken
// connection left off. It reports io.EOF only when every byte has arrived,
// and io.ErrUnexpectedEOF, ErrArchiveChanged or an *APIError if the rest could
// not be had. It may be closed while it is read, but is otherwise not safe for
// concurrent use.
type ExportReader struct {
	d    *download
	size int64
	name string
}

// Read reads the archive's next bytes.
func (r *ExportReader) Read(b []byte) (int, error) { return r.d.Read(b) }

// Close ends the download. It may be called more than once.
func (r *ExportReader) Close() error { return r.d.Close() }

// Size returns the archive's size in bytes, or -1 if the server did not say.
func (r *ExportReader) Size() int64 { return r.size }

// Name returns the file name that GitLab suggests, without any directory, or
// "" if it suggests none, as with object storage. It is not unique.
func (r *ExportReader) Name() string { return r.name }

// sniffLen is enough to look into a gzip that was compressed twice.
const sniffLen = 512

// newExportReader looks at the first bytes of a download that begins at 0: a
// page or message that came with a 200 is no archive.
func newExportReader(d *download) (*ExportReader, error) {
	if d.off == 0 { // else it was looked at when it began
		if err := d.lookAhead(); err != nil {
			d.Close()
			return nil, err
		}
	}
	return &ExportReader{d: d, size: d.v.Size, name: d.name}, nil
}

func (d *download) lookAhead() error {
	b := make([]byte, sniffLen)
	n, err := io.ReadFull(d, b)
	b = b[:n]
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF && (n < 2 || isGzip(b)) { // else it is no archive, whole or not
		return err
	}
	switch {
	case n == 0:
		return fmt.Errorf("%s: %w: it is empty", d.op, ErrNotArchive)
	case !isGzip(b):
		begin := redact.SecretsOf(d.asked.Context()).Scrub(string(b))
		return fmt.Errorf("%s: %w: it begins with %q", d.op, ErrNotArchive, redact.Line(begin, 100))
	case d.encoding != "" && d.encoding != "identity" && compressedTwice(b):
		return fmt.Errorf("%s: %w: the server compressed it once more (Content-Encoding %q)", d.op, ErrNotArchive, redact.Line(d.encoding, 40))
	}
	d.ahead = b
	return nil
}

// compressedTwice looks whether the gzip that begins with b holds another.
func compressedTwice(b []byte) bool {
	zr, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return false
	}
	var inner [2]byte
	_, err = io.ReadFull(zr, inner[:])
	return err == nil && isGzip(inner[:])
}

// openExport opens the archive of a project, from offset off on if the server
// still holds the archive that v tells.
// If it outlasts an outage, the export was made for this download.
func (c *Client) openExport(ctx context.Context, id, label string, off int64, v validator, outlasts bool) (*download, error) {
	op := "download export of " + label
	r := request{
		url:      c.projectEndpoint(id, "export/download"),
		project:  label,
		hints:    exportHints,
		kind:     missingArchive,
		outlasts: outlasts,
		budget:   c.downloadBudget(label),
	}
	deadline := time.Now().Add(c.cfg.polling.Patience)
	for n := 0; ; n++ {
		d, err := openDownload(ctx, &c.core, op, label, r, off, v)
		if err == nil {
			return d, nil
		}
		if !errors.Is(err, ErrExportNotReady) || c.cfg.retries == 0 || time.Now().Add(notReadyPause).After(deadline) {
			return nil, fmt.Errorf("%s: %w", op, err)
		}
		if ended := c.pauseForRetry(ctx, label, n, notReadyPause, err); ended != nil {
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

// OpenExport opens the finished archive for reading. Close the reader; it ends
// with ctx too.
//
// The error is ErrExportExpired if GitLab has no archive for this user,
// ErrExportNotReady if it is still being stored when Polling.Patience is over,
// and ErrNotArchive if what came is no archive. GitLab allows one download of
// a project per minute; a second one waits for its turn.
//
// GET /projects/:id/export/download, needs the Maintainer role:
// https://docs.gitlab.com/api/project_import_export/#download-an-export
func (c *Client) OpenExport(ctx context.Context, p ProjectRef) (*ExportReader, error) {
	id, err := resolve(p)
	if err != nil {
		return nil, fmt.Errorf("open export: %w", err)
	}
	return archive{c: c, id: id, label: p.String()}.reader(ctx)
}

// DownloadExport writes the finished archive to w and returns how many bytes
// it wrote. If a write fails, its error is returned; else the errors are those
// of OpenExport and ExportReader.Read. What was written before an error is no
// whole archive.
func (c *Client) DownloadExport(ctx context.Context, p ProjectRef, w io.Writer) (int64, error) {
	id, err := resolve(p)
	if err == nil && w == nil {
		err = errors.New("writer is nil")
	}
	if err != nil {
		return 0, fmt.Errorf("download export: %w", err)
	}
	return archive{c: c, id: id, label: p.String()}.downloadTo(ctx, w)
}

// copyDownload writes what d downloads to w and closes d.
func copyDownload(w io.Writer, d *download) (int64, error) {
	r, err := newExportReader(d)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return diskio.Copy(d.op, w, r)
}

// ExportSource returns a Source that downloads the finished export each time
// it is opened. GitLab allows one download of a project per minute, so opening
// it again waits for its turn.
func (c *Client) ExportSource(p ProjectRef) Source {
	return Source{
		Name: defaultFileName,
		Size: -1,
		Open: func(ctx context.Context) (io.ReadCloser, error) {
			return c.OpenExport(ctx, p)
		},
	}
}
