package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	gitlab "gitlab.com/gitlab-org/api/client-go"

	"github.com/seed-5d77b939/porter"
)

// relations are those that GitLab can import by themselves, in the order of an
// import, with the lists that show their items.
var relations = []struct {
	name porter.Relation
	list string // below the project's URL
}{
	{porter.RelationMilestones, "milestones"},
	{porter.RelationIssues, "issues"},
	{porter.RelationMergeRequests, "merge_requests"},
	{porter.RelationPipelines, "pipelines"},
}

// importable reports whether GitLab can import a relation by itself.
func importable(r porter.Relation) bool {
	for _, known := range relations {
		if known.name == r {
			return true
		}
	}
	return false
}

// An api lists what porter only counts.
type api struct{ *gitlab.Client }

func newAPI(o options, token string) (api, error) {
	// The token goes to no other host.
	stay := &http.Client{
		Transport:     o.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c, err := gitlab.NewClient(token, gitlab.WithBaseURL(o.url), gitlab.WithHTTPClient(stay))
	if err != nil {
		return api{}, err
	}
	return api{c}, nil
}

// numbers returns the numbers (iids) of all items in a list of a project.
func (a api) numbers(ctx context.Context, project, list string) (map[int64]bool, error) {
	there := map[int64]bool{}
	opts := struct {
		PerPage int64 `url:"per_page"`
		Page    int64 `url:"page"`
	}{100, 1}
	for opts.Page > 0 {
		req, err := a.NewRequest(http.MethodGet, "projects/"+url.PathEscape(project)+"/"+list, opts,
			[]gitlab.RequestOptionFunc{gitlab.WithContext(ctx)})
		if err != nil {
			return nil, err
		}
		var page []struct {
			IID int64 `json:"iid"`
		}
		resp, err := a.Do(req, &page)
		if err != nil {
			return nil, fmt.Errorf("list %s of %s: %w", list, project, err)
		}
		for _, item := range page {
			if item.IID <= 0 {
				return nil, errors.New("list " + list + " of " + project + ": GitLab does not tell their numbers")
			}
			there[item.IID] = true
		}
		opts.Page = resp.NextPage
	}
	return there, nil
}
