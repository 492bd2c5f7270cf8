package porter

import (
	"context"
	"sync/atomic"
	"time"
)

type observerLockKey struct{}

// withObserverLock lets the two halves of one operation, which run at the
// same time, report one event at a time.
func withObserverLock(ctx context.Context) context.Context {
	if ctx.Value(observerLockKey{}) != nil {
		return ctx
	}
	return context.WithValue(ctx, observerLockKey{}, newTellLock())
}

// A tellLock is a mutex that may be held while the observer is called. It is a
// channel because a testing/synctest bubble does not count waiting for a
// sync.Mutex as idle, and an observer may sleep.
type tellLock chan struct{}

func newTellLock() tellLock { return make(tellLock, 1) }

func (l tellLock) Lock() { l <- struct{}{} }

func (l tellLock) Unlock() { <-l }

// emit hands ev to the observer, if there is one.
func (c *core) emit(ctx context.Context, ev Event) {
	if c.cfg.observer == nil {
		return
	}
	if mu, ok := ctx.Value(observerLockKey{}).(tellLock); ok {
		mu.Lock()
		defer mu.Unlock()
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
	p.bytes += n
	if now := time.Now(); now.After(p.next) || p.bytes == p.total {
		p.next = now.Add(progressInterval)
		p.tell()
	}
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
