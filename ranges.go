package porter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-5d77b939/porter/internal/diskio"
	"github.com/seed-5d77b939/porter/internal/pace"
	"github.com/seed-5d77b939/porter/internal/wait"
)

// A fetch writes what is missing of an archive to a file, over the download's
// own connection and, as long as the store is the limit, over more of them.
//
// The download alone decides whether and how it goes on: it asks again, bears
// outages, and fails. The others only help. Whatever happens to one of them, it
// gives back what it has not written, and somebody else fetches that.
type fetch struct {
	d      *download
	op     string // for errors of the file
	file   io.WriterAt
	follow func(ctx context.Context, from, to int64) io.Reader // reads the file behind what is written
	verify verifier                                            // nil for none
	conns  int

	v        validator
	chunks   *chunks
	inParts  bool    // parts of it can be asked for
	helped   bool    // the others were started
	follows  bool    // what is written is verified from the file
	noRanges bool    // the store does not know them
	alone    float64 // bytes a second of one connection
	read     int64   // bytes since
	waited   time.Duration
	behind   time.Duration // that the download has waited for the verification

	good    atomic.Pointer[url.URL] // has answered with a range
	helpers atomic.Int32
	verdict *verification // of what is written; nil for none
	feeding sync.WaitGroup
	fed     error // why not all of it was verified
}

// run fetches what is not there yet, and verifies all if that is wanted. It ends
// the download, and returns how much is there.
func (f *fetch) run(ctx context.Context, there diskio.Extents) (n int64, info *ArchiveInfo, err error) {
	d := f.d
	f.v, f.inParts = d.v, d.skips()
	d.inPlaces = d.v.Size >= 0
	f.chunks = newChunks(d.c.cfg.chunking, there, d.at(), d.v.Size)
	if f.verify != nil {
		f.verdict = newVerification(f.verify)
		defer f.verdict.stop()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer f.feeding.Wait()
	defer cancel()
	f.reach(f.chunks.total())

	helping, stop := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	err = f.own(helping, func() {
		for range f.conns - 1 {
			helpers.Go(func() { f.help(helping) })
		}
	}, func(from int64) {
		f.feeding.Go(func() { f.feed(ctx, from) })
	})
	stop()
	helpers.Wait()
	n = f.chunks.total()
	if err != nil {
		cancel()
		f.feeding.Wait()
		if f.fed != nil && !errors.As(f.fed, new(*wait.EndedError)) {
			err = f.fed // which has ended the download
		}
		return n, nil, err
	}
	d.inPlaces = false
	d.finish(io.EOF)
	if f.verdict == nil {
		return n, nil, nil
	}
	info, err = f.judge(ctx)
	return n, info, err
}

// judge waits until all is verified. What is behind is read from the file.
func (f *fetch) judge(ctx context.Context) (*ArchiveInfo, error) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		f.feeding.Wait()
	}()
	f.d.c.pauseToVerify(ctx, f.d.project, over)
	if f.fed != nil {
		return nil, f.fed
	}
	info, err := f.verdict.end()
	if err != nil {
		err = fmt.Errorf("%s: %w", f.op, err)
	}
	return info, err
}

// feed has what is there verified, from a place on, as it comes.
func (f *fetch) feed(ctx context.Context, from int64) {
	if _, err := f.verdict.ReadFrom(f.follow(ctx, from, f.v.Size)); err != nil {
		f.fed = fmt.Errorf("%s: %w", f.op, err)
		f.d.cancel()
	}
}

// own fetches over the download's own connection, until all is there. Once the
// store is the limit it calls more, and once what is written can't be verified on
// the way any more, follow.
func (f *fetch) own(ctx context.Context, more func(), follow func(from int64)) error {
	buf := make([]byte, diskio.PieceSize)
	for {
		e, others := f.chunks.take(f.among())
		switch {
		case e.Len() > 0:
		case others == nil:
			return nil
		default:
			if err := wait.For(f.d.ctx, others); err != nil {
				return fmt.Errorf("%s: %w", f.d.op, err)
			}
			continue
		}
		err := f.ownPart(ctx, e, buf, more, follow)
		f.chunks.done(diskio.Extent{})
		if err == io.EOF {
			return nil // of an archive whose size nobody told
		}
		if err != nil {
			return err
		}
	}
}

// ownPart is own for e.
func (f *fetch) ownPart(ctx context.Context, e diskio.Extent, buf []byte, more func(), follow func(from int64)) error {
	e, err := f.moveTo(ctx, e)
	for e.Len() > 0 && err == nil {
		start := time.Now()
		var n int
		n, err = diskio.Fill(f.d, buf[:min(int64(len(buf)), e.Len())])
		if werr := f.write(buf[:n], e.From, true); werr != nil {
			return werr
		}
		e.From += int64(n)
		if f.slow(int64(n), time.Since(start)) {
			f.helped = true
			more()
		}
		if f.leaves() {
			f.follows = true
			follow(e.From)
		}
	}
	return err
}

// among returns among how many what is missing is handed out.
func (f *fetch) among() int {
	if f.inParts && !f.noRanges && !f.d.wholeOnly {
		return f.conns
	}
	return 1
}

// jumps reports whether what is there can be skipped now.
func (f *fetch) jumps() bool {
	return f.inParts && f.d.signed() != nil && !f.noRanges && !f.d.wholeOnly
}

// moveTo has the download read on where e begins, and returns what to read then,
// which may begin earlier. It reads on through what is there already if it can't
// skip that.
func (f *fetch) moveTo(ctx context.Context, e diskio.Extent) (diskio.Extent, error) {
	d := f.d
	at := d.at()
	more := d.until < 0 || at < d.until
	if e.From == at && more {
		return e, nil
	}
	if f.jumps() {
		resp, err := f.ask(ctx, d.request.place, e)
		if err == nil {
			d.readPart(resp, e.From, e.To)
			return e, nil
		}
		f.noRanges = errors.Is(err, errNoRange)
	}
	if e.From > at && more && d.until < 0 {
		return diskio.Extent{From: at, To: e.To}, nil
	}
	return e, d.moveTo(e.From)
}

// slow reports whether it is time for more connections, after n bytes for which
// the download has waited so long.
func (f *fetch) slow(n int64, waited time.Duration) bool {
	if f.helped || f.among() == 1 || f.chunks.left() < f.chunks.least {
		return false
	}
	f.read += n
	f.waited += waited
	if f.waited < f.chunks.wait {
		return false
	}
	rate := rateOf(f.read, f.waited)
	f.read, f.waited = 0, 0
	f.alone = rate
	return rate < f.chunks.fast
}

// leaves reports whether it is time to verify from the file: what others write
// comes in no order, and who is slower than the store must not keep it waiting.
func (f *fetch) leaves() bool {
	return f.verdict != nil && !f.follows && f.v.Size >= 0 && (f.helped || f.behind >= f.chunks.wait)
}

// rateOf returns bytes a second, 0 if that cannot be told.
func rateOf(n int64, took time.Duration) float64 {
	if took <= 0 {
		return 0
	}
	return float64(n) / took.Seconds()
}

// helpedPiece is how much a helper collects before it writes. A connection that is
// slow has no use for more.
const helpedPiece = 64 << 10

// help fetches over a connection of its own, as long as that is of use.
func (f *fetch) help(ctx context.Context) {
	f.helpers.Add(1)
	defer f.helpers.Add(-1)
	_, place := f.d.c.transfer(f.d.ctx)
	defer place.End()
	buf := make([]byte, helpedPiece)
	for fails := 0; ctx.Err() == nil; {
		e, _ := f.chunks.take(f.conns)
		if e.Len() == 0 {
			return
		}
		start := time.Now()
		rest, err := f.part(ctx, place, e, buf)
		f.chunks.done(rest)
		if rest.Len() < e.Len() {
			fails = 0
		}
		if err == nil {
			if rate := rateOf(e.Len(), time.Since(start)); rate > 0 && rate*float64(f.helpers.Load()+1) < f.alone {
				return // all together are no faster than one was
			}
			continue
		}
		if !f.pause(ctx, place, fails, err) {
			return
		}
		fails++
	}
}

// refusedPause is how long the connection that a store has refused is left alone.
const refusedPause = time.Minute

// pause waits before another attempt of a helper that has failed so often before,
// and now with err. It reports whether there is to be one.
func (f *fetch) pause(ctx context.Context, place *pace.Holder, fails int, err error) bool {
	c, o := f.d.c, outcomeOf(err)
	if ctx.Err() != nil {
		return false
	}
	again := passing(err) && fails < c.cfg.retries && !c.tooLong(o)
	d := c.retryPause(fails, err)
	if o.answered() {
		d = max(d, refusedPause)
	}
	c.cfg.logger.InfoContext(ctx, "one of the connections of a download failed",
		"project", f.d.project, "again", again, "delay", d, "error", err)
	if !again {
		return false
	}
	if d > shortPause {
		place.Give()
	}
	return wait.Sleep(ctx, d) == nil
}

// part fetches e, and returns what of it is missing then.
func (f *fetch) part(ctx context.Context, place *pace.Holder, e diskio.Extent, buf []byte) (rest diskio.Extent, err error) {
	resp, err := f.ask(ctx, place, e)
	if err != nil {
		return e, err
	}
	defer resp.Body.Close()
	for e.Len() > 0 {
		n, rerr := diskio.Fill(resp.Body, buf[:min(int64(len(buf)), e.Len())])
		if err := f.write(buf[:n], e.From, false); err != nil {
			return e, err
		}
		e.From += int64(n)
		if rerr == io.EOF && e.Len() > 0 {
			rerr = io.ErrUnexpectedEOF
		}
		if rerr != nil && rerr != io.EOF {
			return e, newBodyError(resp.Request, rerr)
		}
	}
	return e, nil
}

// errNoRange is an answer that is not the range of the archive that it was asked
// for.
var errNoRange = errors.New("the store sent no range, or that of another archive")

// ask asks for e where the archive is stored, or, when the signed URL has
// expired, GitLab for another one.
func (f *fetch) ask(ctx context.Context, place *pace.Holder, e diskio.Extent) (*http.Response, error) {
	d, h := f.d, partHeader(e.From, e.To, f.v)
	var asked *url.URL
	resp, err := d.askWhereGood(ctx, func(u *url.URL) (*http.Response, error) {
		asked = u
		return d.askSigned(ctx, place, u, h)
	}, func(err error) bool {
		e := answerOf(err)
		return e != nil && !e.Temporary() && !unsatisfiable(err) && (f.good.Load() == asked || !refusesRange(err))
	}, func() (*http.Response, error) {
		asked = nil
		r := d.request
		r.header, r.once, r.known, r.place = h, true, true, place
		return d.askFirst(ctx, r)
	})
	if err != nil {
		return nil, err
	}
	at, size, ok := contentRange(resp)
	switch {
	case resp.StatusCode != http.StatusPartialContent || !ok || at != e.From || size != f.v.Size,
		validatorOf(resp.Header, size).ETag != f.v.ETag, !d.request.elsewhere(resp):
		resp.Body.Close()
		return nil, errNoRange
	}
	if asked == nil {
		asked = d.signed()
	}
	f.good.Store(asked)
	return resp, nil
}

// write writes what was fetched to its place. As long as it comes in order and no
// faster than it is verified, what the download's own connection brings is verified
// on the way.
func (f *fetch) write(b []byte, off int64, own bool) error {
	n, err := f.file.WriteAt(b, off)
	f.reach(f.chunks.wrote(off, n))
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err == nil && own && !f.follows && f.verdict != nil {
		start := time.Now()
		_, err = f.verdict.Write(b)
		f.behind += time.Since(start)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.op, err)
	}
	return nil
}

// reach tells how much is there.
func (f *fetch) reach(total int64) {
	if f.d.inPlaces {
		f.d.progress.reach(total)
	}
}
