package porter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"github.com/seed-5d77b939/porter/internal/wait"
)

// A Source is an archive that can be opened, and for a retry opened again.
type Source struct {
	// Name is the file name sent to GitLab. It must end in ".gz". If it is
	// empty, "archive.tar.gz" is sent.
	Name string
	// Size is the number of bytes that Open's reader holds. If it is -1, the
	// reader may say so itself with a method Size() int64, as an ExportReader
	// does; failing that, the upload is chunked, which some proxies refuse.
	Size int64
	// Open returns the archive from its first byte. The context ends when the
	// upload does; a Read that still does not return is soon ended by Close,
	// or if that does not help either, left behind. An error ends the upload;
	// one that wraps ErrSourceConsumed says that the archive can be opened only
	// once.
	Open func(context.Context) (io.ReadCloser, error)

	single bool // Open works once
}

// FileSource reads the archive from the named file. It returns an error if the
// name is no regular file or the file is empty; a file that changes before it
// is sent whole is an error of the upload. GitLab is sent the file's name, or
// "archive.tar.gz" if it would refuse that, as it does "app.tgz"; then an error
// tells at once if the file holds no gzip data.
func FileSource(name string) (Source, error) {
	fi, err := os.Stat(name)
	if err != nil {
		return Source{}, fmt.Errorf("file source: %w", err)
	}
	if !fi.Mode().IsRegular() {
		return Source{}, fmt.Errorf("file source: %s is not a regular file", name)
	}
	if fi.Size() == 0 {
		return Source{}, fmt.Errorf("file source: %s is empty", name)
	}
	if name, err = filepath.Abs(name); err != nil { // the program may change its working directory
		return Source{}, fmt.Errorf("file source: %w", err)
	}
	f, err := os.Open(name)
	if err != nil {
		return Source{}, fmt.Errorf("file source: %w", err)
	}
	defer f.Close()
	head := make([]byte, 2)
	n, _ := io.ReadFull(f, head)
	sent := fileName(filepath.Base(name))
	if sent != filepath.Base(name) && !isGzip(head[:n]) { // its name is not that of an archive either
		return Source{}, fmt.Errorf("file source: %s is no archive: it holds no gzip data", name)
	}
	return Source{
		Name: sent,
		Size: fi.Size(),
		Open: func(context.Context) (io.ReadCloser, error) {
			f, err := os.Open(name)
			if err != nil {
				return nil, err
			}
			r := &unchangingFile{f, fi}
			if err := r.check(); err != nil {
				f.Close()
				return nil, err
			}
			return r, nil
		},
	}, nil
}

// unchangingFile refuses to end if the file is not what it was at first. It
// has no other methods of the file, which would read it past that check.
type unchangingFile struct {
	f   *os.File
	was os.FileInfo
}

func (u *unchangingFile) Read(b []byte) (int, error) {
	n, err := u.f.Read(b)
	if err == io.EOF {
		if cerr := u.check(); cerr != nil {
			return n, cerr
		}
	}
	return n, err
}

// Close closes the file.
func (u *unchangingFile) Close() error { return u.f.Close() }

func (u *unchangingFile) check() error {
	fi, err := u.f.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(fi, u.was) || fi.Size() != u.was.Size() || !fi.ModTime().Equal(u.was.ModTime()) {
		return fmt.Errorf("file %s changed meanwhile", u.f.Name())
	}
	return nil
}

// ReaderSource reads the archive from r, which holds size bytes, or -1 if that
// is not known. If r is an io.ReaderAt too (and, as a pipe is not, seekable if
// it is an io.Seeker), each opening reads it anew from where it stands now.
// Any other r can be read once only, and an upload from it is never tried
// again after its first byte was read. r is never closed.
func ReaderSource(r io.Reader, size int64) Source {
	src := Source{Name: defaultFileName, Size: size}
	if at, ok := r.(io.ReaderAt); ok {
		start := int64(0)
		if s, ok := r.(io.Seeker); ok {
			var err error
			if start, err = s.Seek(0, io.SeekCurrent); err != nil {
				start = -1
			}
		}
		if start >= 0 {
			src.Open = func(context.Context) (io.ReadCloser, error) {
				return io.NopCloser(io.NewSectionReader(at, start, math.MaxInt64-start)), nil
			}
			return src
		}
	}
	begun := new(atomic.Bool)
	src.single = true
	src.Open = func(ctx context.Context) (io.ReadCloser, error) {
		switch {
		case r == nil:
			return nil, errors.New("reader is nil")
		case begun.Load():
			return nil, ErrSourceConsumed
		}
		return newSinglePass(ctx, r, begun), nil
	}
	return src
}

// singlePass reads what can be read only once. It does so in a goroutine of
// its own, because a read of something like standard input cannot be ended,
// and the upload must be able to.
type singlePass struct {
	r       io.Reader
	begun   *atomic.Bool // any reader of r has begun
	reading bool         // this one has
	ended   chan struct{}
	pr      *io.PipeReader
	pw      *io.PipeWriter
	stop    func() bool
}

func newSinglePass(ctx context.Context, r io.Reader, begun *atomic.Bool) *singlePass {
	s := &singlePass{r: r, begun: begun, ended: make(chan struct{})}
	s.pr, s.pw = io.Pipe()
	s.stop = context.AfterFunc(ctx, func() { s.pw.CloseWithError(ctx.Err()) })
	return s
}

func (s *singlePass) Read(b []byte) (int, error) {
	if !s.reading {
		if !s.begun.CompareAndSwap(false, true) {
			return 0, ErrSourceConsumed
		}
		s.reading = true
		go func() {
			defer close(s.ended)
			_, err := io.Copy(s.pw, s.r)
			s.pw.CloseWithError(err)
		}()
	}
	return s.pr.Read(b)
}

// Close gives r back, unless it hangs.
func (s *singlePass) Close() error {
	s.stop()
	s.pr.Close()
	if s.reading {
		wait.AtMost(closePatience, s.ended)
	}
	return nil
}

const defaultFileName = "archive.tar.gz"

// check returns src ready for use, or an error that names what is wrong with it.
func (src Source) check() (Source, error) {
	if src.Open == nil {
		return src, errors.New("source: Open is nil")
	}
	if src.Size < -1 {
		return src, fmt.Errorf("source: size %d is negative", src.Size)
	}
	if src.Size == 0 {
		return src, errors.New("source: size is 0; if it is not known, give -1")
	}
	if src.Name == "" {
		src.Name = defaultFileName
	}
	return src, checkFileName(src.Name)
}

// fileName returns a name to send for a file: its own, if GitLab takes it.
func fileName(own string) string {
	if checkFileName(own) != nil {
		return defaultFileName
	}
	return own
}

// checkFileName refuses a name that GitLab refuses once it has the archive.
func checkFileName(name string) error {
	switch {
	case !strings.HasSuffix(name, ".gz"):
		return fmt.Errorf("source: file name %q does not end in .gz, so GitLab would refuse it; set the Source's Name", name)
	case strings.Trim(name[:len(name)-len(".gz")], ".") == "":
		return fmt.Errorf("source: file name %q has nothing before .gz, so GitLab would refuse it", name)
	case strings.ContainsAny(name, `/\`):
		return fmt.Errorf("source: file name %q holds a slash", name)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("source: file name %q holds control characters or invalid UTF-8", name)
	}
	return nil
}

// A sourceError is a source that could not be read, or was not what it said.
// It matches what its source's error matches, but for what would be taken for
// GitLab's answer to the upload: that has not refused anything. The answer of
// whatever server the source reads from can be had as an *APIError.
type sourceError struct{ err error }

var errSourceEmpty = errors.New("archive is empty")

func (e *sourceError) Error() string { return "source: " + e.err.Error() }

// Is reports whether target is in the source's chain and no Err variable for
// the status of an answer.
func (e *sourceError) Is(target error) bool {
	switch target {
	case ErrUnauthorized, ErrForbidden, ErrNotFound, ErrConflict, ErrTooLarge, ErrRateLimited, ErrOutcomeUnknown, ErrNoAnswer, ErrStalled:
		return false
	}
	return errors.Is(e.err, target)
}

// As finds target in the source's chain, unless it tells what came of a request.
func (e *sourceError) As(target any) bool {
	switch target.(type) {
	case **transportError, **sourceError, **wait.EndedError:
		return false
	}
	return errors.As(e.err, target)
}

// openSized opens the source and finds out its size, -1 if nobody knows.
func (src Source) openSized(ctx context.Context) (io.ReadCloser, int64, error) {
	rc, err := src.Open(ctx)
	switch {
	case err != nil:
		return nil, 0, &sourceError{err}
	case rc == nil:
		return nil, 0, &sourceError{errors.New("no reader was opened")}
	}
	size := src.Size
	if n := sizeOf(rc); n >= 0 {
		if size >= 0 && size != n {
			rc.Close()
			return nil, 0, &sourceError{fmt.Errorf("size is %d, but it should be %d", n, size)}
		}
		size = n
	}
	if size == 0 {
		rc.Close()
		return nil, 0, &sourceError{errSourceEmpty}
	}
	return rc, size, nil
}

// sizeOf returns what r says of its size, -1 for nothing.
func sizeOf(r io.Reader) int64 {
	if sized, ok := r.(interface{ Size() int64 }); ok {
		return sized.Size()
	}
	return -1
}
