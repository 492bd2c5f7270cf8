package porter

import (
	"context"
	"errors"
)

// maxRefNames is how many lost refs a Loss names.
const maxRefNames = 20

// A refProof is the comparison of the refs of two projects. Only hashes of those
// of the source are kept, so what is missing gets its name when the source is
// read again. That also tells which have changed since the export began: where
// these point to in the archive is not known.
type refProof struct {
	want   *refSet // nil if nothing is compared
	sure   bool    // they were read before the export began
	in     string  // where they are lost if they are missing
	err    error
	losses []Loss
}

// failed notes why no more can be compared. A repository that is switched off
// need not be.
func (r *refProof) failed(ctx context.Context, c *Client, id, label string, err error) {
	if errors.Is(err, ErrForbidden) {
		if f, ferr := c.lookAtFeatures(ctx, id, label); ferr == nil && f.noCode() {
			r.want = nil
			return
		}
	}
	r.err = err
}

// missing returns how many refs were not found.
func (r *refProof) missing() int {
	if r.want == nil || r.err != nil {
		return 0
	}
	return r.want.missing()
}

// beginRefs returns what there has to be.
func (x *importProver) beginRefs(ctx context.Context) *refProof {
	r := &refProof{in: lostInImport}
	if x.source == nil {
		return r
	}
	if x.noRepository {
		r.in = lostInExport
	}
	if r.want, r.sure = x.source.refs, true; r.want == nil {
		r.sure = false
		r.readSource(ctx, x.source)
	}
	return r
}

// readSource reads what there has to be from the source as it is now.
func (r *refProof) readSource(ctx context.Context, s *prover) {
	ctx, o := s.c.begin(ctx, OpLook, s.id, s.label)
	defer o.end(&r.err)
	var err error
	if r.want, err = s.c.refsOf(ctx, s.id, s.label); err != nil {
		r.failed(ctx, s.c, s.id, s.label, err)
	}
}

// findRefs looks which of the refs are there.
func (x *importProver) findRefs(ctx context.Context, r *refProof) {
	if r.missing() == 0 {
		return
	}
	if err := x.c.eachRef(ctx, x.id, x.label, r.want.find); err != nil {
		r.failed(ctx, x.c, x.id, x.label, err)
	}
}

// endRefs says which are missing.
func (x *importProver) endRefs(ctx context.Context, r *refProof) {
	if r.want == nil && r.err == nil {
		return
	}
	if r.err == nil && r.missing() > 0 {
		r.name(ctx, x.source)
	}
	if r.err != nil || !r.sure && r.missing() > 0 {
		x.unclear[PortableRepository] = true
	}
}

// name reads the source again for the names of what is missing.
func (r *refProof) name(ctx context.Context, s *prover) {
	ctx, o := s.c.begin(ctx, OpLook, s.id, s.label)
	defer o.end(&r.err)
	loss := Loss{Relation: PortableRepository, In: r.in, Want: Count{Exact: true}, Have: Count{Exact: true}}
	r.err = s.c.eachRef(ctx, s.id, s.label, func(ref gitRef) error {
		i := r.want.index(ref)
		switch {
		case i < 0: // it is new, or has changed
			return nil
		case r.want.found[i]:
			loss.Have.N++
		case len(loss.Refs) < maxRefNames:
			loss.Refs = append(loss.Refs, ref.String())
		}
		loss.Want.N++
		return nil
	})
	if r.sure && r.err == nil && loss.Have.N < loss.Want.N {
		r.losses = append(r.losses, loss)
	}
}
