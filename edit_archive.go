package porter

import (
	"archive/tar"
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/seed-5d77b939/porter/internal/diskio"
	"github.com/seed-5d77b939/porter/internal/wait"
)

// EditArchive returns a source of the archive of src with the edits made, in
// their order. The archive of src is read, edited and compressed again whenever
// the source is opened; its entries keep their order, and the same input gives
// the same bytes. The result can be uploaded, or copied to a file:
//
//	src := porter.EditArchive(file, porter.Drop(porter.PartPipelines))
//	r, err := src.Open(ctx)
//	if err != nil {
//		return err
//	}
//	defer r.Close()
//	_, err = io.Copy(w, r)
//
// The reader ends without an error only if the archive of src is undamaged and
// the result is one that VerifyArchive takes; its errors are those of
// VerifyArchive, of src, and ErrUnimportable for an edit of records where the tree
// is in one file (TreeJSON). How large the result will be is not known before, so
// that an upload of it is chunked: for a proxy that refuses this, copy it to a
// file first.
//
// It holds no more than 16 MiB in memory. A relation whose records are looked at
// passes through a temporary file (in os.TempDir) if it is larger than 256 KiB. The
// result is compressed less than GitLab does it, for speed.
func EditArchive(src Source, edits ...Edit) Source {
	return editArchive(src, edits).checked(wholeRules)
}

// RelationArchive returns a source of an archive for StartRelationImport, made of
// that of src: the project's own attributes, the members, and those records of
// one relation for which keep returns true, or all if keep is nil. GitLab imports
// the records that the project does not have. If the archive of src has no file
// for the relation, the error of its reader wraps fs.ErrNotExist. All else is as
// KeepItems and EditArchive have it.
func RelationArchive(src Source, rel Relation, keep func(Item) bool) Source {
	edits := []Edit{keepOnly(rel)}
	if keep != nil {
		edits = append(edits, KeepItems(rel, keep))
	}
	return editArchive(src, edits).checked(relationRules(rel))
}

// editArchive is EditArchive, without looking at the result.
func editArchive(src Source, edits []Edit) Source {
	open := src.Open
	src.Name, src.Size = cmp.Or(src.Name, defaultFileName), -1
	src.Open = func(ctx context.Context) (io.ReadCloser, error) {
		if open == nil {
			return nil, errors.New("edit archive: source: Open is nil")
		}
		if err := checkEdits(edits); err != nil {
			return nil, err
		}
		r, err := open(ctx)
		if r == nil || err != nil {
			return r, err
		}
		return newEditedReader(r, edits, temporaryFolder()), nil
	}
	return src
}

func checkEdits(edits []Edit) error {
	for _, e := range edits {
		if e.err != nil {
			return fmt.Errorf("edit archive: %s: %w", e.what, e.err)
		}
	}
	return nil
}

// An editedReader reads an archive with edits made to it.
type editedReader struct {
	*io.PipeReader
	from io.Closer
	done chan struct{}
}

// newEditedReader edits the archive in r, with temporary files in f.
func newEditedReader(r io.ReadCloser, edits []Edit, f folder) *editedReader {
	pr, pw := io.Pipe()
	e := &editedReader{PipeReader: pr, from: r, done: make(chan struct{})}
	go func() {
		defer close(e.done)
		err := edit(r, pw, edits, f)
		if err != nil {
			err = fmt.Errorf("edit archive: %w", err)
		}
		pw.CloseWithError(err)
	}()
	return e
}

// Close ends the editing, and closes what is edited.
func (e *editedReader) Close() error {
	e.PipeReader.CloseWithError(os.ErrClosed)
	wait.AtMost(closePatience, e.done) // few readers bear to be closed meanwhile
	return e.from.Close()
}

// edit reads an archive and writes it with edits made to it.
func edit(r io.Reader, w io.Writer, edits []Edit, f folder) error {
	buf := bufio.NewWriterSize(w, 64<<10)
	z, err := gzip.NewWriterLevel(buf, gzip.BestSpeed)
	if err != nil {
		return err
	}
	e := &editor{edits: edits, out: tar.NewWriter(z), text: f.scratch()}
	defer e.text.Close()
	if _, err := readArchive(r, maxUnpacked, e); err != nil {
		return err
	}
	if err := e.check(); err != nil {
		return err
	}
	if err := e.out.Close(); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return buf.Flush()
}

// An editor is a visitor that writes what is left of an archive.
type editor struct {
	edits []Edit
	out   *tar.Writer
	text  *diskio.Scratch // of the file whose items are looked at
	trees trees
	found []PortableRelation // that are required
}

func (e *editor) entry(h *tar.Header) (entrySink, error) {
	name, kind := unpackedName(h), kindOf(h)
	if kind == fileEntry {
		e.trees.note(name)
	}
	if kind != globalEntry && kind != labelEntry && dropped(e.edits, name, kind == directoryEntry) {
		return nil, nil
	}
	h = rewritable(h)
	if kind == fileEntry {
		if edits := e.of(name); len(edits) > 0 {
			return &editedFile{e, h, newItemLines(e.text, func(i Item) (bool, []byte, error) { return takeItem(edits, i) })}, nil
		}
	}
	if err := e.begin(h); err != nil {
		return nil, err
	}
	return (*copiedFile)(e), nil
}

// of returns the edits that look at the items of a file.
func (e *editor) of(name string) []Edit {
	r, ok := relationOf(name)
	if !ok {
		return nil
	}
	var edits []Edit
	for _, edit := range e.edits {
		if edit.relation != r {
			continue
		}
		if edit.required {
			e.found = append(e.found, r)
		}
		if edit.keep != nil || edit.address != nil {
			edits = append(edits, edit)
		}
	}
	return edits
}

// takeItem says what becomes of an item.
func takeItem(edits []Edit, i Item) (keep bool, instead []byte, err error) {
	var ask []func(Contributor) (string, bool)
	for _, e := range edits {
		if e.keep != nil && !e.keep(i) {
			return false, nil, nil
		}
		if e.address != nil {
			ask = append(ask, e.address)
		}
	}
	return mapMember(i, ask)
}

// check says what of an archive could not be edited.
func (e *editor) check() error {
	for _, edit := range e.edits {
		if !edit.inTree() {
			continue
		}
		if err := e.trees.check(); err != nil {
			return err
		}
		if edit.required && len(e.found) == 0 {
			return fmt.Errorf("%s: %w", edit.relation.file(), fs.ErrNotExist)
		}
	}
	return nil
}

// begin writes a header. What an unusual one says beside the essential is left
// out if it cannot be written again.
func (e *editor) begin(h *tar.Header) error {
	err := e.out.WriteHeader(h)
	if err == nil {
		return nil
	}
	if e.out.WriteHeader(&tar.Header{
		Typeflag: h.Typeflag, Name: h.Name, Linkname: h.Linkname, Size: h.Size, Mode: h.Mode & 0o7777,
	}) != nil {
		return fmt.Errorf("%s: %w", plainName(h.Name), err)
	}
	return nil
}

// rewritable returns a header as it can be written: archive/tar has filled in
// the holes of a sparse file, and a link has no contents.
func rewritable(h *tar.Header) *tar.Header {
	w := *h
	switch w.Typeflag {
	case tar.TypeXGlobalHeader:
		return &tar.Header{Typeflag: w.Typeflag, Name: w.Name, PAXRecords: w.PAXRecords}
	case tar.TypeGNUSparse:
		w.Typeflag = tar.TypeReg
	case tar.TypeLink, tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeDir, tar.TypeFifo:
		w.Size = 0
	}
	if isSparse(h) && w.PAXRecords != nil {
		w.PAXRecords = map[string]string{}
		for key, value := range h.PAXRecords {
			if !strings.HasPrefix(key, "GNU.sparse.") {
				w.PAXRecords[key] = value
			}
		}
	}
	return &w
}

// A copiedFile is an entry that stays as it is.
type copiedFile editor

func (f *copiedFile) write(p []byte) error {
	_, err := f.out.Write(p)
	return err
}

func (f *copiedFile) end() error { return nil }

// An editedFile is an entry whose items are looked at.
type editedFile struct {
	e *editor
	h *tar.Header
	*itemLines
}

func (f *editedFile) end() error {
	if err := f.itemLines.end(); err != nil {
		return err
	}
	defer f.e.text.Truncate(0)
	f.h.Size = f.e.text.Size()
	if err := f.e.begin(f.h); err != nil {
		return err
	}
	_, err := io.Copy(f.e.out, io.NewSectionReader(f.e.text, 0, f.h.Size))
	return err
}
