package porter

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed-5d77b939/porter/portertest"
)

// An archiveKind is an archive with something unusual, and what GitLab makes of it.
type archiveKind struct {
	name    string
	archive []byte
	refused string // how VerifyArchive says so, "" if GitLab imports it
	odd     string // what ArchiveInfo.Odd says
}

func fileNamed(name, content string) tar.Header { return tar.Header{Name: name, Linkname: content} }

// kindsOf makes kinds of archives that have entries after those of a sound one,
// which they replace or add to.
type kindsOf struct {
	tb    testing.TB
	kinds []archiveKind
}

func (k *kindsOf) add(name, refused, odd string, entries ...tar.Header) {
	k.tb.Helper()
	k.kinds = append(k.kinds, archiveKind{name, archiveOf(k.tb, append(exportHeaders(), entries...)...), refused, odd})
}

// without makes one that lacks an entry.
func (k *kindsOf) without(name, missing, refused string, entries ...tar.Header) {
	k.tb.Helper()
	var kept []tar.Header
	for _, h := range exportHeaders() {
		if h.Name != missing {
			kept = append(kept, h)
		}
	}
	k.kinds = append(k.kinds, archiveKind{name, archiveOf(k.tb, append(kept, entries...)...), refused, ""})
}

func versionKinds(k *kindsOf) {
	version := func(text, refused string) {
		k.add(fmt.Sprintf("VERSION %.40q", text), refused, "", fileNamed("VERSION", text))
	}
	for _, text := range []string{
		"0.2.4", "0.2.4\n", "0.2.4\r\n", "v0.2.4", "\ufeff0.2.4", "0.2.4.1", "0.2.4-rc1", "00.2.04", "format 0.2.4 of old", "0.2.4\n0.2.5\n",
		"0.2.4 0.2.5", "0.2.4" + strings.Repeat("x", 123), "0.2.4" + strings.Repeat("ü", 123),
		"0.2.4\n\xff", "0.2.4\n" + strings.Repeat("x", 1<<20),
	} {
		version(text, "")
	}
	version("", "VERSION: it is empty")
	version("\n0.2.4", `no version in its first line "\n"`)
	version("newest", `no version in its first line "newest"`)
	version("0.2", `no version in its first line "0.2"`)
	version("0. 2.4", "no version in its first line")
	version("0.2.3", "VERSION: the format is 0.2.3, and GitLab reads 0.2.4 only")
	version("0.2.45", "the format is 0.2.45")
	version("10.2.4", "the format is 10.2.4")
	version("0.2.5 0.2.4", "the format is 0.2.5")
	version("0.2.4\xff", "VERSION: it is not UTF-8")
	version("0.2.4"+strings.Repeat("x", 124), "no version in its first line")
	version("0.2.4"+strings.Repeat("x", 123)+"\n", "no version in its first line")
	k.add("later VERSION wins", "the format is 0.2.3", "", fileNamed("./VERSION", "0.2.4"), fileNamed("VERSION", "0.2.3"))
	k.without("no VERSION", "./VERSION", "not a project export: no VERSION")
	k.without("VERSION in small letters", "./VERSION", "no VERSION", fileNamed("version", "0.2.4"))
	k.without("VERSION in a folder", "./VERSION", "no VERSION", fileNamed("app/VERSION", "0.2.4"))
	k.add("VERSION is a directory", "no VERSION", "", tar.Header{Typeflag: tar.TypeDir, Name: "VERSION/"})
	k.add("VERSION is a link", "no VERSION", "", tar.Header{Typeflag: tar.TypeSymlink, Name: "VERSION", Linkname: "tree"})
}

func treeKinds(k *kindsOf) {
	const issues = "tree/project/issues.ndjson"
	lines := func(name, text, refused string) { k.add(name, refused, "", fileNamed(issues, text)) }
	lines("lines", "{}\n{}\n", "")
	lines("no newline at the end", "{}\n{}", "")
	lines("empty file", "", "")
	lines("CRLF", "{}\r\n{}\r\n", "")
	lines("null lines", "null\nnull\n", "")
	lines("values that are no objects", "1\n\"x\"\n[]\ntrue\n-0.5e+3\n", "")
	lines("space around", " \t{ \"a\" : [ 1 , { } ] } \n", "")
	lines("not UTF-8", "{\"a\":\"\xff\"}\n", "")
	lines("escapes", `{"a\"\\\/\b\f\n\r\t\u00e9":"😀"}`, "")
	lines("nested 100 deep", strings.Repeat("[", 100)+strings.Repeat("]", 100), "")
	lines("nested 101 deep", strings.Repeat("[", 101)+strings.Repeat("]", 101), "nested deeper than 100")
	lines("blank line in between", "{}\n\n{}\n", "issues.ndjson: line 1 (counted from 0) is not JSON: empty")
	lines("blank line at the end", "{}\n\n", "line 1 (counted from 0) is not JSON: empty")
	lines("only a newline", "\n", "line 0 (counted from 0) is not JSON: empty")
	lines("line of spaces", "{}\n  \r\n", "line 1 (counted from 0)")
	lines("broken", "{}\n{}\n{\"a\":", "line 2 (counted from 0) is not JSON: it ends too early")
	for _, text := range []string{
		"{", "}", "[1,]", `{"a":1,}`, `{"a"}`, `{"a":}`, `{a:1}`, "{}{}", "1 2", "01", "-", "1.", "1e", "1e+", ".5", "+1", "nul", "nulll", "tru",
		"NaN", "Infinity", "'a'", `"a`, "\"a\tb\"", `"\u12g4"`, "\ufeff{}", "[}", "{]", "[1 2]", "\x00",
		`{"a":1 "b":2}`, `{,}`, "{\"a\nb\":1}", "undefined",
	} {
		lines(fmt.Sprintf("not JSON: %q", text), "{}\n"+text+"\n", "line 1 (counted from 0) is not JSON")
	}
	for _, r := range []string{"project_members", "ci_pipelines", "commit_notes", "push_rule"} {
		k.add("broken "+r, r+".ndjson: line 0", "", fileNamed("tree/project/"+r+".ndjson", "{"))
	}
	k.add("relation that nobody reads", "", "relation that GitLab does not read", fileNamed("tree/project/unheard_of.ndjson", "{"))
	k.add("AppleDouble beside a relation", "", "", fileNamed("tree/project/._issues.ndjson", "\x00\x05\x16\x07"))
	k.add("relation of another tree", "", "", fileNamed("tree/projects/issues.ndjson", "{"))
	k.add("relation is a directory", "issues.ndjson: is a directory", "", tar.Header{Typeflag: tar.TypeDir, Name: issues + "/"})
	k.add("relation is a link", "", "symbolic link", fileNamed(issues, "{"),
		tar.Header{Typeflag: tar.TypeSymlink, Name: issues, Linkname: "x"})
	k.add("later relation wins", "", "", fileNamed(issues, "{"), fileNamed("./"+issues, "{}"))
	k.add("later relation wins, broken", "issues.ndjson: line 0", "", fileNamed(issues, "{}"), fileNamed("./"+issues, "{"))

	const file = "./tree/project.json"
	attributes := func(name, text, refused string) { k.without(name, file, refused, fileNamed(file, text)) }
	attributes("project.json in lines", "{\n\"a\":\n1}\n\n", "")
	attributes("project.json null", "null", "")
	attributes("project.json empty", "", "tree/project.json: it is not JSON: empty")
	attributes("project.json broken", "{", "tree/project.json: it is not JSON")
	attributes("project.json twice", "{}\n{}\n", "tree/project.json: it is not JSON")
	k.without("no project.json", file, "no tree/project.json", fileNamed(issues, "{}\n"))
	k.without("empty tree", file, "no tree/project.json")
	k.add("project.json is a link", "no tree/project.json", "", tar.Header{Typeflag: tar.TypeSymlink, Name: file, Linkname: "x"})
	k.add("project.json is a directory", "tree/project.json: is a directory", "", tar.Header{Typeflag: tar.TypeDir, Name: file})
	k.add("both trees", "", "", fileNamed("project.json", "{}"))
	k.kinds = append(k.kinds, archiveKind{"export of a group", archiveOf(k.tb, fileNamed("VERSION", "0.2.4"),
		fileNamed("tree/groups/1.json", "{}")), "no tree/project.json", ""})
	k.kinds = append(k.kinds, archiveKind{"no tree", archiveOf(k.tb, fileNamed("VERSION", "0.2.4")), "no project tree", ""})
}

func bundleKinds(k *kindsOf) {
	sound := bundleOf("")
	for _, name := range []string{"project.bundle", "project.wiki.bundle", "project.design.bundle", "snippets/0a1b.bundle"} {
		bundle := func(kind, text, refused string) {
			if refused != "" {
				refused = name + ": " + refused
			}
			k.add(kind+" "+name, refused, "", fileNamed("./"+name, text))
		}
		bundle("sound", sound, "")
		bundle("of several references", bundleOf(strings.Repeat("1b", 20)+" refs/tags/a b\n"), "")
		bundle("v3", strings.Replace(bundleOf("@filter=blob:none\n"), "v2", "v3", 1), "")
		bundle("empty", "", "is no git bundle")
		bundle("half a first line of", sound[:10], "is no git bundle")
		bundle("v1", strings.Replace(sound, "v2", "v1", 1), "is no git bundle")
		bundle("CRLF in", strings.Replace(sound, "\n", "\r\n", 1), "is no git bundle")
		bundle("LFS pointer as", "version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is no git bundle")
		bundle("only the first line of", sound[:16], "ends before its pack")
		bundle("no pack in", sound[:strings.Index(sound, "PACK")], "has no pack")
		bundle("last byte missing in", sound[:len(sound)-1], "is cut short or damaged")
		bundle("changed", strings.Replace(sound, "\x02\x00\x00\x00\x00", "\x02\x00\x00\x00\x01", 1), "is cut short or damaged")
		bundle("a byte too many in", sound+"\n", "is cut short or damaged")
		bundle("commits missing in", bundleOf("-"+strings.Repeat("1b", 20)+" x\n"), "needs commits that are not in it")
		bundle("no hash in", bundleOf("refs/heads/main\n"), "has a malformed reference")
		bundle("page as", "<html>", "is no git bundle")
	}
	k.without("no repository", "./project.bundle", "")
	k.add("later bundle wins", "", "", fileNamed("project.bundle", ""), fileNamed("project.bundle", sound))
	k.add("later bundle of a snippet wins", "", "", fileNamed("snippets/a.bundle", ""), fileNamed("snippets/a.bundle", sound))
	k.add("bundle is a link", "", "symbolic link",
		tar.Header{Typeflag: tar.TypeSymlink, Name: "project.wiki.bundle", Linkname: "project.bundle"})
	k.add("bundle elsewhere", "", "", fileNamed("uploads/project.bundle", ""), fileNamed("other.bundle", ""),
		fileNamed("snippets/.a.bundle", ""),
		fileNamed("snippets/a/b.bundle", ""))
}

func lfsKinds(k *kindsOf) {
	const content = "large"
	id := fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
	object, other := fileNamed("lfs-objects/"+id, content), fileNamed("lfs-objects/"+strings.Repeat("a", 64), content)
	list := func(text string) tar.Header { return fileNamed("lfs-objects.json", text) }
	listed := func(h tar.Header) tar.Header {
		return list(`{"` + strings.TrimPrefix(h.Name, "lfs-objects/") + `":[0,1]}`)
	}
	k.add("LFS object", "", "", object, listed(object))
	k.add("LFS object after its list", "", "", listed(object), object)
	k.add("empty LFS object", "", "", fileNamed("lfs-objects/"+fmt.Sprintf("%x", sha256.Sum256(nil)), ""))
	k.add("LFS object without a list", "", "", object)
	k.add("LFS list that is empty", "", "", object, list("{}"))
	k.add("LFS list without objects", "", "", listed(object))
	k.add("LFS list broken, without objects", "", "", list("{"))
	k.add("LFS list broken", "lfs-objects.json: it is not JSON", "", object, list("{"))
	k.add("LFS object that is not listed", "lfs-objects/"+id+" is not listed", "", object, listed(other))
	k.add("LFS object listed with null", "is not listed", "", object, list(`{"`+id+`":null}`))
	k.add("wrong LFS object", "is not the LFS object that its name says: its SHA-256 is "+id, "", other, listed(other))
	k.add("wrong LFS object without a list", "", "LFS object that is not what its name says", other)
	k.add("later LFS object wins", "", "", fileNamed(object.Name, "x"), object, listed(object))
	k.add("hidden file among LFS objects", "", "", fileNamed("lfs-objects/.DS_Store", "x"), listed(object))
}

func tarKinds(k *kindsOf) {
	k.add("hard link", "link: is a hard link", "", tar.Header{Typeflag: tar.TypeLink, Name: "link", Linkname: "VERSION"})
	k.add("device", "null: is a device", "", tar.Header{Typeflag: tar.TypeChar, Name: "null"})
	k.add("block device", "is a device", "", tar.Header{Typeflag: tar.TypeBlock, Name: "sda"})
	k.add("parent", "../x: leads out of the archive", "", fileNamed("../x", ""))
	k.add("parent inside", "leads out of the archive", "", fileNamed("uploads/../../x", ""))
	k.add("parent at the end", "leads out of the archive", "", tar.Header{Name: "uploads/..", Typeflag: tar.TypeDir})
	k.add("points in a name", "", "", fileNamed("uploads/..x../y", ""))
	k.add("symbolic link", "", `symbolic link, which GitLab leaves out: "uploads/x"`,
		tar.Header{Typeflag: tar.TypeSymlink, Name: "uploads/x", Linkname: "/etc/passwd"})
	k.add("two links", "", `: "a" and 1 more`, tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "b"},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "b", Linkname: "a"})
	k.add("pipe", "", "named pipe", tar.Header{Typeflag: tar.TypeFifo, Name: "pipe"})
	k.add("absolute name", "", `absolute name: "/etc/cron.d/x"`, fileNamed("/etc/cron.d/x", ""))
	k.add("absolute VERSION", "the format is 0.2.3", "", fileNamed("/VERSION", "0.2.3"))
	k.add("unknown type", "", `entry of type 'Z', unpacked as a file: "z"`, tar.Header{Typeflag: 'Z', Name: "z"})
	k.add("comment for all", "", "global header", tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "c"}})
	k.add("PAX", "", "",
		tar.Header{Name: "uploads/ü", Linkname: "x", Format: tar.FormatPAX, PAXRecords: map[string]string{"LIBARCHIVE.xattr.a": "b"}})
	k.add("long name", "", "", tar.Header{Name: "uploads/" + strings.Repeat("n", 300), Linkname: "x", Format: tar.FormatGNU})
	k.add("long name in PAX", "", "", tar.Header{Name: "uploads/" + strings.Repeat("n", 300), Linkname: "x", Format: tar.FormatPAX})
	k.add("directories", "", "", tar.Header{Typeflag: tar.TypeDir, Name: "snippets/"}, tar.Header{Typeflag: tar.TypeDir, Name: "lfs-objects"})

	raw := func(name, refused, odd string, archive []byte) {
		k.kinds = append(k.kinds, archiveKind{name, archive, refused, odd})
	}
	contents := tarOf(k.tb, exportHeaders()...)
	sound, end := gzipOf(k.tb, contents), len(contents)-1024
	inserted := func(b []byte) []byte {
		return gzipOf(k.tb, bytes.Join([][]byte{contents[:end], b, contents[end:]}, nil))
	}
	raw("tree is a link", "tree: is no directory", "", archiveOf(k.tb, fileNamed("VERSION", "0.2.4"),
		tar.Header{Typeflag: tar.TypeSymlink, Name: "tree", Linkname: "x"}, fileNamed("tree/project.json", "{}")))
	raw("volume label", "", "volume label", inserted(rawHeader('V', func([]byte) {})))
	raw("incremental backup", "", "directory of an incremental backup", inserted(rawHeader('D', func([]byte) {})))
	raw("rest of another volume", "rest of a file in another tar file", "", inserted(rawHeader('M', func([]byte) {})))
	raw("sparse", "", "sparse file", inserted(rawHeader('S', func(b []byte) { copy(b[483:], "00000200000\x00") })))
	raw("two members", "", "several gzip members", append(gzipOf(k.tb, contents[:700]), gzipOf(k.tb, contents[700:])...))
	raw("empty second member", "", "several gzip members", append(bytes.Clone(sound), gzipOf(k.tb, nil)...))
	raw("the archive twice", "", "data after the end of the tar file", append(bytes.Clone(sound), sound...))
	raw("zeros behind", "", "zeros after the gzip data", append(bytes.Clone(sound), make([]byte, 100_000)...))
	raw("one zero behind", "", "zeros after the gzip data", append(bytes.Clone(sound), 0))
	raw("data after the end mark", "", "data after the end of the tar file", gzipOf(k.tb, append(bytes.Clone(contents), 'x')))
	raw("byte behind", "archive damaged: other data follow", "", append(bytes.Clone(sound), 'x'))
	raw("plain tar", "not a project export: not gzip", "", contents)
	raw("cut", "archive damaged", "", sound[:len(sound)-1])
	raw("wrong checksum", "archive damaged", "", slices.Concat(sound[:len(sound)-8], []byte{1, 2, 3, 4}, sound[len(sound)-4:]))
	raw("empty", "not a project export: it is empty", "", nil)
}

// longLineKinds has lines around the longest that GitLab takes.
func longLineKinds(k *kindsOf) {
	line := func(n int) string { return `"` + strings.Repeat("x", n-2) + `"` }
	const most = 50 << 20
	k.add("line of 50 MiB with its newline", "", "", fileNamed("tree/project/issues.ndjson", "{}\n"+line(most-1)+"\n{}\n"))
	k.add("line of a byte more", "issues.ndjson: line 1 (counted from 0) is 52428801 bytes long, and GitLab takes no more than 52428800", "",
		fileNamed("tree/project/issues.ndjson", "{}\n"+line(most)+"\n"))
}

// TestDocumentLimit reads documents around the length that GitLab reads of one.
func TestDocumentLimit(t *testing.T) {
	for text, want := range map[string]string{
		`"12345678"`:     "",
		`"12345678"   `:  "", // the rest is not read
		`"123456789"`:    "it is not JSON: it ends too early, and GitLab reads no more than 10 bytes",
		`"12345678" "a"`: "",
		`"1`:             "it is not JSON: it ends too early",
	} {
		d := newDocumentCheck(10, nil)
		for i := range len(text) {
			d.write([]byte(text[i : i+1]))
		}
		if got := d.end(); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// TestArchiveKinds compares what VerifyArchive says of an archive with how the
// simulated import of it ends, which looks at it in its own way.
func TestArchiveKinds(t *testing.T) {
	t.Parallel()
	groups := archiveKinds(t)
	long := &kindsOf{tb: t}
	longLineKinds(long)
	groups["long lines"] = long.kinds
	for name, kinds := range groups {
		for _, kind := range kinds {
			t.Run(name+"/"+kind.name, func(t *testing.T) { checkKind(t, kind) })
		}
	}
}

// archiveKinds are all kinds of small archives, in groups.
func archiveKinds(tb testing.TB) map[string][]archiveKind {
	groups := map[string][]archiveKind{}
	for name, add := range map[string]func(*kindsOf){
		"VERSION": versionKinds, "tree": treeKinds, "bundles": bundleKinds, "LFS": lfsKinds, "tar": tarKinds,
	} {
		k := &kindsOf{tb: tb}
		add(k)
		groups[name] = k.kinds
	}
	return groups
}

func checkKind(t *testing.T, kind archiveKind) {
	info, err := VerifyArchive(bytes.NewReader(kind.archive))
	if imported := portertest.CheckArchive(bytes.NewReader(kind.archive)); (imported == nil) != (kind.refused == "") {
		t.Errorf("the simulator says %v", imported)
	}
	if kind.refused != "" {
		if err == nil || !strings.Contains(err.Error(), kind.refused) {
			t.Errorf("got %v, want an error that says %q", err, kind.refused)
		}
		before := strings.HasPrefix(kind.refused, "no VERSION") || strings.HasPrefix(kind.refused, "no project tree") ||
			strings.HasPrefix(kind.refused, "not a project export") || strings.HasPrefix(kind.refused, "archive damaged")
		if errors.Is(err, ErrUnimportable) == before || info != nil || err != nil && len(err.Error()) > 400 {
			t.Errorf("got %v (%+v)", err, info)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if odd := strings.Join(info.Odd, "\n"); !strings.Contains(odd, kind.odd) || (odd == "") != (kind.odd == "") {
		t.Errorf("odd is %q, want %q", odd, kind.odd)
	}
}
