package diskio

import (
	"math"
	"syscall"
	"unsafe"
)

// ErrFull is the error of a disk without room.
const ErrFull = syscall.Errno(112) // ERROR_DISK_FULL

var getDiskFreeSpaceEx = syscall.NewLazyDLL("kernel32.dll").NewProc("GetDiskFreeSpaceExW")

// statDisk returns how many bytes this user can still write in a folder.
// Nothing tells here whether it is memory.
func statDisk(dir string) (free int64, memory, known bool) {
	path, err := syscall.UTF16PtrFromString(dir)
	if err != nil {
		return 0, false, false
	}
	var n uint64
	if ok, _, _ := getDiskFreeSpaceEx.Call(uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&n)), 0, 0); ok == 0 {
		return 0, false, false
	}
	return int64(min(n, math.MaxInt64)), false, true
}
