package portertest

import (
	"fmt"
	"net/http"
)

// exportStatus answers GET /projects/:id/export.
func (c *call) exportStatus() *reply {
	u, p, r := c.exportProject()
	if r != nil {
		return r
	}
	status := c.m.exportState(p, u)
	body := append(c.identity(p), member{"export_status", status})
	if status == "finished" {
		root := c.m.externalURL()
		body = append(body, member{"_links", object{
			{"api_url", fmt.Sprintf("%s/api/v4/projects/%d/export/download", root, p.id)},
			{"web_url", fmt.Sprintf("%s/%s/download_export", root, p.fullPath())},
		}})
	}
	return jsonReply(http.StatusOK, body)
}
