package porter

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/seed-5d77b939/porter/internal/wait"
)

// prove has use download the archive, and then says what the export has lost,
// if that is wanted.
func (w *wholeExport) prove(ctx context.Context, use func(archive) error) (*Export, error) {
	exp, err := w.archive(ctx, use)
	if err != nil || w.proof == nil {
		return exp, err
	}
	if err = w.proof.compare(ctx, w.info); err == nil {
		exp.Proof = w.proof.proof()
		err = w.opts.strict(exp.Proof)
	}
	if err != nil {
		err = fmt.Errorf("export of %s: %w", w.project, err)
	}
	return exp, err
}

// verified has the archive that use writes go to another writer, and verifies it
// if that is wanted.
func (w *wholeExport) verified(to io.Writer, use func(io.Writer) (int64, error)) (int64, error) {
	if w.proof == nil {
		return use(to)
	}
	pr, pw := io.Pipe()
	done := make(chan error)
	go func() {
		info, err := VerifyArchive(pr)
		pr.CloseWithError(err)
		w.info = info
		done <- err
	}()
	n, err := use(io.MultiWriter(to, pw))
	pw.CloseWithError(err)
	if verr := <-done; err == nil && verr != nil {
		err = fmt.Errorf("export of %s: %w", w.project, verr)
	}
	return n, err
}

// verifyFile verifies the archive in a file, if that is wanted.
func (w *wholeExport) verifyFile(ctx context.Context, name string) error {
	if w.proof == nil {
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("export of %s: %w", w.project, err)
	}
	defer f.Close()
	if w.info, err = VerifyArchive(&boundReader{ctx, f}); err != nil {
		return fmt.Errorf("export of %s: %w", w.project, err)
	}
	return nil
}

// A boundReader ends with its context.
type boundReader struct {
	ctx context.Context
	r   io.Reader
}

func (b *boundReader) Read(p []byte) (int, error) {
	if err := wait.Ended(b.ctx); err != nil {
		return 0, err
	}
	return b.r.Read(p)
}
