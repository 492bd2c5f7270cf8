package porter

import (
	"context"
	"fmt"
	"maps"
)

// checkLosses returns an error if the export has lost something and nothing is
// to be imported then. GitLab waits meanwhile for the end of the upload.
func (m *migration) checkLosses(ctx context.Context, info *ArchiveInfo) error {
	if m.opts.Export == nil || !m.opts.Export.Strict {
		return nil
	}
	if err := m.proof.compare(ctx, m.passage.beforeEdits(info)); err != nil {
		return err
	}
	return m.opts.Export.strict(m.proof.proof())
}

// prove says what was lost, once the import has ended.
func (m *migration) prove(ctx context.Context) error {
	if !m.opts.Prove {
		if m.proof != nil { // of the export alone
			m.result.Proof = *m.proof.proof()
		}
		return nil
	}
	if m.proof == nil { // another process has sent the archive
		m.proof = &prover{c: m.from, id: m.result.Source.ID.String(), label: m.label}
	}
	x := &importProver{c: m.to, id: m.result.Import.ID.String(), label: m.dest.opts.label(), source: m.proof,
		unclear: make(map[PortableRelation]bool)}
	if was := m.passage.exported; was != nil && was.HasRepository != m.result.Archive.HasRepository { // no loss, but the caller's wish
		x.source = nil
	}
	if countable(m.result.Archive) {
		x.wantArchive(m.result.Archive)
	} else {
		x.wantSource(ctx, m.proof)
	}
	if err := x.run(ctx); err != nil {
		return fmt.Errorf("prove: %w", err)
	}
	if countable(m.result.Archive) {
		maps.Copy(x.unclear, m.proof.unclear)
	}
	m.result.Proof = *newProof(append(m.proof.losses, x.losses...), x.unclear)
	return nil
}

// incomplete returns what is missing in the new project as an error.
func (m *migration) incomplete() error {
	lost := m.result.Proof.err()
	switch {
	case m.result.Import.Complete():
		return lost
	case lost == nil:
		return &ImportError{m.result.Import}
	}
	return fmt.Errorf("%w (%w)", &ImportError{m.result.Import}, lost)
}
