package porter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/seed-5d77b939/porter/internal/wait"
)

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
	if errors.Is(err, ErrOutcomeUnknown) && ctx.Err() == nil {
		imp, err = c.findImport(ctx, target, asked, clues, err)
	} else {
		err = c.explainRefusal(ctx, target, err)
	}
	return imp, startError(opts, err)
}

// explainRefusal looks whether an import was refused because its path is taken,
// where the text of the refusal may be in the user's language.
func (c *Client) explainRefusal(ctx context.Context, target ProjectPath, err error) error {
	e := answerOf(err)
	if e == nil || e.StatusCode != http.StatusBadRequest || e.key != "message" || e.kind != nil {
		return err
	}
	if found, lerr := c.lookUp(ctx, target, true); lerr != nil || found == nil {
		return err
	}
	return e.as(ErrProjectExists)
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
