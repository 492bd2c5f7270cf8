package portertest

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	importFormat    = "0.2.4"     // which an archive's VERSION must be
	maxDecompressed = 25600 << 20 // GitLab's default for an unpacked archive
)

// CheckArchive reads r to its end and returns nil if GitLab 18.9 would import
// it. Otherwise the error's text is what GitLab reports in import_error after
// the name of the project. An error of r itself is returned as it is.
//
// It goes through an archive in the order in which GitLab does: tar, links,
// VERSION, repository, wiki, tree, designs, LFS objects, snippets. Records are parsed, but
// not looked at; of a git bundle the first line and the hash at its end are.
func CheckArchive(r io.Reader) error {
	_, err := unpackArchive(r)
	return err
}

// unpackArchive is CheckArchive, and returns what the project in the archive
// holds.
func unpackArchive(r io.Reader) (*contents, error) {
	src := &sourceReader{r: r}
	disk, err := unpack(src, maxDecompressed)
	io.Copy(io.Discard, src) // so that a writer at the other end does not block
	if src.err != nil {
		err = src.err
	}
	return disk.holds, err
}

// A sourceReader remembers why its reader failed, which is no fault of the
// archive.
type sourceReader struct {
	r   io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// An importError is an import_error in GitLab's own words.
type importError string

func (e importError) Error() string { return string(e) }

const (
	errDecompressedSize importError = "Decompressed archive size validation failed."
	errHardLink         importError = "File shares hard link"
	errVersionFormat    importError = "Incorrect VERSION format"
	errVersionEmpty     importError = "end of file reached"
	errImportFormat     importError = "invalid import format"
	errInvalidFile      importError = "Invalid file"
	errJSON             importError = "Incorrect JSON format"
	errBundle           importError = "Invalid bundle file"
	errLFS              importError = "undefined method `each' for nil"

	// What Gitaly says of a bundle that it cannot clone is not known to the letter.
	errClone importError = "13:waiting for clone: exit status 128."

	// GitLab hides the paths in Ruby's complaints.
	errNoVersion   importError = "No such file or directory @ rb_sysopen - [FILTERED]"
	errIsDirectory importError = "Is a directory @ io_fread - [FILTERED]"
)

// A formatMismatch is an archive of another format than is wanted.
type formatMismatch struct{ want, was string }

func (e formatMismatch) Error() string {
	return fmt.Sprintf("Import version mismatch: Required %s but was %s", e.want, e.was)
}

// A jsonTreeError is a project tree in a single file, which GitLab wrote up to
// version 12 and imported up to version 15.10. broken says that it is not JSON.
type jsonTreeError struct {
	importError
	broken bool
}

func checkArchive(r io.Reader, maxDecompressed int64) error {
	_, err := unpack(r, maxDecompressed)
	return err
}

func unpack(r io.Reader, maxDecompressed int64) (*unpackedFiles, error) {
	z := &gunzipper{in: bufio.NewReader(r)}
	unpacked := &unpackedReader{r: z, left: maxDecompressed}
	disk, err := extract(unpacked)
	// A tar file's end is not the end of the gzip data around it.
	if _, gzErr := io.Copy(io.Discard, unpacked); gzErr != nil {
		err = gzErr
	}
	switch version := disk.files["VERSION"]; {
	case errors.Is(err, errDecompressedSize):
		return disk, errDecompressedSize
	case err != nil && version == nil:
		return disk, commandError(err, z.members > 0) + " and " + errNoVersion
	case err != nil:
		return disk, commandError(err, z.members > 0)
	case disk.hardLink:
		return disk, errHardLink
	}
	return disk, disk.check()
}

// commandError is GitLab's text for a tar command that failed. started says
// whether the gzip header was whole.
func commandError(err error, started bool) importError {
	const child, fatal = "tar: Child returned status 1", "tar: Error is not recoverable: exiting now"
	var corrupt flate.CorruptInputError
	var lines []string
	switch {
	case errors.Is(err, gzip.ErrHeader) && started:
		lines = []string{"gzip: stdin: decompression OK, trailing garbage ignored", "tar: Child returned status 2", fatal}
	case errors.Is(err, gzip.ErrHeader):
		lines = []string{"gzip: stdin: not in gzip format", child, fatal}
	case errors.Is(err, gzip.ErrChecksum):
		lines = []string{"gzip: stdin: invalid compressed data--crc error", child, fatal}
	case errors.As(err, &corrupt):
		lines = []string{"gzip: stdin: invalid compressed data--format violated", child, fatal}
	case errors.Is(err, errTarCutShort):
		lines = []string{"tar: Unexpected EOF in archive", fatal}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		lines = []string{"gzip: stdin: unexpected end of file", child, fatal}
	default:
		lines = []string{err.Error(), "tar: Exiting with failure status due to previous errors"}
	}
	return importError("Command exited with error code 2: " + strings.Join(lines, "\n"))
}

var (
	errTarCutShort = errors.New("tar file cut short")
	errNotTar      = errors.New("tar: This does not look like a tar archive\ntar: Skipping to next header")
	errTarHeader   = errors.New("tar: Skipping to next header")
	errDotDot      = errors.New("tar: [FILTERED] Member name contains '..'")
	errNoName      = errors.New("tar: Substituting `.' for empty member name\ntar: .: Cannot open: File exists")
	errDevice      = errors.New("tar: [FILTERED] Cannot mknod: Operation not permitted")
	errMultiVolume = errors.New("tar: [FILTERED] Cannot extract -- file is continued from another volume")
)

// A gunzipper inflates as gzip -dc does: members one after the other, and then
// nothing but zeros.
type gunzipper struct {
	in      *bufio.Reader
	z       *gzip.Reader
	members int
	err     error // is final
}

func (g *gunzipper) Read(p []byte) (n int, err error) {
	if g.err == nil {
		n, g.err = g.read(p)
	}
	return n, g.err
}

func (g *gunzipper) read(p []byte) (int, error) {
	if g.z == nil {
		z, err := gzip.NewReader(g.in)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, err
		}
		z.Multistream(false)
		g.z = z
		g.members++
	}
	n, err := g.z.Read(p)
	if err != io.EOF {
		return n, err
	}
	head, err := g.in.Peek(2)
	switch {
	case len(head) == 0:
		return n, err
	case string(head) == "\x1f\x8b":
		g.z = nil
		return n, nil
	}
	if rest, _ := io.ReadAll(io.LimitReader(nonZeros{g.in}, 1)); len(rest) == 0 {
		return n, io.EOF
	}
	return n, gzip.ErrHeader
}

// nonZeros leaves zeros out.
type nonZeros struct{ r io.Reader }

func (z nonZeros) Read(p []byte) (int, error) {
	n, err := z.r.Read(p)
	return copy(p, bytes.ReplaceAll(p[:n], []byte{0}, nil)), err
}

// extract unpacks as far as it matters. It goes on after an entry that cannot
// be unpacked, but fails in the end.
func extract(r *unpackedReader) (disk *unpackedFiles, err error) {
	disk = newUnpackedFiles()
	tr := tar.NewReader(r)
	for n := 0; ; n++ {
		h, nextErr := tr.Next()
		switch {
		case nextErr == io.EOF:
			return disk, err
		case nextErr == io.ErrUnexpectedEOF && r.err == io.EOF:
			return disk, errTarCutShort
		case r.err != nil && r.err != io.EOF:
			return disk, r.err
		case errors.Is(nextErr, tar.ErrInsecurePath):
		case nextErr != nil && n == 0:
			return disk, errNotTar
		case nextErr != nil:
			return disk, errTarHeader
		}
		if entryErr := disk.add(h, tr); entryErr != nil {
			err = entryErr
		}
	}
}

// An unpackedReader fails after left bytes and keeps its reader's last error,
// which tar's reader does not pass on in all cases.
type unpackedReader struct {
	r    io.Reader
	left int64
	err  error
}

func (u *unpackedReader) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	if u.left -= int64(n); u.left < 0 {
		err = errDecompressedSize
	}
	if err != nil {
		u.err = err
	}
	return n, err
}
