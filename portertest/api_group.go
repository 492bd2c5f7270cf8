package portertest

import (
	"net/http"
	"strconv"
	"strings"
)

// getGroup answers GET /groups/:id.
func (c *call) getGroup() *reply {
	u, group, r := c.readableGroup()
	if r != nil {
		return r
	}
	if r := c.limitedRead("groups/:id", u); r != nil {
		return r
	}
	var v validation
	withProjects, given := v.boolean("with_projects", c.params["with_projects"])
	if r := v.refusal(); r != nil {
		return r
	}
	parent := any(nil)
	if group.parent != nil {
		parent = group.parent.id
	}
	o := object{
		{"id", group.id}, {"name", group.name}, {"path", group.base()}, {"visibility", group.visibilityLevel()},
		{"full_name", group.fullName()}, {"full_path", group.path}, {"parent_id", parent},
		{"project_creation_level", group.creationLevel()}, {"subgroup_creation_level", "maintainer"},
	}
	if c.m.cfg.atLeast(18, 2) {
		o = append(o, member{"archived", group.isArchived()})
	}
	o = append(o, member{"marked_for_deletion_on", nil})
	if withProjects || !given {
		list := []object{}
		for _, p := range c.m.sortedProjects() {
			if p.ns == group && p.readable(u) {
				list = append(list, c.listedProject(p, false))
			}
		}
		o = append(o, member{"projects", list})
	}
	return jsonReply(http.StatusOK, o)
}

// getGroupMember answers GET /groups/:id/members/all/:user_id. The role may be
// that in a group above.
func (c *call) getGroupMember() *reply {
	_, group, r := c.readableGroup()
	if r != nil {
		return r
	}
	id, _ := strconv.ParseInt(c.rest[strings.LastIndex(c.rest, "/")+1:], 10, 64)
	for _, u := range c.m.users {
		if role := group.membership(u); u.id == id && role > 0 {
			return jsonReply(http.StatusOK, object{
				{"id", u.id}, {"username", u.username}, {"name", u.name}, {"state", "active"}, {"access_level", role}, {"expires_at", nil},
			})
		}
	}
	return message(http.StatusNotFound, "404 Not found")
}
