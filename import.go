package porter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed-5d77b939/porter/internal/pace"
	"github.com/seed-5d77b939/porter/internal/redact"
	"github.com/seed-5d77b939/porter/internal/wait"
)

// Import is the state of a project's import.
type Import struct {
	Project
	Status          ImportStatus     `json:"import_status"`
	Type            string           `json:"import_type"`      // "gitlab_project", or "" for a project that was not imported
	Error           string           `json:"import_error"`     // why it failed, or is incomplete
	CorrelationID   string           `json:"correlation_id"`   // of the import in GitLab's logs
	FailedRelations []FailedRelation `json:"failed_relations"` // at most 100
}

// UnmarshalJSON takes created_at in any form.
func (i *Import) UnmarshalJSON(b []byte) error {
	type fields Import
	return json.Unmarshal(b, &struct {
		*fields
		CreatedAt *answerTime `json:"created_at"`
	}{(*fields)(i), (*answerTime)(&i.CreatedAt)})
}

// Complete reports whether the import finished, without an error and with
// every relation. GitLab before 13.0 does not tell what an import left out.
func (i *Import) Complete() bool {
	return i.Status == ImportFinished && i.Error == "" && len(i.FailedRelations) == 0
}

// FailedRelation is one item that GitLab could not import.
type FailedRelation struct {
	ID               int64     `json:"id"` // of the failure, not of the item
	CreatedAt        time.Time `json:"created_at"`
	RelationName     string    `json:"relation_name"`     // such as "merge_requests"
	LineNumber       int       `json:"line_number"`       // of the item in the archive's file of that relation; 0 if unknown
	Source           string    `json:"source"`            // where in GitLab's code it failed
	ExceptionClass   string    `json:"exception_class"`   // of GitLab's code
	ExceptionMessage string    `json:"exception_message"` // current GitLab leaves it empty
}

// UnmarshalJSON takes created_at in any form.
func (f *FailedRelation) UnmarshalJSON(b []byte) error {
	type fields FailedRelation
	return json.Unmarshal(b, &struct {
		*fields
		CreatedAt *answerTime `json:"created_at"`
	}{(*fields)(f), (*answerTime)(&f.CreatedAt)})
}

// ImportOptions say where and how a project is imported. GitLab 10.6 knows only
// Path and Namespace; Name came later, between 11.8 and 12.10.
type ImportOptions struct {
	Path      string            // the last part of the new project's path; required
	Name      string            // defaults to Path, or with Overwrite to the name of the project there
	Namespace NamespaceRef      // nil is the user's own namespace
	Overwrite bool              // replaces a project at that path once the import is done; needs the Owner role
	Override  *ProjectOverrides // values to replace; nil for none
}

// fields checks the options and returns them as GitLab's form fields.
func (o ImportOptions) fields() (url.Values, error) {
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
	switch ns := o.Namespace.(type) {
	case nil:
	case NamespaceID, NamespacePath:
		key, value, err := ns.namespaceRef()
		if err != nil {
			return nil, err
		}
		v.Set(key, value)
	default: // a pointer to one, say, by which target would not know the path
		return nil, fmt.Errorf("namespace reference is a %T; give a NamespaceID or a NamespacePath", ns)
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

// checkText refuses what GitLab answers with a bare 400, or would cut.
func checkText(what, s string) error {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, isControl) {
		return fmt.Errorf("%s %q holds control characters or invalid UTF-8", what, s)
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

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

// StartImport uploads an archive and starts its import. It returns when GitLab
// has accepted the archive and created the project. GitLab checks the user's
// rights before the upload, but the namespace and the path only after it.
//
// The error is ErrOutcomeUnknown if the connection broke after the whole
// archive was sent, or if a gateway answered instead of GitLab (408, 502, 503,
// 504 and Cloudflare's own) when it was: the project may exist, and nothing is
// sent again. What was not sent whole is. It is ErrProjectExists if
// the path or name is taken, ErrTooLarge if the instance refuses the archive's
// size, and ErrWrongNamespace, together with the Import, if the project was
// created elsewhere than asked for.
//
// POST /projects/import, needs the Maintainer role in the group, and the import
// source "GitLab export" to be allowed on the instance:
// https://docs.gitlab.com/api/project_import_export/#import-a-file
func (c *Client) StartImport(ctx context.Context, src Source, opts ImportOptions) (*Import, error) {
	imp, err := c.startImport(ctx, src, opts, false)
	return imp, startError(opts, err)
}

// startError names the operation and the project in the errors of the methods
// that start an import.
func startError(opts ImportOptions, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("start import of %s: %w", opts.label(), err)
}

// startImport is StartImport. If it outlasts an outage, hours of exporting would
// be lost with it.
func (c *Client) startImport(ctx context.Context, src Source, opts ImportOptions, outlasts bool) (*Import, error) {
	fields, err := opts.fields()
	if err != nil {
		return nil, err
	}
	src, err = src.check()
	if err != nil {
		return nil, err
	}
	f := form{fields: fields, source: src}
	if opts.Override != nil {
		f.avatar = opts.Override.Avatar
	}
	return c.postImport(ctx, &request{
		url:      c.endpoint("projects/import"),
		outlasts: outlasts,
		open:     func(ctx context.Context) (*payload, error) { return f.open(ctx, &c.core, opts.label()) },
	}, opts)
}

// postImport sends the request of any of the endpoints that create a project.
func (c *Client) postImport(ctx context.Context, r *request, opts ImportOptions) (*Import, error) {
	r.project = opts.label()
	r.kind = takenProject
	imp := new(Import)
	err := c.postForImport(ctx, r, imp, func() bool { return imp.ID > 0 && imp.Status != "" })
	if err != nil {
		return nil, err
	}
	c.created.note(imp.ID.String(), time.Time{})
	return imp, checkNamespace(imp, opts)
}

// postForImport sends a POST that counts against the limit of imports and
// decodes its answer into v, which is one only if ok says so.
func (c *Client) postForImport(ctx context.Context, r *request, v any, ok func() bool) error {
	r.method = http.MethodPost
	r.hints = importHints
	r.budget = pace.Budget{Key: "import", Limit: c.cfg.pacing.Imports}
	resp, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	err = decode(r, resp, v, ok)
	if e := answerOf(err); err == nil || e != nil && e.key != "" {
		return err // a readable refusal is one, whatever its status
	}
	return outcomeUnknown(err)
}

// takenProject recognizes a taken path or name. The text may be in the user's
// language, so this is at best.
func takenProject(e *APIError) error {
	if (e.StatusCode == http.StatusBadRequest || e.StatusCode < 300) && strings.Contains(e.Message, "already been taken") {
		return ErrProjectExists
	}
	return nil
}

// checkNamespace makes sure that GitLab did not drop the namespace and create
// the project in the user's own.
func checkNamespace(imp *Import, opts ImportOptions) error {
	want, ok := opts.Namespace.(NamespacePath)
	if !ok {
		return nil
	}
	got := path.Dir(string(imp.PathWithNamespace))
	if imp.PathWithNamespace == "" || strings.EqualFold(got, string(want)) {
		return nil
	}
	return fmt.Errorf("%w: asked for %q, but project %d exists now as %q", ErrWrongNamespace, string(want), imp.ID, redact.Line(string(imp.PathWithNamespace), 300))
}

// GetImport returns the state of the project's import. The error is an
// *APIError if GitLab refused, such as ErrNotFound for a project that the user
// can't see.
//
// GET /projects/:id/import, for users who can read the project:
// https://docs.gitlab.com/api/project_import_export/#retrieve-the-status-of-an-import
func (c *Client) GetImport(ctx context.Context, p ProjectRef) (*Import, error) {
	id, err := resolve(p)
	if err != nil {
		return nil, fmt.Errorf("get import: %w", err)
	}
	imp, err := c.getImport(ctx, id, p.String(), false)
	if err != nil {
		return nil, fmt.Errorf("get import of %s: %w", p, err)
	}
	return imp, nil
}

func (c *Client) getImport(ctx context.Context, id, label string, once bool) (*Import, error) {
	imp := new(Import)
	err := c.getJSON(ctx, &request{
		url:     c.projectEndpoint(id, "import"),
		project: label,
		hints:   importHints,
		once:    once,
	}, imp, func() bool { return imp.Status != "" })
	if err != nil {
		return nil, err
	}
	return imp, nil
}

// WatchImport polls the project's import and yields every answer, ending with
// the terminal one or with an error. The error comes last, with a nil Import;
// an import that failed is yielded first and then is an *ImportError. Watch a
// new project by the ID that StartImport returned: with Overwrite, its path
// still shows the old project. See WaitForImport for the errors.
func (c *Client) WatchImport(ctx context.Context, p ProjectRef) iter.Seq2[*Import, error] {
	id, err := resolve(p)
	if err != nil {
		return func(yield func(*Import, error) bool) {
			yield(nil, fmt.Errorf("watch import: %w", err))
		}
	}
	return c.watchImport(ctx, id, p.String())
}

func (c *Client) watchImport(ctx context.Context, id, label string) iter.Seq2[*Import, error] {
	return watch(ctx, &c.core, job[Import]{
		op:       "import",
		project:  label,
		accepted: c.created.has(id),
		get: func(ctx context.Context) (*Import, error) {
			return c.getImport(ctx, id, label, true)
		},
		status: func(i *Import) (string, bool) { return string(i.Status), i.Status.Known() },
		judge: func(i *Import, s *sight) (bool, error) {
			switch i.Status {
			case ImportFinished:
				if i.Error != "" {
					c.cfg.logger.WarnContext(ctx, "import finished with an error", "project", label, "error", redact.Line(i.Error, 1024))
				}
				if len(i.FailedRelations) > 0 {
					c.cfg.logger.WarnContext(ctx, "import left relations out", "project", label, "failed_relations", len(i.FailedRelations))
				}
				return true, nil
			case ImportFailed, ImportCanceled:
				return false, &ImportError{i}
			case ImportNone:
				if s.overdue || s.seen && s.gone() {
					return false, &ImportError{i}
				}
				return false, nil
			}
			s.running()
			return false, nil
		},
	})
}

// WaitForImport waits until the project's import is finished. The error is an
// *ImportError if it failed, or if the project shows no import for
// Polling.Grace, and a *WaitError if ctx ended first, or if polls were refused
// or kept failing for Polling.Patience. A 404 ends it too, but not the first
// ones of an import that this client has just started, nor one in between: a
// replica of GitLab's database may lag. A finished import may still be
// incomplete; see Import.Complete. The last answer comes with the error.
func (c *Client) WaitForImport(ctx context.Context, p ProjectRef) (*Import, error) {
	return last(c.WatchImport(ctx, p))
}

// Import uploads an archive, starts its import and waits for it. If the
// namespace is a NamespacePath, it looks first whether the project's path is
// free, and if the answer to the upload was lost, whether the project is
// there. Errors are those of StartImport and WaitForImport; once GitLab has
// created the project, its last answer comes with them. An import that left
// relations out is no error: see Import.Complete.
func (c *Client) Import(ctx context.Context, src Source, opts ImportOptions) (*Import, error) {
	if _, err := opts.fields(); err != nil {
		return nil, fmt.Errorf("import of %s: %w", opts.label(), err)
	}
	if _, err := src.check(); err != nil {
		return nil, fmt.Errorf("import of %s: %w", opts.label(), err)
	}
	free, err := c.isFree(ctx, opts, true)
	// Another error of the look may mean as little as a proxy in trouble.
	if errors.Is(err, ErrProjectExists) || err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("import of %s: %w", opts.label(), err)
	}
	started, err := c.startImportSurely(ctx, src, opts, importClues{free: free})
	if err != nil {
		return started, err
	}
	imp, err := last(c.watchImport(ctx, started.ID.String(), opts.label()))
	if imp == nil {
		imp = started
	}
	return imp, err
}

// isFree looks whether the path of the project to be is free. A taken one is an
// error. Where it cannot be told, because only the namespace's ID is known, it
// is neither.
func (c *Client) isFree(ctx context.Context, opts ImportOptions, once bool) (free bool, err error) {
	target, ok := opts.target()
	if !ok || opts.Overwrite {
		return false, nil
	}
	imp, err := c.lookUp(ctx, target, once)
	if err != nil || imp == nil {
		return err == nil, err
	}
	return false, fmt.Errorf("%w: %s is project %d, created %s, import status %q", ErrProjectExists,
		imp.label(), imp.ID, imp.CreatedAt.UTC().Format(time.RFC3339), imp.Status)
}

// lookUp returns the project at a path, or nil if there is none. The old path
// of a renamed project is free. A page that says 404 is no word of GitLab's API.
func (c *Client) lookUp(ctx context.Context, target ProjectPath, once bool) (*Import, error) {
	imp, err := c.getImport(ctx, string(target), string(target), once)
	switch e := answerOf(err); {
	case e != nil && e.StatusCode == http.StatusNotFound && !e.isPage():
		return nil, nil
	case err != nil:
		return nil, err
	case imp.PathWithNamespace != "" && !strings.EqualFold(string(imp.PathWithNamespace), string(target)):
		return nil, nil
	}
	return imp, nil
}

// importClues are what is known of an import before its upload.
type importClues struct {
	free     bool // a look has found that nothing is at its path
	outlasts bool // an export was made for it, which would be lost with it
}

// startImportSurely starts an import and, if the answer was lost, finds out
// what became of it by looking at the path.
func (c *Client) startImportSurely(ctx context.Context, src Source, opts ImportOptions, clues importClues) (*Import, error) {
	asked := time.Now()
	imp, err := c.startImport(ctx, src, opts, clues.outlasts)
	target, ok := opts.target()
	if !ok || opts.Overwrite {
		return imp, startError(opts, err)
	}
	e := answerOf(err)
	switch {
	case e != nil && e.StatusCode == http.StatusBadRequest && e.key == "message" && e.kind == nil:
		// The path may be taken, and the text in the user's language.
		if found, lerr := c.lookUp(ctx, target, true); lerr == nil && found != nil {
			err = e.as(ErrProjectExists)
		}
	case errors.Is(err, ErrOutcomeUnknown) && ctx.Err() == nil:
		imp, err = c.findImport(ctx, target, asked, clues, err)
	}
	return imp, startError(opts, err)
}

// findImport looks for the project at target, after the answer to a POST that
// was sent after asked was lost, with the error lost.
func (c *Client) findImport(ctx context.Context, target ProjectPath, asked time.Time, clues importClues, lost error) (*Import, error) {
	// GitLab may still be at it: its front server waits five minutes for it.
	deadline := time.Now().Add(c.cfg.polling.Patience)
	for n := 0; ; n++ {
		found, err := c.lookUp(ctx, target, true)
		switch {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("%w (%w)", lost, wait.Ended(ctx))
		case err != nil && !passing(err):
			return nil, fmt.Errorf("%w (looked for the project: %w)", lost, err)
		case found != nil && !clues.free && c.isOlder(found, asked):
			return nil, fmt.Errorf("%w (%w: %s is an older project, %d)", lost, ErrProjectExists, target, found.ID)
		case found != nil && found.Status != ImportNone: // else not yet, or no import at all
			c.cfg.logger.InfoContext(ctx, "the import was accepted, although its answer was lost", "project", string(target), "id", int64(found.ID))
			return found, nil
		}
		delay := c.cfg.polling.Backoff.wait(n)
		pause := c.pauseAfter(err, delay)
		if left := time.Until(deadline); left < 0 || pause > delay && pause > left {
			return nil, lost
		}
		if ended := wait.Sleep(ctx, pause); ended != nil {
			return nil, fmt.Errorf("%w (%w)", lost, ended)
		}
	}
}

// isOlder reports whether a project is older than a POST that was sent after
// asked. The server's clock may have been unknown then, and is told by another
// machine than the one that writes down when a project was created.
func (c *Client) isOlder(p *Import, asked time.Time) bool {
	return p.CreatedAt.Before(c.clock.Now().Add(-time.Since(asked) - clockSlack))
}

// clockSlack is how far the clocks of the machines of one instance may be apart.
const clockSlack = 3 * time.Minute
