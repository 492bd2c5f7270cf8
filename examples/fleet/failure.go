package fleet

import (
	"fmt"

	"go.temporal.io/sdk/temporal"

	"github.com/seed-5d77b939/porter"
)

// The types of errors in a history.
const (
	typeFailed  = "Failed"  // for good
	typePassing = "Passing" // may succeed later
	typeRunning = "Running" // no error: look again
	typeExpired = "Expired" // the archive has to be made once more
)

// failure returns how Temporal is to treat an error: as porter.Retryable says.
// Its text alone is kept, without what it wraps. porter's errors hold no secret.
func failure(err error) error {
	after, ok := porter.Retryable(err)
	switch {
	case err == nil:
		return nil
	case !ok:
		return temporal.NewNonRetryableApplicationError(bounded(err.Error()), typeFailed, nil)
	}
	return temporal.NewApplicationErrorWithOptions(bounded(err.Error()), typePassing, temporal.ApplicationErrorOptions{NextRetryDelay: after})
}

// running has a look repeated.
func running(what, status any) error {
	return temporal.NewApplicationErrorWithOptions(fmt.Sprintf("%v: %v", what, status), typeRunning,
		temporal.ApplicationErrorOptions{Category: temporal.ApplicationErrorCategoryBenign})
}
