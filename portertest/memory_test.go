package portertest

import (
	"fmt"
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

// What a request takes does not grow with the number of projects, and nothing
// is kept of minutes that are over.
func TestManyProjects(t *testing.T) {
	inMemory(t, []Option{NoLimits(), KeepRequests(10)}, func(t *testing.T, s *Server) {
		c := &call{m: &s.model}
		u := s.users["owner"]
		allocs := func() float64 {
			return testing.AllocsPerRun(100, func() {
				c.locked(func() *reply {
					if s.refuseProject(u, s.namespaces["team0"], "new", "new") != "" || s.namespaceByID[s.namespaces["team0"].id] == nil {
						t.Error("a new project is refused")
					}
					s.exportState(s.projectAt("team0/app"), u)
					return nil
				})
			})
		}
		var few float64
		for i := range 3000 {
			s.AddProject(Project{Path: fmt.Sprintf("team%d/app", i)})
			if i == 10 {
				few = allocs()
			}
		}
		if many := allocs(); many > few {
			t.Errorf("%v allocations, and %v with a few projects", many, few)
		}
	})
	inMemory(t, nil, func(t *testing.T, s *Server) {
		for i := range 3000 {
			s.AddProject(Project{Path: fmt.Sprintf("team%d/app", i)})
		}
		for i := range 3000 {
			s.Advance(time.Second)
			s.lock()
			s.downloadLimited(s.users["owner"], s.projectAt(fmt.Sprintf("team%d/app", i)))
			s.unlock()
		}
		if n := len(s.windows); n > 700 {
			t.Errorf("%d windows are kept", n)
		}
	})
}
