package porter

import (
	"errors"
	"fmt"
	"time"
)

// ExportOptions say how ExportTo, ExportToFile and Migrate come by an archive;
// nil is the zero value.
type ExportOptions struct {
	ScheduleExportOptions
	// Mode is for ExportToFile alone. Connections are those of a file, and of
	// Migrate's spool if nothing is edited on the way. Migrate verifies only if
	// neither SkipVerify is set.
	DownloadOptions
	// MaxAge takes the user's finished archive instead of making another, if it
	// is not older, by its Last-Modified and the server's clock, and whatever
	// options it was made with. 0 makes a new one. If the age of the archive is
	// not told, or is too great, a new one is made. The look at it is the
	// beginning of its download, of which GitLab allows one per minute.
	MaxAge time.Duration
	// Prove counts what is in the project and in the archive, and says in
	// Download.Losses what the export has lost: since GitLab 17.5 it leaves out what
	// it cannot read, and ends as finished. It makes about 12 requests before the
	// export and up to 13 after it. An archive that another call has made can be
	// short of what was made since, so a shortage then proves nothing.
	Prove bool
	// Strict makes what was lost a *LossError. Migrate then imports nothing.
	Strict bool
}

// proves reports whether the export is to be proven.
func (o *ExportOptions) proves() bool { return o != nil && o.Prove }

// strict returns the losses of an export as an error, if that is wanted.
func (o *ExportOptions) strict(p *Proof) error {
	if o == nil || !o.Strict {
		return nil
	}
	return p.err()
}

// schedule returns the options of a new export.
func (o *ExportOptions) schedule() *ScheduleExportOptions {
	if o == nil {
		return nil
	}
	return &o.ScheduleExportOptions
}

// download returns the options of the download.
func (o *ExportOptions) download() *DownloadOptions {
	if o == nil {
		return nil
	}
	return &o.DownloadOptions
}

// check refuses what makes no sense for a file, or for anything else.
func (o *ExportOptions) check(file bool) error {
	switch {
	case o == nil:
		return nil
	case o.Prove && o.SkipVerify:
		return errProveNeedsVerify
	case o.Strict && !o.Prove:
		return errors.New("strict needs prove")
	case o.MaxAge < 0:
		return fmt.Errorf("max age %v is negative", o.MaxAge)
	case o.MaxAge > 0 && o.Upload != nil:
		return errors.New("max age and upload target exclude each other: GitLab uploads only an archive that it makes")
	}
	if err := o.download().check(file); err != nil {
		return err
	}
	_, err := o.schedule().encode()
	return err
}

var errProveNeedsVerify = errors.New("prove needs the archive verified, and skip verify does without")
