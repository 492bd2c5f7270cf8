package porter

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/textproto"
	"net/url"
	"slices"
)

// A form is the multipart/form-data around an archive: its fields first, the
// archive last.
type form struct {
	fields url.Values
	avatar *Avatar
	source Source
}

// fields that come first, in this order; the others follow by name.
var leadingFields = []string{"path", "name", "namespace", "overwrite", "relation"}

func (f form) order() []string {
	var names []string
	for _, name := range leadingFields {
		if f.fields.Has(name) {
			names = append(names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.fields)) {
		if !slices.Contains(leadingFields, name) {
			names = append(names, name)
		}
	}
	return names
}

// envelope returns what stands before and after the archive.
func (f form) envelope() (head, tail []byte, contentType string, err error) {
	var buf bytes.Buffer
	mw := multipart.NewWriter(&buf)
	for _, name := range f.order() {
		for _, value := range f.fields[name] {
			if err := mw.WriteField(name, value); err != nil {
				return nil, nil, "", err
			}
		}
	}
	if f.avatar != nil {
		w, err := mw.CreateFormFile("override_params[avatar]", f.avatar.Name)
		if err != nil {
			return nil, nil, "", err
		}
		if _, err := w.Write(f.avatar.Data); err != nil {
			return nil, nil, "", err
		}
	}
	part := make(textproto.MIMEHeader)
	part.Set("Content-Disposition", multipart.FileContentDisposition("file", f.source.Name))
	part.Set("Content-Type", "application/gzip")
	if _, err := mw.CreatePart(part); err != nil {
		return nil, nil, "", err
	}
	n := buf.Len()
	if err := mw.Close(); err != nil {
		return nil, nil, "", err
	}
	return buf.Bytes()[:n:n], buf.Bytes()[n:], mw.FormDataContentType(), nil
}

// open makes the body of one attempt. The envelope is built whole, so that
// the length of the body is known before it is sent.
func (f form) open(ctx context.Context, c *core, project string) (*payload, error) {
	head, tail, contentType, err := f.envelope()
	if err != nil {
		return nil, &sourceError{err}
	}
	sctx, cancel := context.WithCancel(ctx)
	rc, size, err := f.source.openSized(sctx)
	if err != nil {
		cancel()
		return nil, err
	}
	p := &payload{
		contentType: contentType,
		size:        -1,
		single:      f.source.single,
		cancel:      cancel,
		closer:      rc,
		closed:      make(chan struct{}),
		turn:        make(chan struct{}, 1),
	}
	if size >= 0 {
		p.size = int64(len(head)) + size + int64(len(tail))
	}
	p.progress = newProgress(ctx, c, project)
	p.progress.set(0, size)
	archive := &exactReader{r: rc, left: size, progress: p.progress}
	p.r = io.MultiReader(bytes.NewReader(head), archive, &ending{tail})
	// When the context ends, the transport waits for a Read under way all the same.
	context.AfterFunc(sctx, func() { p.Close() })
	return p, nil
}

// An exactReader reads an archive and refuses to end before or after its size.
type exactReader struct {
	r        io.Reader
	left     int64 // -1 if the size is not known
	read     int64
	idle     int // reads in a row that brought nothing
	progress *progress
	err      error
}

// maxIdleReads is how often a reader may return nothing, neither bytes nor an
// error, before it is taken to be broken.
const maxIdleReads = 100

func (e *exactReader) Read(b []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	if e.left == 0 {
		e.err = e.end()
		return 0, e.err
	}
	if e.left > 0 && int64(len(b)) > e.left {
		b = b[:e.left]
	}
	n, err := e.r.Read(b)
	if e.idle++; n > 0 {
		e.idle = 0
		e.read += int64(n)
		e.progress.add(int64(n))
		if e.left > 0 {
			e.left -= int64(n)
		}
	}
	switch {
	case err == nil && e.idle >= maxIdleReads:
		e.err = &sourceError{io.ErrNoProgress}
	case err == nil:
	case err != io.EOF:
		e.err = &sourceError{err}
	case e.left > 0:
		e.err = &sourceError{fmt.Errorf("ended after %d bytes, %d too few: %w", e.read, e.left, io.ErrUnexpectedEOF)}
	case e.read == 0:
		e.err = &sourceError{errSourceEmpty}
	case e.left < 0:
		e.progress.flush()
		e.err = io.EOF
	} // at its announced size, end decides
	return n, e.err
}

// end makes sure that the source ends where it should. This is also where a
// source that checks itself has its say, before the form is closed.
func (e *exactReader) end() error {
	var one [1]byte
	for range maxIdleReads {
		n, err := e.r.Read(one[:])
		switch {
		case n > 0:
			return &sourceError{fmt.Errorf("holds more than the %d bytes it should", e.read)}
		case err == io.EOF:
			e.progress.flush()
			return io.EOF
		case err != nil:
			return &sourceError{err}
		}
	}
	return &sourceError{io.ErrNoProgress}
}

// An ending reports io.EOF together with its last byte. GitLab may answer once
// it has that one, and then it must be known that nothing comes after it.
type ending struct{ b []byte }

func (e *ending) Read(b []byte) (int, error) {
	n := copy(b, e.b)
	if e.b = e.b[n:]; len(e.b) > 0 {
		return n, nil
	}
	return n, io.EOF
}
