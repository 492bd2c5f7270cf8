package porter

import "context"

// releases compares those of the two instances.
func (k *Check) releases(ctx context.Context, from, to *Client) error {
	src, err := from.lookAtRelease(ctx)
	if src == nil {
		return err
	}
	dst, err := to.lookAtRelease(ctx)
	if dst == nil {
		return err
	}
	switch {
	case !src.atLeast(13, 0) && dst.atLeast(15, 11), src.atLeast(11, 1) != dst.atLeast(11, 1):
		k.add(FindingFormat, true, "GitLab %s at %s does not read archives of GitLab %s", dst, to.base.Host, src)
	case src.newer(*dst):
		k.add(FindingVersion, false, "the source's GitLab %s is newer than the destination's %s, which may lose what it doesn't know", src, dst)
	case dst.count()-src.count() > 2:
		k.add(FindingVersion, false, "the source's GitLab %s is more than two minor releases older than the destination's %s", src, dst)
	}
	return nil
}

func (r release) newer(than release) bool { return !than.atLeast(r.major, r.minor) }

// count is the number of minor releases from 1.0 to r, off by those of majors that
// had no import/export API.
func (r release) count() int {
	n := r.minor
	for major := range r.major {
		switch major {
		case 10:
			n += 9
		case 13:
			n += 13
		case 12, 14:
			n += 11
		default:
			n += 12
		}
	}
	return n
}
