package portertest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The keys with which the object storage can be read as Amazon S3. Its first
// path segment is the bucket.
const (
	AccessKeyID     = "AKIAPORTERTEST"
	SecretAccessKey = "porter/test+secret"
)

var remoteTypes = []string{"application/gzip", "application/x-tar", "application/x-gzip"}

// importURL answers POST /projects/remote-import.
func (c *call) importURL() *reply {
	u, r := c.importer()
	if r != nil {
		return r
	}
	var v validation
	raw := v.text("url", v.required(c.params, "url"))
	req, r := c.remoteParams(u, &v)
	if r != nil {
		return r
	}
	if problem := c.s.blockedFile(raw); problem != "" {
		return c.s.serviceError(http.StatusBadRequest, problem)
	}
	// GitLab asks the other server while its client waits.
	return sends(func(w http.ResponseWriter, r *http.Request) {
		c.importChecked(u, req, raw).write(w, r)
	})
}

func (c *call) importChecked(u *user, req *importRequest, raw string) *reply {
	size, contentType, amazon, err := c.s.head(raw)
	return c.locked(func(c *call) *reply {
		switch {
		case err != nil:
			return c.s.serviceError(http.StatusBadRequest, "Failed to retrieve headers: "+rubyError(err).Error())
		case !amazon:
			if problem := c.s.unfitFile(size, contentType); problem != "" {
				return c.s.serviceError(http.StatusBadRequest, problem)
			}
		}
		return c.createImport(u, req, &upload{from: raw})
	})
}

// remoteParams checks what file imports without an upload have in common.
func (c *call) remoteParams(u *user, v *validation) (*importRequest, *reply) {
	req := c.importParams(v, v.text("path", v.required(c.params, "path")))
	if r := v.refusal(); r != nil {
		return nil, r
	}
	if c.s.cfg.importsOff {
		return nil, message(http.StatusForbidden, "403 Forbidden")
	}
	if r := c.s.importLimited(u); r != nil {
		return nil, r
	}
	if r := c.resolve(u, req); r != nil {
		return nil, r
	}
	return req, c.blankPath(req)
}

// blockedFile returns what GitLab has against a URL before it asks there.
func (s *Server) blockedFile(raw string) string {
	limit := 2048
	if !s.cfg.atLeast(14, 10) {
		limit = 512
	}
	if !present(raw) {
		return "File url must be a valid URL"
	}
	u, problem := checkURL(raw, "https")
	switch {
	case strings.TrimSpace(raw) != raw: // GitLab trips over what it wants to trim
		return "undefined method `file_url=' for an instance of Import::GitlabProjects::FileAcquisitionStrategies::RemoteFile"
	case problem != "":
		return "File url " + problem
	case len(raw) > limit:
		return fmt.Sprintf("File url is too long (maximum is %d characters)", limit)
	case s.mayReach(raw):
		return ""
	}
	if problem := blockedHost(u.host); problem != "" {
		return "File url " + problem
	}
	return "Failed to retrieve headers: Failed to open TCP connection" // nothing is sent out of this machine
}

// AllowOutbound lets GitLab import from a server of the test's own, as an
// administrator's list of allowed hosts does. Its URL must be on the loopback,
// and counts with its port. Without it a remote import reaches only GitLab's own
// object storage: every other address is refused as GitLab refuses it, or does
// not answer, and nothing is sent there.
func (s *Server) AllowOutbound(rawURL string) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" || !isLoopback(u.Hostname()) {
		panic("portertest: AllowOutbound: " + rawURL + " is not on the loopback")
	}
	s.lock()
	defer s.unlock()
	s.allowed = append(s.allowed, u.Host)
}

// mayReach reports whether a remote import may ask there.
func (s *Server) mayReach(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	storage, err := url.Parse(s.StorageURL)
	return err == nil && u.Host == storage.Host || slices.Contains(s.allowed, u.Host)
}

// unfitFile returns what GitLab has against a file of that size and type.
func (s *Server) unfitFile(size int64, contentType string) string {
	switch {
	case size < 1:
		return "Content length is too small (should be at least 1 B)"
	case size > s.cfg.maxRemote:
		return fmt.Sprintf("Content length is too big (should be at most %s)", humanSize(s.cfg.maxRemote))
	case !slices.Contains(remoteTypes, contentType):
		return fmt.Sprintf("Content type '%s' not allowed. (Allowed: %s)", contentType, strings.Join(remoteTypes, ", "))
	}
	return ""
}

// humanSize writes a size with three significant digits, as Rails does.
func humanSize(n int64) string {
	for i, unit := range []string{"GiB", "MiB", "KiB"} {
		if one := int64(1) << (30 - 10*i); n >= one {
			rounded, _ := strconv.ParseFloat(strconv.FormatFloat(float64(n)/float64(one), 'g', 3, 64), 64)
			return strconv.FormatFloat(rounded, 'f', -1, 64) + " " + unit
		}
	}
	return fmt.Sprintf("%d B", n)
}

// headTimeout is how long GitLab waits for an answer to its HEAD.
const headTimeout = time.Second

// head asks for a file's size and type, and whether it is in Amazon S3, where
// a URL signed for GET does not allow HEAD.
func (s *Server) head(raw string) (size int64, contentType string, amazon bool, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, headTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, raw, nil)
	if err != nil {
		return 0, "", false, err
	}
	req.Header.Set("User-Agent", "GitLab")
	resp, err := s.outbound.RoundTrip(req)
	if err != nil {
		return 0, "", false, err
	}
	resp.Body.Close()
	amazon = resp.Header.Get("Server") == "AmazonS3" && resp.Header.Get("X-Amz-Request-Id") != ""
	return max(resp.ContentLength, 0), resp.Header.Get("Content-Type"), amazon, nil
}

// rubyError words a network error as GitLab's libraries do.
func rubyError(err error) error {
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("Net::ReadTimeout")
	case errors.As(err, &op) && op.Op == "dial":
		//lint:ignore ST1005 this is GitLab's text
		return errors.New("Failed to open TCP connection")
	}
	return errors.New("end of file reached")
}

// importS3 answers POST /projects/remote-import-s3.
func (c *call) importS3() *reply {
	u, r := c.importer()
	if r != nil {
		return r
	}
	var v validation
	var blank string
	obj := map[string]string{}
	for _, k := range []struct{ key, name string }{
		{"region", "Region"}, {"bucket_name", "Bucket name"}, {"file_key", "File key"},
		{"access_key_id", "Access key"}, {"secret_access_key", "Secret access key"},
	} {
		obj[k.key] = v.text(k.key, v.required(c.params, k.key))
		if blank == "" && !present(obj[k.key]) {
			blank = k.name + " can't be blank"
		}
	}
	req, r := c.remoteParams(u, &v)
	switch {
	case r != nil:
		return r
	case blank != "":
		return c.s.serviceError(http.StatusBadRequest, blank)
	}
	key, bucket := obj["file_key"], obj["bucket_name"]
	if obj["access_key_id"] != AccessKeyID || obj["secret_access_key"] != SecretAccessKey {
		return c.s.serviceError(http.StatusBadRequest, fmt.Sprintf("Failed to open '%s' in '%s': The AWS Access Key Id you provided does not exist in our records.", key, bucket))
	}
	path := "/" + bucket + "/" + strings.TrimPrefix(key, "/")
	o := c.s.objects[path]
	if o == nil {
		return c.s.serviceError(http.StatusBadRequest, fmt.Sprintf("File not found '%s' in '%s'", key, bucket))
	}
	if problem := c.s.unfitFile(o.Size, o.ContentType); problem != "" {
		return c.s.serviceError(http.StatusBadRequest, problem)
	}
	return c.createImport(u, req, &upload{from: c.s.signedURL(http.MethodGet, path, c.s.now(), 28*time.Hour)})
}

// fetch gets the archive of an import that has a URL instead, when it starts.
func (s *Server) fetch(p *project) {
	s.lock()
	from, limit := p.imp.upload.from, s.cfg.maxRemote
	s.unlock()
	up := s.get(from, limit)
	s.lock()
	defer s.unlock()
	j := p.imp
	up.problem = s.cfg.version.archiveProblem(up.problem)
	j.upload = *up
	if up.problem != nil && j.script.Error == "" && !j.script.Canceled {
		j.err = importFailure(p, up.problem.Error())
	}
	// planImport has left when the import would end without the download.
	j.ended = later(j.fetched, s.now())
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// get reads a file to its end, or to the limit.
func (s *Server) get(from string, limit int64) *upload {
	up := &upload{from: from}
	req, err := http.NewRequestWithContext(s.ctx, http.MethodGet, from, nil)
	if err != nil {
		up.problem = err
		return up
	}
	req.Header.Set("User-Agent", "GitLab")
	resp, err := s.outbound.RoundTrip(req)
	if err != nil {
		up.problem = rubyError(err)
		return up
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		up.problem = fmt.Errorf("unsupported response downloading fragment %d", resp.StatusCode)
		return up
	}
	sum := sha256.New()
	body := &countingReader{r: io.TeeReader(io.LimitReader(resp.Body, limit), sum)}
	up.problem = CheckArchive(body)
	up.size, up.sha256 = body.n, hex.EncodeToString(sum.Sum(nil))
	if !body.whole() {
		up.problem = rubyError(body.err)
	}
	return up
}
