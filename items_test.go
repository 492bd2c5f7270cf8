package porter

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

const issuesFile = "tree/project/issues.ndjson"

// itemsOf returns the items of an archive, each with its text, and how the
// reading ended.
func itemsOf(archive []byte, rel Relation) (list []string, err error) {
	for i, err := range Items(bytes.NewReader(archive), rel) {
		if err != nil {
			return list, err
		}
		var text []byte
		for range 2 { // it can be opened again
			r, err := i.Open()
			if err != nil {
				return list, err
			}
			if text, err = io.ReadAll(iotest.OneByteReader(r)); err != nil {
				return list, err
			}
		}
		if int64(len(text)) != i.Size {
			return list, fmt.Errorf("%d bytes, but its size is %d", len(text), i.Size)
		}
		list = append(list, fmt.Sprintf("%d #%d %s|%s|%s", i.Line, i.IID, i.Title, i.Problem, text))
	}
	return list, nil
}

func TestItems(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", 300)
	for _, tt := range []struct {
		name, file string
		want       []string
	}{
		{"none", "", nil},
		{"one", `{"iid":1,"title":"a"}` + "\n", []string{`0 #1 a||{"iid":1,"title":"a"}`}},
		{"without newline", `{"iid":1}` + "\n" + `{"iid":2}`, []string{`0 #1 ||{"iid":1}`, `1 #2 ||{"iid":2}`}},
		{"null", "null\n" + `{"iid":4}` + "\nnull\n", []string{`1 #4 ||{"iid":4}`}},
		{"nested", `{"milestone":{"iid":9,"title":"x"},"notes":[{"iid":3}],"iid":5,"title":null}`,
			[]string{`0 #5 ||{"milestone":{"iid":9,"title":"x"},"notes":[{"iid":3}],"iid":5,"title":null}`}},
		{"the last key counts", `{"iid":1,"iid":2,"title":"a","title":"b"}`, []string{`0 #2 b||{"iid":1,"iid":2,"title":"a","title":"b"}`}},
		{"no numbers", `{"iid":"7","title":8}` + "\n" + `{"iid":-7}` + "\n" + `{"iid":1.5}`,
			[]string{`0 #0 ||{"iid":"7","title":8}`, `1 #0 ||{"iid":-7}`, `2 #0 ||{"iid":1.5}`}},
		{"escapes", `{"title":"a\n\u00fc\ud83d\ude00\""}`, []string{"0 #0 a\nü😀\"||" + `{"title":"a\n\u00fc\ud83d\ude00\""}`}},
		{"title that is too long", `{"title":"` + strings.Repeat(`\u00fc`, 300) + `"}`,
			[]string{"0 #0 " + long[:2*(1023/6)] + "||" + `{"title":"` + strings.Repeat(`\u00fc`, 300) + `"}`}},
		{"broken", "{\n" + `{"iid":2}` + "\n\n]",
			[]string{"0 #0 |not JSON: it ends too early|{", `1 #2 ||{"iid":2}`, "2 #0 |not JSON: empty|", `3 #0 |not JSON: unexpected "]"|]`}},
		{"after a broken one", `{"iid":5,"title":"x"` + "\n{}", []string{`0 #5 x|not JSON: it ends too early|{"iid":5,"title":"x"`, `1 #0 ||{}`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := itemsOf(archiveOf(t, append(exportHeaders(), fileNamed(issuesFile, tt.file), fileNamed("tree/project/._issues.ndjson", "{}"),
				fileNamed("tree/project/labels.ndjson", `{"iid":100}`))...), RelationIssues)
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// isError reports whether err is what is wanted: an error in its chain, if any,
// and a text. Without either it must be nil.
func isError(err, want error, text string) bool {
	if want == nil && text == "" {
		return err == nil
	}
	return err != nil && (want == nil || errors.Is(err, want)) && strings.Contains(err.Error(), text)
}

func TestItemsErrors(t *testing.T) {
	t.Parallel()
	issues := fileNamed(issuesFile, "{}\n{}\n")
	contents := tarOf(t, append(exportHeaders(), issues)...)
	sound := gzipOf(t, contents)
	link := tar.Header{Typeflag: tar.TypeSymlink, Name: issuesFile, Linkname: "x"}
	for _, tt := range []struct {
		name    string
		archive []byte
		rel     Relation
		want    error
		text    string
		items   int
	}{
		{"no such relation", sound, "labels", nil, "", 0},
		{"no file", archiveOf(t, exportHeaders()...), RelationIssues, nil, "", 0},
		{"link", archiveOf(t, append(exportHeaders(), link)...), RelationIssues, nil, "", 0},
		{"empty name", sound, "", nil, "items of : relation is empty", 0},
		{"twice", archiveOf(t, append(exportHeaders(), issues, issues)...), RelationIssues, ErrUnimportable, "in the archive twice", 2},
		{"tree in one file", archiveOf(t, fileNamed("VERSION", "0.2.4"), fileNamed("project.json", "{}")), RelationIssues,
			ErrUnimportable, "is one file", 0},
		{"cut", sound[:len(sound)-1], RelationIssues, ErrArchiveDamaged, "cut short", 2},
		{"no archive", []byte("<html>"), RelationIssues, ErrNotArchive, "not gzip", 0},
		{"no end mark", gzipOf(t, contents[:len(contents)-1024]), RelationIssues, ErrArchiveDamaged, "", 2},
	} {
		got, err := itemsOf(tt.archive, tt.rel)
		if !isError(err, tt.want, tt.text) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if len(got) != tt.items {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
	for _, err := range Items(nil, RelationIssues) {
		if err == nil {
			t.Error("nil reader: no error")
		}
	}
	broken := errors.New("broken")
	for _, err := range Items(io.MultiReader(bytes.NewReader(sound[:50]), iotest.ErrReader(broken)), RelationIssues) {
		if !errors.Is(err, broken) || errors.Is(err, ErrArchiveDamaged) {
			t.Errorf("got %v", err)
		}
	}
}

// TestItemGone reads an item after its loop has gone on, and reads no more of an
// archive than is wanted.
func TestItemGone(t *testing.T) {
	t.Parallel()
	archive := archiveOf(t, append(exportHeaders(), fileNamed(issuesFile, "{}\n"+strings.Repeat("[1]\n", 1000)))...)
	var items []Item
	var open io.ReadCloser
	for i, err := range Items(bytes.NewReader(archive), RelationIssues) {
		if err != nil {
			t.Fatal(err)
		}
		if items = append(items, i); len(items) == 1 {
			open, _ = i.Open()
		}
		if len(items) == 3 {
			break
		}
	}
	if _, err := open.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	for _, i := range append(items, Item{}) {
		if _, err := i.Open(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("open: %v", err)
		}
	}
	if len(items) != 3 {
		t.Errorf("%d items", len(items))
	}
}

// TestItemsMemory reads lines of up to 60 MiB.
func TestItemsMemory(t *testing.T) {
	lengths := []int{60 << 20, 100, 40 << 20, 1 << 20}
	filler := bytes.Repeat([]byte("t"), 64<<20)
	var sum int64
	for _, n := range lengths {
		sum += int64(n)
	}
	var got []string
	text := make([]byte, 1<<20)
	var err error
	used := allocated(func() {
		line, rest := 0, 0
		for i, ierr := range Items(packed("issues", sum, func(int) []byte {
			if rest == 0 {
				if line == len(lengths) {
					return nil
				}
				rest = lengths[line] - 8
				line++
				return []byte(`{"iid":"`)
			}
			if rest == 1 {
				rest = 0
				return []byte("\n")
			}
			n := min(rest-1, 2)
			if rest > 3 {
				n = rest - 3
			}
			rest -= n
			if n == 2 {
				return []byte(`"}`)
			}
			return filler[:n]
		}), RelationIssues) {
			if err = ierr; err != nil {
				return
			}
			r, _ := i.Open()
			n := int64(0)
			for rerr := error(nil); rerr == nil; {
				var k int
				k, rerr = r.Read(text)
				n += int64(k)
			}
			got = append(got, fmt.Sprintf("%d %.30s %v", i.Size, i.Problem, n == i.Size))
		}
	})
	t.Logf("%d KiB allocated", used>>10)
	want := []string{"62914559 62914560 bytes long, and GitLa true", "99  true", "41943039  true", "1048575  true"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	if used > 4<<20 {
		t.Errorf("%d bytes allocated", used)
	}
}
