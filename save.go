package porter

import (
	"context"
	"errors"
	"fmt"
)

// DownloadExportFile downloads the finished archive to a file, which appears
// under its name only when it is complete, and returns its size in bytes.
//
// Until then the bytes are in a file named name.part, and name.part.json tells
// which archive they belong to. Both stay after a failure, or if the process
// is killed, and the next call continues them if the server still holds that
// archive; otherwise it begins anew. A part that no call could continue is
// removed. A call that finds another one writing uses a part file of its own,
// name.*.part, which it removes if it fails and which only a killed process
// leaves behind. An existing file, or symbolic link, is replaced at the end.
// Like other downloads, the file may not have reached the disk by then: a
// program that must bear a loss of power opens it and calls its Sync.
//
// Errors are those of OpenExport and ExportReader.Read, and of the file system.
func (c *Client) DownloadExportFile(ctx context.Context, p ProjectRef, name string) (int64, error) {
	id, err := resolve(p)
	if err != nil {
		return 0, fmt.Errorf("download export: %w", err)
	}
	return c.downloadExportFile(ctx, id, id, p.String(), name, false)
}

// downloadExportFile downloads the archive of the project id. Its part file
// goes by the reference that the caller gave, which the next call may repeat.
func (c *Client) downloadExportFile(ctx context.Context, id, given, label, name string, outlasts bool) (int64, error) {
	op := "download export of " + label
	return saveFile(op, name, c.projectEndpoint(given, "export/download"), func(off int64, v validator) (*download, error) {
		return c.openExport(ctx, id, label, off, v, outlasts)
	})
}

// saveFile downloads what open opens to the file target. Its part file is
// continued only for the same origin, which is a URL. The operation op is
// named in the errors of the file system.
func saveFile(op, target, origin string, open func(off int64, v validator) (*download, error)) (n int64, err error) {
	if err := checkTarget(target); err != nil {
		return 0, fmt.Errorf("%s: %w", op, err)
	}
	part, err := openPart(target)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", op, err)
	}
	defer func() {
		switch {
		case err == nil:
		case errors.Is(err, ErrExportExpired) && part.ours:
			part.discard() // there is nothing left to continue it from
		default:
			part.leave()
		}
	}()
	d, err := open(part.resumable(origin))
	if err != nil {
		return 0, err
	}
	start := d.off
	r, err := newExportReader(d)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	if start == 0 {
		err = part.begin(origin, d.v)
	} else {
		err = part.continueAt(start)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", op, err)
	}
	n, err = gather(part.bytes, r)
	n += start
	if werr := (*writeError)(nil); errors.As(err, &werr) {
		return n, fmt.Errorf("%s: %w", op, werr.err)
	}
	if err != nil {
		return n, err
	}
	if err := part.finish(); err != nil {
		return n, fmt.Errorf("%s: %w", op, err)
	}
	return n, nil
}
