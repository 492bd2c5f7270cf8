package porter

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// inspect inspects an archive, and compares the outcome with that of verifying it.
func inspect(t *testing.T, archive []byte) *Inspection {
	t.Helper()
	i, err := InspectArchive(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	info, verr := VerifyArchive(bytes.NewReader(archive))
	var fatal []ArchiveProblem
	for _, p := range i.Problems {
		if p.Fatal {
			fatal = append(fatal, p)
		} else if len(fatal) == 0 && verr != nil {
			t.Errorf("%v comes before what is fatal", p)
		}
	}
	switch {
	case (verr == nil) != (len(fatal) == 0):
		t.Errorf("VerifyArchive says %v, and fatal is %v", verr, fatal)
	case verr != nil && !strings.HasSuffix(verr.Error(), fatal[0].String()):
		t.Errorf("VerifyArchive says %v, and first is %v", verr, fatal[0])
	case verr == nil:
		if diff := cmp.Diff(*info, i.ArchiveInfo); diff != "" {
			t.Errorf("the info differs (-verified +inspected):\n%s", diff)
		}
	}
	return i
}

// TestInspectArchiveKinds holds what InspectArchive says of odd archives against
// what VerifyArchive does.
func TestInspectArchiveKinds(t *testing.T) {
	t.Parallel()
	for name, kinds := range archiveKinds(t) {
		for _, kind := range kinds {
			t.Run(name+"/"+kind.name, func(t *testing.T) {
				i := inspect(t, kind.archive)
				if kind.refused == "" && kind.odd == "" && name != "LFS" {
					for _, p := range i.Problems {
						t.Errorf("problem: %v", p)
					}
				}
				if kind.odd != "" && !strings.Contains(fmt.Sprint(i.Problems), strings.Split(kind.odd, ":")[0]) {
					t.Errorf("problems are %v, but odd is %v", i.Problems, kind.odd)
				}
			})
		}
	}
}

// TestInspectArchiveReal inspects the archives of a folder, if there is one.
func TestInspectArchiveReal(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("PORTER_ARCHIVES")
	if dir == "" {
		t.Skip("PORTER_ARCHIVES does not name a folder of real archives")
	}
	var names []string
	for _, pattern := range []string{"*.gz", "odd/*.gz"} {
		found, _ := filepath.Glob(filepath.Join(dir, pattern))
		names = append(names, found...)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			i := inspect(t, b)
			for _, c := range i.Contents {
				if c.Items != i.Relations[c.Relation] || c.LongestItem > c.Bytes || c.HighestIID < 0 {
					t.Errorf("%+v, and the info says %d", c, i.Relations[c.Relation])
				}
			}
			if i.Tree == TreeNDJSON && i.Members > 0 && len(i.People) == 0 {
				t.Error("members, but no people")
			}
			t.Logf("%+v", i)
		})
	}
}

// crowd are the entries of an archive with members and references to them.
func crowd(more ...tar.Header) []tar.Header {
	return append(append(exportHeaders(),
		fileNamed("./tree/project/issues.ndjson", `{"iid":7,"title":"a","author_id":1,"notes":`+
			`[{"author_id":2,"note":"\"author_id\":9"},{"author_id":1}]}
{"iid":3,"assignee_id":null,"updated_by_id":-4,"closed_by_id":5e1,"author_id":88,"milestone":{"iid":99},"label_id":6}
null
`),
		fileNamed("./tree/project/merge_requests.ndjson",
			`{"merge_user_id":2,"author_id":77,"iid":12,"user_id":[1],"author":{"id":1},"owner_id":2}`),
		fileNamed("./tree/project/project_members.ndjson", strings.Join([]string{
			`{"access_level":50,"user_id":1,"user":{"id":1,"username":"ada","public_email":"ada@example.com"}}`,
			`{"user":{"public_email":"","email":"b\u00f6b@example.com","username":"bob","id":2},"access_level":30,"created_by_id":1}`,
			`{"user":{"id":3,"username":"eve","public_email":null},"access_level":10}`,
			`{"access_level":40,"user":{"id":3,"username":"eve"}}`,
			`{"access_level":30,"invite_email":"x@example.com","user":null}`,
		}, "\n")),
		fileNamed("./tree/project/unheard_of.ndjson", `{"author_id":1,"iid":5}`)), more...)
}

func TestInspectArchive(t *testing.T) {
	t.Parallel()
	i := inspect(t, archiveOf(t, crowd()...))
	want := []Contributor{
		{SourceID: 2, Username: "bob", Email: "böb@example.com", AccessLevel: 30, References: 3},
		{SourceID: 1, Username: "ada", Email: "ada@example.com", AccessLevel: 50, References: 2},
		{SourceID: 3, Username: "eve", AccessLevel: 40},
	}
	if diff := cmp.Diff(want, i.People); diff != "" {
		t.Errorf("people differ (-want +got):\n%s", diff)
	}
	if i.Strangers != 2 || i.Members != 4 || i.Unmappable != 2 {
		t.Errorf("%d strangers, %d members, %d of them unmappable", i.Strangers, i.Members, i.Unmappable)
	}
	contents := []RelationContents{
		{Relation: "project_members", Items: 5, Bytes: 406, LongestItem: 120},
		{Relation: "issues", Items: 2, Bytes: 226, LongestItem: 118, HighestIID: 7},
		{Relation: "merge_requests", Items: 1, Bytes: 88, LongestItem: 88, HighestIID: 12},
		{Relation: "unheard_of", Items: 1, Bytes: 23, LongestItem: 23},
	}
	if diff := cmp.Diff(contents, i.Contents); diff != "" {
		t.Errorf("contents differ (-want +got):\n%s", diff)
	}
	var bytes int64
	for _, c := range i.Contents {
		bytes += c.Bytes
	}
	if bytes+int64(len(`{"description":"Widget"}`)) != i.Parts[PartTree] || i.Contents[3].LongestItem != 23 || len(i.Problems) > 0 {
		t.Errorf("got %+v", i)
	}
}

// TestInspectArchiveProblems tells all of them, with their lines.
func TestInspectArchiveProblems(t *testing.T) {
	t.Parallel()
	const id = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"
	i := inspect(t, archiveOf(t, crowd(
		fileNamed("project.wiki.bundle", "x"), fileNamed("VERSION", "0.2.3"), fileNamed("lfs-objects.json", `{"`+id+`":[0]}`),
		fileNamed("tree/project/labels.ndjson", "{}\n{\n{}\n]\n"+strings.Repeat("-\n", 20)),
		tar.Header{Typeflag: tar.TypeSymlink, Name: "uploads/a b", Linkname: "/etc"},
		tar.Header{Typeflag: tar.TypeLink, Name: "l", Linkname: "VERSION"}, tar.Header{Typeflag: tar.TypeFifo, Name: "f"},
	)...))
	var got []string
	for _, p := range i.Problems {
		got = append(got, fmt.Sprintf("%v %s", p.Fatal, p))
	}
	want := []string{
		"true l: is a hard link, which GitLab refuses",
		"true VERSION: the format is 0.2.3, and GitLab reads 0.2.4 only",
		"true project.wiki.bundle: is no git bundle: its first line is not that of git",
		"true tree/project/labels.ndjson: line 1 (counted from 0) is not JSON: it ends too early",
		`true tree/project/labels.ndjson: line 3 (counted from 0) is not JSON: unexpected "]"`,
	}
	for n := range 14 {
		want = append(want, fmt.Sprintf("true tree/project/labels.ndjson: line %d (counted from 0) is not JSON: it ends too early", 4+n))
	}
	want = append(want, "true tree/project/labels.ndjson: 6 more lines like these",
		"false lfs-objects.json: the object lfs-objects/"+id+" is listed, but the export has left it out",
		"false f: named pipe, which GitLab leaves out", `false "uploads/a b": symbolic link, which GitLab leaves out`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems differ (-want +got):\n%s", diff)
	}
	if i.Relations["labels"] != 2 {
		t.Errorf("%d labels", i.Relations["labels"])
	}
}

// TestInspectArchiveCut tells what came before the end.
func TestInspectArchiveCut(t *testing.T) {
	t.Parallel()
	archive := archiveOf(t, crowd()...)
	for n := 0; n < len(archive); n += 3 {
		i := inspect(t, archive[:n])
		for _, p := range i.Problems[1:] {
			if p.Fatal {
				t.Errorf("cut at byte %d: %v", n, p)
			}
		}
	}
	contents := tarOf(t, crowd()...)
	i := inspect(t, gzipOf(t, contents[:len(contents)-1024])) // no end mark
	if len(i.People) != 3 || len(i.Problems) != 1 || !strings.Contains(i.Problems[0].What, "cut short") {
		t.Errorf("got %+v", i)
	}
}

// TestInspectArchiveReadError returns what is no fault of the archive.
func TestInspectArchiveReadError(t *testing.T) {
	t.Parallel()
	archive := archiveOf(t, crowd()...)
	for _, cause := range []error{errors.New("broken"), fmt.Errorf("other archive: %w", ErrArchiveDamaged)} {
		for _, n := range []int{0, 1, 100, len(archive)} {
			i, err := InspectArchive(io.MultiReader(bytes.NewReader(archive[:n]), iotest.ErrReader(cause)))
			if i != nil || !errors.Is(err, cause) {
				t.Errorf("after %d bytes: %v, %v", n, i, err)
			}
		}
	}
	if _, err := InspectArchive(nil); err == nil {
		t.Error("nil reader: no error")
	}
}

// packed streams an archive with one large relation, whose lines come from line
// until it returns nil, and more entries before it.
func packed(relation string, size int64, line func(n int) []byte, more ...tar.Header) io.ReadCloser {
	pr, pw := io.Pipe()
	go func() { pw.CloseWithError(pack(pw, relation, size, line, more)) }()
	return pr
}

func pack(w io.Writer, relation string, size int64, line func(n int) []byte, more []tar.Header) error {
	z, _ := gzip.NewWriterLevel(w, gzip.NoCompression)
	t := tar.NewWriter(z)
	for _, h := range append(exportHeaders(), more...) {
		content := h.Linkname
		if h.Typeflag == tar.TypeDir {
			content = ""
		}
		h.Linkname, h.Size, h.Mode = "", int64(len(content)), 0o644
		if err := t.WriteHeader(&h); err != nil {
			return err
		}
		if _, err := io.WriteString(t, content); err != nil {
			return err
		}
	}
	if err := t.WriteHeader(&tar.Header{Name: "./tree/project/" + relation + ".ndjson", Size: size, Mode: 0o644}); err != nil {
		return err
	}
	for n := 0; ; n++ {
		b := line(n)
		if b == nil {
			break
		}
		if _, err := t.Write(b); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

// spaced pads a line of JSON to a length, newline included.
func spaced(line []byte, length int) []byte {
	for len(line) < length-1 {
		line = append(line, ' ')
	}
	return append(line, '\n')
}

// TestInspectArchiveMemory inspects 48 MiB of issues, and more users than are
// told apart.
func TestInspectArchiveMemory(t *testing.T) {
	const length, lines = 1 << 20, 48
	filler := strings.Repeat("t", length-200)
	buf := make([]byte, 0, length)
	var i *Inspection
	var err error
	got := allocated(func() {
		i, err = InspectArchive(packed("issues", length*lines, func(n int) []byte {
			if n == lines {
				return nil
			}
			buf = fmt.Appendf(buf[:0], `{"iid":%d,"author_id":%d,"title":"`, n+1, n+1)
			return spaced(append(append(buf, filler...), `","notes":[{"author_id":5}]}`...), length)
		}))
	})
	if err != nil || i.Strangers != 2*lines || i.Contents[0].HighestIID != lines || i.LongestLine != length {
		t.Fatalf("%+v, %v", i, err)
	}
	t.Logf("%d KiB allocated, with what packs the archive", got>>10)
	if got > 4<<20 {
		t.Errorf("%d bytes allocated", got)
	}

	const users = 70_000
	i, err = InspectArchive(packed("issues", users*50, func(n int) []byte {
		if n == users {
			return nil
		}
		return spaced(fmt.Appendf(nil, `{"author_id":%d,"updated_by_id":1}`, n+1), 50)
	}))
	if err != nil || i.Strangers != 2*users {
		t.Errorf("%+v, %v", i, err)
	}
}
