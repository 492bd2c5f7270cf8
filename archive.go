package porter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
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

// open opens the archive, from offset off on if it is the one that v tells.
func (a archive) open(ctx context.Context, off int64, v validator) (*download, error) {
	d, err := a.c.openExport(ctx, a.id, a.label, off, v, a.outlasts)
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

// reader opens the archive for reading.
func (a archive) reader(ctx context.Context) (*ExportReader, error) {
	d, err := a.open(ctx, 0, validator{})
	if err != nil {
		return nil, err
	}
	return newExportReader(d)
}

// downloadTo writes the archive to w.
func (a archive) downloadTo(ctx context.Context, w io.Writer) (int64, error) {
	d, err := a.open(ctx, 0, validator{})
	if err != nil {
		return 0, err
	}
	return copyDownload(w, d)
}

// young reports whether an archive that was written then will do. One of the
// future tells no age.
func (a archive) young(modified string) bool {
	t, err := http.ParseTime(modified)
	return err == nil && !t.Before(a.since) && t.Before(a.c.clock.Now().Add(clockSlack))
}
