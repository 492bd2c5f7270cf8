package porter

import "testing"

// More is never a loss, and neither is what is not known.
func TestCompareCounts(t *testing.T) {
	t.Parallel()
	exact, atLeast := func(n int64) Count { return Count{n, true} }, func(n int64) Count { return Count{N: n} }
	for _, tt := range []struct {
		want, have Count
		sure       bool
		is         comparison
	}{
		{exact(0), exact(0), true, complete},
		{exact(5), exact(5), true, complete},
		{exact(5), exact(9), true, complete}, // labels of the group, branches of forks
		{exact(5), exact(9), false, complete},
		{exact(5), exact(4), true, short},
		{exact(5), exact(4), false, unclear}, // made since
		{exact(5), exact(0), true, short},
		{atLeast(10001), exact(10000), true, short},
		{atLeast(10001), exact(20000), true, unclear},
		{exact(20000), atLeast(10001), true, unclear},
		{exact(10001), atLeast(10001), true, complete},
		{atLeast(10001), atLeast(10001), true, unclear},
	} {
		if got := compareCounts(tt.want, tt.have, tt.sure); got != tt.is {
			t.Errorf("%v of %v, sure %v: %v, not %v", tt.have, tt.want, tt.sure, got, tt.is)
		}
	}
}
