// Package wait waits, as long as a context lasts.
package wait

import (
	"context"
	"errors"
	"time"

	"github.com/seed-5d77b939/porter/internal/redact"
)

// An EndedError is a context that ended. Its text names the cause. Its chain
// does not hold it: with errgroup the cause is the failure of another project,
// and nobody must take that for one of this.
type EndedError struct {
	err   error // context.Canceled or context.DeadlineExceeded
	cause string
}

func (e *EndedError) Error() string { return e.cause }
func (e *EndedError) Unwrap() error { return e.err }

// Ended returns why ctx ended, as an *EndedError, and nil if it has not.
func Ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if err == nil {
		return nil
	}
	text := redact.Line(cause.Error(), 500)
	if !errors.Is(cause, err) {
		text += ": " + err.Error()
	}
	return &EndedError{err, text}
}

// Sleep waits d or until ctx ends, and then returns why it ended.
func Sleep(ctx context.Context, d time.Duration) error { return SleepOr(ctx, d, nil) }

// SleepOr is a Sleep that ch ends, too.
func SleepOr(ctx context.Context, d time.Duration, ch <-chan struct{}) error {
	if ctx.Err() != nil {
		return Ended(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ch:
		return nil
	case <-ctx.Done():
		return Ended(ctx)
	}
}

// For waits for ch or until ctx ends, and then returns why it ended.
func For(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return Ended(ctx)
	}
}

// AtMost waits for ch, but no longer than d, and reports whether it came.
func AtMost(d time.Duration, ch <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ch:
		return true
	case <-t.C:
		return false
	}
}
