package portertest

import "net/http"

// ownUser answers GET /user.
func (c *call) ownUser() *reply {
	u, r := c.authenticatedWith(readUserScopes...)
	if r != nil {
		return r
	}
	limit := u.limit
	if limit == 0 {
		limit = 100_000
	}
	o := object{
		{"id", u.id},
		{"username", u.username},
		{"name", u.name},
		{"state", "active"},
		{"locked", false},
		{"bot", u.bot || u.service},
		{"preferred_language", "en"},
		{"projects_limit", max(limit, 0)},
		{"can_create_group", true},
		{"can_create_project", c.m.hasRoom(u)},
		{"external", false},
	}
	if u.admin {
		o = append(o, member{"is_admin", true}, member{"namespace_id", u.home.id})
	}
	return jsonReply(http.StatusOK, o)
}
