package porter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/seed-5d77b939/porter/internal/pace"
	"github.com/seed-5d77b939/porter/internal/redact"
	"github.com/seed-5d77b939/porter/internal/wait"
)

// A download reads an archive from a server and resumes where a connection
// broke. It asks for the rest where the bytes came from, if that was a signed
// URL, and otherwise, or when that has expired, at the place it was first
// given.
type download struct {
	c       *core
	ctx     context.Context
	cancel  context.CancelFunc
	op      string // for errors
	project string
	request request // asks for the archive at the first place

	bounded   bool  // the end of body is told by a length or a framing
	until     int64 // where body ends; -1 if that is where the archive does
	inPlaces  bool  // it is written to a file in places, which knows how much of it is there
	v         validator
	name      string
	encoding  string
	asked     *http.Request // that brought the bytes
	ahead     []byte        // read to see what it is, and to be read again
	off       int64         // of the next byte to come
	wholeOnly bool          // ranges of it are refused, or of no use
	attempts  int           // without a byte
	broken    time.Time     // when the first of them began
	err       error         // sticky
	progress  *progress

	mu        sync.Mutex // an HTTP transport closes what it may still be reading
	body      io.ReadCloser
	closed    bool
	elsewhere *url.URL // the signed URL it was redirected to; nil for none

	renewing chan struct{} // holds an element while one asks for another signed URL
}

// A start tells from where on a file is asked for: from offset off, which a
// previous download of the one that v tells has reached, if v is resumable; 0 is
// all of it. It is called when the download may begin, and once more for every
// repetition, so that those that wait need hold no file open.
type start func() (off int64, v validator, err error)

func fromBeginning() (off int64, v validator, err error) { return 0, validator{Size: -1}, nil }

// openDownload asks for the archive from where on start tells. If the server
// holds another archive, or ignores the range, the download begins at 0.
func openDownload(ctx context.Context, c *core, op, project string, r request, start start) (*download, error) {
	d := &download{c: c, op: op, project: project, request: r, v: validator{Size: -1}, renewing: make(chan struct{}, 1)}
	ctx, d.request.place = c.transfer(ctx)
	d.ctx, d.cancel = placed(ctx, d.request.place)
	d.progress = newProgress(ctx, c, project)
	if err := d.start(start); err != nil {
		d.cancel()
		return nil, err
	}
	return d, nil
}

func (d *download) start(start start) error {
	var off int64
	var v validator
	resp, err := d.askFrom(func() (_ http.Header, err error) {
		off, v, err = start()
		return rangeHeader(off, v), err
	}, false)
	if off > 0 {
		switch {
		case unsatisfiable(err), refusesRange(err):
			// It is shorter now, so it is another one; or it has to be had whole.
		case err != nil:
			return err
		case resp.StatusCode == http.StatusPartialContent:
			at, size, ok := contentRange(resp)
			if ok && at == off && !v.contradicts(validatorOf(resp.Header, size)) {
				d.v, d.off = v, off
				d.adopt(resp)
				return nil
			}
			resp.Body.Close()
		default:
			return d.begin(resp)
		}
		resp, err = d.ask(0, validator{}, false)
	}
	if err != nil {
		return err
	}
	return d.begin(resp)
}

// begin takes an answer with the whole archive.
func (d *download) begin(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return readAPIError(&d.request, resp, whole)
	}
	d.v, d.off = validatorOf(resp.Header, lengthOf(resp)), 0
	d.name = suggestedName(resp.Header)
	d.encoding = resp.Header.Get("Content-Encoding")
	d.adopt(resp)
	return nil
}

// adopt reads on from resp.
func (d *download) adopt(resp *http.Response) {
	// Without a length or chunks, HTTP/1 ends a body by closing the connection,
	// as a broken one does.
	d.bounded = lengthOf(resp) >= 0 || len(resp.TransferEncoding) > 0 || !resp.Close
	d.asked, d.until = resp.Request, -1
	d.redirected(resp)
	if !d.inPlaces {
		d.progress.set(d.off, d.v.Size)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.body = resp.Body
	if d.closed {
		d.body.Close()
	}
}

// redirected notes the signed URL that resp comes from, if it does.
func (d *download) redirected(resp *http.Response) {
	if !d.request.elsewhere(resp) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.elsewhere = resp.Request.URL
}

// signed returns the signed URL, nil if there is none that is good.
func (d *download) signed() *url.URL {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.elsewhere
}

// expire forgets a signed URL that is not good any more.
func (d *download) expire(u *url.URL) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.elsewhere == u {
		d.elsewhere = nil
	}
}

// source returns what is read from, and whether it was closed.
func (d *download) source() (body io.ReadCloser, closed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.body, d.closed
}

// ask asks for the archive at the first place.
func (d *download) ask(off int64, v validator, once bool) (*http.Response, error) {
	return d.askFrom(func() (http.Header, error) { return rangeHeader(off, v), nil }, once)
}

// askFrom is ask, with the header that begin returns.
func (d *download) askFrom(begin func() (http.Header, error), once bool) (*http.Response, error) {
	r := d.request
	r.begin, r.once, r.known = begin, once, d.off > 0
	return d.askFirst(d.ctx, r)
}

// askFirst asks at the first place, by what r says more than the download's request.
func (d *download) askFirst(ctx context.Context, r request) (*http.Response, error) {
	r.method = http.MethodGet
	r.download = true
	r.read = func(resp *http.Response) error { return checkStorage(&r, resp) }
	return d.c.send(ctx, &r)
}

// askSigned asks a signed URL, once. It costs no download of GitLab's budget and
// gets no credentials.
func (d *download) askSigned(ctx context.Context, place *pace.Holder, u *url.URL, h http.Header) (*http.Response, error) {
	r := &request{
		method:  http.MethodGet,
		url:     u.String(),
		header:  h,
		project: d.project,
		known:   true,
		place:   place,
	}
	_, err := d.c.admit(ctx, r, nil)
	if err != nil {
		return nil, err
	}
	resp, _, err := d.c.attempt(ctx, r)
	if err == nil {
		err = checkStorage(r, resp)
	}
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// checkStorage makes an error of a success that is object storage's wish to be
// asked again. Any other page or message is left for whoever reads on.
func checkStorage(r *request, resp *http.Response) error {
	if !strings.Contains(resp.Header.Get("Content-Type"), "xml") {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err == nil && !isGzip(body) {
		if e := newAPIError(r, resp, body, whole, nil); e.busy {
			resp.Body.Close()
			return e
		}
	}
	resp.Body = &aheadBody{resp.Body, body, err}
	return nil
}

// An aheadBody is a body of which the beginning was read already, up to the
// error err.
type aheadBody struct {
	io.ReadCloser
	ahead []byte
	err   error
}

func (b *aheadBody) Read(p []byte) (int, error) {
	if len(b.ahead) > 0 {
		n := copy(p, b.ahead)
		b.ahead = b.ahead[n:]
		return n, nil
	}
	if b.err != nil {
		return 0, b.err
	}
	return b.ReadCloser.Read(p)
}

// Read reads the archive. It reports io.EOF only when every byte has come.
func (d *download) Read(b []byte) (int, error) {
	for {
		body, closed := d.source()
		switch {
		case closed:
			return 0, fmt.Errorf("%s: archive is closed: %w", d.op, os.ErrClosed)
		case len(d.ahead) > 0:
			n := copy(b, d.ahead)
			d.ahead = d.ahead[n:]
			return n, nil
		case d.err != nil:
			return 0, d.err
		case d.whole() && d.inPlaces: // nobody should ask
			return 0, io.ErrUnexpectedEOF
		case d.whole():
			d.finish(io.EOF)
		default:
			if n := d.readFrom(body, b); n > 0 {
				return n, nil
			}
		}
	}
}

// whole reports whether every byte of an archive of known size has come.
func (d *download) whole() bool { return d.v.Size >= 0 && d.off == d.v.Size }

// readFrom reads from body once, and goes on from another one if that broke off.
// If it reads nothing, the reading has ended or there is another body.
func (d *download) readFrom(body io.ReadCloser, b []byte) int {
	n, err := body.Read(b)
	if d.v.Size >= 0 && d.off+int64(n) > d.v.Size {
		d.finish(fmt.Errorf("%s: server sent more than the %d bytes it announced", d.op, d.v.Size))
		return 0
	}
	if n > 0 {
		d.off += int64(n)
		d.attempts = 0
		if !d.inPlaces {
			d.progress.add(int64(n))
		}
	}
	switch {
	case err == nil, d.inPlaces && d.off == d.until:
		return n
	case d.whole(), err == io.EOF && d.v.Size < 0 && d.bounded:
		d.finish(io.EOF)
		return n
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	body.Close()
	if rerr := d.resume(newBodyError(d.asked, err)); rerr != nil {
		d.finish(fmt.Errorf("%s: %w", d.op, rerr))
	}
	return n
}

// finish ends the reading with err. That of the last byte does not end one in
// places: others may be missing.
func (d *download) finish(err error) {
	if d.inPlaces && err == io.EOF {
		return
	}
	d.err = err
	d.progress.flush()
	body, _ := d.source()
	body.Close()
	d.cancel()
}

// Close ends the download, also one that is being read.
func (d *download) Close() error {
	d.cancel()
	d.mu.Lock()
	d.closed = true
	body := d.body
	d.mu.Unlock()
	d.progress.drop()
	return body.Close()
}

// skips reports whether parts of the archive can be asked for without a download
// of GitLab's budget, and told from those of another archive.
func (d *download) skips() bool { return d.v.Size >= 0 && d.v.ETag != "" && d.signed() != nil }

// at returns where the next byte to be read is in the archive.
func (d *download) at() int64 { return d.off - int64(len(d.ahead)) }

// moveTo reads on from off, over another connection.
func (d *download) moveTo(off int64) error {
	body, _ := d.source()
	body.Close()
	d.off, d.ahead = off, nil
	if err := d.resume(nil); err != nil {
		return fmt.Errorf("%s: %w", d.op, err)
	}
	return nil
}

// readPart reads on from resp, which holds a part of the archive.
func (d *download) readPart(resp *http.Response, off, to int64) {
	body, _ := d.source()
	body.Close()
	d.off, d.ahead = off, nil
	d.adopt(resp)
	d.until = to
}

// resume replaces the body, which failed with cause, by one that goes on
// where it left off. Without a cause it asks at once. While bytes have come, an
// outage is borne as long as failing polls are.
func (d *download) resume(cause error) error {
	if d.attempts == 0 {
		d.broken = time.Now()
	}
	for {
		if cause != nil {
			if err := d.pauseToResume(cause); err != nil {
				return err
			}
		}
		err := d.goOn()
		switch {
		case err == nil:
			return nil
		case unsatisfiable(err):
			return fmt.Errorf("%w: it is shorter than byte %d, which was reached", ErrArchiveChanged, d.off)
		case errors.Is(err, ErrArchiveChanged) || !passing(err):
			return err
		}
		cause = err
	}
}

// pauseToResume pauses after the body, or what was to replace it, failed with
// cause. The error says why it is not tried again.
func (d *download) pauseToResume(cause error) error {
	o := outcomeOf(cause)
	outage := o.answer == nil || o.answer.Temporary() // else it makes no sense
	switch {
	case d.ctx.Err() != nil:
		return wait.Ended(d.ctx)
	case !d.c.mayRetry(o, d.attempts, d.broken, outage && (d.request.outlasts || d.off > 0)):
		return fmt.Errorf("broken off at byte %d: %w", d.off, cause)
	case d.off > 0 && d.v.ifRange() == "":
		return fmt.Errorf("broken off at byte %d, and the server sent no validator to resume by: %w", d.off, cause)
	}
	if ended := d.c.pauseForRetry(d.ctx, &d.request, d.attempts, d.c.retryPause(d.attempts, cause), cause); ended != nil {
		return insteadOf(ended, cause)
	}
	if !o.limited() {
		d.attempts++
	}
	return nil
}

// errRange is an answer to a request for a part that holds another part, or
// does not say which.
var errRange = errors.New("the server sent other bytes than it was asked for")

// goOn asks for the rest and reads on from that. Where ranges are refused, or
// are not what was asked for, it asks for the whole.
func (d *download) goOn() error {
	resp, err := d.askAgain()
	if err == nil {
		err = d.proceed(resp)
	}
	if errors.Is(err, errRange) && !d.wholeOnly {
		d.wholeOnly = true
		return d.goOn()
	}
	return err
}

// askAgain asks for the rest, at the signed URL as long as that is good.
func (d *download) askAgain() (*http.Response, error) {
	signed := func(u *url.URL) (*http.Response, error) {
		return d.askRest(func(off int64, v validator) (*http.Response, error) {
			return d.askSigned(d.ctx, d.request.place, u, rangeHeader(off, v))
		})
	}
	expired := func(err error) bool {
		e := answerOf(err)
		return e != nil && !e.Temporary() && !unsatisfiable(err)
	}
	return d.askWhereGood(d.ctx, signed, expired, func() (*http.Response, error) {
		return d.askRest(func(off int64, v validator) (*http.Response, error) { return d.ask(off, v, true) })
	})
}

// askWhereGood asks the signed URL by ask, as long as that is good, and then GitLab
// by renew. Of several that need another URL one asks GitLab, and the others go on
// with what it got.
func (d *download) askWhereGood(
	ctx context.Context, ask func(*url.URL) (*http.Response, error), expired func(error) bool, renew func() (*http.Response, error),
) (*http.Response, error) {
	for {
		if u := d.signed(); u != nil {
			resp, err := ask(u)
			if err == nil || !expired(err) {
				return resp, err
			}
			d.expire(u)
		}
		select {
		case d.renewing <- struct{}{}:
		case <-ctx.Done():
			return nil, wait.Ended(ctx)
		}
		if d.signed() == nil {
			resp, err := renew()
			if err == nil {
				d.redirected(resp)
			}
			<-d.renewing
			return resp, err
		}
		<-d.renewing
	}
}

// askRest asks for the rest, and where that is refused for the whole.
func (d *download) askRest(ask func(int64, validator) (*http.Response, error)) (*http.Response, error) {
	off := d.off
	if off > 0 && d.v.Size < 0 {
		off-- // all may be there already, and of nothing there is no range
	}
	if !d.wholeOnly {
		resp, err := ask(off, d.v)
		if !refusesRange(err) {
			return resp, err
		}
	}
	resp, err := ask(0, validator{})
	if err == nil {
		d.wholeOnly = true
	}
	return resp, err
}

// refusesRange reports whether the server may have refused because only a part
// was asked for. An answer of GitLab's API has another reason.
func refusesRange(err error) bool {
	e := answerOf(err)
	if e == nil || e.key != "" || e.Temporary() || strings.Contains(e.Message, "expired") {
		return false
	}
	switch e.StatusCode {
	case http.StatusUnauthorized, http.StatusNotFound, http.StatusGone, http.StatusRequestedRangeNotSatisfiable:
		return false
	}
	return e.StatusCode >= 400
}

// unsatisfiable reports whether the server has no such range.
func unsatisfiable(err error) bool {
	e := answerOf(err)
	return e != nil && e.StatusCode == http.StatusRequestedRangeNotSatisfiable
}

// proceed goes on reading from resp if it is the same archive. A whole one is
// read up to where the last one broke off.
func (d *download) proceed(resp *http.Response) error {
	if d.off == 0 {
		return d.begin(resp) // nothing was read of any other
	}
	at, err := d.placeOf(resp)
	if err != nil {
		resp.Body.Close()
		return err
	}
	if _, err := io.CopyN(io.Discard, resp.Body, d.off-at); err != nil {
		resp.Body.Close()
		return newBodyError(resp.Request, err)
	}
	d.adopt(resp)
	return nil
}

// placeOf returns where in the archive the body of resp begins, at the latest
// where the last one broke off. The error says why it can't be read on from.
func (d *download) placeOf(resp *http.Response) (int64, error) {
	at, size, ok := int64(0), lengthOf(resp), true
	partial := resp.StatusCode == http.StatusPartialContent
	if partial {
		if at, size, ok = contentRange(resp); !ok {
			size = -1
		}
	}
	v := validatorOf(resp.Header, size)
	changed := d.v.contradicts(v)
	if !partial && !d.v.confirms(v) { // nothing but the answer itself speaks for it
		head, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
		if !isGzip(head) {
			return 0, newAPIError(&d.request, resp, head, whole, nil) // some page or message, but no archive
		}
		changed = true
	}
	switch {
	case changed:
		return 0, fmt.Errorf("%w while it was downloaded: the first %d bytes are of an older one", ErrArchiveChanged, d.off)
	case !ok || at > d.off:
		return 0, errRange
	}
	if d.v.Size < 0 {
		d.v.Size = size
	}
	return at, nil
}

// suggestedName returns the file name of a Content-Disposition, without any
// directory. It is the server's word: never use it as a path.
func suggestedName(h http.Header) string {
	_, params, err := mime.ParseMediaType(h.Get("Content-Disposition"))
	if err != nil {
		return ""
	}
	name := path.Base(separators.Replace(params["filename"]))
	if name = redact.Line(name, 250); name == "." || name == ".." || name == "/" {
		return ""
	}
	return name
}

// separators of directories and drives, wherever the name may be used.
var separators = strings.NewReplacer(`\`, "/", ":", "/")
