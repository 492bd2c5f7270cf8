package portertest

import (
	"strings"
	"testing"
	"time"
)

// An archive carries whether its project was archived, and its import makes an
// archived project, whatever the overrides say: they have no such field.
func TestArchivedIsCarried(t *testing.T) {
	for _, version := range []string{"12.10", "18.9"} {
		for _, tt := range []struct {
			name  string
			p     Project
			field [2]string
			want  bool
		}{
			{"not archived", Project{}, [2]string{}, false},
			{"archived", Project{Archived: true}, [2]string{}, true},
			{"to be deleted", Project{DeletionOn: "2026-05-01"}, [2]string{}, true},
			{"archived, with items", Project{Archived: true, Items: Items{"issues": MakeItems(2)}}, [2]string{}, true},
			{"not archived, with items", Project{Items: Items{"issues": MakeItems(2)}}, [2]string{}, false},
			{"its archive says otherwise", Project{Archived: true, Archive: NewArchive(30<<10, ArchiveRelease(version))}, [2]string{}, false},
			{"only its archive says so", Project{Archive: NewArchive(30<<10, ArchiveRelease(version), ArchiveArchived(true))}, [2]string{}, true},
			{"overridden", Project{Archived: true}, [2]string{"override_params[archived]", "false"}, true},
			{"wanted", Project{}, [2]string{"override_params[archived]", "true"}, false},
		} {
			inMemory(t, []Option{Version(version)}, func(t *testing.T, s *Server) {
				tt.p.Path = "acme/app"
				s.AddProject(tt.p)
				s.AddExport("acme/app", "owner")
				archive := get(t, s, "projects/acme%2Fapp/export/download").body
				form := []part{plain("path", "new"), file("x.gz", archive)}
				if tt.field[0] != "" {
					form = append(form, plain(tt.field[0], tt.field[1]))
				}
				importAs(t, s, Token, form...)
				time.Sleep(time.Minute)
				answer := get(t, s, "projects/owner%2Fnew").body
				if got := strings.Contains(answer, `"archived":true`); got != tt.want || s.Project("owner/new").ImportStatus != "finished" {
					t.Errorf("%s, %s: archived is %t, want %t: %s", version, tt.name, got, tt.want, answer)
				}
			})
		}
	}
}
