package porter

import (
	"errors"

	"github.com/seed-5d77b939/porter/internal/netio"
)

// Match these with errors.Is.
var (
	ErrUnauthorized     = errors.New("unauthorized")                    // 401
	ErrForbidden        = errors.New("forbidden")                       // 403
	ErrNotFound         = errors.New("not found")                       // 404
	ErrConflict         = errors.New("conflict")                        // 409
	ErrTooLarge         = errors.New("archive too large")               // 413
	ErrRateLimited      = errors.New("rate limited")                    // 429
	ErrExportInProgress = errors.New("export in progress")              // one of this user's is under way; no other was scheduled
	ErrExportNotReady   = errors.New("export not ready")                // finished, but the archive is not stored yet
	ErrExportExpired    = errors.New("export expired")                  // never made, or deleted: after 24 hours, or by a new export
	ErrNotArchive       = errors.New("not a project export")            // but some message, page or other file
	ErrArchiveDamaged   = errors.New("archive damaged")                 // cut, or with a wrong checksum
	ErrUnimportable     = errors.New("archive cannot be imported")      // whole, but GitLab would accept it and then fail
	ErrArchiveChanged   = errors.New("archive changed")                 // between two parts of one download
	ErrProjectExists    = errors.New("project exists")                  // its path or name is taken
	ErrWrongNamespace   = errors.New("imported into another namespace") // the project exists there
	ErrSourceConsumed   = errors.New("source already read")             // and cannot be opened again
	ErrOutcomeUnknown   = errors.New("outcome unknown")                 // sent, but the answer was lost or is a gateway's
	ErrNoAnswer         = errors.New("no answer")                       // the network, TLS or a proxy failed
	ErrWillFail         = errors.New("will fail")                       // found by a check before; nothing was begun
	ErrStalled          = netio.ErrStalled                              // no byte moved within the stall timeout
)
