package fleet

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/seed-5d77b939/porter"
)

// What is tried again, and when, is as porter.Retryable says.
func TestFailure(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err   error
		kind  string
		final bool
		after time.Duration
	}{
		{&porter.APIError{StatusCode: 429, Method: "POST", RetryAfter: 40 * time.Second}, typePassing, false, 40 * time.Second},
		{&porter.APIError{StatusCode: 503, Method: "GET"}, typePassing, false, 0},
		{porter.ErrConflict, typePassing, false, time.Minute},
		{porter.ErrOutcomeUnknown, typeFailed, true, 0},
		{errors.New(strings.Repeat("ä", 1000)), typeFailed, true, 0},
	} {
		var e *temporal.ApplicationError
		if err := failure(tt.err); !errors.As(err, &e) || e.Type() != tt.kind || e.NonRetryable() != tt.final || e.NextRetryDelay() != tt.after {
			t.Errorf("%v became %#v", tt.err, err)
		}
		text, cut := strings.CutSuffix(e.Message(), "…")
		if !strings.HasPrefix(tt.err.Error(), text) || cut != (len(tt.err.Error()) > 500) || len(text) > 500 {
			t.Errorf("%v became %q", tt.err, e.Message())
		}
		if errors.Unwrap(e) != nil {
			t.Errorf("%v wraps what could hold a secret", e)
		}
	}
	if err := failure(nil); err != nil {
		t.Error(err)
	}
}
