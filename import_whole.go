package porter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// ProjectExistsError reports that the path of an import is taken, by a project
// that may be an import under way, which WaitForImport can wait for by its ID.
// It matches ErrProjectExists, which is all there is where the project is not known.
type ProjectExistsError struct {
	Import *Import // what is there
}

// Error names the project, and says what is known of it.
func (e *ProjectExistsError) Error() string {
	if e.Import == nil {
		return ErrProjectExists.Error()
	}
	return fmt.Sprintf("%v: %s is project %d, created %s, import status %q", ErrProjectExists,
		e.Import.label(), e.Import.ID, e.Import.CreatedAt.UTC().Format(time.RFC3339), e.Import.Status)
}

// Is reports whether target is ErrProjectExists.
func (e *ProjectExistsError) Is(target error) bool { return target == ErrProjectExists }

// Import uploads an archive, starts its import and waits for it. If the
// namespace is a NamespacePath, or GitLab tells the path of a NamespaceID, it
// looks first whether the project's path is free, and if the answer to the
// upload was lost, whether the project is there. Errors are those of
// StartImport and WaitForImport; once GitLab has created the project, its last
// answer comes with them. A taken path is a *ProjectExistsError. An import that
// left relations out is no error: see Import.Complete.
//
// With opts.Resume it takes up what another process has begun, as Migrate does.
func (c *Client) Import(ctx context.Context, src Source, opts ImportOptions) (imp *Import, err error) {
	w, err := c.newImport(ctx, &src, opts)
	if err != nil {
		return nil, fmt.Errorf("import of %s: %w", opts.label(), err)
	}
	ctx, o := c.begin(ctx, OpImport, "", opts.label())
	defer o.end(&err)
	imp, err = w.takeUp(ctx)
	if err != nil {
		return imp, fmt.Errorf("import of %s: %w", w.opts.label(), err)
	}
	if imp == nil {
		imp, err = w.begin(ctx, src)
	}
	if err != nil {
		return imp, err
	}
	return w.wait(ctx, imp)
}

// newImport checks what Import was given.
func (c *Client) newImport(ctx context.Context, src *Source, opts ImportOptions) (*wholeImport, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	resume, tell := opts.Resume, opts.Checkpoint
	opts.Resume, opts.Checkpoint = nil, nil
	trail, err := newTrail(resume, tell)
	if err == nil {
		err = opts.fit(resume)
	}
	if err != nil {
		return nil, err
	}
	if resume != nil && (resume.Source != 0 || !resume.Step.sent()) {
		return nil, misfit("it is of a migration")
	}
	if _, err := opts.fields(); err != nil {
		return nil, err
	}
	if _, err := src.check(); err != nil {
		return nil, err
	}
	return &wholeImport{c: c, opts: opts, trail: trail}, nil
}

// begin starts an import, if nothing is in its place.
func (w *wholeImport) begin(ctx context.Context, src Source) (*Import, error) {
	err := w.look(ctx, true)
	// Another error of the look may mean as little as a proxy in trouble.
	if errors.Is(err, ErrProjectExists) || err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("import of %s: %w", w.opts.label(), err)
	}
	return w.start(ctx, src)
}

// A wholeImport is what Import does, and Migrate at its destination.
type wholeImport struct {
	c        *Client
	opts     ImportOptions
	trail    *trail
	target   ProjectPath // of the project to be; "" if it is not known
	free     bool        // a look has found that nothing is there
	outlasts bool        // an export was made for it, which would be lost with it
}

// look looks whether the path of the project to be is free. A taken one is an
// error. Where it cannot be told, because the path is not known or is to be
// overwritten, it is neither.
func (w *wholeImport) look(ctx context.Context, once bool) error {
	if w.opts.Overwrite {
		return nil
	}
	w.target = cmp.Or(w.c.locate(ctx, w.opts), w.trail.from.Target)
	if w.target == "" {
		return nil
	}
	found, err := w.c.lookUp(ctx, w.target, once)
	if err != nil {
		return err
	}
	if found != nil {
		return &ProjectExistsError{found}
	}
	w.free = true
	w.trail.know(0, w.target)
	return nil
}

// locate returns the path that a project will have, or "" if it cannot be
// known. The namespace of an ID may be told by GitLab; whatever it answers
// else says nothing of the import.
func (c *Client) locate(ctx context.Context, opts ImportOptions) ProjectPath {
	if target, ok := opts.target(); ok {
		return target
	}
	id, ok := opts.Namespace.(NamespaceID)
	if !ok {
		return ""
	}
	ns, _, err := c.lookAtNamespace(ctx, id)
	if err != nil || ns == nil || ns.ID != id {
		return ""
	}
	return ProjectPath(string(ns.FullPath) + "/" + opts.Path)
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

// start starts the import and, if the answer was lost, finds out what became of
// it by looking at the path.
func (w *wholeImport) start(ctx context.Context, src Source) (imp *Import, err error) {
	ctx, o := w.c.begin(ctx, OpUpload, "", w.opts.label())
	defer o.end(&err)
	asked := time.Now()
	imp, err = w.c.startImport(ctx, w.announced(src), w.opts, w.outlasts)
	switch {
	case w.target == "":
	case errors.Is(err, ErrOutcomeUnknown) && ctx.Err() == nil:
		imp, err = w.resolve(ctx, asked, err)
	default:
		err = w.explainRefusal(ctx, err)
	}
	if imp != nil {
		learn(ctx, imp.ID)
		if stopped := w.trail.reach(ctx, Checkpoint{Step: StepImporting, Time: w.c.clock.Now(), Import: imp.ID}); err == nil {
			err = stopped
		}
	}
	return imp, startError(w.opts, w.trail.end(err))
}

// announced has the checkpoint told at the end of src, before the last byte of
// the upload can leave.
func (w *wholeImport) announced(src Source) Source {
	if w.trail.tell == nil {
		return src
	}
	open := src.Open
	src.Open = func(ctx context.Context) (io.ReadCloser, error) {
		rc, err := open(ctx)
		if err != nil || rc == nil {
			return rc, err
		}
		return &announcedReader{ReadCloser: rc, ctx: ctx, w: w}, nil
	}
	return src
}

// An announcedReader ends only when that has been told.
type announcedReader struct {
	io.ReadCloser
	ctx  context.Context
	w    *wholeImport
	told bool
	err  error
}

// Size returns what the reader within says of it, -1 for nothing.
func (r *announcedReader) Size() int64 { return sizeOf(r.ReadCloser) }

func (r *announcedReader) Read(b []byte) (int, error) {
	if r.told {
		return 0, r.err
	}
	n, err := r.ReadCloser.Read(b)
	if err != io.EOF {
		return n, err
	}
	r.told, r.err = true, io.EOF
	if err := r.w.announce(r.ctx); err != nil {
		r.err = r.w.trail.stop(r.ctx, err)
	}
	return n, r.err
}

// announce looks once more whether the path is free, and tells the caller that
// something may be there from now on.
func (w *wholeImport) announce(ctx context.Context) error {
	p := Checkpoint{Step: StepUploading}
	if w.target != "" {
		found, err := w.c.lookUp(ctx, w.target, true)
		if found != nil {
			return &ProjectExistsError{found}
		}
		if err == nil || w.free {
			p.Target = w.target
		}
	}
	p.Time = w.c.clock.Now()
	return w.trail.reach(ctx, p)
}

// explainRefusal looks which project has the path, if that is why an import was
// refused: the text of the refusal may be in the user's language.
func (w *wholeImport) explainRefusal(ctx context.Context, err error) error {
	e := answerOf(err)
	if e == nil || e.StatusCode != http.StatusBadRequest || e.key != "message" || e.kind != nil && e.kind != ErrProjectExists {
		return err
	}
	found, lerr := w.c.lookUp(ctx, w.target, true)
	if lerr != nil || found == nil {
		return err
	}
	return fmt.Errorf("%w (%w)", e.as(ErrProjectExists), &ProjectExistsError{found})
}

// wait waits for an import that was started.
func (w *wholeImport) wait(ctx context.Context, started *Import) (*Import, error) {
	learn(ctx, started.ID)
	imp, err := last(w.c.watchImport(ctx, started.ID.String(), w.opts.label()))
	if imp == nil {
		imp = started
	}
	if err != nil {
		return imp, err
	}
	if w.trail.earlier(StepImporting, StepDone) {
		err = checkNamespace(imp, w.opts)
	}
	if err == nil && !w.trail.earlier(StepDone) {
		err = w.trail.reach(ctx, Checkpoint{Step: StepDone, Time: w.c.clock.Now(), Import: imp.ID})
	}
	if err != nil {
		err = fmt.Errorf("import of %s: %w", w.opts.label(), err)
	}
	return imp, err
}
