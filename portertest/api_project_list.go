package portertest

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// listGroupProjects answers GET /groups/:id/projects. It has pages by number
// only.
func (c *call) listGroupProjects() *reply {
	u, group, r := c.readableGroup()
	if r != nil {
		return r
	}
	if r := c.limitedRead("groups/:id/projects", u); r != nil {
		return r
	}
	l := c.listing()
	subgroups, _ := l.boolean("include_subgroups", c.params["include_subgroups"])
	shared, given := l.boolean("with_shared", c.params["with_shared"])
	return c.answerListing(l, u, false, func(p *project) bool {
		return p.ns == group || subgroups && p.ns.isBelow(group) ||
			(shared || !given) && slices.ContainsFunc(p.shared, func(path string) bool { return strings.EqualFold(path, group.path) })
	})
}

// listProjects answers GET /projects.
func (c *call) listProjects() *reply {
	u, r := c.authenticate()
	if r != nil {
		return r
	}
	if r := c.limitedRead("projects", u); r != nil {
		return r
	}
	l := c.listing()
	member, _ := l.boolean("membership", c.params["membership"])
	keyset := c.textParam("pagination") == "keyset" && c.m.cfg.atLeast(12, 6)
	if keyset && l.orderBy != "id" {
		return apiError(http.StatusMethodNotAllowed, "Keyset pagination is not yet available for this type of request")
	}
	return c.answerListing(l, u, keyset, func(p *project) bool { return !member || p.membership(u) > 0 })
}

// readableGroup returns the caller, and the group that the path names.
func (c *call) readableGroup() (*user, *namespace, *reply) {
	u, r := c.authenticate()
	if r != nil {
		return nil, nil, r
	}
	group := c.m.namespaces[strings.ToLower(c.id)]
	if id, err := strconv.ParseInt(c.id, 10, 64); err == nil {
		group = c.m.namespaceByID[id]
	}
	readable := func(p *project) bool { return (p.ns == group || p.ns.isBelow(group)) && p.readable(u) }
	if group == nil || group.owner != nil || group.role(u) == 0 && !group.open(u) && !slices.ContainsFunc(c.m.sortedProjects(), readable) {
		return nil, nil, message(http.StatusNotFound, "404 Group Not Found")
	}
	return u, group, nil
}

// isBelow reports whether n is a subgroup of group, at any depth.
func (n *namespace) isBelow(group *namespace) bool {
	return n.parent != nil && (n.parent == group || n.parent.isBelow(group))
}

// membership is the role that u has as a member, which an administrator need
// not be.
func (p *project) membership(u *user) Role {
	switch {
	case u == nil:
		return 0
	case u.everywhere:
		return Owner
	}
	role := p.members[u.username]
	for n := p.ns; n != nil; n = n.parent {
		if n.owner == u {
			return Owner
		}
		role = max(role, n.members[u.username])
	}
	return role
}

// A listing is what both lists of projects are asked for.
type listing struct {
	validation
	page, size int
	after      int64 // the ID
	orderBy    string
	ascending  bool
	minAccess  Role
	archived   *bool
	simple     bool
}

func (c *call) listing() *listing {
	l := c.numbered()
	if c.m.cfg.atLeast(12, 5) {
		l.after, _ = l.integer("id_after", c.params["id_after"])
	}
	orders := []string{"id", "name", "path", "created_at", "updated_at", "last_activity_at", "similarity", "star_count"}
	l.orderBy = cmp.Or(l.oneOf("order_by", c.params["order_by"], orders...), "created_at")
	l.ascending = l.oneOf("sort", c.params["sort"], "asc", "desc") == "asc"
	access, _ := l.integer("min_access_level", c.params["min_access_level"])
	l.minAccess = Role(access)
	if archived, ok := l.boolean("archived", c.params["archived"]); ok {
		l.archived = &archived
	}
	l.simple, _ = l.boolean("simple", c.params["simple"])
	return l
}

// numbered returns the page that is asked for of a list that has them by number.
func (c *call) numbered() *listing {
	l := &listing{page: 1, size: 20}
	positive := func(name string, n *int) {
		if v, ok := l.integer(name, c.params[name]); ok && v < 1 {
			l.fail(name, "does not have a valid value")
		} else if ok {
			*n = int(v)
		}
	}
	positive("page", &l.page)
	positive("per_page", &l.size)
	l.size = min(l.size, 100)
	return l
}

// answerListing answers with a page of those projects that u can read. The only
// order that it knows besides that of the IDs is that of the creation, which is
// the same.
func (c *call) answerListing(l *listing, u *user, keyset bool, listed func(*project) bool) *reply {
	if r := l.refusal(); r != nil {
		return r
	}
	var all []*project
	for _, p := range c.m.sortedProjects() {
		if p.id > l.after && p.readable(u) && listed(p) && (l.archived == nil || *l.archived == p.archived) &&
			(l.minAccess == 0 || p.membership(u) >= l.minAccess) {
			all = append(all, p)
		}
	}
	if !l.ascending {
		slices.Reverse(all)
	}
	begin := 0
	if !keyset {
		begin = min((l.page-1)*l.size, len(all))
	}
	page := all[begin:min(begin+l.size, len(all))]
	list := []object{}
	for _, p := range page {
		list = append(list, c.listedProject(p, l.simple))
	}
	r := jsonReply(http.StatusOK, list)
	switch {
	case !keyset:
		c.numberPages(r, l, len(all))
	case len(page) > 0:
		last := page[len(page)-1].id
		r.header.Set("Link", c.pageLink("next", func(q url.Values) { q.Set("id_after", strconv.FormatInt(last, 10)) }))
	}
	return r
}

func (c *call) listedProject(p *project, simple bool) object {
	kind, parent := "group", any(nil)
	if p.ns.owner != nil {
		kind = "user"
	} else if p.ns.parent != nil {
		parent = p.ns.parent.id
	}
	o := append(c.identity(p), member{"namespace", object{
		{"id", p.ns.id}, {"name", p.ns.name}, {"path", p.ns.base()}, {"kind", kind}, {"full_path", p.ns.path},
		{"parent_id", parent},
	}})
	if !simple {
		o = append(o, member{"archived", p.archived}, member{"visibility", p.visibility}, member{"marked_for_deletion_on", orNull(p.deletionOn)})
	}
	return o
}

// numberPages sets the headers of pages by number.
func (c *call) numberPages(r *reply, l *listing, total int) {
	pages := max(1, (total+l.size-1)/l.size)
	number := func(n int) string {
		if n < 1 || n > pages {
			return ""
		}
		return strconv.Itoa(n)
	}
	for name, text := range map[string]string{
		"X-Page": strconv.Itoa(l.page), "X-Per-Page": strconv.Itoa(l.size), "X-Total": strconv.Itoa(total), "X-Total-Pages": strconv.Itoa(pages),
		"X-Prev-Page": number(l.page - 1), "X-Next-Page": number(l.page + 1),
	} {
		r.header.Set(name, text)
	}
	var links []string
	for _, to := range []struct{ rel, page string }{
		{"prev", number(l.page - 1)}, {"next", number(l.page + 1)}, {"first", "1"}, {"last", strconv.Itoa(pages)},
	} {
		if to.page != "" {
			links = append(links, c.pageLink(to.rel, func(q url.Values) { q.Set("page", to.page) }))
		}
	}
	r.header.Set("Link", strings.Join(links, ", "))
}

// pageLink is a link of the instance's configured host, which repeats the whole
// query, credentials included.
func (c *call) pageLink(rel string, change func(url.Values)) string {
	q := c.r.URL.Query()
	change(q)
	path := strings.TrimPrefix(c.r.URL.EscapedPath(), c.m.cfg.root)
	return fmt.Sprintf("<%s%s?%s>; rel=%q", c.m.externalURL(), path, q.Encode(), rel)
}
