package porter

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/seed-5d77b939/porter/internal/wait"
)

// A prover compares what a project had when its export began with what is in
// the archive. A nil one proves nothing.
type prover struct {
	c       *Client
	id      string
	label   string
	began   time.Time // the export, by the server's clock; zero if it is not known
	before  map[PortableRelation]counted
	refs    *refSet // before the export began; nil if they are not known
	done    bool
	unclear map[PortableRelation]bool
	losses  []Loss
}

// limit bounds what proving may take: nothing else depends on it.
func limit(ctx context.Context, c *Client) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.cfg.polling.Patience)
}

// begin looks at the project before an export of it is scheduled. What can be
// counted by the time of creation is counted later: it need not be there still.
func (p *prover) begin(ctx context.Context) error {
	if p == nil {
		return nil
	}
	looks, cancel := limit(ctx, p.c)
	defer cancel()
	p.before = p.c.lookAtCounts(looks, p.id, p.label, time.Time{}, func(k *counter) bool { return !k.dated })
	if refs, err := p.c.refsOf(looks, p.id, p.label); err == nil {
		p.refs = refs
	}
	p.beganAt(p.c.clock.Now())
	return wait.Ended(ctx)
}

// beganAt notes when the export began, or a little earlier: clocks may differ.
func (p *prover) beganAt(t time.Time) {
	if p != nil {
		p.began = t.Add(-clockSlack)
	}
}

// countable reports whether the records of an archive were counted.
func countable(info *ArchiveInfo) bool { return info != nil && info.Tree == TreeNDJSON }

// compare finds what the export has left out of the archive. The error is the
// context's.
//
// A relation of which less is in the archive than there was before is counted
// once more: what has been deleted meanwhile was not lost.
func (p *prover) compare(ctx context.Context, info *ArchiveInfo) (err error) {
	if p == nil || p.done {
		return nil
	}
	p.unclear = make(map[PortableRelation]bool)
	if !countable(info) {
		for _, k := range counters {
			p.unclear[k.relation] = true
		}
		p.done = true
		return nil
	}
	ctx, o := p.c.begin(ctx, OpLook, p.id, p.label)
	defer o.end(&err)
	looks, cancel := limit(ctx, p.c)
	defer cancel()
	now := p.c.lookAtCounts(looks, p.id, p.label, p.began, func(k *counter) bool {
		b, looked := p.before[k.relation]
		return !looked || b.err != nil || info.Relations[k.relation] < b.count.N
	})
	p.c.findDisabled(looks, p.id, p.label, now, false)
	if err := wait.Ended(ctx); err != nil {
		return err
	}
	for _, k := range counters {
		p.judge(k, now, info)
	}
	p.done = true
	return nil
}

// judge compares the counts of one relation.
func (p *prover) judge(k *counter, now map[PortableRelation]counted, info *ArchiveInfo) {
	l, looked := now[k.relation]
	b, before := p.before[k.relation]
	before = before && b.err == nil
	want, sure := l.count, k.dated && !p.began.IsZero()
	switch {
	case !looked:
		want = b.count
	case l.off:
		return
	case l.err != nil:
		p.unclear[k.relation] = true
		return
	case before:
		want, sure = lesser(b.count, l.count), true
	}
	n, exported := info.Relations[k.relation] // an empty relation has a file, too
	have := Count{n, true}
	switch compareCounts(want, have, sure && exported) {
	case short:
		p.losses = append(p.losses, Loss{Relation: k.relation, In: lostInExport, Want: want, Have: have})
	case unclear:
		p.unclear[k.relation] = true
	}
}

// lesser returns what both counts are sure of.
func lesser(a, b Count) Count {
	return Count{min(a.N, b.N), a.Exact && b.Exact}
}

// proof returns what is known by now.
func (p *prover) proof() *Proof {
	return newProof(p.losses, p.unclear)
}

// newProof puts in order what was found.
func newProof(losses []Loss, unclear map[PortableRelation]bool) *Proof {
	proof := &Proof{Losses: losses}
	for _, r := range append(relationsCounted(), PortableRepository) {
		if unclear[r] {
			proof.Unproven = append(proof.Unproven, r)
		}
	}
	return proof
}

func relationsCounted() []PortableRelation {
	rs := make([]PortableRelation, len(counters))
	for i, k := range counters {
		rs[i] = k.relation
	}
	return rs
}

// settleTime is how long GitLab may take to show what an import has made. It
// keeps a list of branches for 30 seconds.
const settleTime = 35 * time.Second

// ProveImport compares what an archive holds, as VerifyArchive counts it, with
// the project that an import has made of it, and says what the import has lost.
// FailedRelations tell of some of that, and of a hundred at most.
//
// There may be more of everything than in the archive: used labels and milestones
// of a group become the project's. A feature that is switched off is not
// compared. What GitLab does not tell is in Proof.Unproven. It makes a request
// for each relation that is in the archive, as CountRelations does. If anything
// is missing it looks once more after 35 seconds: counts may be that late. The
// error is the context's, or that of a bad argument.
func (c *Client) ProveImport(ctx context.Context, p ProjectRef, info *ArchiveInfo) (*Proof, error) {
	id, err := c.resolve(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("prove import: %w", err)
	}
	if info == nil {
		return nil, fmt.Errorf("prove import of %s: archive info is nil", p)
	}
	x := &importProver{c: c, id: id, label: p.String(), unclear: make(map[PortableRelation]bool)}
	x.wantArchive(info)
	if err := x.run(ctx); err != nil {
		return nil, fmt.Errorf("prove import of %s: %w", p, err)
	}
	return newProof(x.losses, x.unclear), nil
}

// An importProver compares what had to be imported with what is there.
type importProver struct {
	c      *Client
	id     string
	label  string
	want   map[PortableRelation]Count
	sure   bool    // else there may have been less in the archive
	source *prover // of the refs; nil if they are not compared
	// noRepository says that the archive has none.
	noRepository bool
	unclear      map[PortableRelation]bool
	losses       []Loss
}

// wantArchive has what is in the archive compared.
func (x *importProver) wantArchive(info *ArchiveInfo) {
	x.want, x.sure = make(map[PortableRelation]Count), true
	x.noRepository = !info.HasRepository
	for _, k := range counters {
		if !countable(info) {
			x.unclear[k.relation] = true
		} else if n := info.Relations[k.relation]; n > 0 {
			x.want[k.relation] = Count{n, true}
		}
	}
}

// wantSource has what is in the source now compared, which may have changed.
func (x *importProver) wantSource(ctx context.Context, s *prover) {
	var err error
	ctx, o := s.c.begin(ctx, OpLook, s.id, s.label)
	defer o.end(&err)
	looks, cancel := limit(ctx, s.c)
	defer cancel()
	x.want = make(map[PortableRelation]Count)
	now := s.c.lookAtCounts(looks, s.id, s.label, time.Time{}, func(*counter) bool { return true })
	s.c.findDisabled(looks, s.id, s.label, now, false)
	err = wait.Ended(ctx)
	for r, l := range now {
		switch {
		case l.off:
		case l.err != nil:
			x.unclear[r] = true
		case l.count.N > 0:
			x.want[r] = l.count
		}
	}
}

// run compares, and looks once more at what is missing.
func (x *importProver) run(ctx context.Context) (err error) {
	ctx, o := x.c.begin(ctx, OpLook, x.id, x.label)
	defer o.end(&err)
	looks, cancel := context.WithTimeout(ctx, x.c.cfg.polling.Patience+settleTime)
	defer cancel()
	have := x.look(looks, func(k *counter) bool { return x.want[k.relation].N > 0 })
	refs := x.beginRefs(looks)
	x.findRefs(looks, refs)
	missing := func(k *counter) bool {
		l, looked := have[k.relation]
		return looked && l.err == nil && !l.off && l.count.N < x.want[k.relation].N
	}
	if slices.ContainsFunc(counters, missing) || refs.missing() > 0 {
		if x.c.pause(looks, Event{Kind: EventPaced, Project: x.label, Delay: settleTime}) == nil {
			for r, l := range x.look(looks, missing) {
				have[r] = l
			}
			x.findRefs(looks, refs)
		}
	}
	x.endRefs(looks, refs)
	if err := wait.Ended(ctx); err != nil {
		return err
	}
	for _, k := range counters {
		x.judge(k, have)
	}
	x.losses = append(x.losses, refs.losses...)
	return nil
}

func (x *importProver) look(ctx context.Context, want func(*counter) bool) map[PortableRelation]counted {
	looks := x.c.lookAtCounts(ctx, x.id, x.label, time.Time{}, want)
	x.c.findDisabled(ctx, x.id, x.label, looks, true)
	return looks
}

// judge compares the counts of one relation.
func (x *importProver) judge(k *counter, have map[PortableRelation]counted) {
	l, looked := have[k.relation]
	switch {
	case !looked || l.off:
		return
	case l.err != nil:
		x.unclear[k.relation] = true
		return
	}
	want := x.want[k.relation]
	switch compareCounts(want, l.count, x.sure) {
	case short:
		x.losses = append(x.losses, Loss{Relation: k.relation, In: lostInImport, Want: want, Have: l.count})
	case unclear:
		x.unclear[k.relation] = true
	}
}
