//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package diskio

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// openLocked opens or creates a file and locks it until it is closed. It
// reports whether it made the file.
func openLocked(name string) (*os.File, bool, error) {
	for {
		f, made, err := openOrCreate(name)
		if err != nil {
			return nil, false, err
		}
		if err := lock(f); err != nil {
			f.Close()
			if made && err != syscall.EWOULDBLOCK { // this file system has no locks, so nobody uses the file
				os.Remove(name)
			}
			return nil, false, errLocked
		}
		// The last holder may have removed it between the open and the lock.
		held, err := f.Stat()
		there, terr := os.Stat(name)
		if err == nil && terr == nil && os.SameFile(held, there) {
			return f, made, nil
		}
		f.Close()
		if err != nil {
			return nil, false, err
		}
	}
}

// openOrCreate opens a file, or creates it, and reports which.
func openOrCreate(name string) (f *os.File, made bool, err error) {
	for {
		f, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, newFileMode)
		if !errors.Is(err, fs.ErrExist) {
			return f, err == nil, err
		}
		f, err = os.OpenFile(name, os.O_RDWR, 0)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, false, err
		}
		if err := checkOrdinary(name); err != nil { // a link to nowhere
			return nil, false, err
		}
	}
}

// lock locks a file until it is closed, and does not wait for others.
func lock(f *os.File) error {
	for {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != syscall.EINTR {
			return err
		}
	}
}

func rename(from, to string) error { return os.Rename(from, to) }

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
