//go:build darwin || dragonfly || freebsd

package diskio

import (
	"math"
	"math/bits"
	"syscall"
)

// ErrFull is the error of a disk without room.
const ErrFull = syscall.ENOSPC

// statDisk returns how many bytes this user can still write in a folder, if
// its file system tells, and whether that is known to keep them in memory.
func statDisk(dir string) (free int64, memory, known bool) {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil || s.Blocks == 0 || int64(s.Bavail) < 0 {
		return 0, false, false
	}
	high, low := bits.Mul64(uint64(s.Bavail), uint64(s.Bsize))
	if high > 0 || low > math.MaxInt64 {
		low = math.MaxInt64
	}
	return int64(low), false, true
}
