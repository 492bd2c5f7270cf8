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
	"net/netip"
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
	raw, sent, problem := c.plainParam("url")
	if !sent {
		problem = "url is missing"
	}
	var problems []string
	if problem != "" {
		problems = append(problems, problem)
	}
	req, r := c.remoteParams(u, problems)
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
		var unresolved *net.DNSError
		switch {
		case errors.As(err, &unresolved):
			return c.s.serviceError(http.StatusBadRequest, "File url is blocked: Host cannot be resolved or invalid")
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
func (c *call) remoteParams(u *user, problems []string) (*importRequest, *reply) {
	req, r := c.importParams(problems, true)
	switch {
	case r != nil:
		return nil, r
	case c.s.cfg.importsOff:
		return nil, message(http.StatusForbidden, "403 Forbidden")
	}
	if r := c.s.importLimited(u); r != nil {
		return nil, r
	}
	if r := c.resolve(u, req); r != nil {
		return nil, r
	}
	if !present(req.path) { // which is looked at before the file
		return nil, c.s.serviceError(http.StatusBadRequest, "Path can't be blank")
	}
	return req, nil
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
	case problem != "":
		return "File url " + problem
	case len(raw) > limit:
		return fmt.Sprintf("File url is too long (maximum is %d characters)", limit)
	case !s.mayReach(u):
		return refusedHost(u.Hostname())
	}
	return ""
}

// AllowOutbound lets GitLab send requests to a server of the test's own, as an
// administrator's list of allowed hosts does. Its URL must be on the loopback.
// GitLab otherwise reaches only its own object storage: every other address is
// refused, or does not answer, and nothing is sent there.
func (s *Server) AllowOutbound(rawURL string) {
	u, err := url.Parse(rawURL)
	if err != nil || !isLoopback(u.Hostname()) {
		panic("portertest: AllowOutbound: " + rawURL + " is not on the loopback")
	}
	s.lock()
	defer s.unlock()
	s.allowed = append(s.allowed, u.Host)
}

// mayReach reports whether GitLab sends requests to where u leads.
func (s *Server) mayReach(u *url.URL) bool {
	storage, err := url.Parse(s.StorageURL)
	return err == nil && u.Host == storage.Host || slices.Contains(s.allowed, u.Host)
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// refusedHost returns what GitLab says of a host that it does not reach. No name
// but localhost can be resolved here, and no address outside answers.
func refusedHost(host string) string {
	ip, err := netip.ParseAddr(host)
	ip = ip.Unmap()
	switch {
	case host == "", isLoopback(host), err == nil && ip.IsUnspecified():
		return "File url is blocked: Requests to localhost are not allowed"
	case err != nil:
		return "File url is blocked: Host cannot be resolved or invalid"
	case ip.IsPrivate():
		return "File url is blocked: Requests to the local network are not allowed"
	case ip.IsLinkLocalUnicast():
		return "File url is blocked: Requests to the link local network are not allowed"
	}
	return "Failed to retrieve headers: Failed to open TCP connection"
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
	var problems []string
	var blank string
	obj := map[string]string{}
	for _, k := range []struct{ key, name string }{
		{"region", "Region"}, {"bucket_name", "Bucket name"}, {"file_key", "File key"},
		{"access_key_id", "Access key"}, {"secret_access_key", "Secret access key"},
	} {
		v, sent := scalar(c.params[k.key])
		obj[k.key] = v
		if !sent {
			problems = append(problems, k.key+" is missing")
		} else if blank == "" && !present(v) {
			blank = k.name + " can't be blank"
		}
	}
	req, r := c.remoteParams(u, problems)
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
