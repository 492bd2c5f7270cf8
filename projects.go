package porter

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/url"
	"strconv"
)

// ListedProject is what a list says of a project.
type ListedProject struct {
	Project
	Archived   bool   `json:"archived"`
	DeletionOn string `json:"marked_for_deletion_on"` // the date on which it is to be deleted, and it is archived; "" for none
}

// UnmarshalJSON takes created_at in any form.
func (p *ListedProject) UnmarshalJSON(b []byte) error {
	type fields ListedProject
	return json.Unmarshal(b, &struct {
		*fields
		CreatedAt *answerTime `json:"created_at"`
	}{(*fields)(p), (*answerTime)(&p.CreatedAt)})
}

// Archived says what a list does with archived projects. Those that are
// scheduled for deletion are archived too.
type Archived string

// The ways to list archived projects.
const (
	ArchivedAll  Archived = "all" // with the others, as the zero value does
	ArchivedSkip Archived = "skip"
	ArchivedOnly Archived = "only"
)

// ListOptions say which projects are listed.
type ListOptions struct {
	After    ProjectID // only those with a higher ID, to go on with an earlier list
	Archived Archived
}

// query returns the parameters that both lists have.
func (o *ListOptions) query() (url.Values, error) {
	q := url.Values{"order_by": {"id"}, "sort": {"asc"}, "per_page": {"100"}}
	if o == nil {
		return q, nil
	}
	switch o.Archived {
	case "", ArchivedAll:
	case ArchivedSkip, ArchivedOnly:
		q.Set("archived", strconv.FormatBool(o.Archived == ArchivedOnly))
	default:
		return nil, fmt.Errorf("archived projects can be %q, %q or %q, not %q", ArchivedAll, ArchivedSkip, ArchivedOnly, string(o.Archived))
	}
	if o.After < 0 {
		return nil, fmt.Errorf("project ID %d is negative", o.After)
	}
	return q, nil
}

// Projects yields the projects of a group and of its subgroups in the order of
// their IDs, without those of other groups that are shared with it. A nil ns
// yields the projects of which the user is a member with the Maintainer role or
// higher, wherever they are. The error comes last, with a nil ListedProject; it
// is ErrNotFound if there is no such group, or it is a user's own namespace. A
// program that was interrupted goes on After the last project that it has seen.
// Nil opts are the zero value. A group's projects are all that the user can see,
// some of which the user may not be allowed to export.
//
// GET /groups/:id/projects and GET /projects:
// https://docs.gitlab.com/api/groups/#list-projects and
// https://docs.gitlab.com/api/projects/#list-all-projects
func (c *Client) Projects(ctx context.Context, ns NamespaceRef, opts *ListOptions) iter.Seq2[*ListedProject, error] {
	if err := c.ready(ctx); err != nil {
		return func(yield func(*ListedProject, error) bool) {
			yield(nil, fmt.Errorf("list projects: %w", err))
		}
	}
	label := ""
	if ns != nil {
		label = ns.String()
	}
	return watched(ctx, &c.core, OpLook, "", label, func(ctx context.Context) iter.Seq2[*ListedProject, error] {
		return c.listProjects(ctx, ns, opts)
	})
}

func (c *Client) listProjects(ctx context.Context, ns NamespaceRef, opts *ListOptions) iter.Seq2[*ListedProject, error] {
	return func(yield func(*ListedProject, error) bool) {
		l, err := c.newProjectList(ns, opts)
		for err == nil && !l.ended {
			var page []*ListedProject
			page, err = l.next(ctx)
			for _, p := range page {
				if !yield(p, nil) {
					return
				}
			}
		}
		if err != nil {
			op := "list projects"
			if ns != nil && l != nil {
				op += " of " + ns.String()
			}
			yield(nil, fmt.Errorf("%s: %w", op, err))
		}
	}
}

// A projectList asks for one page after the other, by the ID of the last
// project: pages by number shift when a project is deleted. GitLab's links to
// the next page say no more, and are of the host that it believes to have.
type projectList struct {
	c     *Client
	url   string
	query url.Values
	label string
	last  ProjectID // that was yielded, or the list is to begin after
	page  int       // by number, where GitLab does not know id_after; else 0
	seen  ProjectID // the last of such a page
	ended bool
}

func (c *Client) newProjectList(ns NamespaceRef, opts *ListOptions) (*projectList, error) {
	l := &projectList{c: c, url: c.endpoint("projects")}
	group := ""
	if ns != nil {
		var err error
		if _, group, err = resolveNamespace(ns); err != nil {
			return nil, err
		}
		l.url, l.label = c.endpoint("groups/"+url.PathEscape(group)+"/projects"), ns.String()
	}
	var err error
	if l.query, err = opts.query(); err != nil {
		return nil, err
	}
	if group != "" {
		l.query.Set("include_subgroups", "true")
		l.query.Set("with_shared", "false")
	} else {
		l.query.Set("membership", "true")
		l.query.Set("min_access_level", "40")
		l.query.Set("pagination", "keyset")
	}
	if opts != nil {
		l.last = opts.After
	}
	return l, nil
}

// next returns the projects of the next page that were not listed yet.
func (l *projectList) next(ctx context.Context) ([]*ListedProject, error) {
	l.query.Del("id_after")
	if l.page > 0 {
		l.query.Set("page", strconv.Itoa(l.page))
	} else if l.last > 0 {
		l.query.Set("id_after", l.last.String())
	}
	var page []*ListedProject
	err := l.c.getJSON(ctx, &request{url: l.url + "?" + l.query.Encode(), project: l.label, hints: listHints}, &page, func() bool {
		return page != nil && allPresent(page) && inOrder(page)
	})
	switch {
	case err != nil:
		return nil, err
	case len(page) == 0:
		l.ended = true
		return nil, nil
	}
	end := page[len(page)-1].ID
	switch {
	case l.page == 0 && page[0].ID <= l.last: // id_after is ignored, as before GitLab 12.5
		l.page, l.seen = 2, end
		l.query.Del("pagination")
	case l.page > 0 && end <= l.seen:
		return nil, fmt.Errorf("page %d repeats another one", l.page)
	case l.page > 0:
		l.page, l.seen = l.page+1, end
	}
	for len(page) > 0 && page[0].ID <= l.last {
		page = page[1:]
	}
	l.last = max(l.last, end)
	return page, nil
}

// inOrder reports whether the IDs grow: by them a list goes on.
func inOrder(page []*ListedProject) bool {
	last := ProjectID(0)
	for _, p := range page {
		if p.ID <= last {
			return false
		}
		last = p.ID
	}
	return true
}
