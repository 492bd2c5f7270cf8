package porter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/seed-5d77b939/porter/internal/wait"
)

// A Count is how many items there are: N, or at least N if it is not exact.
type Count struct {
	N     int64
	Exact bool
}

// String returns the number, such as "12" or "at least 10001".
func (n Count) String() string {
	if n.Exact {
		return strconv.FormatInt(n.N, 10)
	}
	return fmt.Sprintf("at least %d", n.N)
}

// plus returns the count of both together.
func (n Count) plus(m Count) Count { return Count{n.N + m.N, n.Exact && m.Exact} }

// CountRelations asks GitLab how many items of these relations the project has,
// of all relations that the API can count if none are given: labels, milestones,
// issues, snippets, releases, merge requests, pipelines, protected branches and
// tags, badges of the project and boards. Not in the map are relations that it
// cannot count, those whose feature is switched off in the project, and those
// that GitLab did not tell, because the user may not see them or the request
// failed.
//
// GitLab counts no more than 10,000 items of a list. Issues are exact beyond
// that, too, and merge requests are counted in parts, by the time of their
// creation; of others the count is then at least 10,001. Without the Reporter
// role, confidential issues are not counted.
//
// Each relation is one request, badges and protected branches one for each
// hundred, and more than 10,000 merge requests about four for each 10,000. Where
// GitLab says 0 or 403 one more request tells whether the feature is switched
// off. The error is the context's or, if not one relation could be counted, that
// of the first.
//
// GET /projects/:id/issues_statistics and the lists below /projects/:id, such as
// https://docs.gitlab.com/api/labels/#list-all-project-labels
func (c *Client) CountRelations(ctx context.Context, p ProjectRef, rs ...PortableRelation) (counts map[PortableRelation]Count, err error) {
	id, err := c.resolve(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("count relations: %w", err)
	}
	for _, r := range rs {
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("count relations of %s: %w", p, err)
		}
	}
	ctx, o := c.begin(ctx, OpLook, id, p.String())
	defer o.end(&err)
	looks := c.lookAtCounts(ctx, id, p.String(), time.Time{}, func(k *counter) bool {
		return len(rs) == 0 || slices.Contains(rs, k.relation)
	})
	c.findDisabled(ctx, id, p.String(), looks, true)
	if err := wait.Ended(ctx); err != nil {
		return nil, fmt.Errorf("count relations of %s: %w", p, err)
	}
	counts = make(map[PortableRelation]Count)
	for _, k := range counters {
		switch l, asked := looks[k.relation]; {
		case !asked, l.off:
		case l.err == nil:
			counts[k.relation] = l.count
		case err == nil:
			err = l.err
		}
	}
	if len(counts) == 0 && err != nil {
		return nil, fmt.Errorf("count relations of %s: %w", p, err)
	}
	return counts, nil
}

// A counter is how the items of a relation are counted.
type counter struct {
	relation PortableRelation
	path     string // below the project's
	query    string
	count    func(*countLook) (Count, error)
	dated    bool                // those that were created before some time can be counted
	off      func(features) bool // whether the feature is switched off; nil for what has no switch
}

// counters are what can be counted, in the order in which losses are told.
var counters = []*counter{
	{relation: PortableIssues, path: "issues", count: (*countLook).issues, dated: true, off: features.noIssues},
	{relation: PortableMergeRequests, path: "merge_requests", query: "state=all&scope=all&view=simple",
		count: (*countLook).mergeRequests, dated: true, off: features.noMergeRequests},
	{relation: PortableLabels, path: "labels", query: "include_ancestor_groups=false", count: (*countLook).total, off: features.noLabels},
	{relation: PortableMilestones, path: "milestones", count: (*countLook).total, off: features.noLabels},
	{relation: PortablePipelines, path: "pipelines", count: (*countLook).total, off: features.noPipelines},
	{relation: PortableReleases, path: "releases", count: (*countLook).total, off: features.noReleases},
	{relation: PortableSnippets, path: "snippets", count: (*countLook).total, off: features.noSnippets},
	{relation: PortableProtectedBranches, path: "protected_branches", count: (*countLook).own},
	{relation: PortableProtectedTags, path: "protected_tags", count: (*countLook).total},
	{relation: PortableBoards, path: "boards", count: (*countLook).total, off: features.noIssues},
	{relation: PortableProjectBadges, path: "badges", count: (*countLook).own},
}

// A counted is what a look at a relation has told.
type counted struct {
	count Count
	off   bool  // the feature is switched off
	err   error // nothing was told
}

// lookAtCounts counts the relations that want says, of those that can be only
// what was created before a time that is not zero.
func (c *Client) lookAtCounts(
	ctx context.Context, id, label string, before time.Time, want func(*counter) bool,
) map[PortableRelation]counted {
	looks := make(map[PortableRelation]counted)
	for _, k := range counters {
		if !want(k) {
			continue
		}
		l := &countLook{c: c, ctx: ctx, label: label, url: c.projectEndpoint(id, k.path), before: before}
		l.query, _ = url.ParseQuery(k.query) // it is one of the above
		n, err := k.count(l)
		looks[k.relation] = counted{count: n, err: err}
	}
	return looks
}

// findDisabled notes which relations are of a feature that is switched off: of
// such GitLab says 403, or 0, which is of interest only with zeros. If it does
// not tell whether the feature is on, a 0 says nothing.
func (c *Client) findDisabled(ctx context.Context, id, label string, looks map[PortableRelation]counted, zeros bool) {
	doubtful := func(k *counter) bool {
		l, asked := looks[k.relation]
		return asked && k.off != nil && (errors.Is(l.err, ErrForbidden) || zeros && l.err == nil && l.count == Count{Exact: true})
	}
	if !slices.ContainsFunc(counters, doubtful) {
		return
	}
	f, err := c.lookAtFeatures(ctx, id, label)
	for _, k := range counters {
		if !doubtful(k) {
			continue
		}
		l := looks[k.relation]
		switch {
		case err == nil:
			l.off = k.off(f)
		case l.err == nil:
			l.err = err
		}
		looks[k.relation] = l
	}
}

// A countLook counts the items of one relation.
type countLook struct {
	c      *Client
	ctx    context.Context
	label  string
	url    string
	query  url.Values
	before time.Time // zero for any
}

// countLimit is how many items of a list GitLab counts.
const countLimit = 10_000

// page asks for a page of the list, decodes it into v and returns the headers.
func (l *countLook) page(v any, ok func() bool, set ...string) (http.Header, error) {
	q := url.Values{}
	for name, values := range l.query {
		q[name] = values
	}
	for i := 0; i < len(set); i += 2 {
		q.Set(set[i], set[i+1])
	}
	return l.c.getPage(l.ctx, &request{url: l.url + "?" + q.Encode(), project: l.label, hints: listHints}, v, ok)
}

// getPage is getJSON for an answer whose headers matter.
func (c *core) getPage(ctx context.Context, r *request, v any, ok func() bool) (http.Header, error) {
	var h http.Header
	r.method = http.MethodGet
	r.read = func(resp *http.Response) error {
		h = resp.Header
		return decode(r, resp, v, ok)
	}
	_, err := c.send(ctx, r)
	return h, err
}

// total counts by what GitLab says of the whole list.
func (l *countLook) total() (Count, error) { return l.totalOf() }

func (l *countLook) totalOf(set ...string) (Count, error) {
	var page []struct{}
	h, err := l.page(&page, func() bool { return page != nil }, append(set, "per_page", "1")...)
	if err != nil {
		return Count{}, err
	}
	n, err := strconv.ParseInt(h.Get("X-Total"), 10, 64)
	switch {
	case err == nil && n >= int64(len(page)):
		return Count{n, true}, nil
	case h.Get("X-Total") == "" && h.Get("X-Next-Page") == "2": // it has told that there are more than it counts
		return Count{N: countLimit + 1}, nil
	}
	return Count{}, errors.New("the answer does not tell how many there are")
}

// issues counts by statistics, which know no limit. Releases before 12.0 do not
// have them.
func (l *countLook) issues() (Count, error) {
	var v struct {
		Statistics struct {
			Counts struct{ All *int64 }
		}
	}
	stats := *l
	stats.url += "_statistics"
	_, err := stats.page(&v, func() bool { n := v.Statistics.Counts.All; return n != nil && *n >= 0 }, l.dates(l.before)...)
	if e := answerOf(err); e != nil && e.StatusCode == http.StatusNotFound && e.key == "error" {
		return l.totalOf(append(l.dates(l.before), "scope", "all")...)
	}
	if err != nil {
		return Count{}, err
	}
	return Count{*v.Statistics.Counts.All, true}, nil
}

func (l *countLook) dates(before time.Time) []string {
	if before.IsZero() {
		return nil
	}
	return []string{"created_before", before.UTC().Format(time.RFC3339Nano)}
}

// maxOwnPages bounds the lists that are read whole.
const maxOwnPages = 50

// own counts the elements of a list that holds those of the group, too.
func (l *countLook) own() (n Count, err error) {
	for number := 1; number <= maxOwnPages; number++ {
		var page []struct {
			Kind      string `json:"kind"`      // of a badge
			Inherited bool   `json:"inherited"` // of a protected branch
		}
		h, err := l.page(&page, func() bool { return page != nil }, "per_page", "100", "page", strconv.Itoa(number))
		if err != nil {
			return Count{}, err
		}
		for _, e := range page {
			if e.Kind != "group" && !e.Inherited {
				n.N++
			}
		}
		if h.Get("X-Next-Page") == "" {
			n.Exact = true
			break
		}
	}
	return n, nil
}

// maxSplits is how many requests a count in parts may take.
const maxSplits = 500

// mergeRequests counts them in parts, by the time of their creation, if there
// are more than GitLab counts.
func (l *countLook) mergeRequests() (Count, error) {
	n, err := l.totalOf(l.dates(l.before)...)
	if err != nil || n.Exact {
		return n, err
	}
	oldest, err := l.created("asc")
	if err != nil {
		return Count{}, err
	}
	newest, err := l.created("desc")
	if err != nil || oldest.IsZero() || newest.Before(oldest) {
		return n, err
	}
	left := maxSplits
	return l.between(oldest.Truncate(time.Second), newest.Add(time.Second).Truncate(time.Second), &left)
}

// created returns when the first one in that order was created.
func (l *countLook) created(order string) (time.Time, error) {
	var page []struct {
		CreatedAt answerTime `json:"created_at"`
	}
	set := append(l.dates(l.before), "order_by", "created_at", "sort", order, "per_page", "1")
	if _, err := l.page(&page, func() bool { return page != nil }, set...); err != nil || len(page) == 0 {
		return time.Time{}, err
	}
	return time.Time(page[0].CreatedAt), nil
}

// between counts what was created from one time to another, both included. It
// makes no more requests than are left.
func (l *countLook) between(from, to time.Time, left *int) (Count, error) {
	const tick = time.Microsecond // of GitLab's database
	*left--
	n, err := l.totalOf(append(l.dates(to), "created_after", from.UTC().Format(time.RFC3339Nano))...)
	if err != nil || n.Exact || *left < 2 || to.Sub(from) < 2*tick {
		return n, err
	}
	middle := from.Add(to.Sub(from) / 2).Truncate(tick)
	older, err := l.between(from, middle, left)
	if err != nil {
		return Count{}, err
	}
	newer, err := l.between(middle.Add(tick), to, left)
	return older.plus(newer), err
}
