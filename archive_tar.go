package porter

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	// maxTarHeader is the most that may describe one entry, extended headers
	// included, because archive/tar holds it in memory.
	maxTarHeader = 256 << 10
	// maxSparse is the most that sparse files may hold together: their holes
	// cost time, but no bytes of the archive.
	maxSparse = 1 << 30
)

// readTar reads the tar file in r up to its end mark, with buf, and tells v what
// is in it.
func readTar(r *unpackedReader, buf []byte, v visitor) error {
	t := tarFile{r: r, tr: tar.NewReader(r), buf: buf, v: v}
	for t.next() {
	}
	return t.err
}

// A tarFile is one that is being read.
type tarFile struct {
	r      *unpackedReader
	tr     *tar.Reader
	buf    []byte
	v      visitor
	last   string // the entry before
	sparse int64  // bytes of sparse files so far
	err    error
}

// next reads the next entry, and reports whether there was one.
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
	t.last = h.Name
	if isSparse(h) {
		if t.sparse += h.Size; h.Size < 0 || t.sparse > maxSparse || t.sparse < 0 {
			t.err = fmt.Errorf("%w: sparse files of more than %d bytes", ErrNotArchive, maxSparse)
			return false
		}
	}
	sink, err := t.v.entry(h)
	if err != nil {
		t.err = &visitorError{err}
		return false
	}
	t.err = t.contents(sink)
	return t.err == nil
}

// contents reads the contents of the entry at hand.
func (t *tarFile) contents(sink entrySink) error {
	for {
		n, err := t.tr.Read(t.buf)
		if sink != nil && n > 0 {
			if err := sink.write(t.buf[:n]); err != nil {
				return &visitorError{err}
			}
		}
		switch {
		case err == nil:
		case err != io.EOF:
			return tarError(err, t.r, t.last)
		case sink == nil:
			return nil
		default:
			if err := sink.end(); err != nil {
				return &visitorError{err}
			}
			return nil
		}
	}
}

func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") && h.Typeflag != tar.TypeXGlobalHeader {
			return true
		}
	}
	return false
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

// drain reads what follows the tar file, and reports whether it is more than
// padding.
func (u *unpackedReader) drain(buf []byte) (data bool, err error) {
	for err == nil {
		var n int
		n, err = u.Read(buf)
		data = data || len(bytes.Trim(buf[:n], "\x00")) > 0
	}
	return data, err
}
