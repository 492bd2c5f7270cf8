package portertest

import "slices"

// lacks reports whether all of these features of a project are switched off.
func (p *project) lacks(features ...string) bool {
	return !slices.ContainsFunc(features, func(f string) bool { return !slices.Contains(p.disabled, f) })
}

// features says which features of a project are switched on, in the two forms
// that GitLab knows. The older one is of a few only.
func (c *call) features(p *project) object {
	var o object
	for _, f := range []struct{ name, old string }{
		{"issues", "issues_enabled"}, {"merge_requests", "merge_requests_enabled"}, {"builds", "jobs_enabled"},
		{"snippets", "snippets_enabled"}, {"repository", ""}, {"releases", ""},
	} {
		level := "enabled"
		if p.lacks(f.name) {
			level = "disabled"
		}
		if f.old != "" {
			o = append(o, member{f.old, level == "enabled"})
		}
		if c.m.cfg.atLeast(12, 3) {
			o = append(o, member{f.name + "_access_level", level})
		}
	}
	return o
}

// readableProject returns the caller, and the project that the path names.
func (c *call) readableProject() (*user, *project, *reply) {
	u, r := c.authenticate()
	if r != nil {
		return nil, nil, r
	}
	p, r := c.userProject(u)
	return u, p, r
}
