package porter

import "time"

// An Event tells an observer what an operation is doing.
type Event struct {
	Kind    EventKind
	Project string        // as the caller gave it: a path or ID, or the path that an import asks for
	Status  string        // the job's, for EventStatus; of relation exports how many are done
	Bytes   int64         // transferred so far, for EventProgress; a retried transfer takes bytes back
	Total   int64         // -1 if unknown, for EventProgress
	Attempt int           // counted from 1, for EventRetry
	Delay   time.Duration // for EventRetry and EventPaced; 0 for a place that is waited for, see WithTransfers
	Err     error         // why, for EventRetry
}

// EventKind says what an Event reports.
type EventKind string

// The kinds of events.
const (
	EventStatus   EventKind = "status"   // a poll returned
	EventProgress EventKind = "progress" // bytes moved
	EventRetry    EventKind = "retry"    // a request or transfer is tried again
	EventPaced    EventKind = "paced"    // an operation waits for its turn
)
