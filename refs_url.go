package porter

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/seed-5d77b939/porter/internal/netio"
)

// ParseProject reads a reference to a project as the function ParseProject does,
// and takes the URL of a project on c's instance, too, as people copy it: from a
// browser (what follows "/-/", a query and a fragment are left out), for git, by
// HTTPS or SSH, or of its API. The URL of another instance is an error. It makes
// no request, so that the project need not exist.
func (c *Client) ParseProject(s string) (ProjectRef, error) {
	path, api, err := c.pathHere(s)
	switch {
	case err != nil:
		return nil, fmt.Errorf("project %w", err)
	case api != "":
		id, ok := apiSegment(api, "projects")
		if !ok {
			return nil, fmt.Errorf("project %q is no URL of a project", urlPlace(s))
		}
		return ParseProject(id)
	case path == "":
		return ParseProject(s)
	}
	p := ProjectPath(strings.TrimSuffix(path, ".git"))
	if _, err := p.projectRef(); err != nil {
		return nil, err
	}
	return p, nil
}

// ParseNamespace reads a reference to a namespace as the function ParseNamespace
// does, and takes the URL of a group or user on c's instance, as the method
// ParseProject takes that of a project.
func (c *Client) ParseNamespace(s string) (NamespaceRef, error) {
	path, api, err := c.pathHere(s)
	switch {
	case err != nil:
		return nil, fmt.Errorf("namespace %w", err)
	case api != "":
		id, ok := apiSegment(api, "groups", "namespaces")
		if !ok {
			return nil, fmt.Errorf("namespace %q is no URL of a group", urlPlace(s))
		}
		return ParseNamespace(id)
	case path == "":
		return ParseNamespace(s)
	}
	ns := NamespacePath(strings.TrimPrefix(path, "groups/")) // where pages about a group are
	if _, _, err := ns.namespaceRef(); err != nil {
		return nil, err
	}
	return ns, nil
}

// pathHere returns what a URL of the instance names: a path of GitLab's, or an
// escaped one below its API. Both are empty if s is no URL.
func (c *Client) pathHere(s string) (path, api string, err error) {
	u := splitURL(s)
	if u == nil {
		return "", "", nil
	}
	if err := c.made(); err != nil {
		return "", "", fmt.Errorf("can't be read from a URL: %w", err)
	}
	home := *c.base
	root := strings.TrimSuffix(home.EscapedPath(), "/api/v4/")
	rest, below := u.EscapedPath(), true
	switch u.Scheme {
	case "http", "https":
		rest, below = strings.CutPrefix(rest, root)
		below = below && (rest == "" || rest[0] == '/') &&
			(netio.SameOrigin(u, &home) || strings.EqualFold(u.Hostname(), home.Hostname()) && u.Port() == home.Port())
	case "ssh": // has another port, and no relative URL root
		below = strings.EqualFold(u.Hostname(), home.Hostname())
	}
	if !below {
		return "", "", fmt.Errorf("%q is not on this instance, %s", urlPlace(s), strings.TrimSuffix(c.BaseURL(), "/api/v4/"))
	}
	if api, ok := strings.CutPrefix(rest, "/api/v4/"); ok {
		return "", api, nil
	}
	rest, _, _ = strings.Cut(rest+"/", "/-/")
	path, err = url.PathUnescape(strings.Trim(rest, "/"))
	if err == nil && path == "" {
		err = errors.New("names nothing")
	}
	if err != nil {
		return "", "", fmt.Errorf("%q is the URL of the instance or of a page that belongs to no project or group", urlPlace(s))
	}
	return path, "", nil
}

// splitURL reads a URL of the web or of git's SSH, and git's short form of the
// latter. It returns nil for anything else.
func splitURL(s string) *url.URL {
	if !strings.Contains(s, "://") {
		user, rest, ok := strings.Cut(s, "@")
		host, path, found := strings.Cut(rest, ":")
		if !ok || !found || user == "" || strings.ContainsAny(user+host, "/:") {
			return nil
		}
		return &url.URL{Scheme: "ssh", Host: host, Path: "/" + strings.TrimLeft(path, "/")}
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "ssh" {
		return nil
	}
	return u
}

// apiSegment returns what stands after one of the collections, unescaped.
func apiSegment(api string, collections ...string) (string, bool) {
	for _, name := range collections {
		if rest, ok := strings.CutPrefix(api, name+"/"); ok {
			id, _, _ := strings.Cut(rest, "/")
			id, err := url.PathUnescape(id)
			return id, err == nil && id != ""
		}
	}
	return "", false
}
