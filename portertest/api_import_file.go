package portertest

import (
	"net/http"
	"strings"
)

// importFile answers POST /projects/import, once the file is stored.
func (c *call) importFile() *reply {
	u, r := c.authenticated()
	if r != nil {
		return r
	}
	var v validation
	path := v.text("path", v.required(c.params, "path"))
	c.validateFile(&v)
	req := c.importParams(&v, path)
	if r := c.admitImport(u, &v); r != nil {
		return r
	}
	if r := c.refuseArchiveName(); r != nil {
		return r
	}
	if r := c.resolve(u, req); r != nil {
		return r
	}
	return c.createImport(u, req, c.upload)
}

// validateFile checks the parameter file. A part without a file name is a plain
// field, which old versions notice only later; so do all if it is empty.
func (c *call) validateFile(v *validation) {
	if c.upload != nil {
		return
	}
	if value := v.required(c.params, "file"); present(value) && c.m.cfg.atLeast(12, 9) {
		v.fail("file", notOfType)
	}
}

func (c *call) refuseArchiveName() *reply {
	switch {
	case !c.m.cfg.atLeast(12, 9) && c.upload == nil:
		return message(http.StatusBadRequest, "The file is invalid")
	case !c.m.cfg.atLeast(12, 9), c.upload != nil && archiveName(c.upload.name):
		return nil
	}
	problem := c.m.translate("You need to upload a GitLab project export archive (ending in .gz).")
	return message(http.StatusUnprocessableEntity, object{{"error", problem}})
}

// archiveName reports whether GitLab takes a file of that name. A name such as
// ".gz" has no extension.
func archiveName(name string) bool {
	base, ok := strings.CutSuffix(name, ".gz")
	return ok && strings.Trim(base, ".") != ""
}
