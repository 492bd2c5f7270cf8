package porter

import (
	"bytes"
	"errors"
	"testing"

	"github.com/seed-5d77b939/porter/portertest"
)

// FuzzVerifyArchive holds VerifyArchive to its word: it always ends, with
// little memory, in one of its two errors or in a verdict that bears out.
func FuzzVerifyArchive(f *testing.F) {
	contents := tarOf(f, exportHeaders()...)
	archive := gzipOf(f, contents)
	f.Add(archive, false)
	f.Add(archive[:len(archive)/2], false)
	f.Add(append(bytes.Clone(archive), archive...), false)
	f.Add([]byte(`{"message":"404 Not Found"}`), false)
	f.Add([]byte{}, false)
	f.Add(contents, true)
	f.Add(contents[:1500], true)
	f.Add(paxSparse(), true)
	f.Add(rawHeader('S', func(b []byte) { b[482] = 1 }), true)

	// pack says that b is the contents of the gzip file and not the file, so
	// that fuzzing reaches the tar file behind the checksum.
	f.Fuzz(func(t *testing.T, b []byte, pack bool) {
		archive := b
		if pack {
			archive = gzipOf(t, b)
		}
		var info *ArchiveInfo
		var err error
		if got := allocated(func() { info, err = VerifyArchive(bytes.NewReader(archive)) }); got > 32<<20 {
			t.Errorf("%d bytes allocated for %d", got, len(archive))
		}
		if err != nil {
			if !errors.Is(err, ErrArchiveDamaged) && !errors.Is(err, ErrNotArchive) {
				t.Errorf("error %v is neither ErrArchiveDamaged nor ErrNotArchive", err)
			}
			if info != nil || len(err.Error()) > 600 {
				t.Errorf("got info %v and an error of %d bytes", info, len(err.Error()))
			}
			return
		}
		unpacked, err := gunzip(archive)
		if err != nil || int64(len(unpacked)) != info.Bytes {
			t.Errorf("verified as %d bytes, but unpacks to %d with error %v", info.Bytes, len(unpacked), err)
		}
		if info.FormatVersion == "" || info.Entries < 2 {
			t.Errorf("got %+v", info)
		}
		if info.FormatVersion == "0.2.4" {
			// GitLab is less strict, except with the tree of old.
			if err := portertest.CheckArchive(bytes.NewReader(archive)); err != nil && err.Error() != "invalid import format" {
				t.Errorf("verified, but GitLab says %v", err)
			}
		}
	})
}
