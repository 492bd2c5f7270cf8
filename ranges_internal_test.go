package porter

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter/internal/diskio"
	"github.com/seed-5d77b939/porter/portertest"
)

// A fullDisk takes no bytes from a place on.
type fullDisk struct {
	from int64

	mu      sync.Mutex
	there   diskio.Extents
	refused int
}

var errFullDisk = errors.New("no space left on device")

func (f *fullDisk) WriteAt(b []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if off+int64(len(b)) > f.from {
		f.refused++
		return 0, errFullDisk
	}
	f.there.Add(diskio.Extent{From: off, To: off + int64(len(b))})
	return len(b), nil
}

// A disk that gets full ends the download with the disk's own error, once it is
// full for the download itself, and all before is there.
func TestRangesToFullDisk(t *testing.T) {
	t.Parallel()
	const from = 600_000
	content := portertest.NewArchive(1 << 20)
	synctest.Test(t, func(t *testing.T) {
		s := portertest.NewServer(portertest.InMemory(), portertest.Downloads(portertest.Redirected), portertest.PerConnection(256<<10))
		defer s.Close()
		id := s.AddProject(portertest.Project{Path: "team/app", Archive: content})
		s.AddExport("team/app", "owner")
		c, err := NewClient(s.URL, PrivateToken(portertest.Token), WithTransport(s.Transport()), WithChunks(32<<10, 128<<10))
		if err != nil {
			t.Fatal(err)
		}
		r, err := archive{c: c, id: ProjectID(id).String(), label: "team/app"}.reader(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		disk := &fullDisk{from: from}
		f := fetch{d: r.d, op: "spool", file: disk, conns: 4}
		n, _, err := f.run(t.Context(), nil)
		if !errors.Is(err, errFullDisk) || !strings.HasPrefix(err.Error(), "spool: ") {
			t.Errorf("got %v", err)
		}
		if n != disk.there.Len() || disk.there.Front() < from-128<<10 || disk.refused < 2 {
			t.Errorf("told of %d bytes; there are %v, %d were refused", n, disk.there, disk.refused)
		}
	})
}

// A verification that is slower than the store does not keep it waiting.
func TestVerificationFollows(t *testing.T) {
	t.Parallel()
	content := portertest.NewArchive(4 << 20)
	synctest.Test(t, func(t *testing.T) {
		s := portertest.NewServer(portertest.InMemory())
		defer s.Close()
		id := s.AddProject(portertest.Project{Path: "team/app", Archive: content})
		s.AddExport("team/app", "owner")
		begun := time.Now()
		var downloaded time.Duration
		c, err := NewClient(s.URL, PrivateToken(portertest.Token), WithTransport(s.Transport()), WithObserver(func(ev Event) {
			if ev.Kind == EventProgress && ev.Bytes == content.Size() {
				downloaded = time.Since(begun)
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		hash := sha256.New()
		saving := saving{c: c, op: "download", open: archive{c: c, id: ProjectID(id).String(), label: "team/app"}.open, conns: 1,
			verify: func(r io.Reader) (*ArchiveInfo, error) {
				b := make([]byte, 32<<10)
				for {
					n, err := r.Read(b)
					hash.Write(b[:n])
					if err == io.EOF {
						return &ArchiveInfo{}, nil
					} else if err != nil {
						return nil, err
					}
					time.Sleep(time.Second)
				}
			}}
		if _, err := saving.to(t.Context(), filepath.Join(t.TempDir(), "app.tar.gz")); err != nil {
			t.Fatal(err)
		}
		if hex.EncodeToString(hash.Sum(nil)) != content.SHA256() {
			t.Error("other bytes were verified")
		}
		if took := time.Since(begun); downloaded == 0 || downloaded > took/4 {
			t.Errorf("downloaded after %s of %s", downloaded, took)
		}
	})
}

// What is missing is handed out from the front on, less of it towards the end,
// and what is given back comes first.
func TestChunks(t *testing.T) {
	t.Parallel()
	c := newChunks(chunking{min: 10, max: 100}, diskio.Extents{{From: 0, To: 50}, {From: 60, To: 70}}, 50, 1000)
	type extent = diskio.Extent
	first, _ := c.take(4)
	second, _ := c.take(4)
	if want := (extent{From: 50, To: 60}); first != want {
		t.Errorf("took %v, not %v", first, want)
	}
	if want := (extent{From: 70, To: 170}); second != want {
		t.Errorf("took %v, not %v", second, want)
	}
	c.done(extent{From: 100, To: 170})
	if again, _ := c.take(1); again != (extent{From: 100, To: 1000}) {
		t.Errorf("took %v of what was given back", again)
	}
	e, others := c.take(4)
	if e.Len() > 0 || others == nil {
		t.Errorf("took %v of what others have", e)
	}
	c.done(extent{})
	select {
	case <-others:
	case <-time.After(time.Minute):
		t.Error("nobody was told that one was done")
	}
	c.done(extent{})
	if e, others := c.take(4); e.Len() > 0 || others != nil {
		t.Errorf("took %v of nothing", e)
	}
}
