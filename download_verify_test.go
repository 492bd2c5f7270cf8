package porter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// verifiedKinds are archives and what verifying says of them.
func verifiedKinds(t *testing.T) map[string]struct {
	archive []byte
	want    error
} {
	sound := archiveBytes(t, portertest.NewArchive(300_000))
	flipped := slices.Clone(sound)
	flipped[200_000] ^= 0x10
	return map[string]struct {
		archive []byte
		want    error
	}{
		"sound":          {sound, nil},
		"flipped":        {flipped, porter.ErrArchiveDamaged},
		"half":           {sound[:150_000], porter.ErrArchiveDamaged},
		"no export":      {gzipped(t, saveRandom(100_000)), porter.ErrNotArchive},
		"another format": {archiveBytes(t, portertest.NewArchive(50_000, portertest.ArchiveFormatVersion("0.2.3"))), porter.ErrUnimportable},
	}
}

// A verifiedWay downloads the archive of team/app, and returns what arrived, nil
// for no file.
type verifiedWay func(*testing.T, *porter.Client, porter.DownloadOptions) (*porter.Download, []byte, error)

// toFile makes a way of a download to a file that replaces an older one.
func toFile(download func(context.Context, *porter.Client, string, porter.DownloadOptions) (*porter.Download, error)) verifiedWay {
	return func(t *testing.T, c *porter.Client, opts porter.DownloadOptions) (*porter.Download, []byte, error) {
		name := saveTarget(t)
		saveWrite(t, name, "older")
		dl, err := download(t.Context(), c, name, opts)
		b, rerr := os.ReadFile(name)
		if left := saveListing(t, name); rerr != nil || len(left) != 1 {
			t.Errorf("left %v, %v", left, rerr)
		}
		if string(b) == "older" {
			return dl, nil, err
		}
		return dl, b, err
	}
}

func verifiedWays() map[string]verifiedWay {
	const id = porter.ProjectID(1001)
	return map[string]verifiedWay{
		"DownloadExport": func(t *testing.T, c *porter.Client, opts porter.DownloadOptions) (*porter.Download, []byte, error) {
			var buf bytes.Buffer
			dl, err := c.DownloadExport(t.Context(), id, &buf, &opts)
			return dl, buf.Bytes(), err
		},
		"ExportTo": func(t *testing.T, c *porter.Client, opts porter.DownloadOptions) (*porter.Download, []byte, error) {
			var buf bytes.Buffer
			dl, err := c.ExportTo(t.Context(), id, &buf, &porter.ExportOptions{DownloadOptions: opts})
			return dl, buf.Bytes(), err
		},
		"DownloadExportFile": toFile(
			func(ctx context.Context, c *porter.Client, name string, opts porter.DownloadOptions) (*porter.Download, error) {
				return c.DownloadExportFile(ctx, id, name, &opts)
			}),
		"ExportToFile": toFile(
			func(ctx context.Context, c *porter.Client, name string, opts porter.DownloadOptions) (*porter.Download, error) {
				return c.ExportToFile(ctx, id, name, &porter.ExportOptions{DownloadOptions: opts})
			}),
	}
}

// Downloads verify what comes, unless that is not wanted. A damaged archive never
// gets the name of a file; one that cannot be imported is what GitLab holds.
func TestDownloadVerifies(t *testing.T) {
	t.Parallel()
	for kind, k := range verifiedKinds(t) {
		for name, download := range verifiedWays() {
			for _, skip := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, skip %v", kind, name, skip), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := newPacedServer(t, 0, 0)
						s.AddProject(portertest.Project{ID: 1001, Path: "team/app", Archive: portertest.BytesArchive(k.archive)})
						s.AddExport("team/app", "owner")
						dl, got, err := download(t, s.client(t), porter.DownloadOptions{SkipVerify: skip})
						checkVerified(t, dl, got, err, name, skip, k.archive, k.want)
					})
				})
			}
		}
	}
}

func checkVerified(t *testing.T, dl *porter.Download, got []byte, err error, way string, skip bool, archive []byte, want error) {
	t.Helper()
	toFile := strings.HasSuffix(way, "File")
	if skip {
		want = nil
	}
	if dl == nil || !errors.Is(err, want) || want == nil && err != nil {
		t.Fatalf("%+v, %v", dl, err)
	}
	if _, again := porter.Retryable(err); again && err != nil {
		t.Errorf("to be tried again: %v", err)
	}
	if (dl.Archive != nil) != (err == nil && !skip) {
		t.Errorf("archive %+v with %v", dl.Archive, err)
	}
	if dl.Project.ID != 1001 || dl.Modified.IsZero() || time.Since(dl.Modified) > time.Hour || dl.Reused {
		t.Errorf("got %+v", dl)
	}
	written := fmt.Sprintf("(%d bytes of it have been written)", len(got))
	if err != nil && !toFile && !strings.HasSuffix(err.Error(), written) {
		t.Errorf("error: %v, not %s", err, written)
	}
	switch unimportable := errors.Is(err, porter.ErrUnimportable); {
	case err == nil || unimportable:
		if !bytes.Equal(got, archive) || dl.Bytes != int64(len(archive)) {
			t.Errorf("%d of %d bytes", dl.Bytes, len(archive))
		}
		if unimportable && toFile && !strings.HasSuffix(err.Error(), "(the file is there all the same)") {
			t.Error(err)
		}
	case toFile && got != nil:
		t.Errorf("the file holds %d bytes", len(got))
	case !bytes.HasPrefix(archive, got):
		t.Error("other bytes")
	}
}

// A damaged archive is not downloaded to its end.
func TestDownloadEndsWithDamage(t *testing.T) {
	t.Parallel()
	archive := archiveBytes(t, portertest.NewArchive(32<<20))
	copy(archive[100_000:], bytes.Repeat([]byte{0xff}, 100_000)) // no compressed data any more
	for name, download := range map[string]verifiedWay{
		"writer": verifiedWays()["DownloadExport"], "file": verifiedWays()["DownloadExportFile"],
	} {
		t.Run(name, func(t *testing.T) {
			s := newPacedServer(t, 0, 0)
			s.AddProject(portertest.Project{ID: 1001, Path: "team/app", Archive: portertest.BytesArchive(archive)})
			s.AddExport("team/app", "owner")
			dl, _, err := download(t, s.client(t), porter.DownloadOptions{})
			if !errors.Is(err, porter.ErrArchiveDamaged) || dl.Bytes > 16<<20 {
				t.Errorf("%+v, %v", dl, err)
			}
		})
	}
}

// The file of a relation has to be sound gzip data, whatever they hold.
func TestDownloadRelationVerifies(t *testing.T) {
	t.Parallel()
	sound := gzipped(t, saveRandom(100_000))
	file := porter.RelationFile{Relation: porter.PortableIssues}
	ways := map[string]verifiedWay{
		"writer": func(t *testing.T, c *porter.Client, opts porter.DownloadOptions) (*porter.Download, []byte, error) {
			var buf bytes.Buffer
			dl, err := c.DownloadRelationExport(t.Context(), porter.ProjectPath("team/app"), file, &buf, &opts)
			return dl, buf.Bytes(), err
		},
		"file": toFile(func(ctx context.Context, c *porter.Client, name string, opts porter.DownloadOptions) (*porter.Download, error) {
			return c.DownloadRelationExportFile(ctx, porter.ProjectPath("team/app"), file, name, &opts)
		}),
	}
	for name, download := range ways {
		for _, damaged := range []bool{false, true} {
			for _, skip := range []bool{false, true} {
				b := slices.Clone(sound)
				if damaged {
					b[90_000] ^= 0x10
				}
				c, _ := dlScripted(t, nil, dlAnswer(http.StatusOK, b, -1))
				dl, got, err := download(t, c, porter.DownloadOptions{SkipVerify: skip})
				if damaged && !skip {
					if !errors.Is(err, porter.ErrArchiveDamaged) || name == "file" && got != nil {
						t.Errorf("%s: %d bytes, %v", name, len(got), err)
					}
					continue
				}
				if err != nil || !bytes.Equal(got, b) || dl.Bytes != int64(len(b)) || dl.Archive != nil || dl.Project.PathWithNamespace != "team/app" {
					t.Errorf("%s: %+v, %v", name, dl, err)
				}
			}
		}
	}
}

// Options that make no sense are refused before any request.
func TestDownloadOptions(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), mocked(t, noRequest(t))
	const id = porter.ProjectID(7)
	mode, odd := porter.DownloadOptions{Mode: 0o640}, porter.DownloadOptions{Mode: os.ModeDir | 0o700}
	skipped := &porter.ExportOptions{Prove: true, DownloadOptions: porter.DownloadOptions{SkipVerify: true}}
	relation := porter.RelationFile{Relation: porter.PortableIssues}
	for name, tt := range map[string]struct {
		call func() error
		want string
	}{
		"DownloadExport": {func() error { _, err := c.DownloadExport(ctx, id, new(bytes.Buffer), &mode); return err },
			"download export of 7: mode is for a file"},
		"DownloadRelationExport": {func() error {
			_, err := c.DownloadRelationExport(ctx, id, relation, new(bytes.Buffer), &mode)
			return err
		},
			"download export of relation issues of 7: mode is for a file"},
		"ExportTo": {func() error {
			_, err := c.ExportTo(ctx, id, new(bytes.Buffer), &porter.ExportOptions{DownloadOptions: mode})
			return err
		}, "export of 7: mode is for a file"},
		"Migrate": {func() error {
			_, err := porter.Migrate(ctx, c, id, c, porter.MigrateOptions{Export: &porter.ExportOptions{DownloadOptions: mode}})
			return err
		}, "migrate 7: mode is for a file"},
		"DownloadExportFile": {func() error { _, err := c.DownloadExportFile(ctx, id, saveTarget(t), &odd); return err },
			"download export of 7: mode drwx------ holds more than permissions"},
		"DownloadRelationExportFile": {func() error {
			_, err := c.DownloadRelationExportFile(ctx, id, relation, saveTarget(t), &odd)
			return err
		},
			"download export of relation issues of 7: mode drwx------ holds more than permissions"},
		"ExportToFile": {func() error { _, err := c.ExportToFile(ctx, id, saveTarget(t), skipped); return err },
			"export of 7: prove needs the archive verified, and skip verify does without"},
		"Migrate that proves": {func() error {
			_, err := porter.Migrate(ctx, c, id, c, porter.MigrateOptions{Export: skipped})
			return err
		}, "migrate 7: prove needs the archive verified, and skip verify does without"},
	} {
		if err := tt.call(); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
}

// Migrate verifies unless either of its options says not to.
func TestMigrateSkipsVerification(t *testing.T) {
	t.Parallel()
	damaged := verifiedKinds(t)["half"].archive
	for _, opts := range []porter.MigrateOptions{
		{SkipVerify: true}, {Export: &porter.ExportOptions{DownloadOptions: porter.DownloadOptions{SkipVerify: true}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, c := exportingServer(t)
			s.AddGroup("new")
			s.ScriptExport("team/app", portertest.ExportScript{Archive: portertest.BytesArchive(damaged)})
			opts.Import, opts.SpoolDir = intoNew, t.TempDir()
			m, err := porter.Migrate(t.Context(), c, exportProject, c, opts)
			if errors.Is(err, porter.ErrArchiveDamaged) || m == nil || m.Archive != nil || m.Bytes != int64(len(damaged)) {
				t.Errorf("%+v, %v", m, err)
			}
		})
	}
}
