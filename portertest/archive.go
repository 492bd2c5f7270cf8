package portertest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sync"
)

// An Archive is a project export that the simulator serves, or that a test
// uploads. It is read at any offset and never held in memory, however large it
// is, and is safe for concurrent use.
type Archive struct {
	src   io.ReaderAt
	size  int64
	sum   func() (string, error)
	close func() error
}

func newArchive(src io.ReaderAt, size int64, closer func() error) *Archive {
	a := &Archive{src: src, size: size, close: closer}
	a.sum = sync.OnceValues(func() (string, error) {
		h := sha256.New()
		n, err := io.Copy(h, a.NewReader())
		if err == nil && n != size {
			err = io.ErrUnexpectedEOF
		}
		return hex.EncodeToString(h.Sum(nil)), err
	})
	return a
}

// BytesArchive returns an archive of the bytes of b, which need not be a valid
// export and must not be changed afterwards.
func BytesArchive(b []byte) *Archive {
	return newArchive(bytes.NewReader(b), int64(len(b)), nil)
}

// FileArchive returns an archive of the contents of the named file, which stays
// open until Close is called.
func FileArchive(name string) (*Archive, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("portertest: open archive: %w", err)
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("portertest: open archive: %w", err)
	}
	return newArchive(f, fi.Size(), f.Close), nil
}

// Size returns the number of bytes of the archive.
func (a *Archive) Size() int64 { return a.size }

// ReadAt reads the archive's bytes from offset off, as io.ReaderAt has it.
func (a *Archive) ReadAt(p []byte, off int64) (int, error) { return a.src.ReadAt(p, off) }

// NewReader returns a reader of the whole archive, independent of all others.
func (a *Archive) NewReader() *io.SectionReader { return io.NewSectionReader(a.src, 0, a.size) }

// SHA256 returns the archive's SHA-256 in hexadecimal. It is computed by the
// first call, which reads the whole archive. SHA256 panics if that fails, as
// happens to an archive of a file that was cut short or closed.
func (a *Archive) SHA256() string {
	sum, err := a.sum()
	if err != nil {
		panic(fmt.Sprintf("portertest: hash archive: %v", err))
	}
	return sum
}

// Close closes the file behind an archive of FileArchive. Other archives need
// no closing.
func (a *Archive) Close() error {
	if a.close == nil {
		return nil
	}
	return a.close()
}
