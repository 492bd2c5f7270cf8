package porter

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-5d77b939/porter/internal/pace"
	"github.com/seed-5d77b939/porter/internal/wait"
)

// These looks tell what stands in the way of a job before it begins. No job
// needs them: a token may do without the rights for them, and old releases don't
// have them. So whatever refuses one says nothing, and the answer is then nil.
// The only error is the context's.

// A tokenLook is what GET /personal_access_tokens/self tells.
type tokenLook struct {
	Scopes    []string `json:"scopes"`
	ExpiresAt string   `json:"expires_at"` // the date at whose beginning it ends
}

// knownScopes are those of which none but api allows an export or an import. A
// token with another one may be of a kind that is not known here.
var knownScopes = []string{
	"read_api", "read_user", "read_repository", "write_repository", "read_registry", "write_registry", "read_virtual_registry",
	"write_virtual_registry", "sudo", "admin_mode", "create_runner", "manage_runner", "ai_features", "k8s_proxy", "self_rotate",
	"read_service_ping", "read_observability", "write_observability", "openid", "profile", "email",
}

// mayNotWrite reports whether the token can neither export nor import.
func (t *tokenLook) mayNotWrite() bool {
	return t != nil && len(t.Scopes) > 0 &&
		!slices.ContainsFunc(t.Scopes, func(scope string) bool { return !slices.Contains(knownScopes, scope) })
}

func (c *Client) lookAtToken(ctx context.Context) (*tokenLook, error) {
	return lookKept(ctx, c, "personal_access_tokens/self", func(t *tokenLook) bool { return t.Scopes != nil })
}

// A userLook is what GET /user tells.
type userLook struct {
	ID               int64  `json:"id"`
	Username         string `json:"username"`
	Bot              bool   `json:"bot"`
	IsAdmin          bool   `json:"is_admin"`
	CanCreateProject *bool  `json:"can_create_project"`
}

func (c *Client) lookAtUser(ctx context.Context) (*userLook, error) {
	return lookKept(ctx, c, "user", func(u *userLook) bool { return u.ID > 0 && checkPath("username", u.Username) == nil })
}

// A settingsLook is what GET /application/settings tells administrators. Limits
// are in MiB, and 0 is none.
type settingsLook struct {
	ImportSources []string `json:"import_sources"`
	MaxImportSize int64    `json:"max_import_size"`
	MaxExportSize int64    `json:"max_export_size"`
}

// lookAtSettings asks only if u is an administrator: others are refused.
func (c *Client) lookAtSettings(ctx context.Context, u *userLook) (*settingsLook, error) {
	if u == nil || !u.IsAdmin {
		return nil, nil
	}
	return lookKept(ctx, c, "application/settings", func(s *settingsLook) bool { return s.MaxImportSize >= 0 && s.MaxExportSize >= 0 })
}

// A release is the major and minor number of a GitLab.
type release struct{ major, minor int }

func parseRelease(s string) (r release, ok bool) {
	major, rest, _ := strings.Cut(s, ".")
	minor, _, _ := strings.Cut(rest, ".")
	minor, _, _ = strings.Cut(minor, "-")
	var err1, err2 error
	r.major, err1 = strconv.Atoi(major)
	r.minor, err2 = strconv.Atoi(minor)
	return r, err1 == nil && err2 == nil && r.major > 0 && r.minor >= 0
}

func (r release) atLeast(major, minor int) bool {
	return r.major > major || r.major == major && r.minor >= minor
}

func (r release) String() string { return fmt.Sprintf("%d.%d", r.major, r.minor) }

// lookAtRelease asks GET /version, which all releases have.
func (c *Client) lookAtRelease(ctx context.Context) (*release, error) {
	type answer struct {
		Version string `json:"version"`
	}
	v, err := lookKept(ctx, c, "version", func(v *answer) bool { _, ok := parseRelease(v.Version); return ok })
	if v == nil {
		return nil, err
	}
	r, _ := parseRelease(v.Version)
	return &r, nil
}

// A namespaceLook is what GET /namespaces/:id tells. It finds what an import
// finds.
type namespaceLook struct {
	ID       NamespaceID   `json:"id"`
	Kind     string        `json:"kind"` // "group" or "user"
	FullPath NamespacePath `json:"full_path"`
}

func (n *namespaceLook) valid() bool {
	return n.ID > 0 && checkPath("namespace path", string(n.FullPath)) == nil
}

// lookAtNamespace reports as missing what GitLab says there is none of for this
// user. That is not kept: a program may make it.
func (c *Client) lookAtNamespace(ctx context.Context, ns NamespaceRef) (n *namespaceLook, missing bool, err error) {
	type answer struct {
		*namespaceLook
		missing bool
	}
	_, ref, err := resolveNamespace(ns)
	if err != nil {
		return nil, false, err
	}
	path := "namespaces/" + url.PathEscape(ref)
	a, err := kept(ctx, c.kept, path, func() (answer, bool, error) {
		n, o, err := look(ctx, c, request{url: c.endpoint(path)}, (*namespaceLook).valid)
		missing := o.answer != nil && o.answer.StatusCode == http.StatusNotFound && o.answer.key == "message" &&
			strings.Contains(o.answer.Message, "Namespace")
		return answer{n, missing}, o.lasts() && !missing, err
	})
	return a.namespaceLook, a.missing, err
}

// A groupLook is what GET /groups/:id tells.
type groupLook struct {
	ID              int64  `json:"id"`
	ProjectCreation string `json:"project_creation_level"`
	Archived        bool   `json:"archived"`
}

func (c *Client) lookAtGroup(ctx context.Context, id NamespaceID) (*groupLook, error) {
	return lookKept(ctx, c, "groups/"+id.String()+"?with_projects=false", func(g *groupLook) bool { return g.ID == int64(id) })
}

// A memberLook is what GET /groups/:id/members/all/:user_id tells.
type memberLook struct {
	ID          int64 `json:"id"`
	AccessLevel int   `json:"access_level"`
}

func (c *Client) lookAtMember(ctx context.Context, group NamespaceID, u *userLook) (*memberLook, error) {
	path := fmt.Sprintf("groups/%d/members/all/%d", group, u.ID)
	return lookKept(ctx, c, path, func(m *memberLook) bool { return m.ID == u.ID && m.AccessLevel > 0 })
}

// A sizeLook is what GET /projects/:id?statistics=true tells Reporters in bytes,
// which may be old.
type sizeLook struct {
	Storage    int64 `json:"storage_size"`
	Artifacts  int64 `json:"job_artifacts_size"`
	Packages   int64 `json:"packages_size"`
	Repository int64 `json:"repository_size"`
	LFS        int64 `json:"lfs_objects_size"`
	Wiki       int64 `json:"wiki_size"`
	Uploads    int64 `json:"uploads_size"`
	Snippets   int64 `json:"snippets_size"`
}

// archive is about how many bytes the project's archive will have.
func (s *sizeLook) archive() int64 { return s.Repository + s.Wiki + s.LFS + s.Snippets + s.Uploads }

// sizeBudget is what a look at a project counts against since GitLab 18.1.
var sizeBudget = pace.Budget{Key: "project", Limit: 400}

// lookAtSize is never kept: it is of one project.
func (c *Client) lookAtSize(ctx context.Context, id, label string) (*sizeLook, error) {
	type answer struct {
		Statistics *sizeLook `json:"statistics"`
	}
	r := request{url: c.projectURL(id) + "?statistics=true", project: label, budget: sizeBudget}
	a, _, err := look(ctx, c, r, func(a *answer) bool { return a.Statistics != nil })
	if a == nil {
		return nil, err
	}
	return a.Statistics, nil
}

// lookKept is a look whose answer is kept for a while.
func lookKept[T any](ctx context.Context, c *Client, path string, valid func(*T) bool) (*T, error) {
	return kept(ctx, c.kept, path, func() (*T, bool, error) {
		v, o, err := look(ctx, c, request{url: c.endpoint(path)}, valid)
		return v, o.lasts(), err
	})
}

// lasts reports whether another look is likely to have the same outcome.
func (o outcome) lasts() bool { return o.fault == noFault }

// look asks once.
func look[T any](ctx context.Context, c *Client, r request, valid func(*T) bool) (*T, outcome, error) {
	v := new(T)
	r.hints, r.once = foreignHints, true
	err := c.getJSON(ctx, &r, v, func() bool { return valid(v) })
	switch {
	case err == nil:
		return v, outcome{}, nil
	case ctx.Err() != nil:
		return nil, outcome{}, wait.Ended(ctx)
	}
	return nil, outcomeOf(err), nil
}
