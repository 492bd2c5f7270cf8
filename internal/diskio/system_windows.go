package diskio

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// openLocked opens or creates a file that nobody else can open until it is
// closed. It reports whether it made the file.
func openLocked(name string) (f *os.File, made bool, err error) {
	path, err := syscall.UTF16PtrFromString(name)
	if err != nil {
		return nil, false, &os.PathError{Op: "open", Path: name, Err: err}
	}
	const sharingViolation = syscall.Errno(32)
	for {
		made = true
		h, err := createFile(path, syscall.CREATE_NEW)
		if errors.Is(err, fs.ErrExist) {
			made = false
			if h, err = createFile(path, syscall.OPEN_EXISTING); errors.Is(err, fs.ErrNotExist) {
				continue // it was removed between the two
			}
		}
		switch err {
		case nil:
			return os.NewFile(uintptr(h), name), made, nil
		case sharingViolation:
			return nil, false, errLocked
		}
		return nil, false, &os.PathError{Op: "open", Path: name, Err: err}
	}
}

func createFile(path *uint16, mode uint32) (syscall.Handle, error) {
	return syscall.CreateFile(path, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil, mode, syscall.FILE_ATTRIBUTE_NORMAL, 0)
}

// rename gives a file another name. Windows refuses that while somebody else has
// a file of that name open, or is just replacing it, which mostly passes soon: so
// it tries again for a second.
func rename(from, to string) error {
	const accessDenied, sharingViolation = syscall.Errno(5), syscall.Errno(32)
	for pause := time.Millisecond; ; pause *= 2 {
		err := os.Rename(from, to)
		if pause > time.Second || !errors.Is(err, accessDenied) && !errors.Is(err, sharingViolation) {
			return err
		}
		time.Sleep(pause)
	}
}

// nameTooLong reports whether err is one of the two that Windows has for that.
// One of them has other reasons too: then the short name fails like the long one.
func nameTooLong(err error) bool {
	const invalidName, tooLong = syscall.Errno(123), syscall.Errno(206)
	return errors.Is(err, invalidName) || errors.Is(err, tooLong)
}

// takeGroup reports that files have no groups here.
func takeGroup(*os.File, os.FileInfo) bool { return true }
