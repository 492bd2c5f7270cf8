package porter

import (
	"context"
	"iter"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// An operation is what a caller asked for, or a part of it that tells of
// itself. A nil one tells nothing.
type operation struct {
	c       *core
	ctx     context.Context // with the operation
	op      Op
	project string
	id      atomic.Int64 // 0 while it is not known
	ended   bool         // guarded by the lock of ctx
}

type operationKey struct{}

// begin tells that an operation begins, on the project that GitLab is asked for
// by id, "" if there is none yet. What is done with the context that it returns
// belongs to the operation. Without an observer it does nothing.
func (c *core) begin(ctx context.Context, op Op, id, label string) (context.Context, *operation) {
	if c.cfg.observer == nil {
		return ctx, nil
	}
	o := &operation{c: c, op: op, project: label}
	if n, err := strconv.ParseInt(id, 10, 64); err == nil {
		o.id.Store(n)
	}
	o.ctx = context.WithValue(withObserverLock(ctx), operationKey{}, o)
	c.emit(o.ctx, Event{Kind: EventStarted})
	return o.ctx, o
}

// end tells how the operation ended, unless that was told before. It takes the
// address of the error because it is deferred.
func (o *operation) end(err *error) {
	if o != nil {
		o.c.emit(o.ctx, endOf(*err))
	}
}

// leave is end for a caller who may be the observer itself: what is being told
// is told first, and leave does not wait for it.
func (o *operation) leave(err error) {
	if o != nil {
		lockOf(o.ctx).do(func() { o.c.tell(o, endOf(err)) })
	}
}

func endOf(err error) Event {
	if err != nil {
		return Event{Kind: EventFailed, Err: err}
	}
	return Event{Kind: EventDone}
}

func operationOf(ctx context.Context) *operation {
	o, _ := ctx.Value(operationKey{}).(*operation)
	return o
}

// learn notes the project's ID, which an answer told, for the events to come.
func learn(ctx context.Context, id ProjectID) {
	if o := operationOf(ctx); o != nil && id > 0 {
		o.id.Store(int64(id))
	}
}

// watched is what begin and end are to a function, for an iterator. A caller
// who breaks it off has seen enough, which is no failure.
func watched[T any](
	ctx context.Context, c *core, op Op, id, label string, seq func(context.Context) iter.Seq2[T, error],
) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var err error
		ctx, o := c.begin(ctx, op, id, label)
		defer o.end(&err)
		for t, e := range seq(ctx) {
			err = e
			if !yield(t, e) {
				return
			}
		}
	}
}

type observerLockKey struct{}

// withObserverLock lets the parts of one operation, which may run at the same
// time, report one event at a time.
func withObserverLock(ctx context.Context) context.Context {
	if ctx.Value(observerLockKey{}) != nil {
		return ctx
	}
	return context.WithValue(ctx, observerLockKey{}, &observerLock{tellLock: newTellLock()})
}

// lockOf returns the lock of an operation's context, or nil.
func lockOf(ctx context.Context) *observerLock {
	l, _ := ctx.Value(observerLockKey{}).(*observerLock)
	return l
}

// untold calls f while nothing is told of the context's operation: another
// function of the caller's, who would print from both.
func untold(ctx context.Context, f func()) {
	if l := lockOf(ctx); l != nil {
		l.Lock()
		defer l.Unlock()
	}
	f()
}

// A tellLock is a mutex that may be held while the observer is called. It is a
// channel because a testing/synctest bubble does not count waiting for a
// sync.Mutex as idle, and an observer may sleep.
type tellLock chan struct{}

func newTellLock() tellLock { return make(tellLock, 1) }

func (l tellLock) Lock() { l <- struct{}{} }

func (l tellLock) Unlock() { <-l }

// An observerLock is a tellLock whose holder does what others left to it.
type observerLock struct {
	tellLock
	mu   sync.Mutex // of what follows; held for moments only
	left []func()
}

// Unlock does what was left meanwhile, and gives the lock back.
func (l *observerLock) Unlock() {
	for {
		l.mu.Lock()
		left := l.left
		if l.left = nil; left == nil {
			l.tellLock.Unlock()
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		for _, f := range left {
			f()
		}
	}
}

// do calls f with the lock held, or leaves it to the one who holds it.
func (l *observerLock) do(f func()) {
	l.mu.Lock()
	select {
	case l.tellLock <- struct{}{}:
		l.mu.Unlock()
		defer l.Unlock()
		f()
	default:
		l.left = append(l.left, f)
		l.mu.Unlock()
	}
}

// emit hands ev to the observer, if there is one, as an event of the context's
// operation. One that has ended tells nothing any more.
func (c *core) emit(ctx context.Context, ev Event) {
	if c.cfg.observer == nil {
		return
	}
	untold(ctx, func() { c.tell(operationOf(ctx), ev) })
}

// tell is emit with the lock held.
func (c *core) tell(o *operation, ev Event) {
	ev.Time = time.Now()
	if o != nil {
		if o.ended {
			return
		}
		o.ended = ev.Kind == EventDone || ev.Kind == EventFailed
		ev.Op, ev.Project, ev.ID = o.op, o.project, ProjectID(o.id.Load())
	}
	c.cfg.observer(ev)
}

// progressInterval spaces progress events, so that a fast transfer does not
// spend its time in the observer.
const progressInterval = 100 * time.Millisecond

// progress reports the bytes of one transfer.
type progress struct {
	c       *core
	ctx     context.Context
	project string

	ended atomic.Bool
	mu    tellLock // the transport may still be reading when a request ends
	bytes int64
	total int64
	told  int64 // what the last event said
	next  time.Time
}

func newProgress(ctx context.Context, c *core, project string) *progress {
	return &progress{c: c, ctx: ctx, project: project, mu: newTellLock()}
}

func (p *progress) add(n int64) {
	if p.c.cfg.observer == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count(n)
}

// count needs the lock. Of those who count at a time, the first may come last.
func (p *progress) count(n int64) {
	if n <= 0 {
		return
	}
	p.bytes += n
	if now := time.Now(); now.After(p.next) || p.bytes == p.total {
		p.next = now.Add(progressInterval)
		p.tell()
	}
}

// reach is add, with all bytes that there are.
func (p *progress) reach(bytes int64) {
	if p.c.cfg.observer == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count(bytes - p.bytes)
}

// set starts a transfer, or takes the bytes of one back.
func (p *progress) set(bytes, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes, p.total = bytes, total
	p.tell()
}

// flush makes sure that the last event tells the last byte.
func (p *progress) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told != p.bytes {
		p.tell()
	}
}

// end flushes, and nothing is reported any more.
func (p *progress) end() {
	p.flush()
	p.ended.Store(true)
}

// drop ends it at once, as the observer itself may want it.
func (p *progress) drop() { p.ended.Store(true) }

func (p *progress) tell() {
	if p.ended.Load() {
		return
	}
	p.told = p.bytes
	p.c.emit(p.ctx, Event{Kind: EventProgress, Project: p.project, Bytes: p.bytes, Total: p.total})
}
