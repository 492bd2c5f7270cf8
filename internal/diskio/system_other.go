//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package diskio

import (
	"errors"
	"os"
	"syscall"
)

// openLocked reports that there are no locks here: every download then writes
// a part file of its own, and none is continued by another process.
func openLocked(string) (*os.File, bool, error) { return nil, false, errLocked }

func rename(from, to string) error { return os.Rename(from, to) }

func nameTooLong(err error) bool { return errors.Is(err, syscall.ENAMETOOLONG) }

// takeGroup reports that files have no groups here.
func takeGroup(*os.File, os.FileInfo) bool { return true }
