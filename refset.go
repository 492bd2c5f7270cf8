package porter

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"

	"github.com/seed-5d77b939/porter/internal/redact"
)

// A gitRef is a branch or a tag, and what it points to.
type gitRef struct {
	kind, name, sha string
}

func (r gitRef) String() string { return r.kind + " " + redact.Line(r.name, 100) }

// maxRefs is how many branches and tags of a project are compared. A refSet of
// them takes 2 MiB.
const maxRefs = 1 << 18

var errTooManyRefs = fmt.Errorf("more than %d branches and tags", maxRefs)

// A refSet is a set of refs, of which it knows only hashes.
type refSet struct {
	hashes []uint64 // in order
	found  []bool
}

var refSeed = maphash.MakeSeed()

func (r gitRef) hash() uint64 {
	return maphash.String(refSeed, r.kind+"\x00"+r.name+"\x00"+r.sha)
}

// refsOf returns the refs of a project.
func (c *Client) refsOf(ctx context.Context, id, label string) (*refSet, error) {
	s := new(refSet)
	err := c.eachRef(ctx, id, label, func(r gitRef) error {
		if len(s.hashes) == maxRefs {
			return errTooManyRefs
		}
		s.hashes = append(s.hashes, r.hash())
		return nil
	})
	slices.Sort(s.hashes)
	s.found = make([]bool, len(s.hashes))
	return s, err
}

// index returns the place of r, -1 if it is not in the set.
func (s *refSet) index(r gitRef) int {
	if i, ok := slices.BinarySearch(s.hashes, r.hash()); ok {
		return i
	}
	return -1
}

// find notes that r was found.
func (s *refSet) find(r gitRef) error {
	if i := s.index(r); i >= 0 {
		s.found[i] = true
	}
	return nil
}

// missing returns how many were not found.
func (s *refSet) missing() (n int) {
	for _, found := range s.found {
		if !found {
			n++
		}
	}
	return n
}

// eachRef calls f with each branch, and then with each tag, of a project.
func (c *Client) eachRef(ctx context.Context, id, label string, f func(gitRef) error) error {
	branches := &refList{c: c, label: label, kind: "branch", url: c.projectEndpoint(id, "repository/branches"), query: url.Values{}}
	if err := branches.each(ctx, f); err != nil {
		return err
	}
	tags := &refList{c: c, label: label, kind: "tag", url: c.projectEndpoint(id, "repository/tags"),
		query: url.Values{"pagination": {"keyset"}, "order_by": {"name"}, "sort": {"asc"}}}
	return tags.each(ctx, f)
}

// A refList asks for one page after the other.
type refList struct {
	c     *Client
	label string
	kind  string
	url   string
	query url.Values
}

func (l *refList) each(ctx context.Context, f func(gitRef) error) error {
	const perPage = 100
	l.query.Set("per_page", strconv.Itoa(perPage))
	for pages := 0; ; pages++ {
		if pages > maxRefs/perPage {
			return errTooManyRefs
		}
		var page []struct {
			Name   string `json:"name"`
			Target string `json:"target"` // of a tag, which may be annotated
			Commit struct {
				ID string `json:"id"`
			} `json:"commit"`
		}
		r := &request{url: l.url + "?" + l.query.Encode(), project: l.label, hints: listHints}
		h, err := l.c.getPage(ctx, r, &page, func() bool { return page != nil })
		if err != nil {
			return err
		}
		for _, e := range page {
			ref := gitRef{l.kind, e.Name, e.Target}
			if ref.sha == "" {
				ref.sha = e.Commit.ID
			}
			if ref.name == "" || ref.sha == "" {
				return errors.New("a " + l.kind + " without name or commit")
			}
			if err := f(ref); err != nil {
				return err
			}
		}
		more, err := l.turn(h)
		if err != nil || !more {
			return err
		}
	}
}

// nextLink finds the link to the next page. It says of which host GitLab
// believes to be, so only its query counts.
var nextLink = regexp.MustCompile(`<([^>]*)>;\s*rel="next"`)

// turn goes on to the next page, if the headers of this one name any: by the
// token of the last ref, or by number where GitLab knows no tokens.
func (l *refList) turn(h http.Header) (more bool, err error) {
	name, value := "page", h.Get("X-Next-Page")
	if m := nextLink.FindStringSubmatch(h.Get("Link")); m != nil && value == "" {
		u, err := url.Parse(m[1])
		if err != nil {
			return false, errors.New("the link to the next page is malformed")
		}
		name, value = "page_token", u.Query().Get("page_token")
		if value == "" {
			return false, errors.New("the link to the next page has no token")
		}
	}
	if value == "" {
		return false, nil
	}
	if l.query.Get(name) == value {
		return false, errors.New("the next page is the same")
	}
	l.query.Set(name, value)
	return true, nil
}
