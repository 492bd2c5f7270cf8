package porter

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// maxUnpacked is the most that an archive may unpack to: 1 TiB.
const maxUnpacked = 1 << 40

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
		c, err := readArchive(r, maxUnpacked)
		if err != nil {
			return nil, fmt.Errorf("verify archive: %w", err)
		}
		info := c.finish()
		if err := by(c); err != nil {
			return nil, fmt.Errorf("verify archive: %w", err)
		}
		return info, nil
	}
}

// readArchive reads an archive to its end, and returns what is in it.
func readArchive(r io.Reader, maxUnpacked int64) (*contents, error) {
	src := &countingReader{r: r}
	in := bufio.NewReaderSize(src, 64<<10)
	c, tarErr, err := readMembers(in, maxUnpacked)
	switch {
	case src.err != nil:
		return nil, src.err
	case errors.Is(err, ErrArchiveDamaged):
		// What is buffered has not been looked at.
		return nil, fmt.Errorf("%w (at byte %d)", err, src.n-int64(in.Buffered()))
	case err != nil:
		return nil, err
	}
	return c, tarErr
}

// readMembers reads the gzip file in in, and the tar file inside.
func readMembers(in *bufio.Reader, maxUnpacked int64) (c *contents, tarErr, err error) {
	g, err := openGzip(in)
	if err != nil {
		return nil, nil, err
	}
	ahead := newAheadReader(g)
	defer ahead.close()
	unpacked := &unpackedReader{r: ahead, max: maxUnpacked}
	buf := make([]byte, 32<<10)
	c, tarErr = readTar(unpacked, buf)
	// A changed byte can look like anything in the tar file: the checksum at
	// the end of the gzip data tells whether there is one.
	more, err := unpacked.drain(buf)
	if err != io.EOF {
		return nil, nil, err
	}
	if tarErr != nil {
		return nil, tarErr, nil
	}
	c.info.Bytes = unpacked.n
	if more {
		c.odd.note("data after the end of the tar file, which GitLab leaves out", "")
	}
	if g.members > 1 {
		c.odd.note("several gzip members", "")
	}
	if g.padded {
		c.odd.note("zeros after the gzip data", "")
	}
	return c, nil, nil
}

// A countingReader counts what it reads and keeps the error of its reader,
// which is no fault of the archive.
type countingReader struct {
	r   io.Reader
	n   int64
	err error
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}
