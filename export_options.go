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
	// MaxAge takes the user's finished archive instead of making another, if it
	// is not older, by its Last-Modified and the server's clock, and whatever
	// options it was made with. 0 makes a new one. If the age of the archive is
	// not told, or is too great, a new one is made. The look at it is the
	// beginning of its download, of which GitLab allows one per minute.
	MaxAge time.Duration
}

// schedule returns the options of a new export.
func (o *ExportOptions) schedule() *ScheduleExportOptions {
	if o == nil {
		return nil
	}
	return &o.ScheduleExportOptions
}

func (o *ExportOptions) check() error {
	switch {
	case o == nil:
		return nil
	case o.MaxAge < 0:
		return fmt.Errorf("max age %v is negative", o.MaxAge)
	case o.MaxAge > 0 && o.Upload != nil:
		return errors.New("max age and upload target exclude each other: GitLab uploads only an archive that it makes")
	}
	_, err := o.schedule().encode()
	return err
}
