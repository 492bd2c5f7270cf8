package portertest

import (
	"net/http"
	"strconv"
	"strings"
)

// getNamespace answers GET /namespaces/:id. It finds what an import into that
// namespace finds.
func (c *call) getNamespace() *reply {
	u, r := c.authenticatedWith("api", "read_api")
	if r != nil {
		return r
	}
	n := c.m.namespaces[strings.ToLower(c.id)]
	if strings.Trim(c.id, "0123456789") == "" {
		id, _ := strconv.ParseInt(c.id, 10, 64)
		n = c.m.namespaceByID[id]
	}
	if n == nil || n.role(u) == 0 {
		return message(http.StatusNotFound, "404 Namespace Not Found")
	}
	kind, parent := "group", any(nil)
	if n.owner != nil {
		kind = "user"
	} else if n.parent != nil {
		parent = n.parent.id
	}
	return jsonReply(http.StatusOK, object{
		{"id", n.id}, {"name", n.name}, {"path", n.base()}, {"kind", kind}, {"full_path", n.path}, {"parent_id", parent},
		{"avatar_url", nil}, {"web_url", c.m.externalURL() + "/" + n.path},
	})
}
