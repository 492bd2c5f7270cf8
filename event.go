package porter

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// An Event tells an observer what an operation is doing. Its JSON form leaves
// out fields that are zero, has the Delay as a string such as "1m30s" and the
// text of Err, and comes back equal, with an Err of that text.
type Event struct {
	Kind    EventKind     `json:"kind"`
	Op      Op            `json:"op,omitempty"`
	Time    time.Time     `json:"time,omitzero"`     // of the event, by the local clock
	Project string        `json:"project,omitempty"` // as the caller gave it: a path or ID, or the path that an import asks for
	ID      ProjectID     `json:"id,omitempty"`      // of the project, once it is known
	Status  string        `json:"status,omitempty"`  // the job's, for EventStatus; of relation exports how many are done
	Bytes   int64         `json:"bytes,omitempty"`   // transferred so far, for EventProgress; a retried transfer takes bytes back
	Total   int64         `json:"total,omitempty"`   // -1 if unknown, for EventProgress
	Attempt int           `json:"attempt,omitempty"` // counted from 1, for EventRetry
	Delay   time.Duration `json:"-"`                 // still to wait, for EventRetry and EventPaced; 0 if not known, as with WithTransfers
	Err     error         `json:"-"`                 // why, for EventRetry and EventFailed
}

// String returns e as a line for people, without its time and ID.
func (e Event) String() string {
	what := string(e.Op)
	if e.Project != "" {
		what += " of " + e.Project
	}
	text, delay := string(e.Kind), e.Delay.Round(time.Millisecond)
	switch e.Kind {
	case EventStatus:
		text = e.Status
	case EventProgress:
		text = fmt.Sprintf("%d bytes", e.Bytes)
		if e.Total >= 0 {
			text = fmt.Sprintf("%d of %d bytes", e.Bytes, e.Total)
		}
	case EventRetry:
		text = fmt.Sprintf("retry %d in %s", e.Attempt, delay)
	case EventPaced:
		text = "waits"
		if delay > 0 {
			text += " for " + delay.String()
		}
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return what + ": " + text
}

// eventFields are those of an Event that JSON knows how to treat.
type eventFields Event

// eventJSON is the JSON form of an Event.
type eventJSON struct {
	eventFields
	Delay string `json:"delay,omitempty"`
	Err   string `json:"error,omitempty"`
}

// MarshalJSON returns the JSON form, with the text of e.Err.
func (e Event) MarshalJSON() ([]byte, error) {
	j := eventJSON{eventFields: eventFields(e)}
	if e.Delay != 0 {
		j.Delay = e.Delay.String()
	}
	if e.Err != nil {
		j.Err = e.Err.Error()
	}
	return json.Marshal(j)
}

// UnmarshalJSON takes what MarshalJSON returns.
func (e *Event) UnmarshalJSON(b []byte) error {
	var j eventJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	ev := Event(j.eventFields)
	if j.Delay != "" {
		d, err := time.ParseDuration(j.Delay)
		if err != nil {
			return fmt.Errorf("event: delay: %w", err)
		}
		ev.Delay = d
	}
	if j.Err != "" {
		ev.Err = errors.New(j.Err)
	}
	*e = ev
	return nil
}

// EventKind says what an Event reports.
type EventKind string

// The kinds of events. Every EventStarted is followed by one EventDone or
// EventFailed of the same operation, which is its last event.
const (
	EventStarted  EventKind = "started"  // an operation begins
	EventStatus   EventKind = "status"   // a poll returned
	EventProgress EventKind = "progress" // bytes moved
	EventRetry    EventKind = "retry"    // a request or transfer is tried again
	EventPaced    EventKind = "paced"    // an operation waits: for its turn, or longer than 30 seconds for something else
	EventDone     EventKind = "done"     // an operation has ended well, or the caller has seen enough of an iterator
	EventFailed   EventKind = "failed"   // an operation has ended with an error, or was ended by the caller
)

// String returns k as it is written in JSON.
func (k EventKind) String() string { return string(k) }

// Op is the kind of operation that an Event is of. One operation may hold
// others: Import holds an upload, and an upload the download that it is fed from.
type Op string

// The operations. ExportTo and ExportToFile tell OpExport and OpDownload. Import
// tells OpImport and in it OpUpload. Migrate tells OpLook of both ends, and then
// OpExport, OpDownload, OpUpload and OpImport, each by the client that does it. What
// is counted for a proof after the export has begun is OpLook, at both ends again. A
// download of an archive that turns out too old for MaxAge fails, and the export
// goes on.
const (
	OpExport               Op = "export"                 // making an export, or waiting for it
	OpDownload             Op = "download"               // of an archive or a file of a relation
	OpUpload               Op = "upload"                 // of an archive, until GitLab has accepted it
	OpImport               Op = "import"                 // waiting for an import, and all of Client.Import
	OpRelationImport       Op = "relation import"        // waiting for it
	OpRelationExports      Op = "relation exports"       // waiting for them
	OpScheduleExport       Op = "schedule export"        // no more than that
	OpStartImport          Op = "start import"           // of an archive that GitLab fetches itself
	OpStartRelationsExport Op = "start relations export" // no more than that
	OpLook                 Op = "look"                   // a method that gets, lists, counts or checks
)

// String returns o as it is written in JSON.
func (o Op) String() string { return string(o) }
