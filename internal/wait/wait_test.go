package wait

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestEnded(t *testing.T) {
	spent := errors.New("import budget spent")
	tests := []struct {
		name string
		end  func(context.Context) (context.Context, context.CancelFunc)
		want string
		is   []error
	}{
		{"canceled", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		}, "context canceled", []error{context.Canceled}},
		{"canceled with a cause", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			cancel(spent)
			return ctx, func() {}
		}, "import budget spent: context canceled", []error{context.Canceled}},
		{"cause that says so itself", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			cancel(fmt.Errorf("stopped: %w", context.Canceled))
			return ctx, func() {}
		}, "stopped: context canceled", []error{context.Canceled}},
		{"deadline with a cause", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithDeadlineCause(ctx, time.Now().Add(-time.Second), spent)
		}, "import budget spent: context deadline exceeded", []error{context.DeadlineExceeded}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := tt.end(t.Context())
			defer cancel()
			err := Ended(ctx)
			if err == nil || err.Error() != tt.want {
				t.Fatalf("got %v, want %s", err, tt.want)
			}
			for _, target := range tt.is {
				if !errors.Is(err, target) {
					t.Errorf("%v is not %v", err, target)
				}
			}
			if errors.Is(err, spent) {
				t.Error("the cause, which may be another operation's failure, is in the chain")
			}
		})
	}
	if err := Ended(t.Context()); err != nil {
		t.Errorf("got %v of a context that goes on", err)
	}
}
