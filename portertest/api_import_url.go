package portertest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

var remoteTypes = []string{"application/gzip", "application/x-tar", "application/x-gzip"}

// importURL answers POST /projects/remote-import.
func (c *call) importURL() *reply {
	u, r := c.authenticated()
	if r != nil {
		return r
	}
	var v validation
	raw := v.text("url", v.required(c.params, "url"))
	req, r := c.remoteParams(u, &v)
	if r != nil {
		return r
	}
	if problem := c.blockedFile(raw); problem != "" {
		return c.serviceError(http.StatusBadRequest, problem)
	}
	// GitLab asks the other server while its client waits.
	return sends(func(w http.ResponseWriter, r *http.Request) {
		c.importChecked(u, req, raw).write(w, r)
	})
}

func (c *call) importChecked(u *user, req *importRequest, raw string) *reply {
	size, contentType, amazon, err := c.out.head(raw)
	return c.locked(func() *reply {
		switch {
		case err != nil:
			return c.serviceError(http.StatusBadRequest, "Failed to retrieve headers: "+rubyError(err).Error())
		case !amazon:
			if problem := c.unfitFile(size, contentType); problem != "" {
				return c.serviceError(http.StatusBadRequest, problem)
			}
		}
		return c.createImport(u, req, &upload{from: raw})
	})
}

// remoteParams checks what both imports without an upload have in common.
func (c *call) remoteParams(u *user, v *validation) (*importRequest, *reply) {
	req := c.importParams(v, v.text("path", v.required(c.params, "path")))
	if r := c.admitImport(u, v); r != nil {
		return nil, r
	}
	return req, c.resolve(u, req)
}

// blockedFile returns why GitLab refuses a URL before it asks there.
func (c *call) blockedFile(raw string) string {
	limit := 2048
	if !c.m.cfg.atLeast(14, 10) {
		limit = 512
	}
	if !present(raw) {
		return "File url must be a valid URL"
	}
	u, problem := checkURL(raw, "https")
	switch {
	case strings.TrimSpace(raw) != raw: // GitLab fails where it takes off the spaces
		return "undefined method `file_url=' for an instance of Import::GitlabProjects::FileAcquisitionStrategies::RemoteFile"
	case problem != "":
		return "File url " + problem
	case len(raw) > limit:
		return fmt.Sprintf("File url is too long (maximum is %d characters)", limit)
	case c.out.mayReach(raw):
		return ""
	}
	if problem := blockedHost(u.host); problem != "" {
		return "File url " + problem
	}
	return "Failed to retrieve headers: Failed to open TCP connection" // nothing leaves this machine
}

// unfitFile returns why GitLab refuses a file of that size and type.
func (c *call) unfitFile(size int64, contentType string) string {
	switch {
	case size < 1:
		return "Content length is too small (should be at least 1 B)"
	case size > c.m.cfg.maxRemote:
		return fmt.Sprintf("Content length is too big (should be at most %s)", humanSize(c.m.cfg.maxRemote))
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
