package porter

import (
	"sync"
	"time"
)

// A recentSet remembers for a while what this client has asked GitLab for. A
// look that does not find what was just created came to a replica that lags.
type recentSet struct {
	mu      sync.Mutex
	entries map[string]recentEntry
}

type recentEntry struct {
	noted  time.Time
	newest time.Time // of what was there before
}

// recentTime is for how long it is remembered.
const recentTime = 24 * time.Hour

// note remembers key, and what was newest before it.
func (r *recentSet) note(key string, newest time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for key, e := range r.entries {
		if now.Sub(e.noted) > recentTime {
			delete(r.entries, key)
		}
	}
	if r.entries == nil {
		r.entries = make(map[string]recentEntry)
	}
	r.entries[key] = recentEntry{now, newest}
}

// before returns what was newest before key, and whether key is remembered.
func (r *recentSet) before(key string) (newest time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.entries[key]
	return e.newest, ok
}

func (r *recentSet) has(key string) bool {
	_, ok := r.before(key)
	return ok
}
