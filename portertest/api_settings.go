package portertest

import "net/http"

// getSettings answers GET /application/settings, with those of the settings that
// this server knows. Limits are in MiB.
func (c *call) getSettings() *reply {
	u, r := c.authenticatedWith("api", "read_api")
	switch {
	case r != nil:
		return r
	case !u.admin:
		return message(http.StatusForbidden, "403 Forbidden")
	}
	cfg := &c.m.cfg
	sources := []string{"github", "gitlab_project"}
	if cfg.importsOff {
		sources = sources[:1]
	}
	o := object{
		{"import_sources", sources},
		{"project_export_enabled", !cfg.exportsOff},
		{"restricted_visibility_levels", append([]string{}, cfg.restricted...)},
		{"max_import_size", mebibytes(cfg.maxImportSize())},
	}
	if cfg.atLeast(15, 0) {
		o = append(o, member{"max_export_size", mebibytes(cfg.maxExport)})
	}
	if cfg.atLeast(15, 8) {
		o = append(o, member{"bulk_import_enabled", cfg.relations})
	}
	if cfg.atLeast(16, 3) {
		o = append(o, member{"max_import_remote_file_size", mebibytes(cfg.maxRemote)})
	}
	if cfg.atLeast(13, 2) {
		o = append(o, member{"project_export_limit", cfg.limits.Exports}, member{"project_import_limit", cfg.limits.Imports},
			member{"project_download_export_limit", cfg.limits.Downloads})
	}
	return jsonReply(http.StatusOK, o)
}

// mebibytes rounds a limit up, as 0 is none.
func mebibytes(n int64) int64 { return (n + 1<<20 - 1) >> 20 }
