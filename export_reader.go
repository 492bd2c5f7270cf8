package porter

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"

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
	read int64
	told *operation // nil if the reader is a part of one
}

// errNotOpen is a reader that no method has returned.
var errNotOpen = fmt.Errorf("archive is not open: %w", os.ErrInvalid)

func (r *ExportReader) opened() bool { return r != nil && r.d != nil }

// Read reads the archive's next bytes.
func (r *ExportReader) Read(b []byte) (int, error) {
	if !r.opened() {
		return 0, errNotOpen
	}
	n, err := r.d.Read(b)
	r.read += int64(n)
	switch {
	case err == io.EOF, err == nil && r.read == r.size:
		r.told.leave(nil)
	case err != nil:
		r.told.leave(err)
	}
	return n, err
}

// Close ends the download. It may be called more than once. An observer is told
// that the download failed if its last byte had not been read.
func (r *ExportReader) Close() error {
	if !r.opened() {
		return errNotOpen
	}
	err := r.d.Close()
	r.told.leave(fmt.Errorf("%s: archive is closed: %w", r.d.op, os.ErrClosed))
	return err
}

// spool reads the archive, of which nothing was read, into a spool.
func (r *ExportReader) spool(ctx context.Context, to io.WriterAt, conns int) (int64, error) {
	defer r.Close()
	f := fetch{d: r.d, op: "spool", file: to, conns: conns}
	n, _, err := f.run(ctx, nil)
	r.told.leave(err)
	return n, err
}

// Size returns the archive's size in bytes, or -1 if the server did not say.
func (r *ExportReader) Size() int64 {
	if !r.opened() {
		return -1
	}
	return r.size
}

// Name returns the file name that GitLab suggests, without any directory, or
// "" if it suggests none, as with object storage. It is not unique.
func (r *ExportReader) Name() string {
	if !r.opened() {
		return ""
	}
	return r.name
}

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

// An opener opens an archive or another file, from where on start tells.
type opener func(ctx context.Context, start start) (*download, error)

// reader opens the file for reading from its beginning.
func (open opener) reader(ctx context.Context) (*ExportReader, error) {
	d, err := open(ctx, fromBeginning)
	if err != nil {
		return nil, err
	}
	return newExportReader(d)
}

// observedReader is reader as an operation, which ends with the reading.
func (open opener) observedReader(ctx context.Context, c *core, id, label string) (*ExportReader, error) {
	ctx, o := c.begin(ctx, OpDownload, id, label)
	r, err := open.reader(ctx)
	if err != nil {
		o.end(&err)
		return nil, err
	}
	r.told = o
	return r, nil
}
