package portertest

import (
	"archive/tar"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
)

const (
	importFormat    = "0.2.4"     // which an archive's VERSION must be
	maxDecompressed = 25600 << 20 // GitLab's default for an unpacked archive
	maxVersion      = 4 << 10     // of VERSION that is read
)

// gemVersion is what GitLab takes for a version at all.
var gemVersion = regexp.MustCompile(`^\s*([0-9]+(\.[0-9a-zA-Z]+)*(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?)?\s*$`)

// CheckArchive reads r to its end and returns nil if GitLab 18.9 would import
// it. Otherwise the error's text is what GitLab reports in import_error after
// the name of the project. An error of r itself is returned as it is.
//
// The contents of the archive's files are not looked at, other than VERSION's.
func CheckArchive(r io.Reader) error {
	src := &sourceReader{r: r}
	err := checkArchive(src, maxDecompressed)
	io.Copy(io.Discard, src) // so that a writer at the other end does not block
	if src.err != nil {
		return src.err
	}
	return err
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
	errImportFormat     importError = "invalid import format"

	// GitLab hides the path in Ruby's complaint.
	errNoVersion importError = "No such file or directory @ rb_sysopen - [FILTERED]"
)

// A formatMismatch is an archive of another format than is wanted.
type formatMismatch struct{ want, was string }

func (e formatMismatch) Error() string {
	return fmt.Sprintf("Import version mismatch: Required %s but was %s", e.want, e.was)
}

// A jsonTreeError is a project tree in a single file, which GitLab wrote up to
// version 12 and imported up to version 15.10.
type jsonTreeError struct{ importError }

func checkArchive(r io.Reader, maxDecompressed int64) error {
	unpacked := &unpackedReader{left: maxDecompressed}
	z, err := gzip.NewReader(r)
	var found extracted
	if err == nil {
		unpacked.r = z
		if found, err = extract(unpacked); err == nil {
			// A tar file's end is not the end of the gzip data around it.
			_, err = io.Copy(io.Discard, unpacked)
		} else if _, gzErr := io.Copy(io.Discard, unpacked); gzErr != nil {
			err = gzErr
		}
	}

	switch {
	case errors.Is(err, errDecompressedSize):
		return errDecompressedSize
	case err != nil && !found.version:
		return commandError(err, z != nil) + " and " + errNoVersion
	case err != nil:
		return commandError(err, z != nil)
	case found.hardLink:
		return errHardLink
	case !found.version:
		return errNoVersion
	case !gemVersion.MatchString(found.format):
		return errVersionFormat
	case strings.TrimSpace(found.format) != importFormat:
		return formatMismatch{importFormat, found.format}
	case !found.tree && found.jsonTree:
		return jsonTreeError{errImportFormat}
	case !found.tree:
		return errImportFormat
	}
	return nil
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
	errDevice      = errors.New("tar: [FILTERED] Cannot mknod: Operation not permitted")
)

// extracted is what a tar command would leave on disk, as far as it matters.
type extracted struct {
	version  bool
	format   string // VERSION's contents
	tree     bool
	jsonTree bool
	hardLink bool
}

func extract(r *unpackedReader) (found extracted, err error) {
	tr := tar.NewReader(r)
	for n := 0; ; n++ {
		h, nextErr := tr.Next()
		switch {
		case nextErr == io.EOF:
			return found, err
		case nextErr == io.ErrUnexpectedEOF && r.err == io.EOF:
			return found, errTarCutShort
		case r.err != nil && r.err != io.EOF:
			return found, r.err
		case errors.Is(nextErr, tar.ErrInsecurePath):
		case nextErr != nil && n == 0:
			return found, errNotTar
		case nextErr != nil:
			return found, errTarHeader
		}
		if strings.Contains("/"+h.Name+"/", "/../") {
			err = errDotDot // tar goes on, but fails in the end
			continue
		}
		name := path.Clean("/" + h.Name)
		switch h.Typeflag {
		case tar.TypeLink:
			found.hardLink = true
		case tar.TypeChar, tar.TypeBlock:
			err = errDevice
		case tar.TypeReg:
			switch name {
			case "/VERSION":
				b, readErr := io.ReadAll(io.LimitReader(tr, maxVersion))
				if readErr == nil {
					found.version, found.format = true, string(b)
				}
			case "/tree/project.json":
				found.tree = true
			case "/project.json":
				found.jsonTree = true
			}
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
