package porter

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/seed-5d77b939/porter/internal/redact"
)

// A ProjectRef names a project: a ProjectID or a ProjectPath.
type ProjectRef interface {
	String() string
	projectRef() (string, error)
}

// ProjectID is a project's numeric ID.
type ProjectID int64

// ProjectPath is a project's full path, such as "group/subgroup/app", not escaped.
type ProjectPath string

// String returns the ID in decimal.
func (id ProjectID) String() string { return strconv.FormatInt(int64(id), 10) }

func (id ProjectID) projectRef() (string, error) {
	if id <= 0 {
		return "", fmt.Errorf("project ID %d is not positive", int64(id))
	}
	return id.String(), nil
}

// String returns the path.
func (p ProjectPath) String() string { return string(p) }

func (p ProjectPath) projectRef() (string, error) {
	if err := checkPath("project path", string(p)); err != nil {
		return "", err
	}
	if !strings.Contains(string(p), "/") {
		return "", fmt.Errorf("project path %q has no namespace: give the full path, such as group/app, or a ProjectID", string(p))
	}
	return string(p), nil
}

// ParseProject reads a reference to a project as people write it, in an argument
// or a list: an ID, such as 42, or a full path, such as group/app. Nothing is
// trimmed, and the URL of a project is an error that says what to give: which
// part of it is the path, only a Client knows, whose ParseProject takes it.
func ParseProject(s string) (p ProjectRef, err error) {
	id, isID, err := parseID(s)
	switch {
	case err != nil:
		return nil, fmt.Errorf("project %w", err)
	case isID:
		p = ProjectID(id)
	default:
		p = ProjectPath(s)
	}
	if _, err = p.projectRef(); err != nil {
		return nil, err
	}
	return p, nil
}

// A NamespaceRef names a group or personal namespace: a NamespaceID or a NamespacePath.
type NamespaceRef interface {
	String() string
	namespaceRef() (key, value string, err error)
}

// NamespaceID is a namespace's numeric ID.
type NamespaceID int64

// NamespacePath is a namespace's full path, such as "group/subgroup", not
// escaped. GitLab takes a path of digits only for an ID, so such a namespace
// can be named by its NamespaceID only.
type NamespacePath string

// String returns the ID in decimal.
func (id NamespaceID) String() string { return strconv.FormatInt(int64(id), 10) }

// The key is namespace, because servers before 18.7 drop namespace_id and
// import into the user's own namespace.
func (id NamespaceID) namespaceRef() (key, value string, err error) {
	if id <= 0 {
		return "", "", fmt.Errorf("namespace ID %d is not positive", int64(id))
	}
	return "namespace", id.String(), nil
}

// String returns the path.
func (p NamespacePath) String() string { return string(p) }

func (p NamespacePath) namespaceRef() (key, value string, err error) {
	if err := checkPath("namespace path", string(p)); err != nil {
		return "", "", err
	}
	if strings.Trim(string(p), "0123456789") == "" {
		return "", "", fmt.Errorf("namespace path %q: GitLab takes a path of digits for an ID; give the NamespaceID", string(p))
	}
	return "namespace", string(p), nil
}

// ParseNamespace reads a reference to a namespace as ParseProject reads one to a
// project: an ID, such as 42, or a full path, such as group/subgroup.
func ParseNamespace(s string) (ns NamespaceRef, err error) {
	id, isID, err := parseID(s)
	switch {
	case err != nil:
		return nil, fmt.Errorf("namespace %w", err)
	case isID:
		ns = NamespaceID(id)
	default:
		ns = NamespacePath(s)
	}
	if _, _, err = ns.namespaceRef(); err != nil {
		return nil, err
	}
	return ns, nil
}

// parseID reads an ID, and reports whether s is one or may be a path. What looks
// like a URL can hold a secret, so an error repeats only a part of it.
func parseID(s string) (id int64, isID bool, err error) {
	switch {
	case s != "" && strings.Trim(s, "0123456789") == "":
		if id, err = strconv.ParseInt(s, 10, 64); err != nil {
			return 0, false, fmt.Errorf("ID %s is too large", redact.Line(s, 50))
		}
		return id, true, nil
	case looksLikeURL(s):
		return 0, false, urlError(s)
	}
	return 0, false, nil
}

// looksLikeURL goes by what is in no path.
func looksLikeURL(s string) bool { return strings.Contains(s, ":") }

func urlError(s string) error {
	return fmt.Errorf("%q looks like a URL: give the full path alone, such as group/app, or the ID; "+
		"ParseProject and ParseNamespace of a Client take URLs of its instance", urlPlace(s))
}

// urlPlace is the part of a URL that is no secret.
func urlPlace(s string) string {
	place, _, _ := strings.Cut(s[strings.LastIndex(s, "@")+1:], "?")
	place, _, _ = strings.Cut(place, "#")
	return redact.Line(place, 300)
}

// resolveNamespace checks a reference and returns it as a field of GitLab's forms.
func resolveNamespace(ns NamespaceRef) (key, value string, err error) {
	switch ns.(type) {
	case nil:
		return "", "", errors.New("namespace reference is nil")
	case NamespaceID, NamespacePath:
		return ns.namespaceRef()
	}
	return "", "", fmt.Errorf("namespace reference is a %T; give a NamespaceID or a NamespacePath", ns) // a pointer to one, say
}

// checkPath refuses what can be no path on any GitLab, before a request or a
// whole upload is spent on it.
func checkPath(what, p string) error {
	if p == "" {
		return fmt.Errorf("%s is empty", what)
	}
	if looksLikeURL(p) {
		return fmt.Errorf("%s %w", what, urlError(p))
	}
	if !utf8.ValidString(p) || strings.ContainsFunc(p, func(r rune) bool { return unicode.IsControl(r) || isBlank(r) }) {
		return fmt.Errorf("%s %q holds white space, control or invisible characters", what, p)
	}
	if strings.Contains(strings.ToLower(p), "%2f") {
		return fmt.Errorf("%s %q is escaped already: give it with slashes", what, p)
	}
	for seg := range strings.SplitSeq(p, "/") {
		switch seg {
		case "":
			return fmt.Errorf("%s %q has an empty segment: leave out slashes at its ends and double ones", what, p)
		case ".", "..":
			return fmt.Errorf("%s %q has a segment %q", what, p, seg)
		}
	}
	return nil
}

// checkText refuses what GitLab answers with a bare 400, or would cut.
func checkText(what, s string) error {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, isControl) {
		return fmt.Errorf("%s %q holds control characters or invalid UTF-8", what, s)
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// resolve checks a reference and returns it as GitLab's :id, not escaped.
func resolve(p ProjectRef) (string, error) {
	switch p.(type) {
	case nil:
		return "", errors.New("project reference is nil")
	case ProjectID, ProjectPath:
		return p.projectRef()
	}
	return "", fmt.Errorf("project reference is a %T; give a ProjectID or a ProjectPath", p) // a pointer to one, say
}

// Project is what every import and export answer says of its project.
type Project struct {
	ID                ProjectID   `json:"id"`
	Name              string      `json:"name"`
	NameWithNamespace string      `json:"name_with_namespace"`
	Path              string      `json:"path"`
	PathWithNamespace ProjectPath `json:"path_with_namespace"`
	Description       string      `json:"description"`
	CreatedAt         time.Time   `json:"created_at"` // the project, not an export of it
}

// ref returns what to ask for a project by from now on: its ID, if it was given
// by its path, which a rename changes.
func (p Project) ref(given ProjectRef) string {
	if _, byPath := given.(ProjectPath); byPath && p.ID > 0 {
		return p.ID.String()
	}
	ref, _ := resolve(given) // it was fine before
	return ref
}

// label names the project in messages.
func (p Project) label() string {
	if p.PathWithNamespace != "" {
		return redact.Line(string(p.PathWithNamespace), 300)
	}
	return p.ID.String()
}

// checkRelation leaves it to GitLab which relations there are.
func checkRelation(name string) error {
	if name == "" {
		return errors.New("relation is empty")
	}
	return checkText("relation", name)
}
