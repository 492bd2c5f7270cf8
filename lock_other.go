//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package porter

import "os"

// openLocked reports that there are no locks here: every download then writes
// a part file of its own, and none is continued by another process.
func openLocked(string) (*os.File, error) { return nil, errLocked }
