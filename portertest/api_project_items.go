package portertest

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"time"
)

// An itemList is how a list of a project's items differs from the others.
type itemList struct {
	needs  []string // features, of which one is enough
	quiet  bool     // without them it is empty, not refused
	role   Role     // that the caller needs
	states []string // by which it can be filtered, as by the time of creation
}

var itemLists = map[string]itemList{
	"issues":             {needs: []string{"issues"}, quiet: true, states: []string{"opened", "closed"}},
	"merge_requests":     {needs: []string{"merge_requests"}, states: []string{"opened", "closed", "locked", "merged"}},
	"labels":             {needs: []string{"issues", "merge_requests"}, quiet: true},
	"milestones":         {needs: []string{"issues", "merge_requests"}, quiet: true},
	"ci_pipelines":       {needs: []string{"builds"}, role: Reporter},
	"releases":           {needs: []string{"releases"}},
	"snippets":           {needs: []string{"snippets"}, quiet: true},
	"protected_branches": {role: Maintainer},
	"protected_tags":     {role: Maintainer},
	"boards":             {needs: []string{"issues"}},
	"project_badges":     {},
}

// listOf answers the list of a relation.
func listOf(relation string) func(*call) *reply {
	return func(c *call) *reply { return c.listItems(relation) }
}

func (c *call) listItems(relation string) *reply {
	u, p, r := c.readableProject()
	if r != nil {
		return r
	}
	kind := itemLists[relation]
	off := len(kind.needs) > 0 && p.lacks(kind.needs...) || relation == "releases" && p.lacks("repository")
	if off && !kind.quiet || p.role(u) < kind.role {
		return message(http.StatusForbidden, "403 Forbidden")
	}
	l := c.numbered()
	f := c.itemFilter(&l.validation, kind.states)
	groups := relation == "labels" || relation == "project_badges"
	if include, given := l.boolean("include_ancestor_groups", c.params["include_ancestor_groups"]); relation == "labels" && given {
		groups = include
	}
	if r := l.refusal(); r != nil {
		return r
	}
	var found []Item
	if !off {
		for _, it := range c.m.holding(p).items[relation] {
			if f.matches(it) && (groups || !it.Group) {
				found = append(found, it)
			}
		}
	}
	if kind.states != nil {
		slices.SortStableFunc(found, f.compare)
	}
	return answerPage(c, l, found, func(it Item) object { return c.item(relation, it) })
}

// item is an element of a list.
func (c *call) item(relation string, it Item) object {
	var o object
	if numbered(relation) {
		o = object{{"iid", it.IID}}
	}
	o = append(o, object{{"title", it.Name}, {"name", it.Name}, {"state", it.State}, {"created_at", c.m.timestamp(it.CreatedAt)}}...)
	if relation != "project_badges" {
		return o
	}
	kind := "project"
	if it.Group {
		kind = "group"
	}
	return append(o, member{"kind", kind})
}

// itemFilter is which items are asked for.
type itemFilter struct {
	state         string
	after, before time.Time
	ascending     bool
}

func (c *call) itemFilter(v *validation, states []string) itemFilter {
	var f itemFilter
	if states == nil { // the parameters are none of this list
		return f
	}
	f.after, f.before = c.timeParam(v, "created_after"), c.timeParam(v, "created_before")
	f.state = cmp.Or(v.oneOf("state", c.params["state"], append([]string{"all"}, states...)...), "all")
	v.oneOf("order_by", c.params["order_by"], "created_at", "updated_at")
	f.ascending = v.oneOf("sort", c.params["sort"], "asc", "desc") == "asc"
	return f
}

func (f itemFilter) matches(it Item) bool {
	return (f.state == "" || f.state == "all" || f.state == it.State) &&
		(f.after.IsZero() || !it.CreatedAt.Before(f.after)) && (f.before.IsZero() || !it.CreatedAt.After(f.before))
}

// compare orders items by the time of their creation, the newest first unless it
// is asked for otherwise.
func (f itemFilter) compare(a, b Item) int {
	if f.ascending {
		a, b = b, a
	}
	return b.CreatedAt.Compare(a.CreatedAt)
}

// timeParam returns a time, the zero one if there is none.
func (c *call) timeParam(v *validation, name string) time.Time {
	text := v.text(name, c.params[name])
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		v.fail(name, notOfType)
	}
	return t
}

// issuesStatistics answers GET /projects/:id/issues_statistics.
func (c *call) issuesStatistics() *reply {
	_, p, r := c.readableProject()
	if r != nil {
		return r
	}
	var v validation
	f := itemFilter{after: c.timeParam(&v, "created_after"), before: c.timeParam(&v, "created_before")}
	if r := v.refusal(); r != nil {
		return r
	}
	counts := map[string]int{"opened": 0, "closed": 0}
	if !p.lacks("issues") {
		for _, it := range c.m.holding(p).items["issues"] {
			if f.matches(it) {
				counts[it.State]++
			}
		}
	}
	return jsonReply(http.StatusOK, object{{"statistics", object{{"counts", object{
		{"all", counts["opened"] + counts["closed"]}, {"closed", counts["closed"]}, {"opened", counts["opened"]},
	}}}}})
}

// countLimit is how many elements of a list GitLab counts.
const countLimit = 10_000

// withoutLast finds the link to the last page.
var withoutLast = regexp.MustCompile(`, <[^>]*>; rel="last"`)

// answerPage answers with a page of a list.
func answerPage[T any](c *call, l *listing, all []T, element func(T) object) *reply {
	begin := min((l.page-1)*l.size, len(all))
	list := []object{}
	for _, t := range all[begin:min(begin+l.size, len(all))] {
		list = append(list, element(t))
	}
	r := jsonReply(http.StatusOK, list)
	c.numberPages(r, l, len(all))
	if len(all) > countLimit && c.m.cfg.atLeast(11, 8) {
		r.header.Del("X-Total")
		r.header.Del("X-Total-Pages")
		r.header.Set("Link", withoutLast.ReplaceAllString(r.header.Get("Link"), ""))
	}
	return r
}

// listMembers answers GET /projects/:id/members: of the project alone, none of
// the group's.
func (c *call) listMembers() *reply {
	_, p, r := c.readableProject()
	if r != nil {
		return r
	}
	l := c.numbered()
	if r := l.refusal(); r != nil {
		return r
	}
	var all []*user
	for name, role := range p.members {
		if u := c.m.users[name]; u != nil && role > 0 {
			all = append(all, u)
		}
	}
	slices.SortFunc(all, func(a, b *user) int { return cmp.Compare(a.id, b.id) })
	return answerPage(c, l, all, func(u *user) object {
		return object{{"id", u.id}, {"username", u.username}, {"name", u.name}, {"access_level", int(p.members[u.username])}}
	})
}
