//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package porter

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// openLocked opens or creates a file and locks it until it is closed. It
// reports whether it made the file.
func openLocked(name string) (f *os.File, made bool, err error) {
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, newFileMode)
		made := err == nil
		if errors.Is(err, fs.ErrExist) {
			f, err = os.OpenFile(name, os.O_RDWR, 0)
			if errors.Is(err, fs.ErrNotExist) {
				if err := checkOrdinary(name); err != nil { // a link to nowhere
					return nil, false, err
				}
				continue
			}
		}
		if err != nil {
			return nil, false, err
		}
		switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err {
		case nil:
		case syscall.EINTR:
			f.Close()
			continue
		case syscall.EWOULDBLOCK:
			f.Close()
			return nil, false, errLocked
		default: // this file system has no locks, so nobody uses the file
			f.Close()
			if made {
				os.Remove(name)
			}
			return nil, false, errLocked
		}
		// The last holder may have removed it between the open and the lock.
		held, err1 := f.Stat()
		there, err2 := os.Stat(name)
		if err1 == nil && err2 == nil && os.SameFile(held, there) {
			return f, made, nil
		}
		f.Close()
		if err1 != nil {
			return nil, false, err1
		}
	}
}

func nameTooLong(err error) bool { return errors.Is(err, syscall.ENAMETOOLONG) }

// takeGroup gives a file the group of another, and reports whether it has it.
func takeGroup(f *os.File, other os.FileInfo) bool {
	fi, err := f.Stat()
	if err != nil {
		return false
	}
	is, ok1 := fi.Sys().(*syscall.Stat_t)
	want, ok2 := other.Sys().(*syscall.Stat_t)
	return ok1 && ok2 && (is.Gid == want.Gid || f.Chown(-1, int(want.Gid)) == nil)
}
