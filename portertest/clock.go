package portertest

import (
	"sync"
	"time"
)

// clock is the time of the simulated instance, and the lock on all its state.
// While the state is locked the clock stands still, so that an answer tells of
// one moment.
type clock struct {
	mu       sync.Mutex
	offset   time.Duration
	moment   time.Time // what the clock shows while it is locked
	onSettle func()    // what else time changes, called with the lock held
	tasks    []*task
	closed   bool
	wg       sync.WaitGroup // tasks
}

// task is what GitLab does at a time without being asked, such as a request to
// another server.
type task struct {
	due     time.Time
	run     func() // without the lock
	timer   *time.Timer
	started bool
	done    chan struct{}
}

// Now returns the time by the server's clock.
func (c *clock) Now() time.Time {
	c.lock()
	defer c.unlock()
	return c.now()
}

// Advance moves the server's clock forward. Jobs, expiry, rate limits and Date
// headers follow it at once; it returns when the requests that GitLab was due
// to make by itself have been made, such as to an upload[url]. A fault's
// duration is not touched: that is real time.
func (c *clock) Advance(d time.Duration) {
	c.lock()
	c.offset += d
	c.settle()
	var started []chan struct{}
	for _, t := range c.tasks {
		if t.started {
			started = append(started, t.done)
		}
	}
	c.unlock()
	for _, done := range started {
		<-done
	}
}

// lock guards the state and brings it up to date.
func (c *clock) lock() {
	c.mu.Lock()
	c.settle()
}

func (c *clock) unlock() { c.mu.Unlock() }

// now needs the lock.
func (c *clock) now() time.Time { return c.moment }

// settle looks at the clock, and does what does not follow from the time alone.
func (c *clock) settle() {
	c.moment = time.Now().Add(c.offset).UTC()
	if c.closed {
		return
	}
	c.onSettle()
	for _, t := range c.tasks {
		if t.started || !reached(t.due, c.now()) {
			continue
		}
		t.started = true
		t.timer.Stop()
		c.wg.Go(func() {
			defer close(t.done)
			t.run()
		})
	}
}

// schedule has run called at its time.
func (c *clock) schedule(due time.Time, run func()) {
	t := &task{due: due, run: run, done: make(chan struct{})}
	c.tasks = append(c.tasks, t)
	t.timer = time.AfterFunc(due.Sub(c.now()), func() {
		c.lock() // starts it
		c.unlock()
	})
}

// stop lets no task begin any more.
func (c *clock) stop() {
	c.lock()
	defer c.unlock()
	c.closed = true
	for _, t := range c.tasks {
		t.timer.Stop()
	}
}

// reached reports whether a time has come. The zero time never comes.
func reached(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

// nextMinuteOfHour returns the first time after t at which the hourly job of
// the given minute runs.
func nextMinuteOfHour(t time.Time, minute int) time.Time {
	at := t.Truncate(time.Hour).Add(time.Duration(minute) * time.Minute)
	if !at.After(t) {
		at = at.Add(time.Hour)
	}
	return at
}
