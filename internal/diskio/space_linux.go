package diskio

import (
	"math"
	"math/bits"
	"os"
	"syscall"
)

// ErrFull is the error of a disk without room.
const ErrFull = syscall.ENOSPC

// statDisk returns how many bytes this user can still write in a folder, if
// its file system tells, and whether that keeps them in memory.
func statDisk(dir string) (free int64, memory, known bool) {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return 0, false, false
	}
	const tmpfs, ramfs = 0x01021994, 0x858458f6
	memory = uint32(s.Type) == tmpfs || uint32(s.Type) == ramfs
	if s.Blocks == 0 { // it does not count them
		return 0, memory, false
	}
	blocks, size := s.Bavail, uint64(s.Bsize)
	if os.Geteuid() == 0 {
		blocks = s.Bfree
	}
	if s.Frsize > 0 {
		size = uint64(s.Frsize)
	}
	high, low := bits.Mul64(blocks, size)
	if high > 0 || low > math.MaxInt64 {
		low = math.MaxInt64
	}
	return int64(low), memory, true
}
