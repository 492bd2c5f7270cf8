//go:build !(darwin || dragonfly || freebsd || linux)

package porter

import "errors"

var errDiskFull = errors.New("no space left on device")

// freeSpace reports that nothing is known here.
func freeSpace(string) (free int64, memory, known bool) { return 0, false, false }
