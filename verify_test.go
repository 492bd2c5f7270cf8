package porter

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5d77b939/porter/portertest"
)

// exportHeaders are the entries of a small export.
func exportHeaders() []tar.Header {
	return []tar.Header{
		{Typeflag: tar.TypeDir, Name: "./"},
		{Name: "./VERSION", Linkname: "0.2.4"},
		{Name: "./GITLAB_VERSION", Linkname: "18.9.0-ee\n"},
		{Name: "./GITLAB_REVISION", Linkname: "7f796636358"},
		{Typeflag: tar.TypeDir, Name: "./tree/"},
		{Name: "./tree/project.json", Linkname: `{"description":"Widget"}`},
		{Name: "./project.bundle", Linkname: bundleOf("")},
	}
}

// bundleOf returns a git bundle with the given lines in its header and a pack
// without objects.
func bundleOf(lines string) string {
	pack := "PACK\x00\x00\x00\x02\x00\x00\x00\x00"
	sum := sha1.Sum([]byte(pack))
	return "# v2 git bundle\n" + lines + strings.Repeat("0a", 20) + " refs/heads/main\n\n" + pack + string(sum[:])
}

// tarOf returns a tar file of the entries. Where a file has no link, Linkname
// stands for its contents.
func tarOf(tb testing.TB, headers ...tar.Header) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := ""
		switch h.Typeflag {
		case 0, tar.TypeReg, tar.TypeCont:
			content, h.Linkname = h.Linkname, ""
			h.Size = int64(len(content))
		}
		if h.Typeflag != tar.TypeXGlobalHeader {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			tb.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func gzipOf(tb testing.TB, b []byte) []byte {
	tb.Helper()
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if _, err := w.Write(b); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func archiveOf(tb testing.TB, headers ...tar.Header) []byte {
	tb.Helper()
	return gzipOf(tb, tarOf(tb, headers...))
}

func TestVerifyArchive(t *testing.T) {
	t.Parallel()
	info := func(contents []byte, change func(*ArchiveInfo)) *ArchiveInfo {
		i := &ArchiveInfo{FormatVersion: "0.2.4", Bytes: int64(len(contents)), Tree: TreeNDJSON,
			Relations: map[PortableRelation]int64{}, Parts: map[ArchivePart]int64{}}
		change(i)
		return i
	}
	export := tarOf(t, exportHeaders()...)
	small := func(i *ArchiveInfo) {
		i.GitLabVersion, i.Revision, i.Entries, i.HasRepository = "18.9.0-ee", "7f796636358", 7, true
		i.Parts = map[ArchivePart]int64{PartOther: 26, PartTree: 24, PartRepository: int64(len(bundleOf("")))}
	}
	legacy := tarOf(t, tar.Header{Name: "VERSION", Linkname: "0.2.1"}, tar.Header{Name: "project.json", Linkname: "{}"})
	odd := tarOf(t,
		tar.Header{Name: "VERSION", Linkname: " 0.2.4\n"},
		tar.Header{Name: "GITLAB_VERSION", Linkname: strings.Repeat("1", 65)},
		tar.Header{Name: "GITLAB_REVISION", Linkname: "\x1b[31mred"},
		tar.Header{Name: "tree/project.json", Linkname: "null"},
		tar.Header{Name: "uploads/" + strings.Repeat("long/", 60) + "..name..", Linkname: "x"},
		tar.Header{Name: "uploads/ünïcode", Linkname: strings.Repeat("x", 1<<20)})
	padded := append(bytes.Clone(export), make([]byte, 10240)...)
	var named bytes.Buffer
	w := gzip.NewWriter(&named)
	w.Header = gzip.Header{Name: "export.tar", Comment: "by hand", Extra: []byte("extra"), ModTime: time.Unix(1, 0)}
	w.Write(tarOf(t, exportHeaders()...))
	w.Close()

	for _, tt := range []struct {
		name    string
		archive []byte
		want    *ArchiveInfo
	}{
		{"small", gzipOf(t, export), info(export, small)},
		{"gzip with name and comment", named.Bytes(), info(export, small)},
		{"padded to a record", gzipOf(t, padded), info(padded, small)},
		{"before GitLab 13, without repository", gzipOf(t, legacy), info(legacy, func(i *ArchiveInfo) {
			i.FormatVersion, i.Entries, i.Tree, i.Parts = "0.2.1", 2, TreeJSON, map[ArchivePart]int64{PartOther: 5, PartTree: 2}
		})},
		{"unusual but harmless", gzipOf(t, odd), info(odd, func(i *ArchiveInfo) {
			i.Entries, i.Parts = 6, map[ArchivePart]int64{PartOther: 80, PartTree: 4, PartUploads: 1<<20 + 1}
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, slow := range []func(io.Reader) io.Reader{
				func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader,
			} {
				got, err := VerifyArchive(slow(bytes.NewReader(tt.archive)))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("info differs (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestVerifyArchiveGenerated(t *testing.T) {
	for _, size := range []int64{portertest.MinArchiveSize, 100_001, 5<<20 + 3} {
		a := portertest.NewArchive(size, portertest.ArchiveSeed(size))
		got, err := VerifyArchive(a.NewReader())
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		relations := map[PortableRelation]int64{
			"project_members": 2, PortableIssues: 2, PortableMergeRequests: 2, PortableLabels: 1, PortableMilestones: 1, PortableSnippets: 0,
		}
		if diff := cmp.Diff(relations, got.Relations); diff != "" {
			t.Errorf("relations differ (-want +got):\n%s", diff)
		}
		if got.FormatVersion != "0.2.4" || got.GitLabVersion != "18.9.0" || got.Revision == "" || !got.HasRepository || got.Entries != 18 ||
			got.Tree != TreeNDJSON || got.Members != 2 || got.Unmappable != 1 || got.LongestLine < 200 || got.LongestLine > 400 || got.Odd != nil {
			t.Errorf("%d bytes: got %+v", size, got)
		}
		if got.Parts[PartRepository] > size || got.Parts[PartRepository]+got.Parts[PartUploads]+got.Parts[PartWiki] < size-20<<10 {
			t.Errorf("%d bytes: got parts %v", size, got.Parts)
		}
		old := portertest.NewArchive(size, portertest.ArchiveFormatVersion("0.2.3"), portertest.ArchiveGitLabVersion("10.8.0"))
		if i, err := VerifyArchive(old.NewReader()); err != nil || i.Tree != TreeJSON || i.FormatVersion != "0.2.3" ||
			i.GitLabVersion != "10.8.0" {
			t.Errorf("%d bytes of GitLab 10.8: got %+v, %v", size, i, err)
		}
		if got.Bytes >= size || got.Bytes < size-4096 {
			t.Errorf("%d bytes unpack to %d", size, got.Bytes)
		}
	}
}

// TestVerifyArchiveReal reads archives that GitLab made, if there are any.
func TestVerifyArchiveReal(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("PORTER_ARCHIVES")
	if dir == "" {
		t.Skip("PORTER_ARCHIVES does not name a folder of real archives")
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.tar.gz"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no archives in %s (%v)", dir, err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			info, err := VerifyArchive(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			unpacked, err := gunzip(b)
			if err != nil {
				t.Fatal(err)
			}
			if info.Bytes != int64(len(unpacked)) || info.Entries == 0 || !strings.HasPrefix(info.FormatVersion, "0.2.") || !info.HasRepository {
				t.Errorf("got %+v of %d bytes unpacked", info, len(unpacked))
			}
			_, err = VerifyArchive(bytes.NewReader(b[:len(b)-1]))
			wantDamaged(t, "without its last byte", err)
		})
	}
}

func gunzip(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func wantDamaged(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, ErrArchiveDamaged) || errors.Is(err, ErrNotArchive) {
		t.Errorf("%s: got error %v, want ErrArchiveDamaged alone", what, err)
	}
}

func TestVerifyArchiveTruncated(t *testing.T) {
	t.Parallel()
	small := archiveOf(t, exportHeaders()...)
	for n := 1; n < len(small); n++ {
		_, err := VerifyArchive(bytes.NewReader(small[:n]))
		wantDamaged(t, fmt.Sprintf("%d bytes of %d", n, len(small)), err)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes of %d: %v is not io.ErrUnexpectedEOF", n, len(small), err)
		}
	}
	large := portertest.NewArchive(300_000)
	for n := int64(1); n < large.Size(); n += 4099 {
		_, err := VerifyArchive(io.NewSectionReader(large, 0, n))
		wantDamaged(t, fmt.Sprintf("%d bytes of %d", n, large.Size()), err)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes of %d: %v is not io.ErrUnexpectedEOF", n, large.Size(), err)
		}
	}

	_, err := VerifyArchive(strings.NewReader(""))
	for _, want := range []error{ErrArchiveDamaged, ErrNotArchive, io.ErrUnexpectedEOF} {
		if !errors.Is(err, want) {
			t.Errorf("empty: %v is not %q", err, want)
		}
	}
}

// TestVerifyArchiveBitFlips flips every bit: what goes unnoticed must unpack to
// the same bytes.
func TestVerifyArchiveBitFlips(t *testing.T) {
	t.Parallel()
	archive := archiveOf(t, exportHeaders()...)
	want, err := gunzip(archive)
	if err != nil {
		t.Fatal(err)
	}
	unnoticed := 0
	for i := range archive {
		for bit := range 8 {
			flipped := bytes.Clone(archive)
			flipped[i] ^= 1 << bit
			what := fmt.Sprintf("bit %d of byte %d", bit, i)
			_, err := VerifyArchive(bytes.NewReader(flipped))
			switch {
			case i < 3:
				if !errors.Is(err, ErrNotArchive) || errors.Is(err, ErrArchiveDamaged) {
					t.Errorf("%s: got error %v, want ErrNotArchive alone", what, err)
				}
			case err != nil:
				wantDamaged(t, what, err)
			case i == 3 && bit == 0, 4 <= i && i < 10: // text or not, time, level, system
			default:
				unnoticed++
				if got, err := gunzip(flipped); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: unnoticed, though it unpacks to something else (%v)", what, err)
				}
			}
		}
	}
	if most := len(archive) * 8 / 50; unnoticed > most {
		t.Errorf("%d flips of contents went unnoticed, more than %d", unnoticed, most)
	}
}

// TestVerifyArchiveByteChanges changes single bytes of an archive that is too
// large for trying each.
func TestVerifyArchiveByteChanges(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	a := portertest.NewArchive(200_000, portertest.ArchiveSeed(int64(seed)))
	archive, err := io.ReadAll(a.NewReader())
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		i, mask := 10+rng.IntN(len(archive)-10), byte(1+rng.IntN(255))
		archive[i] ^= mask
		if _, err := VerifyArchive(bytes.NewReader(archive)); err == nil {
			if got, _ := gunzip(archive); sumOf(got) != sumOf(mustGunzip(t, a)) {
				t.Errorf("byte %d changed by %#x went unnoticed", i, mask)
			}
		} else {
			wantDamaged(t, fmt.Sprintf("byte %d changed by %#x", i, mask), err)
		}
		archive[i] ^= mask
	}
}

func sumOf(b []byte) uint32 { return crc32.ChecksumIEEE(b) }

func mustGunzip(t *testing.T, a *portertest.Archive) []byte {
	t.Helper()
	b, err := io.ReadAll(a.NewReader())
	if err == nil {
		b, err = gunzip(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVerifyArchiveDamaged(t *testing.T) {
	t.Parallel()
	contents := tarOf(t, exportHeaders()...)
	archive := gzipOf(t, contents)
	change := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(archive)) }
	tarChange := func(f func(b []byte) []byte) []byte { return gzipOf(t, f(bytes.Clone(contents))) }

	var checked bytes.Buffer // with the header's own checksum, wrong
	checked.Write([]byte{0x1f, 0x8b, 8, 2, 0, 0, 0, 0, 0, 3, 0xde, 0xad})
	checked.Write(archive[10:])

	for _, tt := range []struct {
		name    string
		archive []byte
		want    string // in the error
		short   bool   // io.ErrUnexpectedEOF
	}{
		{"checksum", change(func(b []byte) []byte { b[len(b)-8] ^= 1; return b }), "checksum or length", false},
		{"length", change(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), "checksum or length", false},
		{"length and content", change(func(b []byte) []byte {
			longer := gzipOf(t, append(bytes.Clone(contents), 0))
			return append(longer[:len(longer)-8], b[len(b)-8:]...)
		}), "checksum or length", false},
		{"half a second member", change(func(b []byte) []byte { return append(b, archive[:20]...) }), "cut short", true},
		{"second member damaged", change(func(b []byte) []byte { return append(append(b, archive[:len(archive)-1]...), archive[0]) }), "", false},
		{"zeros and a byte", change(func(b []byte) []byte { return append(append(b, make([]byte, 100_000)...), 'x') }),
			fmt.Sprintf("other data follow the gzip data (at byte %d)", len(archive)+100_000), false},
		{"zeros and a member", change(func(b []byte) []byte { return append(append(b, 0), archive...) }), "other data follow", false},
		{"trailing byte", change(func(b []byte) []byte { return append(b, 'x') }),
			fmt.Sprintf("other data follow the gzip data (at byte %d)", len(archive)), false},
		{"reserved flag", change(func(b []byte) []byte { b[3] |= 0x20; return b }), "invalid gzip header", false},
		{"header checksum", checked.Bytes(), "invalid gzip header", false},
		{"endless name", change(func(b []byte) []byte { b[3] |= 8; return append(b[:10], bytes.Repeat([]byte("n"), 5000)...) }),
			"invalid gzip header", false},
		{"invalid block", change(func(b []byte) []byte { b[10] |= 7; return b }), "invalid compressed data", false},
		{"part of it twice", change(func(b []byte) []byte { return append(b[:100:100], b[50:]...) }), "", false},
		{"tar cut in a file", tarChange(func(b []byte) []byte { return b[:512+512+100] }),
			`cut short after entry "./VERSION", at byte 1124 unpacked`, true},
		{"tar cut in a header", tarChange(func(b []byte) []byte { return b[:512+100] }), `cut short after entry "./"`, true},
		{"no end mark", tarChange(func(b []byte) []byte { return b[:len(b)-1024] }), `cut short after entry "./project.bundle"`, true},
		{"half an end mark", tarChange(func(b []byte) []byte { return b[:len(b)-512] }), "cut short", true},
		{"tar header", tarChange(func(b []byte) []byte { b[3*512] ^= 1; return b }), `invalid tar header after entry "./VERSION"`, false},
		{"stray zero block", tarChange(func(b []byte) []byte { clear(b[3*512 : 4*512]); return b }), "invalid tar header", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := VerifyArchive(bytes.NewReader(tt.archive))
			wantDamaged(t, tt.name, err)
			if !strings.Contains(fmt.Sprint(err), tt.want) {
				t.Errorf("error %q does not say %q", err, tt.want)
			}
			if errors.Is(err, io.ErrUnexpectedEOF) != tt.short {
				t.Errorf("error %q: io.ErrUnexpectedEOF is %v", err, !tt.short)
			}
		})
	}
}

func TestVerifyArchiveNotArchive(t *testing.T) {
	t.Parallel()
	with := func(h ...tar.Header) []byte { return archiveOf(t, append(exportHeaders(), h...)...) }
	without := func(name string) []byte {
		var kept []tar.Header
		for _, h := range exportHeaders() {
			if h.Name != name {
				kept = append(kept, h)
			}
		}
		return archiveOf(t, kept...)
	}

	for _, tt := range []struct {
		name    string
		archive []byte
		want    string
	}{
		{"answer of GitLab", []byte(`{"message":"404 Not found or has expired"}`), `not gzip, starts with "{\"message\":\"404 Not found`},
		{"long page", bytes.Repeat([]byte("\x00"), 1<<20), "not gzip"},
		{"zip", []byte("PK\x03\x04"), "not gzip"},
		{"one byte", []byte("{"), "not gzip"},
		{"compressed otherwise", []byte{0x1f, 0x8b, 7, 0, 0}, "not gzip"},
		{"no tar", gzipOf(t, []byte(strings.Repeat("hello ", 1000))), "no tar file"},
		{"short and no tar", gzipOf(t, []byte("hello")), "no tar file"},
		{"nothing in gzip", gzipOf(t, nil), "no tar file"},
		{"empty tar", archiveOf(t), "no VERSION"},
		{"no VERSION", without("./VERSION"), "no VERSION"},
		{"VERSION elsewhere", archiveOf(t, tar.Header{Name: "x/VERSION", Linkname: "0.2.4"}, tar.Header{Name: "tree/project.json"}),
			"no VERSION"},
		{"VERSION is a directory", archiveOf(t, tar.Header{Typeflag: tar.TypeDir, Name: "VERSION/"}, tar.Header{Name: "tree/project.json"}),
			"no VERSION"},
		{"no tree", archiveOf(t, tar.Header{Name: "VERSION", Linkname: "0.2.4"}), "no project tree"},
		{"enormous name", with(tar.Header{Name: strings.Repeat("n", 300_000)}), "more than 262144 bytes of tar header"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := VerifyArchive(bytes.NewReader(tt.archive))
			if !errors.Is(err, ErrNotArchive) || errors.Is(err, ErrArchiveDamaged) {
				t.Fatalf("got error %v, want ErrNotArchive alone", err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q does not say %q", err, tt.want)
			}
			if len(err.Error()) > 400 {
				t.Errorf("error is %d bytes long: %q", len(err.Error()), err)
			}
		})
	}
}

// TestVerifyArchiveSparse builds what archive/tar cannot write: a file that
// claims to be 1 EiB of holes.
func TestVerifyArchiveSparse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		headers []byte
		want    string
	}{
		{"old GNU", rawHeader(tar.TypeGNUSparse, func(b []byte) {
			copy(b[483:], "\x80\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00") // 1 EiB
		}), "sparse files of more than 1073741824 bytes"},
		{"old GNU, endless", append(rawHeader(tar.TypeGNUSparse, func(b []byte) { b[482] = 1 }),
			bytes.Repeat(append(make([]byte, 504), 1, 0, 0, 0, 0, 0, 0, 0), 4<<10)...), ""},
		{"PAX", paxSparse(), "sparse files of more than 1073741824 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			contents := tarOf(t, exportHeaders()...)
			end := len(contents) - 1024
			archive := gzipOf(t, bytes.Join([][]byte{contents[:end], tt.headers, contents[end:]}, nil))
			_, err := VerifyArchive(bytes.NewReader(archive))
			if !errors.Is(err, ErrNotArchive) && (tt.want != "" || !errors.Is(err, ErrArchiveDamaged)) {
				t.Fatalf("got error %v, want ErrNotArchive", err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q does not say %q", err, tt.want)
			}
		})
	}
}

// rawHeader returns a header block of GNU's format.
func rawHeader(typeflag byte, change func([]byte)) []byte {
	b := make([]byte, 512)
	copy(b, "holes")
	copy(b[100:], "0000644\x000000000\x000000000\x0000000000000\x0000000000000\x00")
	b[156] = typeflag
	copy(b[257:], "ustar  \x00")
	change(b)
	copy(b[148:], "        ")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// paxSparse returns such a file in the PAX format.
func paxSparse() []byte {
	var records strings.Builder
	for _, r := range []string{"major=0", "minor=1", "numblocks=0", "map=", "size=1152921504606846976"} {
		r = " GNU.sparse." + r + "\n"
		fmt.Fprintf(&records, "%d%s", len(r)+2, r) // all have two digits
	}
	pax := rawHeader(tar.TypeXHeader, func(b []byte) { copy(b[124:], fmt.Sprintf("%011o\x00", records.Len())) })
	body := make([]byte, 512)
	copy(body, records.String())
	return bytes.Join([][]byte{pax, body, rawHeader(tar.TypeReg, func([]byte) {})}, nil)
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestVerifyArchiveBomb(t *testing.T) {
	zeros := make([]byte, 6<<20)
	contents := tarOf(t, exportHeaders()...)
	end := len(contents) - 1024
	size := func(n int) func([]byte) {
		return func(b []byte) { copy(b[124:], fmt.Sprintf("%011o\x00", n)) }
	}
	for _, tt := range []struct {
		name  string
		extra [][]byte // before the tar file's end
	}{
		{"file", [][]byte{rawHeader('0', size(len(zeros))), zeros}},
		{"long name", [][]byte{rawHeader('L', size(len(zeros))), zeros}},
		{"PAX header", [][]byte{rawHeader('x', size(len(zeros))), zeros}},
		{"many long names", [][]byte{bytes.Repeat(append(rawHeader('L', size(512)), make([]byte, 512)...), 4_000)}},
		{"sparse map", [][]byte{rawHeader('S', func(b []byte) { b[482] = 1 }),
			bytes.Repeat(append([]byte(strings.Repeat("00000000001\x0000000000000\x00", 21)), 1, 0, 0, 0, 0, 0, 0, 0), 8_000)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			archive := gzipOf(t, bytes.Join(append(append([][]byte{contents[:end]}, tt.extra...), contents[end:]), nil))
			var err error
			got := allocated(func() { _, err = VerifyArchive(bytes.NewReader(archive)) })
			if tt.name != "file" && err == nil {
				t.Error("no error")
			}
			t.Logf("%d bytes allocated", got)
			if got > 3<<20 {
				t.Errorf("%d bytes allocated for an archive of %d", got, len(archive))
			}
		})
	}

	_, err := newContents().read(bytes.NewReader(gzipOf(t, zeros)), 1<<20)
	if !errors.Is(err, ErrNotArchive) || !strings.Contains(err.Error(), "unpacks to more than 1048576 bytes") {
		t.Errorf("too much unpacked: got error %v", err)
	}
	archive := gzipOf(t, contents)
	if _, err := newContents().read(bytes.NewReader(archive), int64(len(contents))); err != nil {
		t.Errorf("as much as allowed: got error %v", err)
	}
	if _, err := newContents().read(bytes.NewReader(archive), int64(len(contents))-1); !errors.Is(err, ErrNotArchive) {
		t.Errorf("a byte more than allowed: got error %v", err)
	}
}

// TestVerifyArchiveConstantMemory compares what archives of different sizes,
// with as many entries, take.
func TestVerifyArchiveConstantMemory(t *testing.T) {
	allocs := func(size int64) float64 {
		a := portertest.NewArchive(size)
		return testing.AllocsPerRun(5, func() {
			if _, err := VerifyArchive(a.NewReader()); err != nil {
				t.Error(err)
			}
		})
	}
	small, large := allocs(1<<20), allocs(32<<20)
	if large > small+10 {
		t.Errorf("%v allocations for 1 MiB, %v for 32 MiB", small, large)
	}
	a := portertest.NewArchive(64 << 20)
	if got := allocated(func() { VerifyArchive(a.NewReader()) }); got > 1<<20 {
		t.Errorf("%d bytes allocated for 64 MiB", got)
	}
}

// TestVerifyArchiveReadError fails the reader at every place of note: such an
// error is the reader's and says nothing about the archive.
func TestVerifyArchiveReadError(t *testing.T) {
	t.Parallel()
	archive := archiveOf(t, exportHeaders()...)
	broken := errors.New("connection broken")
	for _, cause := range []error{broken, io.ErrUnexpectedEOF, gzip.ErrChecksum, gzip.ErrHeader, tar.ErrHeader} {
		for n := 0; n <= len(archive); n++ {
			_, err := VerifyArchive(io.MultiReader(bytes.NewReader(archive[:n]), iotest.ErrReader(cause)))
			if !errors.Is(err, cause) || errors.Is(err, ErrArchiveDamaged) || errors.Is(err, ErrNotArchive) {
				t.Fatalf("%q after %d bytes: got error %v", cause, n, err)
			}
		}
	}

	_, err := VerifyArchive(io.MultiReader(bytes.NewReader(archive[:100]), readerFunc(func([]byte) (int, error) { return 0, nil })))
	if !errors.Is(err, io.ErrNoProgress) || errors.Is(err, ErrArchiveDamaged) {
		t.Errorf("reader without progress: got error %v", err)
	}

	if _, err := VerifyArchive(nil); err == nil {
		t.Error("nil reader: no error")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestVerifyArchiveCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := portertest.NewArchive(1 << 20).NewReader()
	read := 0
	_, err := VerifyArchive(readerFunc(func(p []byte) (int, error) {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		n, err := r.Read(p)
		if read += n; read > 1<<19 {
			cancel()
		}
		return n, err
	}))
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrArchiveDamaged) || errors.Is(err, ErrNotArchive) {
		t.Errorf("got error %v, want context.Canceled alone", err)
	}
	if read > 1<<19+64<<10 {
		t.Errorf("%d bytes read before it ended", read)
	}
}

// TestVerifyArchiveLongLine reads 271 MiB of issues, of which one is longer
// than GitLab takes, in a piece of the memory.
func TestVerifyArchiveLongLine(t *testing.T) {
	const size, long = 271 << 20, 60 << 20
	pr, pw := io.Pipe()
	go func() {
		z, _ := gzip.NewWriterLevel(pw, gzip.NoCompression)
		w := tar.NewWriter(z)
		w.WriteHeader(&tar.Header{Name: "VERSION", Size: 5})
		io.WriteString(w, "0.2.4")
		w.WriteHeader(&tar.Header{Name: "tree/project.json", Size: 2})
		io.WriteString(w, "{}")
		w.WriteHeader(&tar.Header{Name: "tree/project/issues.ndjson", Size: size})
		issue := []byte(`{"iid":1,"title":"` + strings.Repeat("t", 1000) + `"}` + "\n")
		left := size - long
		for ; left >= len(issue); left -= len(issue) {
			w.Write(issue)
		}
		w.Write([]byte(`{"a":"`))
		filler := bytes.Repeat([]byte("t"), 1<<20)
		for left += long - len(`{"a":""}`); left > 0; left -= min(left, len(filler)) {
			w.Write(filler[:min(left, len(filler))])
		}
		w.Write([]byte(`"}`))
		pw.CloseWithError(errors.Join(w.Close(), z.Close()))
	}()
	var err error
	got := allocated(func() { _, err = VerifyArchive(pr) })
	t.Logf("%d KiB allocated, with what packs the archive", got>>10)
	if !errors.Is(err, ErrUnimportable) || !strings.Contains(err.Error(), "GitLab takes no more than 52428800") {
		t.Errorf("got error %v", err)
	}
	if got > 4<<20 {
		t.Errorf("%d bytes allocated", got)
	}
}

// TestVerifyArchiveManyEntries reads archives with very many entries of what is kept by name.
func TestVerifyArchiveManyEntries(t *testing.T) {
	allocs := func(n int) uint64 {
		headers := exportHeaders()
		for i := range n {
			headers = append(headers, fileNamed(fmt.Sprintf("snippets/%d%s.bundle", i, strings.Repeat("s", 80)), "x"),
				fileNamed("tree/project/"+strings.Repeat("a", 1+i%26)+strings.Repeat("b", 1+i/26%26)+".ndjson", "{"),
				fileNamed(fmt.Sprintf("lfs-objects/%d", i), "x"), tar.Header{Typeflag: tar.TypeSymlink, Name: fmt.Sprint("l", i), Linkname: "x"})
		}
		archive := archiveOf(t, headers...)
		return allocated(func() {
			if _, err := VerifyArchive(bytes.NewReader(archive)); !errors.Is(err, ErrUnimportable) {
				t.Errorf("got %v", err)
			}
		})
	}
	few, many := allocs(10), allocs(2000)
	t.Logf("%d KiB for 10 of each kind, %d KiB for 2000", few>>10, many>>10)
	c := newContents()
	if _, err := c.read(bytes.NewReader(archiveOf(t, exportHeaders()...)), maxUnpacked); err != nil || len(c.files) > 8 {
		t.Errorf("%d files kept, %v", len(c.files), err)
	}
}

// BenchmarkVerifyArchive says what verifying costs beyond inflating, which is
// the least it could cost.
func BenchmarkVerifyArchive(b *testing.B) {
	text := gzipOf(b, tarOf(b, append(exportHeaders(), tar.Header{Name: "tree/project/issues.ndjson", Linkname: ndjson(16 << 20)})...))
	diffs := gzipOf(b, tarOf(b, append(exportHeaders(), tar.Header{Name: "tree/project/merge_requests.ndjson", Linkname: diffs(16 << 20)})...))
	for _, bb := range []struct {
		name string
		r    io.ReadSeeker
	}{
		{"stored", portertest.NewArchive(64 << 20).NewReader()},
		{"text", bytes.NewReader(text)},
		{"diffs", bytes.NewReader(diffs)},
	} {
		run := func(name string, read func(io.Reader) (int64, error)) {
			b.Run(bb.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					bb.r.Seek(0, io.SeekStart)
					n, err := read(bb.r)
					if err != nil {
						b.Fatal(err)
					}
					b.SetBytes(n) // unpacked
				}
			})
		}
		run("inflate", func(r io.Reader) (int64, error) {
			z, err := gzip.NewReader(r)
			if err != nil {
				return 0, err
			}
			return io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{z}, make([]byte, 32<<10))
		})
		run("verify", func(r io.Reader) (int64, error) {
			info, err := VerifyArchive(r)
			if err != nil {
				return 0, err
			}
			return info.Bytes, nil
		})
		run("inspect", func(r io.Reader) (int64, error) {
			i, err := InspectArchive(r)
			if err != nil {
				return 0, err
			}
			return i.Bytes, nil
		})
	}
}

// diffs returns n bytes or a little more of records with long strings that
// have many escapes.
func diffs(n int) string {
	rng := rand.New(rand.NewPCG(3, 4))
	var s strings.Builder
	for i := 0; s.Len() < n; i++ {
		fmt.Fprintf(&s, `{"iid":%d,"merge_request_diff":{"merge_request_diff_files":[{"utf8_diff":"`, i)
		for range 200 {
			fmt.Fprintf(&s, `+\tif x%d != nil { return fmt.Errorf(\"no %d\") }\n`, rng.IntN(1e6), rng.IntN(1e6))
		}
		s.WriteString("\"}]}}\n")
	}
	return s.String()
}

// ndjson returns n bytes or a little more of lines such as those of an export.
func ndjson(n int) string {
	rng := rand.New(rand.NewPCG(1, 2))
	var s strings.Builder
	for i := 0; s.Len() < n; i++ {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], rng.Uint64())
		fmt.Fprintf(&s, `{"iid":%d,"title":"Issue %x","state":"opened","created_at":"2024-05-01T09:41:00.500Z"}`+"\n", i, word)
	}
	return s.String()
}

func BenchmarkJSONScanner(b *testing.B) {
	for name, text := range map[string]string{"text": ndjson(4 << 20), "diffs": diffs(4 << 20)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			p := []byte(text)
			for b.Loop() {
				r := newRelationCheck(false, nil)
				r.write(p)
				if problem := r.end(); problem != "" {
					b.Fatal(problem)
				}
			}
		})
	}
}
