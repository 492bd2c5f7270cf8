package porter

import (
	"archive/tar"
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzEditArchive holds EditArchive to its word: of what is no sound archive
// comes an error, an edit that changes nothing leaves entries and contents as they
// are, and one that drops something leaves all others.
func FuzzEditArchive(f *testing.F) {
	contents := tarOf(f, append(exportHeaders(), fileNamed(issuesFile, "{\"iid\":1}\n{}"),
		fileNamed("tree/project/project_members.ndjson", `{"user":{"id":1}}`))...)
	archive := gzipOf(f, contents)
	f.Add(archive, false)
	f.Add(archive[:len(archive)/2], false)
	f.Add(append(bytes.Clone(archive), archive...), false)
	f.Add([]byte{}, false)
	f.Add(contents, true)
	f.Add(contents[:3000], true)
	f.Add(paxSparse(), true)
	f.Add(tarOf(f, tar.Header{Name: "uploads/" + strings.Repeat("n", 300), Linkname: "x", Format: tar.FormatGNU},
		tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "c"}}), true)
	for _, kind := range "SVDM7Z" {
		f.Add(append(rawHeader(byte(kind), func([]byte) {}), contents...), true)
	}

	// pack says that b is the contents of the gzip file and not the file.
	f.Fuzz(func(t *testing.T, b []byte, pack bool) {
		archive := b
		if pack {
			archive = gzipOf(t, b)
		}
		info, refused := VerifyArchive(bytes.NewReader(archive))
		edits := sameEdits()
		if info != nil && info.Tree == TreeJSON {
			edits = edits[:1]
		}
		same, err := editedBytes(archive, edits)
		if refused != nil {
			if err == nil {
				t.Errorf("verified with %v, but edited", refused)
			} else if !errors.Is(err, ErrArchiveDamaged) && !errors.Is(err, ErrNotArchive) && !errors.Is(err, ErrUnimportable) &&
				len(archive) > 0 && !strings.Contains(err.Error(), "archive/tar: cannot encode header") {
				t.Errorf("error %v is none of the three", err)
			}
			return
		}
		if err != nil {
			if !strings.Contains(err.Error(), "archive/tar: cannot encode header") {
				t.Errorf("an edit that changes nothing: %v", err)
			}
			return
		}
		before := entriesOf(t, archive)
		if diff := cmp.Diff(before, entriesOf(t, same)); diff != "" {
			t.Errorf("entries differ (-before +after):\n%s", diff)
		}
		less, err := editedBytes(archive, []Edit{Drop(PartRepository)})
		if err != nil {
			t.Errorf("without a repository: %v", err)
			return
		}
		names := slices.DeleteFunc(namesIn(t, archive), func(name string) bool { return strings.HasSuffix(name, "project.bundle") })
		got := slices.DeleteFunc(namesIn(t, less), func(name string) bool { return strings.HasSuffix(name, "project.bundle") })
		if diff := cmp.Diff(names, got); diff != "" {
			t.Errorf("names differ (-before +after):\n%s", diff)
		}
	})
}

// editedBytes does what EditArchive does in goroutines, which keep fuzzing from
// knowing what an input has reached.
func editedBytes(archive []byte, edits []Edit) ([]byte, error) {
	var b bytes.Buffer
	if err := edit(bytes.NewReader(archive), &b, edits, temporaryFolder()); err != nil {
		return nil, err
	}
	_, err := VerifyArchive(bytes.NewReader(b.Bytes()))
	return b.Bytes(), err
}
