package porter

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
)

// A verification verifies what is written to it, in a goroutine of its own.
type verification struct {
	ring *ring
	done chan struct{} // closed when what follows is set
	info *ArchiveInfo
	err  error
}

// verifiedRing is how far a verification may be behind what is written to it.
const verifiedRing = 128 << 10

func newVerification(verify verifier) *verification {
	v := &verification{ring: newRing(verifiedRing), done: make(chan struct{})}
	go func() {
		defer close(v.done)
		v.info, v.err = verify(v.ring)
		v.ring.endReading(cmp.Or(v.err, io.ErrClosedPipe))
	}()
	return v
}

// Write fails with the verdict once that is known, because what was written
// before cannot be the beginning of anything sound.
func (v *verification) Write(b []byte) (int, error) { return v.ring.Write(b) }

// ReadFrom is Write for what r brings, up to its end.
func (v *verification) ReadFrom(r io.Reader) (int64, error) { return v.ring.ReadFrom(r) }

// end says that everything was written, and waits for the verdict.
func (v *verification) end() (*ArchiveInfo, error) {
	v.ring.endWriting(io.EOF)
	<-v.done
	return v.info, v.err
}

// stop ends it without a verdict, if there is none yet.
func (v *verification) stop() { v.ring.endWriting(os.ErrClosed) }

// A checkedReader verifies an archive while it is read, and ends only if the
// archive is sound: what is uploaded from it is never complete otherwise.
type checkedReader struct {
	io.ReadCloser
	what string // for errors
	v    *verification
	info *ArchiveInfo // once it has ended
	err  error
}

func newCheckedReader(r io.ReadCloser, what string, verify verifier) *checkedReader {
	return &checkedReader{ReadCloser: r, what: what, v: newVerification(verify)}
}

func (c *checkedReader) Read(b []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.ReadCloser.Read(b)
	_, unsound := c.v.Write(b[:n])
	if unsound == nil && err == io.EOF {
		c.info, unsound = c.v.end()
	}
	if unsound != nil {
		n, err = 0, fmt.Errorf("%s: %w", c.what, unsound)
	}
	c.err = err
	return n, err
}

// Size returns what the reader says of its size.
func (c *checkedReader) Size() int64 { return sizeOf(c.ReadCloser) }

// Close ends the reading and the verification.
func (c *checkedReader) Close() error {
	err := c.ReadCloser.Close()
	c.v.stop()
	return err
}

// checked returns the source with its archive verified by the given rules
// whenever it is read.
func (src Source) checked(by importRules) Source {
	open := src.Open
	src.Open = func(ctx context.Context) (io.ReadCloser, error) {
		r, err := open(ctx)
		if r == nil || err != nil {
			return r, err
		}
		return newCheckedReader(r, src.Name, verifyBy(by)), nil
	}
	return src
}
