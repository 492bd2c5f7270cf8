package porter

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/seed-5d77b939/porter/internal/diskio"
	"github.com/seed-5d77b939/porter/internal/wait"
)

// A folder is one for temporary files, and what to tell of it when it is full or
// cannot be written.
type folder struct {
	dir    string // "" for os.TempDir
	advice string
}

// temporaryFolder is that of os.TempDir.
func temporaryFolder() folder {
	if runtime.GOOS == "windows" {
		return folder{advice: "the environment's TMP names the folder"}
	}
	return folder{advice: "the environment's TMPDIR names the folder"}
}

func (f folder) scratch() *diskio.Scratch { return diskio.NewScratch(f.dir, f.advice) }

// advise adds what to do about it to an error of the folder.
func (f folder) advise(err error) error {
	if err == nil || errors.As(err, new(*wait.EndedError)) {
		return err
	}
	return fmt.Errorf("%w; %s", err, f.advice)
}

// A spoolWriter fills a spool in a folder.
type spoolWriter struct {
	*diskio.Spool
	folder folder
}

func (w spoolWriter) Write(b []byte) (int, error) {
	n, err := w.Spool.Write(b)
	return n, w.folder.advise(err)
}

func (w spoolWriter) WriteAt(b []byte, off int64) (int, error) {
	n, err := w.Spool.WriteAt(b, off)
	return n, w.folder.advise(err)
}
