package porter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"

	"github.com/seed-5d77b939/porter/internal/diskio"
)

// DownloadExportFile downloads the finished archive to a file, which appears
// under its name only when it is complete and, without SkipVerify, undamaged. A
// relative name is one of the folder that the process is in at the call.
//
// The archive is verified as it comes. A damaged one, or one that is no project
// export, leaves no file, and what had the name before stays: the error is that
// of VerifyArchive. One that is whole but that GitLab could not import gets its
// name all the same, as it is what GitLab has exported; the error is
// ErrUnimportable.
//
// Until then the bytes are in a file named name.part, and name.part.json tells
// which archive they belong to and how many of them are certainly on the disk.
// Both stay after a failure, or if the process is killed or the power fails,
// and the next call goes on from there if the server still holds that archive;
// otherwise it begins anew. A file that was continued is verified from its
// first byte once the rest is there, which is told as a pause if it takes long;
// if it is damaged, or no project export, the download begins anew, once. A part
// that no call could continue is removed.
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
// its part file from the start, have opts.Mode; if that is 0, they have the mode
// of that file, or of the one that the link points to, and if there is none, only
// the owner can read them. Like
// other downloads, the file may not have reached the disk by then: a program
// that must bear a loss of power opens it and calls its Sync.
//
// Where GitLab redirects to object storage, it may be downloaded over several
// connections (see DownloadOptions.Connections). Then name.part has gaps, and
// name.part.json tells which ranges are there.
//
// If the disk has no room for the archive, that is an error before it is
// downloaded.
//
// Errors are those of OpenExport, ExportReader.Read and VerifyArchive, and of the
// file system.
func (c *Client) DownloadExportFile(ctx context.Context, p ProjectRef, name string, opts *DownloadOptions) (*Download, error) {
	id, err := c.resolve(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("download export: %w", err)
	}
	if err := opts.check(true); err != nil {
		return nil, fmt.Errorf("download export of %s: %w", p, err)
	}
	dl, err := archive{c: c, id: id, label: p.String()}.downloadFile(ctx, id, name, opts)
	return dl.of(projectOf(p)), err
}

// downloadFile downloads the archive to a file. The part file goes by the
// reference to the project that the caller gave, which the next call may repeat.
func (a archive) downloadFile(ctx context.Context, given, name string, opts *DownloadOptions) (*Download, error) {
	s := saving{
		c:       a.c,
		op:      "download export of " + a.label,
		id:      a.id,
		project: a.label,
		origin:  a.c.projectEndpoint(given, "export/download"),
		open:    a.open,
		verify:  opts.verifier(verifyBy(wholeRules)),
		mode:    opts.mode(),
		conns:   opts.connections(),
	}
	return s.to(ctx, name)
}

// A saving is a download to a file.
type saving struct {
	c       *Client
	op      string // for errors
	id      string // of the project, as GitLab is asked
	project string
	origin  string // a part file is continued only for the same one
	open    opener
	verify  verifier    // nil for none
	mode    fs.FileMode // of the file; 0 for that of the one that it replaces
	conns   int         // connections at a time

	target string
	part   *diskio.PartFile // nil before the download may begin
	whole  string           // what it was then, if that was a whole archive
}

// to downloads to the file target.
func (s *saving) to(ctx context.Context, target string) (dl *Download, err error) {
	if s.target, err = diskio.CheckTarget(target); err != nil {
		return nil, fmt.Errorf("%s: %w", s.op, err)
	}
	// Not before: an observer may change the process's folder.
	ctx, o := s.c.begin(ctx, OpDownload, s.id, s.project)
	defer o.end(&err)
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

	dl, continued, err := s.download(ctx, s.start)
	if err == nil && continued && s.verify != nil {
		dl.Archive, err = s.verifyContinued(ctx)
		if err != nil && ctx.Err() == nil && !errors.Is(err, ErrUnimportable) {
			s.c.cfg.logger.WarnContext(ctx, "the continued file is not sound: beginning anew",
				"project", s.project, "file", s.part.Target(), "error", err)
			if err := s.part.Forget(); err != nil {
				return dl, fmt.Errorf("%s: %w", s.op, err)
			}
			dl, _, err = s.download(ctx, fromBeginning)
		}
	}
	unimportable := errors.Is(err, ErrUnimportable) // it is what the server holds
	if err != nil && !unimportable {
		return dl, err
	}
	if err := s.part.Finish(); err != nil {
		return dl, fmt.Errorf("%s: %w", s.op, err)
	}
	s.part = nil
	if unimportable {
		err = fmt.Errorf("%w (the file is there all the same)", err)
	}
	return dl, err
}

// verifyContinued verifies the part file from its first byte.
func (s *saving) verifyContinued(ctx context.Context) (info *ArchiveInfo, err error) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		err = s.part.Verify(ctx, func(r io.Reader) (err error) {
			info, err = s.verify(r)
			return err
		})
	}()
	s.c.pauseToVerify(ctx, s.project, over)
	if err != nil {
		err = fmt.Errorf("%s: %w", s.op, err)
	}
	return info, err
}

// start opens the part file, if that was not done, and tells where it can be
// continued.
func (s *saving) start() (off int64, v validator, err error) {
	if s.part == nil {
		if s.part, err = diskio.Open(s.target, s.mode); err != nil {
			return 0, validator{}, err
		}
		s.whole = s.part.Whole()
	}
	off, v = s.reached()
	return off, v, nil
}

// download downloads what the part file does not hold yet, or everything anew,
// as start tells, and reports whether it continued. What it did not continue it
// verifies; if that is damaged, the part file is of no use.
func (s *saving) download(ctx context.Context, start start) (dl *Download, continued bool, err error) {
	d, err := s.open(ctx, start)
	if err != nil {
		return nil, false, err
	}
	off := d.off
	r, err := newExportReader(d)
	if err != nil {
		return nil, false, err
	}
	defer r.Close()
	if err = s.part.CheckSpace(d.v.Size, off == 0); err == nil {
		if off > 0 {
			s.part.Continue(off, s.beyond(d)...)
		} else {
			err = s.part.Begin(s.origin, d.v.mark())
		}
	}
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", s.op, err)
	}
	f := fetch{d: d, op: s.op, file: s.part, conns: s.conns}
	if off == 0 {
		f.verify, f.follow = s.verify, s.part.Follow
	}
	dl = &Download{Modified: d.modified()}
	dl.Bytes, dl.Archive, err = f.run(ctx, s.part.There())
	if unsound(err) && !errors.Is(err, ErrUnimportable) {
		s.part.Discard()
	}
	return dl, off > 0, err
}

// beyond returns what the part file holds beyond where d begins, if that can be
// skipped.
func (s *saving) beyond(d *download) diskio.Extents {
	if !d.skips() {
		return nil
	}
	return s.part.Ranges().Within(d.off, d.v.Size)
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
