package portertest

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
)

// A ref is a branch or a tag.
type ref struct{ name, sha string }

// listBranches answers GET /projects/:id/repository/branches.
func (c *call) listBranches() *reply {
	p, r := c.codeProject()
	if r != nil {
		return r
	}
	return c.listRefs(c.m.holding(p).branches, false, func(r ref) object {
		return object{{"name", r.name}, {"commit", object{{"id", r.sha}}}}
	})
}

// listTags answers GET /projects/:id/repository/tags.
func (c *call) listTags() *reply {
	p, r := c.codeProject()
	if r != nil {
		return r
	}
	return c.listRefs(c.m.holding(p).tags, true, func(r ref) object {
		return object{{"name", r.name}, {"target", r.sha}, {"commit", object{{"id", r.sha}}}}
	})
}

// codeProject returns the project whose repository the caller may read.
func (c *call) codeProject() (*project, *reply) {
	u, p, r := c.readableProject()
	if r == nil && (p.lacks("repository") || p.visibility == "private" && p.role(u) < Reporter) {
		r = message(http.StatusForbidden, "403 Forbidden")
	}
	return p, r
}

// listRefs answers with refs in the order of their names. Those of the tags can
// be asked for by the name of the last one.
func (c *call) listRefs(shas map[string]string, keyset bool, element func(ref) object) *reply {
	l := c.numbered()
	if r := l.refusal(); r != nil {
		return r
	}
	var all []ref
	after := c.textParam("page_token")
	keyset = keyset && c.textParam("pagination") == "keyset"
	for _, name := range slices.Sorted(maps.Keys(shas)) {
		if !keyset || name > after {
			all = append(all, ref{name, shas[name]})
		}
	}
	if !keyset {
		return answerPage(c, l, all, element)
	}
	list := []object{}
	page := all[:min(l.size, len(all))]
	for _, r := range page {
		list = append(list, element(r))
	}
	r := jsonReply(http.StatusOK, list)
	if len(page) < len(all) {
		last := page[len(page)-1].name
		r.header.Set("Link", c.pageLink("next", func(q url.Values) { q.Set("page_token", last) }))
	}
	return r
}
