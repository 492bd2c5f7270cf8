// Package demo gives the examples something to work with when they are not
// told of a GitLab.
package demo

import (
	"os"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// ArchiveSize is that of the generated archive, in bytes.
var ArchiveSize int64 = 192 << 20

// Archive returns the archive in the named file, or without a name a generated
// one. Close it.
func Archive(name string) (*portertest.Archive, error) {
	if name == "" {
		return portertest.NewArchive(ArchiveSize), nil
	}
	if _, err := os.Stat(name); err != nil {
		return nil, err
	}
	return portertest.FileArchive(name)
}

// Poll is the time between polls that suits the pace of Server.
const Poll = 150 * time.Millisecond

// Version returns the GitLab that can import an archive: today's, or an older
// one for an archive from the time before archives said which GitLab made them.
// Their format is not imported any more from GitLab 15.11 on.
func Version(archive *portertest.Archive) string {
	info, err := porter.VerifyArchive(archive.NewReader())
	if err == nil && info.GitLabVersion == "" {
		return "13.12"
	}
	return "18.9"
}

// Server starts a simulated GitLab whose jobs take about as long as it takes to
// read what is going on.
func Server(opts ...portertest.Option) *portertest.Server {
	timing := portertest.Timing(portertest.Timings{
		Queue:       300 * time.Millisecond,
		Start:       300 * time.Millisecond,
		Assemble:    600 * time.Millisecond,
		Store:       300 * time.Millisecond,
		AfterExport: 300 * time.Millisecond,
		ImportQueue: 500 * time.Millisecond,
		Import:      700 * time.Millisecond,
	})
	return portertest.NewServer(append(opts, timing)...)
}
