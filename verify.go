package porter

import (
	"errors"
	"fmt"
	"io"
)

// VerifyArchive reads r to its end and reports whether it is an undamaged
// GitLab project export that GitLab can import. It holds no more than 3 MiB in
// memory, whatever the archive holds, and stops early if what it has read
// cannot be the start of a gzip file.
//
// The error is ErrArchiveDamaged if bytes are missing, changed or added; if they
// are missing it is io.ErrUnexpectedEOF as well. A tar file without its end
// mark is damaged, although GitLab imports what is left of it without a word.
// It is ErrNotArchive if r is whole but no project export: not a tar file in
// gzip's format, without VERSION or project tree, or more than 1 TiB when
// unpacked, or more than 1 GiB of that in sparse files. An empty r is both. If r
// fails, the error is r's own and none of these.
//
// It is ErrUnimportable if r is a whole export of which it is known that GitLab
// accepts it and then fails to import any of it. The text names the entry, the
// line and the rule:
//   - a record that is longer than 50 MiB, or not JSON
//   - no tree/project.json, or one that is not JSON or longer than 50 MiB
//   - a git bundle that does not begin with git's first line, or whose pack
//     does not end in its own hash
//   - an LFS object that is not what its name says, or not in lfs-objects.json
//   - a VERSION that is not 0.2.4 by GitLab's own rule: the first three numbers
//     with points between them in its first line
//   - hard links, devices, and names that contain ".."
//
// What GitLab imports although it does not export it is no error, but listed in
// ArchiveInfo.Odd: symbolic links, pipes, sparse files, absolute names, several
// gzip members, data after the end. To unpack such an archive may be unsafe.
// An archive with a tree in one file (TreeJSON), which GitLab does not import
// since 15.11, is no error either: older releases do.
//
// Every change of the archive's contents is found. Only changes that leave the
// contents as they are can go unnoticed: of what the gzip header says about
// the file's origin, such as its time, and of unused bits in compressed data.
func VerifyArchive(r io.Reader) (*ArchiveInfo, error) {
	if r == nil {
		return nil, errors.New("verify archive: reader is nil")
	}
	return verifyBy(wholeRules)(r)
}

// A verifier reads an archive, or another file, to its end and reports whether
// it is sound.
type verifier func(io.Reader) (*ArchiveInfo, error)

// verifyBy verifies archives by the rules of an import.
func verifyBy(by importRules) verifier {
	return func(r io.Reader) (*ArchiveInfo, error) {
		c := newContents()
		if _, err := c.read(r, maxUnpacked); err != nil {
			return nil, fmt.Errorf("verify archive: %w", err)
		}
		info := c.finish()
		if all := by(c); len(all) > 0 {
			return nil, fmt.Errorf("verify archive: %w", all[0].asError())
		}
		return info, nil
	}
}

// read reads an archive to its end. An error that is r's own is foreign.
func (c *contents) read(r io.Reader, maxUnpacked int64) (foreign bool, err error) {
	w, err := readArchive(r, maxUnpacked, c)
	c.info.Bytes = w.bytes
	if w.more {
		c.odd.note("data after the end of the tar file, which GitLab leaves out", "")
	}
	if w.members > 1 {
		c.odd.note("several gzip members", "")
	}
	if w.padded {
		c.odd.note("zeros after the gzip data", "")
	}
	return w.failed, err
}
