package portertest

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestLargeArchives moves an archive much larger than what may be held in
// memory, down and up.
func TestLargeArchives(t *testing.T) {
	const size = 32 << 20
	for name, opts := range map[string][]Option{"sockets": nil, "in memory": {InMemory()}, "proxied": {Downloads(Proxied)}} {
		t.Run(name, func(t *testing.T) {
			s := NewServer(opts...)
			defer s.Close()
			archive := NewArchive(size)
			s.AddProject(Project{Path: "acme/big", ID: 7, Archive: archive})
			s.AddExport("7", "owner")
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)

			req, _ := http.NewRequest("GET", s.URL+"/api/v4/projects/7/export/download", nil)
			req.Header.Set("Private-Token", Token)
			resp, err := s.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
				t.Errorf("downloaded %d bytes, %v", n, err)
			}
			resp.Body.Close()

			body, ct := form(plain("path", "new"), file("x.tar.gz", "MIDDLE"))
			head, tail, _ := strings.Cut(body, "MIDDLE")
			a := do(t, s, request{
				method: "POST", path: "projects/import", header: as(Token, "Content-Type", ct),
				body:   io.MultiReader(strings.NewReader(head), archive.NewReader(), strings.NewReader(tail)),
				length: int64(len(head)) + size + int64(len(tail)),
			})
			if a.status != 201 {
				t.Errorf("got %d %s", a.status, a.body)
			}
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
				t.Errorf("%d MiB were allocated", n>>20)
			}
			s.Advance(time.Hour)
			if p := s.Project("owner/new"); p.ImportStatus != "finished" || p.ArchiveSize != size || p.ArchiveSHA256 != archive.SHA256() {
				t.Errorf("got %+v", p)
			}
		})
	}
}
