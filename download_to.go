package porter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"time"

	"github.com/seed-5d77b939/porter/internal/diskio"
)

// DownloadOptions say how something is downloaded to a writer or a file; nil is
// the zero value.
type DownloadOptions struct {
	// SkipVerify does not look whether what comes is sound, also where a file is
	// continued.
	SkipVerify bool
	// Mode are the permissions of the file. 0 takes those of the file that is
	// replaced, and 0600 for a new one.
	Mode fs.FileMode
	// Connections is how many connections a file, or Migrate's spool, may be
	// downloaded over at a time; 0 is 4. More than one are used where GitLab
	// redirects to object storage, at the signed URL, which costs no more of GitLab's
	// downloads, and only while one brings less than 1 Gbit/s. Each is for a range
	// of the archive, and needs less than 1 MiB of memory. It stays one where the
	// store names no strong ETag or no length, or knows no ranges, and for a writer
	// or a reader. A connection that the store refuses is left alone for a minute,
	// and all but one end if they are no faster together.
	Connections int
}

// check refuses what makes no sense for a file, or for a writer.
func (o *DownloadOptions) check(file bool) error {
	switch {
	case o == nil:
		return nil
	case o.Connections < 0:
		return fmt.Errorf("connections %d is negative", o.Connections)
	case o.Mode == 0:
		return nil
	case !file:
		return errors.New("mode is for a file")
	case o.Mode&^fs.ModePerm != 0:
		return fmt.Errorf("mode %v holds more than permissions", o.Mode)
	}
	return nil
}

// mode returns the permissions of a file.
func (o *DownloadOptions) mode() fs.FileMode {
	if o == nil {
		return 0
	}
	return o.Mode
}

// defaultConnections are those of a file, unless told otherwise.
const defaultConnections = 4

// connections returns how many connections a file may take.
func (o *DownloadOptions) connections() int {
	if o == nil || o.Connections == 0 {
		return defaultConnections
	}
	return o.Connections
}

// verifier returns v if what comes is to be verified, and else nil.
func (o *DownloadOptions) verifier(v verifier) verifier {
	if o != nil && o.SkipVerify {
		return nil
	}
	return v
}

// Download is what was downloaded. One that comes with an error says how far it
// has come.
type Download struct {
	Project  Project      // only its ID or its path, as it was given, where GitLab was not asked for more
	Bytes    int64        // of the archive or file
	Modified time.Time    // when it was made, by the server; zero if that was not told
	Reused   bool         // it was there, and young enough for MaxAge
	Archive  *ArchiveInfo // nil with SkipVerify, and of files of relations
	Proof                 // empty without Prove
}

// of says of which project it is.
func (d *Download) of(p Project) *Download {
	if d != nil {
		d.Project = p
	}
	return d
}

// projectOf is what a reference tells of a project.
func projectOf(p ProjectRef) Project {
	switch p := p.(type) {
	case ProjectID:
		return Project{ID: p}
	case ProjectPath:
		return Project{PathWithNamespace: p}
	}
	return Project{}
}

// modified returns when what is downloaded was made, zero if that was not told.
func (d *download) modified() time.Time {
	t, err := http.ParseTime(d.v.Modified)
	if err != nil {
		return time.Time{}
	}
	return t
}

// copyTo writes the file to w, and verifies what it writes unless verify is nil.
func (open opener) copyTo(ctx context.Context, w io.Writer, verify verifier) (*Download, error) {
	r, err := open.reader(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	dl := &Download{Modified: r.d.modified()}
	dl.Bytes, dl.Archive, err = copyVerified(r.d.op, w, r, verify)
	if unsound(err) {
		err = fmt.Errorf("%w (%d bytes of it have been written)", err, dl.Bytes)
	}
	return dl, err
}

// copyVerified copies r to w, and verifies what it copies unless verify is nil.
func copyVerified(op string, w io.Writer, r io.Reader, verify verifier) (n int64, info *ArchiveInfo, err error) {
	if verify == nil {
		n, err = diskio.Copy(op, w, r)
		return n, nil, err
	}
	v := newVerification(verify)
	defer v.stop()
	n, err = diskio.Copy(op, &teeWriter{w, v}, r)
	if err != nil {
		return n, nil, err
	}
	if info, err = v.end(); err != nil {
		err = fmt.Errorf("%s: %w", op, err)
	}
	return n, info, err
}

// unsound reports whether err is a verdict on a file that was read.
func unsound(err error) bool {
	return errors.Is(err, ErrArchiveDamaged) || errors.Is(err, ErrNotArchive) || errors.Is(err, ErrUnimportable)
}

// A teeWriter has what it has written verified.
type teeWriter struct {
	w io.Writer
	v *verification
}

func (t *teeWriter) Write(b []byte) (int, error) {
	n, err := t.w.Write(b)
	if err == nil && n == len(b) {
		_, err = t.v.Write(b)
	}
	return n, err
}
