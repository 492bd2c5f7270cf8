package porter

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/seed-5d77b939/porter/internal/redact"
)

// ImportOptions say where and how a project is imported. GitLab 10.6 knows only
// Path and Namespace; Name came later, between 11.8 and 12.10.
type ImportOptions struct {
	Path      string       // the last part of the new project's path; required
	Name      string       // defaults to Path, or with Overwrite to the name of the project there
	Namespace NamespaceRef // nil is the user's own namespace
	// Overwrite replaces a project at that path once the import is done, such as the
	// one that a failed import has left there. Nothing asks what it is. It needs the
	// Owner role in the group and GitLab 10.7 or later. If the import fails, the old
	// project stays, and the new one under a path with a suffix.
	Overwrite bool
	Override  *ProjectOverrides // values to replace; nil for none

	// Resume is where another process has left off, for Import; nil for the
	// beginning.
	Resume *Checkpoint
	// Checkpoint is told by Import how far it has come, before and after what
	// cannot be undone, and keeps it. An error of it ends the import there. GitLab
	// waits meanwhile for the end of the upload, so it should not take long. Of an
	// upload that was broken off it may be told after the end of Import.
	Checkpoint func(context.Context, Checkpoint) error `json:"-"`
}

// UnmarshalJSON takes a number for a NamespaceID and a string for a NamespacePath.
func (o *ImportOptions) UnmarshalJSON(b []byte) error {
	type fields ImportOptions
	v := struct {
		*fields
		Namespace json.RawMessage
	}{fields: (*fields)(o)}
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	var id *NamespaceID
	var p NamespacePath
	switch {
	case v.Namespace == nil: // it stays as it was
	case json.Unmarshal(v.Namespace, &p) == nil && string(v.Namespace) != "null":
		o.Namespace = p
	default:
		o.Namespace = nil
		if err := json.Unmarshal(v.Namespace, &id); err != nil {
			return fmt.Errorf("namespace reference: %w", err)
		}
		if id != nil {
			o.Namespace = *id
		}
	}
	return nil
}

// fit refuses the checkpoint of another target, and takes the path from it if
// there is none.
func (o *ImportOptions) fit(p *Checkpoint) error {
	if p == nil || p.Target == "" {
		return nil
	}
	namespace, base := path.Split(string(p.Target))
	o.Path = cmp.Or(o.Path, base)
	other := !strings.EqualFold(o.Path, base)
	if given, ok := o.Namespace.(NamespacePath); ok {
		other = other || !strings.EqualFold(string(given)+"/", namespace)
	}
	if other {
		return misfit("it is of an import to %s, not to %s", redact.Line(string(p.Target), 300), o.label())
	}
	return nil
}

// fields checks the options and returns them as GitLab's form fields.
func (o ImportOptions) fields() (url.Values, error) {
	if o.Resume != nil || o.Checkpoint != nil {
		return nil, errors.New("options Resume and Checkpoint are those of Import and of Migrate: other methods can't take up again")
	}
	if err := checkProjectSegment(o.Path); err != nil {
		return nil, err
	}
	v := url.Values{"path": {o.Path}}
	name := o.Name
	if name == "" && !o.Overwrite { // there, the name is that of the old project, which has it still
		name = o.Path
	}
	if err := checkText("name", name); err != nil {
		return nil, err
	}
	if name != "" {
		v.Set("name", name)
	}
	if o.Namespace != nil {
		key, value, err := resolveNamespace(o.Namespace)
		if err != nil {
			return nil, err
		}
		v.Set(key, value)
	}
	if o.Overwrite {
		v.Set("overwrite", "true")
	}
	overrides, err := o.Override.encode()
	if err != nil {
		return nil, err
	}
	for key, values := range overrides {
		v[key] = values
	}
	return v, nil
}

// checkProjectSegment refuses what no GitLab takes for a project's path,
// before a whole archive is uploaded to hear it.
func checkProjectSegment(p string) error {
	switch {
	case p == "":
		return errors.New("path is empty")
	case strings.Contains(p, "/"):
		return fmt.Errorf("path %q holds a slash: it is the last part of the project's path, and Namespace the rest", p)
	}
	for _, r := range p {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.", r) {
			return fmt.Errorf("path %q may hold only letters, digits, '_', '-' and '.'", p)
		}
	}
	if strings.HasPrefix(p, "-") || strings.Trim(p, ".") == "" ||
		strings.HasSuffix(p, ".git") || strings.HasSuffix(p, ".atom") {
		return fmt.Errorf("path %q must not begin with '-', be dots only, or end in '.git' or '.atom'", p)
	}
	return nil
}

// target returns the full path that a project will have, if it is known.
func (o ImportOptions) target() (ProjectPath, bool) {
	if ns, ok := o.Namespace.(NamespacePath); ok {
		return ProjectPath(string(ns) + "/" + o.Path), true
	}
	return "", false
}

// label names the project to be in messages.
func (o ImportOptions) label() string {
	if o.Path == "" {
		return "a project"
	}
	label := o.Path
	if p, ok := o.target(); ok {
		label = string(p)
	} else if o.Namespace != nil {
		label = fmt.Sprintf("%s (in namespace %s)", o.Path, o.Namespace)
	}
	return redact.Line(label, 300) // it may not have been checked yet
}
