package porter

import (
	"context"
	"fmt"
	"io"
	"os"
)

// A checkedReader verifies an archive while it is read, and ends only if the
// archive is sound: what is uploaded from it is never complete otherwise.
type checkedReader struct {
	io.ReadCloser
	what    string // for errors
	pipe    *io.PipeWriter
	verdict chan verification
	info    *ArchiveInfo // once it has ended
	err     error
}

// A verification is how verifying an archive ended.
type verification struct {
	info *ArchiveInfo
	err  error
}

func newCheckedReader(r io.ReadCloser, what string, by importRules) *checkedReader {
	pr, pw := io.Pipe()
	c := &checkedReader{ReadCloser: r, what: what, pipe: pw, verdict: make(chan verification, 1)}
	go func() {
		info, err := verifyBy(pr, by)
		pr.CloseWithError(err)
		c.verdict <- verification{info, err}
	}()
	return c
}

func (c *checkedReader) Read(b []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.ReadCloser.Read(b)
	if _, refused := c.pipe.Write(b[:n]); refused != nil || err == io.EOF {
		c.pipe.Close()
		v := <-c.verdict
		if c.info = v.info; v.err != nil {
			n, err = 0, fmt.Errorf("%s: verify archive: %w", c.what, v.err)
		}
	}
	c.err = err
	return n, err
}

// Size returns what the reader says of its size.
func (c *checkedReader) Size() int64 { return sizeOf(c.ReadCloser) }

// Close ends the reading and the verification.
func (c *checkedReader) Close() error {
	err := c.ReadCloser.Close()
	c.pipe.CloseWithError(os.ErrClosed)
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
		return newCheckedReader(r, src.Name, by), nil
	}
	return src
}
