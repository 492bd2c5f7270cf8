package porter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/seed-5d77b939/porter/internal/diskio"
)

// DownloadExportFile downloads the finished archive to a file, which appears
// under its name only when it is complete, and returns its size in bytes. A
// relative name is one of the folder that the process is in at the call.
//
// Until then the bytes are in a file named name.part, and name.part.json tells
// which archive they belong to and how many of them are certainly on the disk.
// Both stay after a failure, or if the process is killed or the power fails,
// and the next call goes on from there if the server still holds that archive;
// otherwise it begins anew. A file that was continued is verified from its
// first byte before it gets its name; if it is damaged, or no project export,
// the download begins anew, once. A part that no call could continue is removed.
// If the name leaves no room for these endings, the two files are named
// porter-HASH.part and porter-HASH.part.json.
//
// A whole archive is never removed. If it can't be given its name, the error
// tells where it is, and the next call does no more than that if the server
// still holds that archive.
//
// Only files that porter made are ever written or removed. A call that finds
// another one writing, or a name.part or name.part.json of another program,
// uses a part file of its own, name.*.part, which it removes if it fails and
// which only a killed process leaves behind.
//
// An existing file, or symbolic link, is replaced at the end. The new one, and
// its part file from the start, have the mode of that file, or of the one that
// the link points to; if there is none, only the owner can read them. Like
// other downloads, the file may not have reached the disk by then: a program
// that must bear a loss of power opens it and calls its Sync.
//
// If the disk has no room for the archive, that is an error before it is
// downloaded.
//
// Errors are those of OpenExport and ExportReader.Read, and of the file system.
func (c *Client) DownloadExportFile(ctx context.Context, p ProjectRef, name string) (int64, error) {
	id, err := resolve(p)
	if err != nil {
		return 0, fmt.Errorf("download export: %w", err)
	}
	return archive{c: c, id: id, label: p.String()}.downloadFile(ctx, id, name)
}

// downloadFile downloads the archive to a file. The part file goes by the
// reference to the project that the caller gave, which the next call may repeat.
func (a archive) downloadFile(ctx context.Context, given, name string) (int64, error) {
	s := saving{
		c:       a.c,
		op:      "download export of " + a.label,
		project: a.label,
		origin:  a.c.projectEndpoint(given, "export/download"),
		open:    a.open,
		verify: func(r io.Reader) error {
			_, err := VerifyArchive(r)
			return err
		},
	}
	return s.to(ctx, name)
}

// A saving is a download to a file.
type saving struct {
	c       *Client
	op      string // for errors
	project string
	origin  string // a part file is continued only for the same one
	open    opener
	verify  func(io.Reader) error

	target string
	part   *diskio.PartFile // nil before the download may begin
	whole  string           // what it was then, if that was a whole archive
}

// to downloads to the file target.
func (s *saving) to(ctx context.Context, target string) (n int64, err error) {
	if s.target, err = diskio.CheckTarget(target); err != nil {
		return 0, fmt.Errorf("%s: %w", s.op, err)
	}
	defer func() {
		switch {
		case err == nil || s.part == nil:
			return
		case errors.Is(err, ErrExportExpired):
			s.part.Discard() // there is nothing left to continue it from
		default:
			s.part.Leave()
		}
		if s.whole != "" {
			err = fmt.Errorf("%w (a whole archive of an earlier call is in %s)", err, s.whole)
		}
	}()

	n, continued, err := s.download(ctx, s.start)
	if err != nil {
		return n, err
	}
	if continued {
		switch err := s.part.Verify(ctx, s.verify); {
		case err != nil && ctx.Err() != nil:
			return n, fmt.Errorf("%s: %w", s.op, err)
		case err != nil:
			s.c.cfg.logger.WarnContext(ctx, "the continued file is not sound: beginning anew",
				"project", s.project, "file", s.part.Target(), "error", err)
			if err := s.part.Forget(); err != nil {
				return n, fmt.Errorf("%s: %w", s.op, err)
			}
			if n, _, err = s.download(ctx, fromBeginning); err != nil {
				return n, err
			}
		}
	}
	if err := s.part.Finish(); err != nil {
		return n, fmt.Errorf("%s: %w", s.op, err)
	}
	return n, nil
}

// start opens the part file, if that was not done, and tells where it can be
// continued.
func (s *saving) start() (off int64, v validator, err error) {
	if s.part == nil {
		if s.part, err = diskio.Open(s.target); err != nil {
			return 0, validator{}, err
		}
		s.whole = s.part.Whole()
	}
	off, v = s.reached()
	return off, v, nil
}

// download downloads what the part file does not hold yet, or everything anew,
// as start tells, and reports whether it continued.
func (s *saving) download(ctx context.Context, start start) (n int64, continued bool, err error) {
	d, err := s.open(ctx, start)
	if err != nil {
		return 0, false, err
	}
	off := d.off
	r, err := newExportReader(d)
	if err != nil {
		return 0, false, err
	}
	defer r.Close()
	if err = s.part.CheckSpace(d.v.Size, off == 0); err == nil {
		if off > 0 {
			err = s.part.Continue(off)
		} else {
			err = s.part.Begin(s.origin, d.v.mark())
		}
	}
	if err != nil {
		return 0, false, fmt.Errorf("%s: %w", s.op, err)
	}
	n, err = diskio.Copy(s.op, s.part, r)
	return off + n, off > 0, err
}

// reached returns where the part file can be continued, and what archive it
// is of. Anyone may have written it, so it is believed no more than a server is.
func (s *saving) reached() (int64, validator) {
	off, mark := s.part.Resumable(s.origin)
	var v validator
	if off <= 0 || json.Unmarshal(mark, &v) != nil {
		return 0, validator{}
	}
	v = validatorOf(http.Header{"Etag": {v.ETag}, "Last-Modified": {v.Modified}}, v.Size)
	if !v.resumable() || off > v.Size {
		return 0, validator{}
	}
	// Of a part that is whole the last byte is asked for again, so that the
	// server says whether it is still the same archive.
	return min(off, v.Size-1), v
}

// mark returns what a part file notes of the archive, nil if no later call can
// continue it.
func (v validator) mark() json.RawMessage {
	if !v.resumable() {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return b
}
