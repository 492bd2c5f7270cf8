package portertest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
)

// upload is an archive that came to GitLab, read to its end and not kept.
type upload struct {
	from    string // a URL, if it was not uploaded but is to be fetched
	name    string // without its directory
	size    int64
	sha256  string
	holds   *contents // what an import of it restores
	problem error     // why an import of it fails
}

// readUpload reads an archive to its end. It fails if r does, or if there are
// more bytes than a limit that is not 0.
func readUpload(r io.Reader, limit int64) (*upload, error) {
	sum := sha256.New()
	body := &countingReader{r: io.TeeReader(r, sum), limit: limit}
	up := new(upload)
	up.holds, up.problem = unpackArchive(body)
	up.size, up.sha256 = body.n, hex.EncodeToString(sum.Sum(nil))
	if !body.whole() {
		return up, body.err
	}
	return up, nil
}

var errEntityTooLarge = errors.New("entity is too large")

// countingReader counts what it reads, up to a limit if that is not 0, and
// remembers how it ended.
type countingReader struct {
	r     io.Reader
	n     int64
	limit int64
	err   error
}

func (c *countingReader) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.limit > 0 && c.n > c.limit {
		err = errEntityTooLarge
	}
	c.err = err
	return n, err
}

func (c *countingReader) whole() bool { return c.err == io.EOF }
