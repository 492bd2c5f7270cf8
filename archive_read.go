package porter

import (
	"archive/tar"
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// maxUnpacked is the most that an archive may unpack to: 1 TiB.
const maxUnpacked = 1 << 40

// A visitor is told what readArchive comes across.
type visitor interface {
	// entry begins the next entry, whatever its kind. It returns what takes the
	// contents, or nil. An error ends the reading.
	entry(h *tar.Header) (entrySink, error)
}

// An entrySink takes the contents of one entry. An error ends the reading.
type entrySink interface {
	write(p []byte) error
	end() error
}

// A wrapping is what is known of an archive beside its entries.
type wrapping struct {
	bytes   int64 // unpacked
	more    bool  // data follow the tar file
	members int   // of the gzip file
	padded  bool  // zeros follow the gzip data
	failed  bool  // the reader itself has, which says nothing of the archive
}

// readArchive reads an archive to its end, and tells v what is in it. That the
// archive is undamaged is known only once it returns without an error.
func readArchive(r io.Reader, maxUnpacked int64, v visitor) (wrapping, error) {
	src := &countingReader{r: r}
	in := bufio.NewReaderSize(src, 64<<10)
	w, tarErr, err := readMembers(in, maxUnpacked, v)
	var stop *visitorError
	switch {
	case errors.As(tarErr, &stop):
		return w, stop.err
	case src.err != nil:
		w.failed = true
		return w, src.err
	case errors.Is(err, ErrArchiveDamaged):
		// What is buffered has not been looked at.
		return w, fmt.Errorf("%w (at byte %d)", err, src.n-int64(in.Buffered()))
	case err != nil:
		return w, err
	}
	return w, tarErr
}

// inflatedRing is how far inflating may be ahead of looking at what is in the
// archive. The two work beside each other, and take the time of the slower one.
const inflatedRing = 256 << 10

// readMembers reads the gzip file in in, and the tar file inside.
func readMembers(in *bufio.Reader, maxUnpacked int64, v visitor) (w wrapping, tarErr, err error) {
	g, err := openGzip(in)
	if err != nil {
		return w, nil, err
	}
	inflated := newRing(inflatedRing)
	var inflating sync.WaitGroup
	inflating.Go(func() {
		_, err := inflated.ReadFrom(g)
		inflated.endWriting(cmp.Or(err, io.EOF))
	})
	defer inflating.Wait()
	defer inflated.endReading(os.ErrClosed)
	unpacked := &unpackedReader{r: inflated, max: maxUnpacked}
	buf := make([]byte, 32<<10)
	tarErr = readTar(unpacked, buf, v)
	if stop := (*visitorError)(nil); errors.As(tarErr, &stop) {
		return w, tarErr, nil
	}
	// A changed byte can look like anything in the tar file: the checksum at
	// the end of the gzip data tells whether there is one.
	w.more, err = unpacked.drain(buf)
	w.bytes = unpacked.n
	if err != io.EOF {
		return w, nil, err
	}
	w.members, w.padded = g.members, g.padded
	return w, tarErr, nil
}

// A visitorError is why a visitor wants no more.
type visitorError struct{ err error }

func (e *visitorError) Error() string { return e.err.Error() }

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
