package portertest

import (
	"slices"
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

// over reports whether the task has been done.
func (t *task) over() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// Now returns the time by the server's clock.
func (s *clock) Now() time.Time {
	s.lock()
	defer s.unlock()
	return s.now()
}

// Advance moves the server's clock forward. Jobs, expiry, rate limits and Date
// headers follow it at once; it returns when the requests that GitLab was due
// to make by itself have been made, such as to an upload[url]. A fault's
// duration is not touched: that is real time.
func (s *clock) Advance(d time.Duration) {
	s.lock()
	s.offset += d
	s.settle()
	var started []chan struct{}
	for _, t := range s.tasks {
		if t.started {
			started = append(started, t.done)
		}
	}
	s.unlock()
	for _, done := range started {
		<-done
	}
}

// lock guards the state and brings it up to date.
func (s *clock) lock() {
	s.mu.Lock()
	s.settle()
}

func (s *clock) unlock() { s.mu.Unlock() }

// now needs the lock.
func (s *clock) now() time.Time { return s.moment }

// settle looks at the clock, and does what does not follow from the time alone.
func (s *clock) settle() {
	s.moment = time.Now().Add(s.offset).UTC()
	if s.closed {
		return
	}
	s.onSettle()
	s.tasks = slices.DeleteFunc(s.tasks, (*task).over)
	for _, t := range s.tasks {
		if t.started || !reached(t.due, s.now()) {
			continue
		}
		t.started = true
		t.timer.Stop()
		s.wg.Go(func() {
			defer close(t.done)
			t.run()
		})
	}
}

// schedule has run called at its time.
func (s *clock) schedule(due time.Time, run func()) {
	t := &task{due: due, run: run, done: make(chan struct{})}
	s.tasks = append(s.tasks, t)
	t.timer = time.AfterFunc(due.Sub(s.now()), func() {
		s.lock() // starts it
		s.unlock()
	})
}

// stop lets no task begin any more.
func (s *clock) stop() {
	s.lock()
	defer s.unlock()
	s.closed = true
	for _, t := range s.tasks {
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
