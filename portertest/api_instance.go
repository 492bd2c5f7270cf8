package portertest

import "net/http"

// readUserScopes are enough for what tells of the instance and of the user.
var readUserScopes = []string{"api", "read_api", "read_user"}

// getVersion answers GET /version.
func (c *call) getVersion() *reply {
	if c.m.cfg.atLeast(15, 5) {
		return c.getMetadata()
	}
	if _, r := c.authenticatedWith(readUserScopes...); r != nil {
		return r
	}
	return jsonReply(http.StatusOK, object{{"version", c.m.cfg.version.String()}, {"revision", revision}})
}

// revision is of GitLab's code.
const revision = "6714c913625"

// getMetadata answers GET /metadata.
func (c *call) getMetadata() *reply {
	if _, r := c.authenticatedWith(readUserScopes...); r != nil {
		return r
	}
	v := c.m.cfg.version
	o := object{{"version", v.String()}, {"revision", revision}}
	kas := object{{"enabled", false}, {"externalUrl", nil}}
	if v.atLeast(17, 6) {
		kas = append(kas, member{"externalK8sProxyUrl", nil})
	}
	o = append(o, member{"kas", append(kas, member{"version", nil})})
	if v.atLeast(15, 6) {
		o = append(o, member{"enterprise", false})
	}
	return jsonReply(http.StatusOK, o)
}
