package netio

import (
	"sync"
	"sync/atomic"
	"time"
)

// LingerTime is how long a failed write waits for an answer. It only passes
// whole if nothing can be read either: an end of the reading closes the
// connection.
const LingerTime = 2 * time.Second

// A linger waits a moment after a write failed. A server that refuses an upload
// early answers and closes; its reset then races with its answer, and net/http
// reports the broken pipe when the write loses. The pause lets the answer win.
type linger struct {
	d      time.Duration
	on     atomic.Bool // only while an answer can come
	once   sync.Once
	closed chan struct{}
}

func newLinger(d time.Duration) *linger { return &linger{d: d, closed: make(chan struct{})} }

// write writes b, and waits if that fails.
func (l *linger) write(b []byte, write writeFunc) (int, error) {
	n, err := write(b)
	if err != nil && l.on.Load() {
		t := time.NewTimer(l.d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-l.closed:
		}
	}
	return n, err
}

// end ends all waiting: the connection is closed.
func (l *linger) end() { l.once.Do(func() { close(l.closed) }) }
