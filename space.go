package porter

import (
	"fmt"
	"path/filepath"
)

// checkSpace returns an error if the disk of a folder has certainly no room
// for need more bytes.
func checkSpace(dir string, need int64) error {
	free, _, ok := freeSpace(dir)
	if !ok || need <= free {
		return nil
	}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return fmt.Errorf("%w: %s has %d bytes free, and %d are needed", errDiskFull, dir, free, need)
}

// inMemory reports whether the files of a folder take up memory.
func inMemory(dir string) bool {
	_, memory, _ := freeSpace(dir)
	return memory
}
