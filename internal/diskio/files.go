package diskio

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// newFileMode is the mode of a file that replaces none. Not everyone may
	// read what is in an archive.
	newFileMode = 0o600
	// ownerMode is what a part file needs to be continued.
	ownerMode = 0o600
)

// errLocked reports that another process, or goroutine, holds a lock, or that
// this file system has none.
var errLocked = errors.New("locked")

// errForeign reports that a file is not porter's own.
var errForeign = errors.New("file of another program")

// CheckTarget returns the absolute name of a target that can be a file,
// because the working directory may change meanwhile.
func CheckTarget(name string) (string, error) {
	if name == "" {
		return "", errors.New("file name is empty")
	}
	name, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	if _, err := os.Lstat(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if fi, err := os.Stat(name); err == nil && !fi.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", name)
	}
	dir := filepath.Dir(name)
	fi, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	if !fi.IsDir() {
		return "", fmt.Errorf("%s is not a directory", dir)
	}
	return name, nil
}

// checkOrdinary refuses what is there under a name and is no ordinary file.
func checkOrdinary(name string) error {
	fi, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case fi.Mode()&fs.ModeSymlink != 0:
		return linkError(name)
	case !fi.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", name)
	}
	return nil
}

func linkError(name string) error { return fmt.Errorf("%s is a link to another file", name) }

// foreignIfThere returns what it means that a file could not be opened: one
// that is there, but closed to this user, is somebody else's.
func foreignIfThere(err error, name string) error {
	if _, lerr := os.Lstat(name); lerr == nil && errors.Is(err, fs.ErrPermission) {
		return errForeign
	}
	return err
}

// stillThere reports whether the name of an open file is still, and without a
// link, that of the same file.
func stillThere(f *os.File) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(opened, there)
}

// remove closes a file, and removes it if its name is still its own: before it
// is closed, so that nobody finds it unlocked, or after, where an open file
// can't be removed.
func remove(f *os.File) {
	own := stillThere(f)
	removed := own && os.Remove(f.Name()) == nil
	f.Close()
	if own && !removed {
		os.Remove(f.Name())
	}
}

// syncFolder makes the names in a folder last, where the system can.
func syncFolder(dir string) {
	if f, err := os.Open(dir); err == nil {
		f.Sync()
		f.Close()
	}
}
