package porter

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// ExtractArchive writes a repository of an archive to w, as the git bundle that
// it is: git can clone from it. part is PartRepository, PartWiki or PartDesigns;
// other parts are no single file.
//
// It reads r to its end. The error is ErrUnimportable if the bundle does not begin
// with git's first line or does not end in the hash of its pack, and else that of
// VerifyArchive or r. It wraps fs.ErrNotExist if the archive has no such bundle,
// as one of an empty repository has none. What was written before an error is not
// to be used.
func ExtractArchive(r io.Reader, part ArchivePart, w io.Writer) error {
	if err := extract(r, part, w); err != nil {
		return fmt.Errorf("extract %s from archive: %w", part, err)
	}
	return nil
}

func extract(r io.Reader, part ArchivePart, w io.Writer) error {
	if r == nil || w == nil {
		return errors.New("reader or writer is nil")
	}
	for name, p := range bundleParts {
		if p == part {
			return extractBundle(r, name, w)
		}
	}
	return errors.New("it is no single file")
}

func extractBundle(r io.Reader, name string, w io.Writer) error {
	s := &bundleSink{w: w, check: newBundleCheck()}
	v := &oneFile{name: name, open: func() entrySink { return s }}
	if _, err := readArchive(r, maxUnpacked, v); err != nil {
		return err
	}
	switch {
	case !v.found:
		return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	case s.problem != "":
		return unimportable(name + ": " + s.problem)
	}
	return nil
}

// A bundleSink writes a bundle, and checks it on the way.
type bundleSink struct {
	w       io.Writer
	check   *bundleCheck
	problem string
}

func (s *bundleSink) write(p []byte) error {
	s.check.write(p)
	n, err := s.w.Write(p)
	if err == nil && n != len(p) {
		err = io.ErrShortWrite
	}
	return err
}

func (s *bundleSink) end() error {
	s.problem = s.check.end() // an archive that is damaged is told as such
	return nil
}
