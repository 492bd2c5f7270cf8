package porter

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ProbeImport asks GitLab itself whether it would take an import into a
// namespace, nil for the user's own: it sends an import of a few bytes with an
// empty path, which GitLab refuses before it creates anything, but after what it
// checks of the token, the import source and the namespace. It finds for any
// user what CheckImport can find for administrators only, and nothing of the
// role, the size and the path. No other check does this by itself, as it costs
// one of the imports that the user may start in a minute, and waits for its turn
// as an import does. An answer that tells nothing of the import is an error.
//
// POST /projects/import:
// https://docs.gitlab.com/api/project_import_export/#import-a-file
func (c *Client) ProbeImport(ctx context.Context, ns NamespaceRef) (_ *Check, err error) {
	if err := c.ready(ctx); err != nil {
		return nil, fmt.Errorf("probe import: %w", err)
	}
	what, fields := "one's own namespace", url.Values{"path": {""}}
	if ns != nil {
		key, value, err := resolveNamespace(ns)
		if err != nil {
			return nil, fmt.Errorf("probe import: %w", err)
		}
		what = value
		fields.Set(key, value)
	}
	ctx, o := c.begin(ctx, OpLook, "", what)
	defer o.end(&err)
	k := new(Check)
	if err := k.probe(ctx, c, what, fields); err != nil {
		return nil, fmt.Errorf("probe import into %s: %w", what, err)
	}
	return k, nil
}

func (k *Check) probe(ctx context.Context, c *Client, what string, fields url.Values) error {
	f := form{fields: fields, source: Source{
		Name: "probe.gz",
		Size: int64(len(probeBytes)),
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(probeBytes)), nil },
	}}
	imp := new(Import)
	err := c.postForImport(ctx, &request{
		url:     c.endpoint("projects/import"),
		project: what,
		open:    func(ctx context.Context) (*payload, error) { return f.open(ctx, &c.core, what) },
	}, imp, func() bool { return imp.ID > 0 && imp.Status != "" })
	if err == nil {
		c.created.note(imp.ID.String(), time.Time{})
		return fmt.Errorf("GitLab has taken it for an import, and created project %d, %s", imp.ID, imp.label())
	}
	e := answerOf(err)
	switch {
	case e == nil || e.isPage():
		return err
	case e.StatusCode == http.StatusBadRequest && e.key == "message":
		return nil // only the path was wrong
	case e.StatusCode == http.StatusNotFound && e.key == "message" && strings.Contains(e.Message, "Namespace"):
		k.add(FindingNamespace, true, "the namespace %s does not exist at %s, was renamed, or the user is no member of it", what, c.base.Host)
	case e.StatusCode == http.StatusForbidden && e.key != "message":
		k.add(FindingScope, true, "the token at %s may not import: %s", c.base.Host, e.Message)
	case e.StatusCode == http.StatusForbidden && e.Message == "403 Forbidden":
		k.add(FindingImportSource, true, "the import source “GitLab export” is switched off at %s", c.base.Host)
	default:
		return err
	}
	return nil
}

// probeBytes are no archive.
const probeBytes = "porter looks whether this instance takes imports\n"
