package portertest

import "net/http"

// getProject answers GET /projects/:id.
func (c *call) getProject() *reply {
	u, r := c.authenticate()
	if r != nil {
		return r
	}
	p, r := c.userProject(u)
	if r != nil {
		return r
	}
	if r := c.limitedRead("projects/:id", u); r != nil {
		return r
	}
	var v validation
	statistics, _ := v.boolean("statistics", c.params["statistics"])
	if r := v.refusal(); r != nil {
		return r
	}
	o := append(append(c.listedProject(p, false), c.features(p)...), member{"import_status", c.m.importStatus(p)})
	if u != nil {
		o = append(o, member{"permissions", object{
			{"project_access", access(p.members[u.username])}, {"group_access", access(p.ns.membership(u))},
		}})
	}
	if statistics && p.role(u) >= Reporter {
		size := c.m.statisticsSize(p)
		o = append(o, member{"statistics", object{
			{"commit_count", 1}, {"storage_size", size + p.artifacts}, {"repository_size", size}, {"wiki_size", 0}, {"lfs_objects_size", 0},
			{"job_artifacts_size", p.artifacts}, {"pipeline_artifacts_size", 0}, {"packages_size", 0}, {"snippets_size", 0},
			{"uploads_size", 0}, {"container_registry_size", 0},
		}})
	}
	return jsonReply(http.StatusOK, o)
}

// access is how a project tells of a membership, null for none.
func access(r Role) any {
	if r == 0 {
		return nil
	}
	return object{{"access_level", r}, {"notification_level", 3}}
}
