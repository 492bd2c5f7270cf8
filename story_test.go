package porter_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

func TestStory(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"13.12", "18.9"} {
		for name, mode := range dlModes {
			t.Run(version+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					archive := portertest.NewArchive(3 << 20)
					src := portertest.NewServer(portertest.InMemory(), portertest.Version(version), portertest.Downloads(mode),
						portertest.NoLimits())
					defer src.Close()
					dst := portertest.NewServer(portertest.InMemory(), portertest.Version(version), portertest.NoLimits())
					defer dst.Close()
					src.AddProject(portertest.Project{Path: "team/app", Archive: archive})
					dst.AddGroup("new")
					from, to := connect(t, src, porter.WithoutPacing()), connect(t, dst)
					var buf bytes.Buffer
					if _, err := from.ExportTo(t.Context(), porter.ProjectPath("team/app"), &buf, nil); err != nil {
						t.Fatal(err)
					}
					if got := sum(buf.Bytes()); got != archive.SHA256() {
						t.Errorf("ExportTo wrote other bytes: %s", got)
					}
					file := filepath.Join(t.TempDir(), "app.tar.gz")
					if _, err := from.ExportToFile(t.Context(), porter.ProjectPath("team/app"), file, nil); err != nil {
						t.Fatal(err)
					}
					b, _ := os.ReadFile(file)
					if got := sum(b); got != archive.SHA256() {
						t.Errorf("ExportToFile wrote other bytes: %s", got)
					}
					m, err := porter.Migrate(t.Context(), from, porter.ProjectPath("team/app"), to, porter.MigrateOptions{
						Import: porter.ImportOptions{Namespace: porter.NamespacePath("new")},
					})
					if err != nil {
						t.Fatal(err)
					}
					t.Logf("%+v", m)
					st := dst.Project("new/app")
					if st == nil || st.ArchiveSHA256 != archive.SHA256() {
						t.Errorf("imported %+v", st)
					}
				})
			})
		}
	}
}
