package portertest

import "net/http"

// download answers GET and HEAD /projects/:id/export/download.
func (c *call) downloadExport() *reply {
	m := c.m
	u, p, r := c.exportProject()
	if r != nil {
		return r
	}
	if m.downloadLimited(u, p) {
		return c.tooMany()
	}
	j := m.latestFile(p, u)
	switch {
	case j == nil || !j.hasBytes(m.now()) && !m.cfg.atLeast(13, 12):
		return message(http.StatusNotFound, "404 Not found or has expired")
	case !j.hasBytes(m.now()):
		return message(http.StatusNotFound, "The project export file is not available yet")
	}
	return c.sendFile(&j.file)
}
