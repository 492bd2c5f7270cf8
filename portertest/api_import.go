package portertest

import (
	"net/http"
	"strings"
)

// importParams reads the parameters that all imports of projects have. The path
// is read before, in the order in which the endpoint declares it.
func (c *call) importParams(v *validation, path string) *importRequest {
	version := c.m.cfg.version
	req := &importRequest{path: path}
	if version.atLeast(12, 10) {
		req.name = v.text("name", c.params["name"])
	}
	v.text("namespace", c.params["namespace"])
	if version.atLeast(18, 7) {
		v.integer("namespace_id", c.params["namespace_id"])
		v.text("namespace_path", c.params["namespace_path"])
		var given []string
		for _, k := range []string{"namespace", "namespace_id", "namespace_path"} {
			if _, ok := c.params[k]; ok {
				given = append(given, k)
			}
		}
		if len(given) > 1 {
			v.fail(strings.Join(given, ", "), "are mutually exclusive")
		}
	}
	if version.atLeast(10, 7) {
		req.overwrite, _ = v.boolean("overwrite", c.params["overwrite"])
		req.overrides = overrides(v, c.params["override_params"])
	}
	return req
}

// admitImport is what an import has to pass once its parameters are read.
func (c *call) admitImport(u *user, v *validation) *reply {
	switch r := v.refusal(); {
	case r != nil:
		return r
	case c.m.cfg.importsOff:
		return message(http.StatusForbidden, "403 Forbidden")
	case c.m.importLimited(u):
		return c.tooMany()
	}
	return nil
}

// resolve finds the namespace that the project goes to. It finds no groups by
// former paths, and none that the caller is not a member of.
func (c *call) resolve(u *user, req *importRequest) *reply {
	keys := []string{"namespace"}
	if c.m.cfg.atLeast(18, 7) {
		keys = append(keys, "namespace_id", "namespace_path")
	}
	req.ns = u.home
	for _, k := range keys {
		v := c.params[k]
		if !present(v) {
			continue
		}
		text, _ := scalar(v)
		var n *namespace
		if id, whole := wholeNumber(v); whole && (k == "namespace_id" || k == "namespace" && strings.Trim(text, "0123456789") == "") {
			n = c.m.namespaceByID[id]
		} else {
			n = c.m.namespaces[strings.ToLower(text)]
		}
		if n == nil || n.role(u) == 0 || n.owner != nil && n.owner != u {
			return message(http.StatusNotFound, "404 Namespace Not Found")
		}
		req.ns = n
	}
	if !present(req.path) {
		return c.serviceError(http.StatusBadRequest, "Path can't be blank")
	}
	return nil
}

// createImport makes the project that an import fills.
func (c *call) createImport(u *user, req *importRequest, up *upload) *reply {
	p, problem := c.m.startImport(u, req, up, c.requestID)
	if problem != "" {
		return c.serviceError(http.StatusBadRequest, problem)
	}
	return jsonReply(http.StatusCreated, c.importBody(p, u))
}
