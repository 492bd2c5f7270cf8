package porter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
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
// is sent whole is an error of the upload.
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
	f.Close()
	return Source{
		Name: filepath.Base(name),
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
	if sized, ok := rc.(interface{ Size() int64 }); ok {
		if n := sized.Size(); n >= 0 {
			if size >= 0 && size != n {
				rc.Close()
				return nil, 0, &sourceError{fmt.Errorf("size is %d, but it should be %d", n, size)}
			}
			size = n
		}
	}
	if size == 0 {
		rc.Close()
		return nil, 0, &sourceError{errSourceEmpty}
	}
	return rc, size, nil
}

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

// A payload is the body of one attempt of a POST, and knows how much of it
// was taken. Its type hides the file in it from the transport.
type payload struct {
	contentType string
	size        int64 // -1 if unknown
	single      bool  // cannot be read again
	small       bool  // held in memory

	r        io.Reader
	cancel   context.CancelFunc // ends the source's context
	closer   io.Closer
	progress *progress // nil if there is nothing to report
	watch    *watchdog

	mu       sync.Mutex
	taken    int64
	whole    bool
	stopped  bool
	err      error
	closing  bool
	answered *reach        // when the answer came; nil if that is not known
	closed   chan struct{} // closed when the source is
	turn     chan struct{} // holds one element while the source is read or closed
}

// newPayload returns a small body that is held in memory.
func newPayload(contentType string, b []byte) *payload {
	return &payload{
		contentType: contentType,
		size:        int64(len(b)),
		small:       true,
		r:           bytes.NewReader(b),
		cancel:      func() {},
		closer:      io.NopCloser(nil),
		closed:      make(chan struct{}),
		turn:        make(chan struct{}, 1),
	}
}

var errPayloadStopped = errors.New("request was answered already")

func (p *payload) Read(b []byte) (int, error) {
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	p.mu.Lock()
	stopped, whole := p.stopped, p.whole
	if !stopped {
		p.watch.disarm() // a slow source is no stall of the connection
	}
	p.mu.Unlock()
	switch {
	case stopped && whole: // an error would break the connection that the answer is on
		return 0, io.EOF
	case stopped:
		return 0, errPayloadStopped
	}
	n, err := p.r.Read(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken += int64(n)
	switch {
	case err == io.EOF, p.size >= 0 && p.taken == p.size:
		p.whole = true
	case err != nil && !p.stopped: // else it fails because it was stopped
		p.err = err
	}
	switch {
	case p.stopped:
	case p.whole:
		p.watch.armForAnswer()
	default:
		p.watch.arm()
	}
	return n, err
}

// closePatience is how long a source whose context has ended may take to
// return from a Read before it is closed all the same, which makes a pipe or
// a socket return.
const closePatience = 250 * time.Millisecond

// Close ends the reading and closes the source. The transport may be in the
// middle of a Read when the answer comes early, and few readers bear to be
// closed meanwhile.
func (p *payload) Close() error {
	p.mu.Lock()
	first := !p.closing
	p.closing, p.stopped = true, true
	p.mu.Unlock()
	if !first {
		<-p.closed
		return nil
	}
	defer close(p.closed)
	p.cancel()
	t := time.NewTimer(closePatience)
	defer t.Stop()
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-t.C:
	}
	return p.closer.Close()
}

// stop ends the reading: the request has its answer, or will never have one.
func (p *payload) stop() {
	p.mu.Lock()
	p.stopped = true
	p.watch.disarm()
	p.mu.Unlock()
	p.Close()
	if p.progress != nil {
		p.progress.end()
	}
}

// started reports whether any byte of the source may be gone.
func (p *payload) started() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken > 0
}

// attach makes p the body of req, and notes how much of it was taken when the
// answer comes: what is taken later changes nothing about that answer.
func (p *payload) attach(req *http.Request) *http.Request {
	trace := &httptrace.ClientTrace{
		GotFirstResponseByte: func() {
			r := p.reach(nil, true)
			p.note(&r)
		},
		Got1xxResponse: func(int, textproto.MIMEHeader) error {
			p.note(nil) // the answer itself is still to come
			return nil
		},
	}
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), trace))
	req.Body, req.ContentLength = p, p.size
	req.Header.Set("Content-Type", p.contentType)
	return req
}

func (p *payload) note(r *reach) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answered = r
}

// reachAtAnswer returns how far the request had come when its answer came. A
// small body is sent together with its header.
func (p *payload) reachAtAnswer() reach {
	if p.small {
		return whole
	}
	p.mu.Lock()
	noted := p.answered
	p.mu.Unlock()
	if noted != nil {
		return *noted
	}
	return p.reach(nil, true)
}

// reach returns how far the request has come, which failed with err, nil if it
// has not. If a write failed, GitLab has not all of it: the end is missing. A
// chunked body is followed by one more chunk, which GitLab need not wait for.
// A nil payload is that of a GET. What was not sent has not come anywhere.
func (p *payload) reach(err error, sent bool) reach {
	if !sent {
		return unsent
	}
	if p == nil {
		return whole
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var op *net.OpError
	switch cut := p.size >= 0 && errors.As(err, &op) && op.Op == "write"; {
	case p.taken == 0:
		return unsent
	case p.whole && !cut:
		return whole
	}
	return partly
}

// failure returns what went wrong with the source, if that is why the request failed.
func (p *payload) failure() error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}
