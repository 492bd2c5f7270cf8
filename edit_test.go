package porter

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5d77b939/porter/portertest"
)

func bytesSource(b []byte) Source { return ReaderSource(bytes.NewReader(b), int64(len(b))) }

// readSource reads a source to its end.
func readSource(ctx context.Context, src Source) ([]byte, error) {
	r, err := src.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// editing edits an archive, and compares the outcome of two readings.
func editing(t *testing.T, archive []byte, edits ...Edit) ([]byte, error) {
	t.Helper()
	src := EditArchive(bytesSource(archive), edits...)
	b, err := readSource(t.Context(), src)
	again, errAgain := readSource(t.Context(), src)
	if (err == nil) != (errAgain == nil) || err == nil && !bytes.Equal(b, again) {
		t.Errorf("another reading differs: %d and %d bytes, %v and %v", len(b), len(again), err, errAgain)
	}
	if err == nil {
		if _, err := VerifyArchive(bytes.NewReader(b)); err != nil {
			t.Errorf("the result: %v", err)
		}
		if err := portertest.CheckArchive(bytes.NewReader(b)); err != nil {
			t.Errorf("the simulator says %v", err)
		}
	}
	return b, err
}

// entriesOf lists the entries of an archive, with their contents.
func entriesOf(t *testing.T, archive []byte) []string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	tr := tar.NewReader(z)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return list
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		kind := h.Typeflag
		if kind == tar.TypeGNUSparse {
			kind = tar.TypeReg
		}
		list = append(list, fmt.Sprintf("%c %s→%s %o %s", kind, h.Name, h.Linkname, h.Mode, content))
	}
}

// namesIn lists the names in an archive, without their "./".
func namesIn(t *testing.T, archive []byte) []string {
	t.Helper()
	var names []string
	for _, e := range entriesOf(t, archive) {
		name, _, _ := strings.Cut(e[2:], "→")
		names = append(names, strings.TrimPrefix(name, "./"))
	}
	return names
}

func fileIn(t *testing.T, archive []byte, name string) string {
	t.Helper()
	for _, e := range entriesOf(t, archive) {
		if found, rest, _ := strings.Cut(e[2:], "→"); strings.TrimPrefix(found, "./") == name {
			_, content, _ := strings.Cut(strings.TrimPrefix(rest, " "), " ")
			return content
		}
	}
	return "none"
}

// sameEdits look at much and change nothing.
func sameEdits() []Edit {
	all := func(Item) bool { return true }
	return []Edit{
		Drop(), KeepItems(RelationIssues, all), KeepItems(RelationMergeRequests, all), KeepItems("project_members", all),
		KeepItems("labels", all), MapUsers(func(c Contributor) (string, bool) { return c.Email, true }),
	}
}

// TestEditArchiveUnchanged changes nothing in archives of all kinds: those that
// can be imported have the same entries and contents, and others are errors.
func TestEditArchiveUnchanged(t *testing.T) {
	t.Parallel()
	for name, kinds := range archiveKinds(t) {
		for _, kind := range kinds {
			t.Run(name+"/"+kind.name, func(t *testing.T) { unchanged(t, kind.archive) })
		}
	}
}

func TestEditArchiveReal(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("PORTER_ARCHIVES")
	if dir == "" {
		t.Skip("PORTER_ARCHIVES does not name a folder of real archives")
	}
	names, _ := filepath.Glob(filepath.Join(dir, "odd", "*.gz"))
	names = append(names, filepath.Join(dir, "ndjson_project_export.tar.gz"))
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			unchanged(t, b)
		})
	}
}

func unchanged(t *testing.T, archive []byte) {
	t.Helper()
	before, refused := VerifyArchive(bytes.NewReader(archive))
	edits := sameEdits()
	if before != nil && before.Tree == TreeJSON {
		edits = edits[:1]
	}
	b, err := editing(t, archive, edits...)
	if (err == nil) != (refused == nil) {
		t.Fatalf("verified with %v, edited with %v", refused, err)
	}
	if err != nil {
		return
	}
	if diff := cmp.Diff(entriesOf(t, archive), entriesOf(t, b)); diff != "" {
		t.Errorf("entries differ (-before +after):\n%s", diff)
	}
	after, err := VerifyArchive(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	before.Odd, after.Odd, before.Bytes, after.Bytes = nil, nil, 0, 0 // of the file around
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the info differs (-before +after):\n%s", diff)
	}
}

// fullArchive are the entries of an archive with something in every part.
func fullArchive() []tar.Header {
	dir := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeDir, Name: name} }
	const oid = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // of hello
	return append(exportHeaders(),
		fileNamed("./._project.bundle", "\x00\x05\x16\x07"), fileNamed("./.DS_Store", "x"),
		fileNamed("./project.wiki.bundle", bundleOf("")), fileNamed("./project.design.bundle", bundleOf("")),
		dir("./snippets/"), fileNamed("./snippets/0a.bundle", bundleOf("")),
		dir("./uploads/"), dir("./uploads/0b/"), fileNamed("./uploads/0b/ü.png", "png"),
		dir("./lfs-objects/"), fileNamed("./lfs-objects/"+oid, "hello"), fileNamed("./lfs-objects.json", `{"`+oid+`":[0]}`),
		dir("./avatar/"), fileNamed("./avatar/a.png", "png"), dir("./tree/project/"),
		fileNamed("./tree/project/issues.ndjson", "{\"iid\":1}\n{\"iid\":3}\n"),
		fileNamed("./tree/project/ci_pipelines.ndjson", "{\"iid\":1}\n"), fileNamed("./tree/project/._ci_pipelines.ndjson", "x"),
		fileNamed("./tree/project/snippets.ndjson", "{}\n"),
		fileNamed("./tree/project/project_members.ndjson", `{"user":{"id":1,"public_email":""}}`+"\n"))
}

func TestDrop(t *testing.T) {
	t.Parallel()
	archive := archiveOf(t, fullArchive()...)
	all := namesIn(t, archive)
	for _, tt := range []struct {
		parts []ArchivePart
		gone  string
	}{
		{nil, ""},
		{[]ArchivePart{PartRepository}, "project.bundle ._project.bundle"},
		{[]ArchivePart{PartWiki, PartDesigns}, "project.wiki.bundle project.design.bundle"},
		{[]ArchivePart{PartSnippets}, "snippets/ snippets/0a.bundle"},
		{[]ArchivePart{PartSnippets, PortableSnippets.Part()}, "snippets/ snippets/0a.bundle tree/project/snippets.ndjson"},
		{[]ArchivePart{PartUploads}, "uploads/ uploads/0b/ uploads/0b/ü.png"},
		{[]ArchivePart{PartLFS}, "lfs-objects/ lfs-objects.json lfs-objects/2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"},
		{[]ArchivePart{PartAvatar}, "avatar/ avatar/a.png"},
		{[]ArchivePart{PartPipelines}, "tree/project/ci_pipelines.ndjson tree/project/._ci_pipelines.ndjson"},
		{[]ArchivePart{PartMembers, PortableIssues.Part()}, "tree/project/project_members.ndjson tree/project/issues.ndjson"},
		{[]ArchivePart{PortableLabels.Part()}, ""},
		{[]ArchivePart{PartOther}, ".DS_Store"},
	} {
		t.Run(fmt.Sprint(tt.parts), func(t *testing.T) {
			b, err := editing(t, archive, Drop(tt.parts...))
			if err != nil {
				t.Fatal(err)
			}
			want := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(strings.Fields(tt.gone), name) })
			if diff := cmp.Diff(want, namesIn(t, b)); diff != "" || len(want)+len(strings.Fields(tt.gone)) != len(all) {
				t.Errorf("names differ (-want +got):\n%s", diff)
			}
		})
	}
}

// TestKeepItems keeps some, in an archive that also has something to repair.
func TestKeepItems(t *testing.T) {
	t.Parallel()
	all := func(Item) bool { return true }
	const lines = `{"iid":1,"title":"one"}` + "\n{\nnull\n" + `{"iid":3,"title":"thrëe"}` + "\n" + `{"iid":2}`
	archive := archiveOf(t, append(fullArchive(), fileNamed("tree/project/merge_requests.ndjson", lines))...)
	for _, tt := range []struct {
		name string
		keep func(Item) bool
		want string
	}{
		{"sound ones", func(i Item) bool { return i.Problem == "" }, strings.Replace(lines, "{\n", "", 1)},
		{"none", func(Item) bool { return false }, "null\n"},
		{"by number", func(i Item) bool { return i.IID == 3 }, "null\n" + `{"iid":3,"title":"thrëe"}` + "\n"},
		{"by line", func(i Item) bool { return i.Line == 4 }, "null\n" + `{"iid":2}`},
		{"by text", func(i Item) bool {
			r, err := i.Open()
			if err != nil {
				t.Error(err)
			}
			b, err := io.ReadAll(r)
			return err == nil && i.Title == "one" && bytes.Contains(b, []byte("title"))
		}, `{"iid":1,"title":"one"}` + "\nnull\n"},
	} {
		b, err := editing(t, archive, KeepItems(RelationMergeRequests, tt.keep), KeepItems(RelationMergeRequests, all))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := fileIn(t, b, "tree/project/merge_requests.ndjson"); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	if _, err := editing(t, archive, KeepItems(RelationMergeRequests, all)); !errors.Is(err, ErrUnimportable) {
		t.Errorf("with what cannot be imported: %v", err)
	}
}

func TestMapUsers(t *testing.T) {
	t.Parallel()
	var asked []Contributor
	f := func(c Contributor) (string, bool) {
		asked = append(asked, c)
		switch c.SourceID {
		case 2:
			return "", false
		case 3:
			return c.Email, true
		case 4:
			return "", true
		}
		return fmt.Sprintf("<%q>@example.com", c.Username), true
	}
	for _, tt := range []struct{ before, after string }{
		{`{"access_level":30,"user":{"id":1,"username":"ü","public_email":""},"source_type":"Project"}`,
			`{"access_level":30,"user":{"id":1,"username":"ü","public_email":"\u003c\"ü\"\u003e@example.com"},"source_type":"Project"}`},
		{`{"user": { "public_email" : null , "id" : 1 }, "x" : [1,  2] }`,
			`{"user": { "public_email" : "\u003c\"\"\u003e@example.com" , "id" : 1 }, "x" : [1,  2] }`},
		{`{"user":{"id":1,"email":"a"}}`,
			`{"user":{"public_email":"\u003c\"\"\u003e@example.com","id":1,"email":"\u003c\"\"\u003e@example.com"}}`},
		{`{"user":{"email":"a","id":1,"public_email":"b","x":{"email":"c"}},"email":"d"}`,
			`{"user":{"email":"\u003c\"\"\u003e@example.com","id":1,"public_email":"\u003c\"\"\u003e@example.com","x":{"email":"c"}},"email":"d"}`},
		{`{"user":{"id":1}}`, `{"user":{"public_email":"\u003c\"\"\u003e@example.com","id":1}}`},
		{`{"user":{"id":2,"public_email":"x"}}`, ""},
		{`{"user":{"id":3,"public_email":"x"} }`, `{"user":{"id":3,"public_email":"x"} }`},
		{`{"user":{"id":4,"public_email":"x"}}`, `{"user":{"id":4,"public_email":""}}`},
		{`{"user":null,"invite_email":"x"}`, `{"user":null,"invite_email":"x"}`},
		{`{"user":{"public_email":"x"}}`, `{"user":{"public_email":"x"}}`},
		{`{"user":{"id":9},"user":{"id":2}}`, ""}, // the last counts
		{"null", "null"},
		{"[]", "[]"},
		{`"user"`, `"user"`},
	} {
		archive := archiveOf(t, append(exportHeaders(), fileNamed("tree/project/project_members.ndjson", tt.before+"\n"))...)
		b, err := editing(t, archive, MapUsers(f))
		want := tt.after
		if want != "" {
			want += "\n"
		}
		if got := fileIn(t, b, "tree/project/project_members.ndjson"); err != nil || got != want {
			t.Errorf("%s became %s, %v", tt.before, got, err)
		}
	}
	if diff := cmp.Diff(Contributor{SourceID: 1, Username: "ü", AccessLevel: 30}, asked[0]); diff != "" {
		t.Errorf("asked for (-want +got):\n%s", diff)
	}
}

// TestMapUsersTwice has each edit see what the one before has made of a member.
func TestMapUsersTwice(t *testing.T) {
	t.Parallel()
	archive := archiveOf(t, append(exportHeaders(), fileNamed("tree/project/project_members.ndjson", `{"user":{"id":1}}`))...)
	b, err := editing(t, archive, MapUsers(func(Contributor) (string, bool) { return "a", true }),
		MapUsers(func(c Contributor) (string, bool) { return c.Email + "b", true }))
	if got := fileIn(t, b, "tree/project/project_members.ndjson"); err != nil || got != `{"user":{"public_email":"ab","id":1}}`+"\n" {
		t.Errorf("got %s, %v", got, err)
	}

	long := fileNamed("tree/project/project_members.ndjson", `{"a":"`+strings.Repeat("x", 1<<20)+`"}`)
	_, err = editing(t, archiveOf(t, append(exportHeaders(), long)...), MapUsers(addressOf))
	if !isError(err, nil, "line 0 (counted from 0) is 1048584 bytes long") {
		t.Errorf("got %v", err)
	}
}

func TestEditArchiveErrors(t *testing.T) {
	t.Parallel()
	sound := archiveOf(t, fullArchive()...)
	json := archiveOf(t, fileNamed("VERSION", "0.2.4"), fileNamed("project.json", "{}"))
	all := func(Item) bool { return true }
	broken := errors.New("broken")
	failing := Source{Open: func(context.Context) (io.ReadCloser, error) { return nil, broken }}
	ending := ReaderSource(io.MultiReader(bytes.NewReader(sound[:200]), iotest.ErrReader(broken)), -1)
	for _, tt := range []struct {
		name string
		src  Source
		edit Edit
		want error
		text string
	}{
		{"no such part", bytesSource(sound), Drop("repo"), nil, `edit archive: drop: part "repo": there is no such part`},
		{"no part", bytesSource(sound), Drop(""), nil, "there is no such part"},
		{"no relation", bytesSource(sound), Drop("tree/"), nil, "there is no such part"},
		{"relation with a slash", bytesSource(sound), Drop("tree/a/b"), nil, "there is no such part"},
		{"whole tree", bytesSource(sound), Drop(PartRepository, PartTree), nil, "without it GitLab imports nothing"},
		{"nil keep", bytesSource(sound), KeepItems(RelationIssues, nil), nil, "keep items of issues: function is nil"},
		{"odd relation", bytesSource(sound), KeepItems("../x", all), nil, "there is no relation"},
		{"nil map", bytesSource(sound), MapUsers(nil), nil, "map users: function is nil"},
		{"tree in one file", bytesSource(json), KeepItems(RelationIssues, all), ErrUnimportable, "the project tree is one file"},
		{"members in one file", bytesSource(json), MapUsers(addressOf), ErrUnimportable, "is one file"},
		{"pipelines in one file", bytesSource(json), Drop(PartPipelines), ErrUnimportable, "is one file"},
		{"no Open", Source{}, Drop(), nil, "Open is nil"},
		{"failing source", failing, Drop(), broken, "broken"},
		{"source that ends early", ending, Drop(PartPipelines), broken, "broken"},
		{"no archive", bytesSource([]byte("<html>")), Drop(), ErrNotArchive, "edit archive: not a project export"},
		{"cut", bytesSource(sound[:len(sound)-1]), Drop(), ErrArchiveDamaged, "cut short"},
	} {
		_, err := readSource(t.Context(), EditArchive(tt.src, tt.edit))
		if !isError(err, tt.want, tt.text) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	b, err := readSource(t.Context(), EditArchive(bytesSource(json), Drop(PartRepository)))
	if err != nil || fileIn(t, b, "project.json") != "{}" {
		t.Errorf("another part than the tree: %v", err)
	}
	for n := 0; n < len(sound); n += 11 {
		if b, err := readSource(t.Context(), EditArchive(bytesSource(sound[:n]), Drop(PartUploads))); err == nil {
			t.Fatalf("cut at byte %d: %d bytes and no error", n, len(b))
		}
	}
}

// TestEditArchiveNames edits archives with names of any length and kind, with
// their entries in any order.
func TestEditArchiveNames(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	headers := fullArchive()
	for _, format := range []tar.Format{tar.FormatGNU, tar.FormatPAX} {
		for _, n := range []int{90, 100, 101, 155, 156, 255, 256, 300, 5000} {
			h := fileNamed(fmt.Sprint("uploads/", int(format), "/", strings.Repeat("ü", n)), "x")
			h.Format = format
			headers = append(headers, h)
		}
	}
	headers = append(headers, tar.Header{
		Name: "uploads/x", Linkname: "y", Format: tar.FormatPAX, ModTime: time.Unix(1_700_000_000, 123), Uname: strings.Repeat("u", 50),
		PAXRecords: map[string]string{"LIBARCHIVE.xattr.a": "b", "SCHILY.xattr.user.c": "d"},
	})
	for range 5 {
		rnd.Shuffle(len(headers), func(i, j int) { headers[i], headers[j] = headers[j], headers[i] })
		archive := archiveOf(t, headers...)
		b, err := editing(t, archive, append(sameEdits(), Drop(PartRepository))...)
		if err != nil {
			t.Fatal(err)
		}
		want := slices.DeleteFunc(entriesOf(t, archive), func(e string) bool { return strings.Contains(e, "project.bundle→") })
		if diff := cmp.Diff(want, entriesOf(t, b)); diff != "" {
			t.Errorf("entries differ (-want +got):\n%s", diff)
		}
	}
}

func TestRelationArchive(t *testing.T) {
	t.Parallel()
	archive := archiveOf(t, append(fullArchive(), fileNamed("tree/project/merge_requests.ndjson", "{\"iid\":4}\n{\"iid\":2}\n"))...)
	for _, tt := range []struct {
		rel  Relation
		keep func(Item) bool
		want string
	}{
		{RelationMergeRequests, func(i Item) bool { return i.IID == 2 }, "{\"iid\":2}\n"},
		{RelationMergeRequests, nil, "{\"iid\":4}\n{\"iid\":2}\n"},
		{RelationIssues, func(i Item) bool { return i.Line == 0 }, "{\"iid\":1}\n"},
	} {
		b, err := readSource(t.Context(), RelationArchive(bytesSource(archive), tt.rel, tt.keep))
		if err != nil {
			t.Fatal(err)
		}
		names := namesIn(t, b)
		slices.Sort(names)
		file := "tree/project/" + string(tt.rel) + ".ndjson"
		want := []string{"", "GITLAB_REVISION", "GITLAB_VERSION", "VERSION", "tree/", "tree/project.json", "tree/project/", file,
			"tree/project/project_members.ndjson"}
		slices.Sort(want)
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("names differ (-want +got):\n%s", diff)
		}
		if got := fileIn(t, b, file); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	for rel, want := range map[Relation]error{"labels": fs.ErrNotExist, "": nil, "a/b": nil} {
		_, err := readSource(t.Context(), RelationArchive(bytesSource(archive), rel, nil))
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%q: got %v", rel, err)
		}
	}
	json := archiveOf(t, fileNamed("VERSION", "0.2.4"), fileNamed("project.json", "{}"))
	if _, err := readSource(t.Context(), RelationArchive(bytesSource(json), RelationIssues, nil)); !errors.Is(err, ErrUnimportable) {
		t.Errorf("tree in one file: %v", err)
	}
}

// TestEditArchiveClosed ends an edit in its midst, and leaves nothing running.
func TestEditArchiveClosed(t *testing.T) {
	archive := archiveBytesOf(t, portertest.NewArchive(8<<20))
	before := runtime.NumGoroutine()
	closed := 0
	src := bytesSource(archive)
	open := src.Open
	src.Open = func(ctx context.Context) (io.ReadCloser, error) {
		r, err := open(ctx)
		return &closeCounter{r, &closed}, err
	}
	for _, n := range []int64{0, 1, 1 << 20} {
		r, err := EditArchive(src, sameEdits()...).Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, r, n); err != nil {
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if _, err := r.Read(make([]byte, 1)); err == nil {
			t.Error("read after Close: no error")
		}
	}
	if closed != 3 {
		t.Errorf("closed %d times", closed)
	}
	for n := 0; runtime.NumGoroutine() > before; n++ {
		if n == 30_000 {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		time.Sleep(time.Millisecond) // a thread that holds one may have to wait for a CPU
	}
}

type closeCounter struct {
	io.ReadCloser
	n *int
}

func (c *closeCounter) Close() error {
	*c.n++
	return c.ReadCloser.Close()
}

func archiveBytesOf(t *testing.T, a *portertest.Archive) []byte {
	t.Helper()
	b, err := io.ReadAll(a.NewReader())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestEditArchiveOnce edits what can be read only once.
func TestEditArchiveOnce(t *testing.T) {
	t.Parallel()
	archive := archiveOf(t, fullArchive()...)
	src := EditArchive(ReaderSource(bytes.NewBuffer(archive), int64(len(archive))), Drop(PartUploads))
	if _, err := readSource(t.Context(), src); err != nil || !src.single {
		t.Errorf("got %v", err)
	}
	if _, err := readSource(t.Context(), src); !errors.Is(err, ErrSourceConsumed) {
		t.Errorf("got %v", err)
	}
}

// TestEditArchiveTools has the programs that people use unpack what was edited.
func TestEditArchiveTools(t *testing.T) {
	t.Parallel()
	archives := map[string][]byte{
		"made":      archiveBytesOf(t, portertest.NewArchive(1<<20)),
		"long name": archiveOf(t, append(fullArchive(), fileNamed("uploads/"+strings.Repeat("n", 200)+"/ü", "x"))...),
	}
	if dir := os.Getenv("PORTER_ARCHIVES"); dir != "" {
		b, err := os.ReadFile(filepath.Join(dir, "ndjson_project_export.tar.gz"))
		if err != nil {
			t.Fatal(err)
		}
		archives["real"] = b
	}
	for _, name := range slices.Sorted(maps.Keys(archives)) {
		edited, err := editing(t, archives[name], Drop(PartWiki, PartPipelines),
			KeepItems(RelationIssues, func(i Item) bool { return i.IID == 1 }), MapUsers(addressOf))
		if err != nil {
			t.Fatal(err)
		}
		for _, tool := range []string{"tar", "bsdtar"} {
			t.Run(name+"/"+tool, func(t *testing.T) { unpacked(t, tool, edited) })
		}
		t.Run(name+"/git", func(t *testing.T) {
			var bundle bytes.Buffer
			if err := ExtractArchive(bytes.NewReader(edited), PartRepository, &bundle); err != nil {
				t.Fatal(err)
			}
			if name != "long name" { // whose pack is empty
				cloned(t, bundle.Bytes())
			}
		})
	}
}

// unpacked compares what a tool unpacks of an archive with what is in it.
func unpacked(t *testing.T, tool string, archive []byte) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Skip(err)
	}
	name, dir := filepath.Join(t.TempDir(), "edited.tar.gz"), t.TempDir()
	if err := os.WriteFile(name, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), tool, "-xzf", name, "-C", dir).CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%s: %v: %s", tool, err, out)
	}
	for _, name := range namesIn(t, archive) {
		if name == "" || strings.HasSuffix(name, "/") {
			continue
		}
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != fileIn(t, archive, name) {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
}
