package portertest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"path"
	"strings"
)

const maxFiles = 10 // in one form

// upload is an archive that came to GitLab, read to its end and not kept.
type upload struct {
	from    string // a URL, if it was not uploaded but is to be fetched
	name    string // without its directory
	size    int64
	sha256  string
	problem error // what an importer will find wrong with it
}

var errEntityTooLarge = errors.New("entity is too large")

// accelerated handles a request whose file the front server stores before
// GitLab sees anything of it.
func (c *call) accelerated() *reply {
	if c.s.version().atLeast(12, 9) {
		if r := c.locked((*call).preflight); r != nil {
			return r
		}
	}
	if r := c.receive(); r != nil {
		return r
	}
	r := c.locked((*call).app)
	// The front server takes GitLab's own "100 Continue" for the status.
	if strings.EqualFold(c.r.Header.Get("Expect"), "100-continue") && r.send == nil {
		r.status = http.StatusOK
	}
	return r
}

// preflight is the front server's question whether it may take the file, asked
// with the request's headers before any of its body is read.
func (c *call) preflight() *reply {
	if r := c.screen(); r != nil {
		return r
	}
	return c.throttled((*call).authorizeUpload)
}

func (c *call) authorizeUpload() *reply {
	if r := c.writeRefused(); r != nil {
		return r
	}
	u, r := c.authenticate()
	switch {
	case r != nil:
		return r
	case u == nil:
		return message(http.StatusUnauthorized, "401 Unauthorized")
	case c.s.cfg.importsOff:
		return message(http.StatusForbidden, "403 Forbidden")
	}
	return nil
}

// receive reads a form with a file.
func (c *call) receive() *reply {
	mr, err := c.r.MultipartReader()
	if errors.Is(err, http.ErrNotMultipart) {
		return c.parseBody()
	}
	if err != nil {
		return frontServer(http.StatusBadRequest, "Bad Request")
	}
	c.s.lock()
	limit := c.s.cfg.maxImportSize()
	c.s.unlock()
	files, ours := map[string]bool{}, map[string]bool{}
	for parts := 0; ; parts++ {
		part, err := mr.NextPart()
		if err == io.EOF { // not wrapped, so the form is complete
			break
		}
		if err != nil {
			return brokenForm(parts)
		}
		name, filename := dispositionOf(part)
		switch {
		case name == "":
			continue
		case ours[name]:
			return frontServer(http.StatusBadRequest, "Bad Request")
		case filename == "":
			value, err := io.ReadAll(io.LimitReader(part, maxForm))
			if err != nil {
				return brokenForm(parts)
			}
			c.addFields([]field{{name, string(value)}}, true)
			continue
		case len(files) == maxFiles:
			return frontServer(http.StatusBadRequest, "upload request contains more than 10 files")
		case files[name]:
			return frontServer(http.StatusInternalServerError, "Internal Server Error")
		}
		files[name] = true
		if r := c.receiveFile(part, name, filename, limit); r != nil {
			return r
		}
		for _, of := range fileFields {
			ours[name+"."+of] = true
		}
	}
	io.Copy(io.Discard, c.r.Body) // an epilogue
	c.nestFields()
	return nil
}

// fileFields are what the front server tells GitLab of a file. After the file a
// form cannot have them.
var fileFields = []string{
	"name", "path", "remote_url", "remote_id", "size", "upload_duration", "md5", "sha1", "sha256", "sha512", "gitlab-workhorse-upload",
}

// brokenForm answers a form that ends after so many whole parts.
func brokenForm(parts int) *reply {
	if parts == 0 {
		return frontServer(http.StatusBadRequest, "Bad Request")
	}
	return frontServer(http.StatusInternalServerError, "Internal Server Error")
}

// dispositionOf returns the names of a part, whatever its disposition is.
func dispositionOf(part *multipart.Part) (name, filename string) {
	_, p, _ := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	return p["name"], p["filename"]
}

func (c *call) receiveFile(part *multipart.Part, name, filename string, limit int64) *reply {
	base := path.Base(filename)
	if base == "." || base == ".." || base == "/" {
		return frontServer(http.StatusInternalServerError, "Internal Server Error")
	}
	main := name == "file"
	if main {
		c.s.edit(c.x.rec, func(r *Request) {
			r.FileName, r.FileContentType = filename, part.Header.Get("Content-Type")
		})
	}
	sum := sha256.New()
	body := &countingReader{r: io.TeeReader(part, sum), limit: limit}
	problem := CheckArchive(body)
	if main {
		c.s.edit(c.x.rec, func(r *Request) { r.FileSize = body.n })
	}
	switch {
	case errors.Is(body.err, errEntityTooLarge):
		return frontServer(http.StatusRequestEntityTooLarge, errEntityTooLarge.Error())
	case body.err != nil && body.err != io.EOF: // the form is cut inside the file
		return frontServer(http.StatusInternalServerError, "Internal Server Error")
	}
	if main {
		c.upload = &upload{name: base, size: body.n, sha256: hex.EncodeToString(sum.Sum(nil)), problem: problem}
		c.s.edit(c.x.rec, func(r *Request) { r.FileSHA256 = c.upload.sha256 })
	}
	return nil
}

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
