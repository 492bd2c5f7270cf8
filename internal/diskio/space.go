package diskio

import (
	"fmt"
	"path/filepath"
)

// FreeSpace returns how many bytes this user can still write in a folder, if
// that is known.
func FreeSpace(dir string) (free int64, known bool) {
	free, _, known = statDisk(dir)
	return free, known
}

// InMemory reports whether the files of a folder take up memory.
func InMemory(dir string) bool {
	_, memory, _ := statDisk(dir)
	return memory
}

// CheckSpace returns an error, which is ErrFull, if the disk of a folder has
// certainly no room for need more bytes.
func CheckSpace(dir string, need int64) error {
	free, known := FreeSpace(dir)
	if !known || need <= free {
		return nil
	}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return fmt.Errorf("%w: %s has %d bytes free, and %d are needed", ErrFull, dir, free, need)
}
