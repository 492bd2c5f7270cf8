//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package porter

import (
	"os"
	"syscall"
)

// openLocked opens or creates a file and locks it until it is closed.
func openLocked(name string) (*os.File, error) {
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			return nil, err
		}
		switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err {
		case nil:
		case syscall.EINTR:
			f.Close()
			continue
		case syscall.EWOULDBLOCK:
			f.Close()
			return nil, errLocked
		default: // this file system has no locks, so nobody uses the file
			f.Close()
			os.Remove(name)
			return nil, errLocked
		}
		// The last holder may have removed it between the open and the lock.
		held, err1 := f.Stat()
		there, err2 := os.Stat(name)
		if err1 == nil && err2 == nil && os.SameFile(held, there) {
			return f, nil
		}
		f.Close()
		if err1 != nil {
			return nil, err1
		}
	}
}
