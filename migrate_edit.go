package porter

import (
	"fmt"
	"io"
)

// A passage is what a migration does to an archive on its way.
type passage struct {
	label      string // of the source project
	edits      []Edit
	folder     folder // for temporary files
	skipVerify bool
	inspect    func(*Inspection) error // nil if nobody looks
	compared   bool                    // what was exported is compared with the source
	exported   *ArchiveInfo            // before the edits; nil if that is what was uploaded, or nobody asks
}

// edited returns the archive in r with the edits made.
func (p *passage) edited(r io.ReadCloser) io.ReadCloser {
	if len(p.edits) == 0 {
		return r
	}
	if p.compared {
		read := verifyBy(func(*contents) []breach { return nil })
		r = newCheckedReader(r, "export of "+p.label, func(r io.Reader) (info *ArchiveInfo, err error) {
			p.exported, err = read(r)
			return p.exported, err
		})
	}
	return newEditedReader(r, p.edits, p.folder)
}

// beforeEdits returns what was exported, of an archive that was uploaded as info.
func (p *passage) beforeEdits(info *ArchiveInfo) *ArchiveInfo {
	if p.exported != nil {
		return p.exported
	}
	return info
}

// size returns the size that the archive in r will be uploaded with, -1 if it is
// not known.
func (p *passage) size(r *ExportReader) int64 {
	if len(p.edits) > 0 {
		return -1
	}
	return r.Size()
}

// verifier returns what reads the archive before it may become a project, or
// nil if nothing has to.
func (p *passage) verifier() verifier {
	switch {
	case p.inspect != nil:
		return p.look
	case p.skipVerify:
		return nil
	}
	return verifyBy(wholeRules)
}

// look verifies an archive, and has the caller look at what is in it.
func (p *passage) look(r io.Reader) (*ArchiveInfo, error) {
	i, err := inspectBy(r, wholeRules)
	if err != nil && (i == nil || !p.skipVerify) {
		return nil, fmt.Errorf("verify archive: %w", err)
	}
	if err := p.inspect(i); err != nil {
		return nil, fmt.Errorf("inspect archive: %w", err)
	}
	return &i.ArchiveInfo, nil
}
