package porter

import (
	"errors"
	"io"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter/internal/diskio"
)

// Verifying a large file takes long, and tells that it goes on.
func TestVerifyingContinuedIsTold(t *testing.T) {
	for _, took := range []time.Duration{29 * time.Second, 100 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			told := 0
			c, err := NewClient("http://gitlab.test", nil, WithObserver(func(ev Event) {
				if ev.Kind == EventPaced && ev.Op == OpDownload {
					told++
				}
			}))
			if err != nil {
				t.Fatal(err)
			}
			part, err := diskio.Open(filepath.Join(t.TempDir(), "app.tar.gz"), 0)
			if err != nil {
				t.Fatal(err)
			}
			defer part.Leave()
			s := &saving{c: c, op: "download", part: part, verify: func(io.Reader) (*ArchiveInfo, error) {
				time.Sleep(took)
				return nil, ErrArchiveDamaged
			}}
			ctx, o := c.begin(t.Context(), OpDownload, "7", "app")
			if _, err := s.verifyContinued(ctx); !errors.Is(err, ErrArchiveDamaged) {
				t.Error(err)
			}
			o.leave(nil)
			if want := int(took / heartbeat); told != want {
				t.Errorf("told %d times in %v, want %d", told, took, want)
			}
		})
	}
}
