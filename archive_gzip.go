package porter

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// A gzipFile inflates a gzip file. It reads several members as one, as gzip
// does, and leaves out zeros after the last, but nothing else.
type gzipFile struct {
	in      *bufio.Reader
	z       *gzip.Reader
	members int
	padded  bool // zeros follow the last member
	err     error
}

// openGzip reads the first header. It fails early if in cannot be the start of
// a gzip file.
func openGzip(in *bufio.Reader) (*gzipFile, error) {
	head, err := in.Peek(3)
	switch {
	case len(head) == 0 && err == io.EOF:
		return nil, fmt.Errorf("%w: it is empty: %w: %w", ErrNotArchive, ErrArchiveDamaged, io.ErrUnexpectedEOF)
	case !bytes.HasPrefix(head, gzipMagic[:min(len(head), len(gzipMagic))]):
		head, _ = in.Peek(min(in.Buffered(), maxQuoted))
		return nil, fmt.Errorf("%w: not gzip, starts with %q", ErrNotArchive, head)
	}
	g := &gzipFile{in: in, z: new(gzip.Reader)}
	return g, g.begin()
}

// gzipMagic is how a gzip file starts: two magic bytes and deflate's number.
var gzipMagic = []byte{0x1f, 0x8b, 8}

// begin reads the header of the next member.
func (g *gzipFile) begin() error {
	head, err := g.in.Peek(4)
	switch {
	case err != nil:
		return gzipError(err)
	case head[3]&0xe0 != 0: // reserved flags, which compress/gzip ignores
		return gzipError(gzip.ErrHeader)
	}
	if err := g.z.Reset(g.in); err != nil {
		return gzipError(err)
	}
	g.z.Multistream(false)
	g.members++
	return nil
}

func (g *gzipFile) Read(p []byte) (n int, err error) {
	for g.err == nil {
		n, err = g.z.Read(p)
		switch {
		case err == io.EOF:
			g.err = g.next()
		case err != nil:
			g.err = gzipError(err)
		}
		if n > 0 || err == nil {
			return n, nil
		}
	}
	return 0, g.err
}

// next goes on after the end of a member. The error is io.EOF if it was the last.
func (g *gzipFile) next() error {
	head, err := g.in.Peek(2)
	switch {
	case bytes.Equal(head, gzipMagic[:2]):
		return g.begin()
	case len(head) == 0:
		return err
	case head[0] == 0:
		g.padded = true
	}
	for {
		c, err := g.in.ReadByte()
		switch {
		case err != nil:
			return err
		case c != 0:
			g.in.UnreadByte()
			return fmt.Errorf("%w: other data follow the gzip data", ErrArchiveDamaged)
		}
	}
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
