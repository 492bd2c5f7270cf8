package porter

import (
	"archive/tar"
	"bufio"
	"bytes"
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
	// maxUnpacked is the most that an archive may unpack to: 1 TiB.
	maxUnpacked = 1 << 40
	// maxTarHeader is the most that may describe one entry, extended headers
	// included, because archive/tar holds it in memory.
	maxTarHeader = 256 << 10
	// maxVersionFile is the most that VERSION and its like may hold.
	maxVersionFile = 64
	// maxQuoted is the most of an archive's own bytes in one error. Quoting
	// makes up to four of one.
	maxQuoted = 50
)

// versionPattern is what GitLab's importer accepts as a version.
var versionPattern = regexp.MustCompile(`^[0-9]+(\.[0-9A-Za-z]+)*(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)

// ArchiveInfo is what VerifyArchive found in an archive.
type ArchiveInfo struct {
	GitLabVersion string // of the instance that made it; empty before GitLab 13
	Revision      string // of that GitLab; empty before GitLab 13
	FormatVersion string // which the importing GitLab must share, such as "0.2.4"
	Entries       int    // files and directories
	Bytes         int64  // uncompressed
	HasRepository bool   // an empty repository is not exported
}

// VerifyArchive reads r to its end and reports whether it is an undamaged
// GitLab project export. It holds less than a megabyte of it in memory, and
// stops early if what it has read cannot be the start of one gzip file.
//
// The error is ErrArchiveDamaged if bytes are missing, changed or added; if they
// are missing it is io.ErrUnexpectedEOF as well. It is ErrNotArchive if r is
// whole but no project export: not a tar file in gzip's format, without VERSION
// or project tree, with entries that GitLab does not export and that may be
// unsafe to unpack (links, devices, sparse files, names that are absolute or
// contain ".."), or more than 1 TiB when unpacked. An empty r is both. If r
// fails, the error is r's own and neither of the two.
//
// Every change of the archive's contents is found. Only changes that leave the
// contents as they are can go unnoticed: of what the gzip header says about
// the file's origin, such as its time, and of unused bits in compressed data.
func VerifyArchive(r io.Reader) (*ArchiveInfo, error) {
	if r == nil {
		return nil, errors.New("verify archive: reader is nil")
	}
	info, err := verifyArchive(r, maxUnpacked)
	if err != nil {
		return nil, fmt.Errorf("verify archive: %w", err)
	}
	return info, nil
}

func verifyArchive(r io.Reader, maxUnpacked int64) (*ArchiveInfo, error) {
	src := &countingReader{r: r}
	in := bufio.NewReaderSize(src, 64<<10)
	info, tarErr, err := verifyMember(in, maxUnpacked)
	switch {
	case src.err != nil:
		return nil, src.err
	case errors.Is(err, ErrArchiveDamaged):
		// What is buffered has not been looked at.
		return nil, fmt.Errorf("%w (at byte %d)", err, src.n-int64(in.Buffered()))
	case err != nil:
		return nil, err
	}
	return info, tarErr
}

// verifyMember verifies that in holds one gzip member and nothing else, and if
// so says what it found in the tar file inside.
func verifyMember(in *bufio.Reader, maxUnpacked int64) (info *ArchiveInfo, tarErr, err error) {
	if err := checkGzipHeader(in); err != nil {
		return nil, nil, err
	}
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, nil, gzipError(err)
	}
	z.Multistream(false)

	unpacked := &unpackedReader{r: z, max: maxUnpacked}
	buf := make([]byte, 32<<10)
	info, tarErr = verifyTar(unpacked, buf)
	// A changed byte can look like anything in the tar file: the checksum at
	// the end of the gzip data tells whether there is one.
	for err == nil {
		_, err = unpacked.Read(buf)
	}
	if err != io.EOF {
		return nil, nil, gzipError(err)
	}
	if tarErr == nil {
		info.Bytes = unpacked.n
	}
	return info, tarErr, checkEnd(in)
}

// gzipMagic is how a gzip file starts: two magic bytes and deflate's number.
var gzipMagic = []byte{0x1f, 0x8b, 8}

func checkGzipHeader(in *bufio.Reader) error {
	head, err := in.Peek(4)
	switch {
	case len(head) == 0 && err == io.EOF:
		return fmt.Errorf("%w: it is empty: %w: %w", ErrNotArchive, ErrArchiveDamaged, io.ErrUnexpectedEOF)
	case !bytes.HasPrefix(head, gzipMagic[:min(len(head), len(gzipMagic))]):
		head, _ = in.Peek(min(in.Buffered(), maxQuoted))
		return fmt.Errorf("%w: not gzip, starts with %q", ErrNotArchive, head)
	case err != nil:
		return gzipError(err)
	case head[3]&0xe0 != 0: // reserved flags, which compress/gzip ignores
		return gzipError(gzip.ErrHeader)
	}
	return nil
}

// checkEnd checks that nothing follows the gzip member.
func checkEnd(in *bufio.Reader) error {
	next, err := in.Peek(2)
	switch {
	case bytes.HasPrefix(next, gzipMagic[:2]):
		return fmt.Errorf("%w: a second gzip member follows", ErrArchiveDamaged)
	case len(next) > 0:
		return fmt.Errorf("%w: other data follow the gzip data", ErrArchiveDamaged)
	case err != io.EOF:
		return err
	}
	return nil
}

// gzipError says what err, met in the gzip data, means for the archive. An
// error of another kind is returned as it is.
func gzipError(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the gzip data are cut short: %w", ErrArchiveDamaged, io.ErrUnexpectedEOF)
	case errors.Is(err, gzip.ErrHeader):
		return fmt.Errorf("%w: invalid gzip header", ErrArchiveDamaged)
	case errors.Is(err, gzip.ErrChecksum):
		return fmt.Errorf("%w: checksum or length is not that of the contents", ErrArchiveDamaged)
	case errors.As(err, &corrupt):
		return fmt.Errorf("%w: invalid compressed data", ErrArchiveDamaged)
	}
	return err
}

// verifyTar verifies the tar file in r up to its end mark, reading with buf.
func verifyTar(r *unpackedReader, buf []byte) (*ArchiveInfo, error) {
	t := tarFile{r: r, tr: tar.NewReader(r), buf: buf}
	for t.next() {
		t.info.Entries++
	}
	switch {
	case t.err != nil:
		return nil, t.err
	case t.info.FormatVersion == "":
		return nil, fmt.Errorf("%w: no VERSION in it", ErrNotArchive)
	case !t.hasTree:
		return nil, fmt.Errorf("%w: no project tree in it", ErrNotArchive)
	}
	return &t.info, nil
}

// A tarFile is one that is being verified.
type tarFile struct {
	r       *unpackedReader
	tr      *tar.Reader
	buf     []byte
	last    string // the entry before
	info    ArchiveInfo
	hasTree bool
	err     error
}

// next verifies the next entry, and reports whether there was one.
func (t *tarFile) next() bool {
	t.r.startHeader()
	h, err := t.tr.Next()
	t.r.endHeader()
	if err == io.EOF && !t.r.ended { // by the end mark
		return false
	}
	if errors.Is(err, tar.ErrInsecurePath) { // as GODEBUG may have it
		err = nil
	}
	if err != nil {
		t.err = tarError(err, t.r, t.last)
		return false
	}
	if t.err = checkEntry(h); t.err != nil {
		return false
	}
	t.last = h.Name
	if h.Typeflag == tar.TypeReg {
		err = t.take(path.Clean(h.Name))
	}
	for err == nil {
		_, err = t.tr.Read(t.buf)
	}
	if err != io.EOF && t.err == nil {
		t.err = tarError(err, t.r, t.last)
	}
	return t.err == nil
}

// take notes what a file of that name says of the archive.
func (t *tarFile) take(name string) (err error) {
	text := ""
	switch name {
	case "VERSION":
		if text, err = readText(t.tr); err == nil && (len(text) > maxVersionFile || !versionPattern.MatchString(text)) {
			t.err = fmt.Errorf("%w: malformed VERSION %s", ErrNotArchive, quote(text))
			return t.err
		}
		t.info.FormatVersion = text
	case "GITLAB_VERSION":
		text, err = readText(t.tr)
		t.info.GitLabVersion = word(text)
	case "GITLAB_REVISION":
		text, err = readText(t.tr)
		t.info.Revision = word(text)
	case "tree/project.json", "project.json":
		t.hasTree = true
	case "project.bundle":
		t.info.HasRepository = true
	default:
		t.hasTree = t.hasTree || strings.HasPrefix(name, "tree/project/")
	}
	return err
}

// tarError says what err means, which archive/tar met in r after the start of
// the entry last, or at the first entry if last is "".
func tarError(err error, r *unpackedReader, last string) error {
	where := fmt.Sprintf("after entry %s, at byte %d unpacked", quote(last), r.n)
	switch {
	case errors.Is(err, errHeaderTooLarge):
		return fmt.Errorf("%w: more than %d bytes of tar header %s", ErrNotArchive, maxTarHeader, where)
	case last == "":
		return fmt.Errorf("%w: no tar file in it", ErrNotArchive)
	case r.ended:
		return fmt.Errorf("%w: the tar file is cut short %s: %w", ErrArchiveDamaged, where, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("%w: invalid tar header %s", ErrArchiveDamaged, where)
}

// checkEntry refuses what GitLab never exports and what could reach out of the
// directory that an archive is unpacked to.
func checkEntry(h *tar.Header) error {
	kind := ""
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir:
		for key := range h.PAXRecords {
			if strings.HasPrefix(key, "GNU.sparse.") {
				kind = "sparse file"
			}
		}
	case tar.TypeLink:
		kind = "hard link"
	case tar.TypeSymlink:
		kind = "symbolic link"
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		kind = "device"
	default:
		kind = fmt.Sprintf("entry of type %q", h.Typeflag)
	}
	switch {
	case kind != "":
	case h.Name == "":
		kind = "entry without name"
	case path.IsAbs(h.Name):
		kind = "absolute name"
	case strings.Contains("/"+h.Name+"/", "/../"):
		kind = "name with .."
	default:
		return nil
	}
	return fmt.Errorf("%w: unsafe: %s %s", ErrNotArchive, kind, quote(h.Name))
}

// readText reads a file that holds one short line. Of a longer one it returns
// just enough to be too long.
func readText(r io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxVersionFile+1))
	if len(b) > maxVersionFile {
		return string(b), err
	}
	return strings.TrimSpace(string(b)), err
}

// word returns s if it looks like a version or a revision, or else "".
func word(s string) string {
	if len(s) > maxVersionFile || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return ""
	}
	return s
}

// quote quotes the start of s, which comes from an archive.
func quote(s string) string {
	if len(s) > maxQuoted {
		return fmt.Sprintf("%q…", s[:maxQuoted])
	}
	return fmt.Sprintf("%q", s)
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

var errHeaderTooLarge = errors.New("tar header too large")

// An unpackedReader reads the unpacked archive, no more than max bytes of it
// and no more than maxTarHeader bytes of a header.
type unpackedReader struct {
	r      io.Reader
	n, max int64
	header int64 // where the header must end, 0 outside of headers
	ended  bool  // r has no more
}

func (u *unpackedReader) startHeader() { u.header = u.n + maxTarHeader }
func (u *unpackedReader) endHeader()   { u.header = 0 }

func (u *unpackedReader) Read(p []byte) (int, error) {
	if u.header > 0 {
		if u.n >= u.header {
			return 0, errHeaderTooLarge
		}
		p = p[:min(int64(len(p)), u.header-u.n)]
	}
	n, err := u.r.Read(p)
	u.n += int64(n)
	if u.n > u.max {
		return n, fmt.Errorf("%w: it unpacks to more than %d bytes", ErrNotArchive, u.max)
	}
	if n > 0 {
		return n, nil // so that ended means that nothing was left to read
	}
	u.ended = err == io.EOF
	return n, err
}
