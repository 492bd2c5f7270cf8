package porter

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/seed-5d77b939/porter/portertest"
)

// cloned returns the files that git finds in a bundle.
func cloned(t *testing.T, bundle []byte) []string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "project.bundle")
	if err := os.WriteFile(name, bundle, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "git", "-c", "init.defaultBranch=main", "clone", "-q", name, filepath.Join(dir, "clone"))
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v: %s", err, out)
	}
	found, err := filepath.Glob(filepath.Join(dir, "clone", "[^.]*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestExtractArchive(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(1 << 20)
	for _, part := range []ArchivePart{PartRepository, PartWiki} {
		var b bytes.Buffer
		if err := ExtractArchive(archive.NewReader(), part, &b); err != nil {
			t.Fatal(err)
		}
		if files := cloned(t, b.Bytes()); len(files) != 1 || filepath.Base(files[0]) != "README.md" {
			t.Errorf("%s holds %q", part, files)
		}
	}
}

func TestExtractArchiveReal(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("PORTER_ARCHIVES")
	if dir == "" {
		t.Skip("PORTER_ARCHIVES does not name a folder of real archives")
	}
	for _, name := range []string{"legacy_json_project_export.tar.gz", "ndjson_project_export.tar.gz"} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var b bytes.Buffer
		if err := ExtractArchive(f, PartRepository, &b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if files := cloned(t, b.Bytes()); len(files) == 0 {
			t.Errorf("%s: nothing in its repository", name)
		}
	}
}

func TestExtractArchiveErrors(t *testing.T) {
	t.Parallel()
	sound := archiveOf(t, exportHeaders()...)
	with := func(bundle string) []byte {
		return archiveOf(t, append(exportHeaders(), fileNamed("project.wiki.bundle", bundle))...)
	}
	for _, tt := range []struct {
		name    string
		archive []byte
		part    ArchivePart
		want    error
		text    string
	}{
		{"sound", sound, PartRepository, nil, ""},
		{"no such bundle", sound, PartWiki, fs.ErrNotExist, "extract wiki from archive: project.wiki.bundle"},
		{"many files", sound, PartUploads, nil, "it is no single file"},
		{"no part", sound, "", nil, "it is no single file"},
		{"no bundle", with("<html>"), PartWiki, ErrUnimportable, "project.wiki.bundle: is no git bundle"},
		{"cut bundle", with(bundleOf("")[:80]), PartWiki, ErrUnimportable, "project.wiki.bundle"},
		{"bundle twice", archiveOf(t, append(exportHeaders(), exportHeaders()...)...), PartRepository, ErrUnimportable, "in the archive twice"},
		{"cut after it", sound[:len(sound)-1], PartRepository, ErrArchiveDamaged, "cut short"},
		{"no archive", []byte("<html>"), PartRepository, ErrNotArchive, "not gzip"},
	} {
		err := ExtractArchive(bytes.NewReader(tt.archive), tt.part, io.Discard)
		if !isError(err, tt.want, tt.text) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	full := errors.New("disk full")
	if err := ExtractArchive(bytes.NewReader(sound), PartRepository, failingWriter{full}); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	broken := errors.New("broken")
	if err := ExtractArchive(iotest.ErrReader(broken), PartRepository, io.Discard); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if ExtractArchive(nil, PartRepository, io.Discard) == nil || ExtractArchive(bytes.NewReader(sound), PartRepository, nil) == nil {
		t.Error("nil: no error")
	}
	for n := range len(sound) { // at any byte
		if err := ExtractArchive(bytes.NewReader(sound[:n]), PartRepository, io.Discard); err == nil {
			t.Errorf("cut at byte %d: no error", n)
		}
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }
