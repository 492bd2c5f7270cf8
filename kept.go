package porter

import (
	"context"
	"sync"
	"time"

	"github.com/seed-5d77b939/porter/internal/wait"
)

// keptTime is for how long an answer stands for what would be answered again.
const keptTime = time.Minute

// keptAnswers hold for a while what an instance has told, so that many who ask
// for the same make one request.
type keptAnswers struct {
	mu      sync.Mutex
	answers map[string]*keptAnswer
}

type keptAnswer struct {
	done   chan struct{} // closed once the rest is set
	value  any
	shared bool      // those who wait take it; else its asker gave up
	until  time.Time // zero while it is asked for
}

// kept returns the answer for key that is kept, or that somebody is asking for,
// and else asks. The error is ask's own, or the context's.
func kept[T any](ctx context.Context, k *keptAnswers, key string, ask func() (v T, keep bool, err error)) (v T, err error) {
	for {
		a, mine := k.take(key)
		if mine {
			return askAndKeep(k, key, a, ask)
		}
		select {
		case <-a.done:
		case <-ctx.Done():
			return v, wait.Ended(ctx)
		}
		if a.shared {
			return a.value.(T), nil
		}
	}
}

// askAndKeep asks for those who wait for a too.
func askAndKeep[T any](k *keptAnswers, key string, a *keptAnswer, ask func() (T, bool, error)) (v T, err error) {
	keep := false
	defer func() { // after a panic too, or others would wait for ever
		k.mu.Lock()
		defer k.mu.Unlock()
		if a.until = time.Now().Add(keptTime); !keep {
			delete(k.answers, key)
		}
		close(a.done)
	}()
	v, keep, err = ask()
	a.value, a.shared = v, err == nil
	keep = keep && err == nil
	return v, err
}

// take returns the entry of key. It is mine if there was none, and I am to ask.
func (k *keptAnswers) take(key string) (a *keptAnswer, mine bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	for key, a := range k.answers {
		if !a.until.IsZero() && !now.Before(a.until) {
			delete(k.answers, key)
		}
	}
	if a = k.answers[key]; a != nil {
		return a, false
	}
	if k.answers == nil {
		k.answers = make(map[string]*keptAnswer)
	}
	a = &keptAnswer{done: make(chan struct{})}
	k.answers[key] = a
	return a, true
}
