package porter_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

const (
	memorySize  = 128 << 20
	memoryLimit = 3 << 19 // of everything that is allocated meanwhile, the server's included
	verifyLimit = 3 << 20 // of what verifying takes in addition
)

// memoryReader holds memorySize bytes that begin as a gzip does.
type memoryReader struct{ off int64 }

func (r *memoryReader) Read(b []byte) (int, error) {
	if r.off == memorySize {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), memorySize-r.off))
	if r.off < 2 {
		n = copy(b[:n], "\x1f\x8b"[r.off:])
	}
	r.off += int64(n)
	return n, nil
}

func (r *memoryReader) Close() error { return nil }

// An archive passes through in pieces, however large it is.
func TestMemory(t *testing.T) {
	var arrived int64
	archive := portertest.NewArchive(memorySize)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 64<<10)
		if r.Method == http.MethodPost {
			arrived, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, buf)
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"id":8,"import_status":"scheduled","path_with_namespace":"owner/copy"}`)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(memorySize))
		if strings.Contains(r.URL.Path, "/projects/9/") {
			io.CopyBuffer(struct{ io.Writer }{w}, archive.NewReader(), buf)
			return
		}
		io.CopyBuffer(struct{ io.Writer }{w}, &memoryReader{}, buf)
	}))
	defer s.Close()
	c := newClient(t, s.URL, porter.PrivateToken("secret"), porter.WithoutPacing())
	upload := func(src porter.Source) func() (int64, error) {
		return func() (int64, error) {
			arrived = 0
			_, err := c.StartImport(t.Context(), src, porter.ImportOptions{Path: "copy"})
			return arrived, err
		}
	}
	generated := func(size int64) porter.Source {
		return porter.Source{Size: size, Open: func(context.Context) (io.ReadCloser, error) { return &memoryReader{}, nil }}
	}
	for _, tt := range []struct {
		name  string
		limit uint64
		run   func() (int64, error)
	}{
		{"download", memoryLimit, func() (int64, error) {
			return bytesOf(c.DownloadExport(t.Context(), porter.ProjectID(7), io.Discard, unverified))
		}},
		{"download to a file", memoryLimit, func() (int64, error) {
			return bytesOf(c.DownloadExportFile(t.Context(), porter.ProjectID(7), filepath.Join(t.TempDir(), "app.tar.gz"), unverified))
		}},
		{"verified download", memoryLimit + verifyLimit, func() (int64, error) {
			return bytesOf(c.DownloadExport(t.Context(), porter.ProjectID(9), io.Discard, nil))
		}},
		{"verified download to a file", memoryLimit + verifyLimit, func() (int64, error) {
			return bytesOf(c.DownloadExportFile(t.Context(), porter.ProjectID(9), filepath.Join(t.TempDir(), "app.tar.gz"), nil))
		}},
		{"upload", memoryLimit, upload(generated(memorySize))},
		{"upload of unknown size", memoryLimit, upload(generated(-1))},
		{"upload from a URL", memoryLimit, upload(porter.URLSource(s.URL+"/app.tar.gz", nil))},
		{"upload of an export", memoryLimit, upload(c.ExportSource(porter.ProjectID(7)))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			n, err := tt.run()
			runtime.ReadMemStats(&after)
			if err != nil || n < memorySize {
				t.Fatalf("%d bytes: %v", n, err)
			}
			allocated := after.TotalAlloc - before.TotalAlloc
			t.Logf("allocated %d KiB for %d MiB", allocated>>10, n>>20)
			if allocated > tt.limit {
				t.Errorf("allocated %d bytes", allocated)
			}
		})
	}
}
