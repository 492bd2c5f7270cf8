package porter

import "context"

// features are what GET /projects/:id says of what is switched on in a project:
// a level each and, of old releases, whether it is on at all.
type features struct {
	Issues        string `json:"issues_access_level"`
	MergeRequests string `json:"merge_requests_access_level"`
	Builds        string `json:"builds_access_level"`
	Snippets      string `json:"snippets_access_level"`
	Repository    string `json:"repository_access_level"`
	Releases      string `json:"releases_access_level"`

	HasIssues        *bool `json:"issues_enabled"`
	HasMergeRequests *bool `json:"merge_requests_enabled"`
	HasBuilds        *bool `json:"jobs_enabled"`
	HasSnippets      *bool `json:"snippets_enabled"`
}

func (c *Client) lookAtFeatures(ctx context.Context, id, label string) (f features, err error) {
	v := struct {
		ID ProjectID `json:"id"`
		*features
	}{features: &f}
	err = c.getJSON(ctx, &request{url: c.projectURL(id), project: label, hints: listHints}, &v, func() bool { return v.ID > 0 })
	learn(ctx, v.ID)
	return f, err
}

// switchedOff reports whether a feature is off. A level that is not known is on.
func switchedOff(level string, on *bool) bool {
	return level == "disabled" || level == "" && on != nil && !*on
}

func (f features) noIssues() bool        { return switchedOff(f.Issues, f.HasIssues) }
func (f features) noMergeRequests() bool { return switchedOff(f.MergeRequests, f.HasMergeRequests) }
func (f features) noPipelines() bool     { return switchedOff(f.Builds, f.HasBuilds) || f.noCode() }
func (f features) noSnippets() bool      { return switchedOff(f.Snippets, f.HasSnippets) }
func (f features) noCode() bool          { return switchedOff(f.Repository, nil) }
func (f features) noReleases() bool      { return switchedOff(f.Releases, nil) || f.noCode() }

// noLabels is of labels and milestones, which issues and merge requests have.
func (f features) noLabels() bool { return f.noIssues() && f.noMergeRequests() }
