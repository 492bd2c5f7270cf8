package porter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/seed-5d77b939/porter/internal/diskio"
)

// spooled moves the archive through a file: one goroutine downloads it, one
// verifies it, and this one uploads it, each as fast as it can. A repeated
// upload reads the file again, so it costs no second download.
func (m *migration) spooled(ctx context.Context, a archive, newSpool func(dir string) (*diskio.Spool, error)) (*Import, error) {
	t := &relay{m: m, failure: make(chan error, 1)}
	t.ctx, t.cancel = context.WithCancel(ctx)
	defer t.end()

	r, err := a.reader(t.ctx)
	if err != nil {
		return nil, err
	}
	if t.sp, err = newSpool(m.spoolDir); err == nil {
		defer t.sp.Close() // the import may take hours yet
		err = diskio.CheckSpace(m.spoolDir, r.Size())
	}
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("spool: %w", m.passage.folder.advise(err))
	}
	t.wg.Go(func() { t.download(r) })
	if verify := m.passage.verifier(); verify == nil {
		t.sp.Approve(nil)
	} else {
		t.wg.Go(func() { t.verify(verify) })
	}
	imp, err := m.upload(t.ctx, m.passage.size(r), t.sp)
	t.end()
	if err != nil && imp == nil && ctx.Err() == nil {
		select {
		case why := <-t.failure:
			return nil, why
		default:
		}
	}
	return imp, err
}

// A relay is what fills a spool and verifies it while it is uploaded.
type relay struct {
	m      *migration
	sp     *diskio.Spool
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	// The first failure of the download or the verification ends all three at
	// once: the upload may be waiting for its turn.
	failure chan error
}

// end ends the download and the verification, if they have not ended.
func (t *relay) end() {
	t.cancel()
	t.wg.Wait()
}

func (t *relay) fail(err error) {
	if t.ctx.Err() == nil { // else it was told to end
		select {
		case t.failure <- err:
		default:
		}
	}
	t.cancel()
}

func (t *relay) download(r *ExportReader) {
	var n int64
	var err error
	to := spoolWriter{t.sp, t.m.passage.folder}
	if len(t.m.passage.edits) > 0 {
		in := t.m.passage.edited(r)
		defer in.Close()
		n, err = diskio.Copy("spool", to, in)
	} else {
		n, err = r.spool(t.ctx, to, t.m.opts.Export.download().connections())
	}
	t.m.result.Bytes = n
	if err != nil {
		t.fail(err)
	}
	t.sp.End(err)
}

func (t *relay) verify(verify verifier) {
	info, err := verify(t.sp.Reader(t.ctx))
	if err == nil {
		err = t.m.checkLosses(t.ctx, info)
	}
	if err != nil {
		err = fmt.Errorf("export of %s: %w", t.m.label, err)
	}
	t.m.result.Archive = info
	if err != nil {
		t.fail(err)
	}
	t.sp.Approve(err)
}

// upload uploads what is in sp, or will be. GitLab is told the length, so it
// must be known.
func (m *migration) upload(ctx context.Context, size int64, sp *diskio.Spool) (*Import, error) {
	if size < 0 {
		var err error
		if size, err = sp.Size(ctx); err != nil {
			return nil, err
		}
	}
	return m.dest.start(ctx, Source{
		Name: defaultFileName,
		Size: size,
		Open: func(ctx context.Context) (io.ReadCloser, error) { return sp.ApprovedReader(ctx), nil },
	})
}

// direct feeds the upload from the download, with nothing on disk.
func (m *migration) direct(ctx context.Context, a archive) (*Import, error) {
	imp, err := m.dest.start(ctx, Source{
		Name: defaultFileName,
		Size: -1,
		Open: func(ctx context.Context) (io.ReadCloser, error) {
			r, err := a.reader(ctx)
			if err != nil {
				return nil, err
			}
			d := &directReader{ReadCloser: m.passage.edited(r), m: m, ctx: ctx, size: m.passage.size(r)}
			if verify := m.passage.verifier(); verify != nil {
				d.checked = newCheckedReader(d.ReadCloser, "export of "+m.label, verify)
			}
			return d, nil
		},
	})
	if source := (*sourceError)(nil); imp == nil && errors.As(err, &source) {
		err = source.err // this one knows that it is not the destination's
	}
	return imp, err
}

// A directReader hands an archive to an upload, and to its verification.
type directReader struct {
	io.ReadCloser
	size    int64
	m       *migration
	ctx     context.Context
	bytes   int64
	checked *checkedReader // nil without verification
}

func (d *directReader) Read(b []byte) (n int, err error) {
	if d.checked == nil {
		n, err = d.ReadCloser.Read(b)
	} else {
		n, err = d.checked.Read(b)
		d.m.result.Archive = d.checked.info
		if err == io.EOF {
			if lost := d.m.checkLosses(d.ctx, d.checked.info); lost != nil {
				n, err = 0, fmt.Errorf("export of %s: %w", d.m.label, lost)
			}
		}
	}
	d.bytes += int64(n)
	if err == io.EOF {
		d.m.result.Bytes = d.bytes
	}
	return n, err
}

// Size returns the size of the archive, -1 if it is not known.
func (d *directReader) Size() int64 { return d.size }

// Close ends the download and its verification.
func (d *directReader) Close() error {
	if d.checked == nil {
		return d.ReadCloser.Close()
	}
	return d.checked.Close()
}
