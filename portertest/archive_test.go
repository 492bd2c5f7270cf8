package portertest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func readArchive(tb testing.TB, a *Archive) []byte {
	tb.Helper()
	b, err := io.ReadAll(a.NewReader())
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func gunzip(tb testing.TB, b []byte) []byte {
	tb.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err == nil {
		b, err = io.ReadAll(z)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// TestNewArchiveSizes makes archives of sizes that need every number of spare
// bytes in the last block of the tar file, and more.
func TestNewArchiveSizes(t *testing.T) {
	sizes := []int64{65535, 65536, 1 << 20, 3<<20 + 7}
	for n := int64(0); n < 5*tarBlock; n += 9 {
		sizes = append(sizes, MinArchiveSize+n)
	}
	for _, size := range sizes {
		a := NewArchive(size)
		if got := a.Size(); got != size {
			t.Fatalf("NewArchive(%d) has size %d", size, got)
		}
		b := readArchive(t, a)
		if int64(len(b)) != size {
			t.Fatalf("NewArchive(%d) reads as %d bytes", size, len(b))
		}
		if err := CheckArchive(bytes.NewReader(b)); err != nil {
			t.Fatalf("NewArchive(%d): %v", size, err)
		}
	}
}

func TestNewArchiveTooSmall(t *testing.T) {
	for _, tt := range []struct {
		size   int64
		opts   []ArchiveOption
		panics bool
	}{
		{MinArchiveSize, nil, false},
		{MinArchiveSize - 1, nil, true},
		{MinArchiveSize - 1, []ArchiveOption{ArchiveUploads(0)}, true},
		{MinArchiveSize, []ArchiveOption{ArchiveUploads(100)}, true},
		{MinArchiveSize + 99<<10, []ArchiveOption{ArchiveUploads(100)}, false},
		{MinArchiveSize, []ArchiveOption{ArchiveFormatVersion(strings.Repeat("1", 10_000))}, true},
		{0, nil, true},
		{-1, nil, true},
	} {
		func() {
			defer func() {
				if r := recover(); (r != nil) != tt.panics {
					t.Errorf("NewArchive(%d) with %d options: recovered %v", tt.size, len(tt.opts), r)
				}
			}()
			NewArchive(tt.size, tt.opts...)
		}()
	}
}

func TestNewArchiveContents(t *testing.T) {
	a := NewArchive(500_000, ArchiveFormatVersion("0.2.3"), ArchiveGitLabVersion("10.8.0"), ArchiveUploads(3))
	tr := tar.NewReader(bytes.NewReader(gunzip(t, readArchive(t, a))))
	files := map[string]string{}
	var uploads int
	var bundle int64
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case strings.HasPrefix(h.Name, "./uploads/") && h.Typeflag == tar.TypeReg:
			uploads++
		case h.Name == "./project.bundle":
			bundle = h.Size
		case strings.HasSuffix(h.Name, "VERSION"):
			b, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			files[h.Name] = string(b)
		}
	}
	if diff := cmp.Diff(map[string]string{"./VERSION": "0.2.3", "./GITLAB_VERSION": "10.8.0"}, files); diff != "" {
		t.Errorf("version files differ (-want +got):\n%s", diff)
	}
	if uploads != 3 || bundle < 200_000 {
		t.Errorf("got %d uploads and a bundle of %d bytes", uploads, bundle)
	}
}

func TestNewArchiveSeeds(t *testing.T) {
	const size = 1 << 20
	one, again, other := NewArchive(size), NewArchive(size, ArchiveSeed(1)), NewArchive(size, ArchiveSeed(2))
	if one.SHA256() != again.SHA256() {
		t.Error("the same seed gives different archives")
	}
	a, b := readArchive(t, one), readArchive(t, other)
	for off := 32 << 10; off < size-4096; off += 4096 {
		if bytes.Equal(a[off:off+4096], b[off:off+4096]) {
			t.Fatalf("seeds 1 and 2 agree at byte %d", off)
		}
		if i := bytes.Index(a[off+4096:], a[off+16:off+48]); i >= 0 {
			t.Fatalf("the bytes at %d come again at %d", off, off+4096+i)
		}
	}
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	w.Write(a)
	w.Close()
	if packed.Len() < size*95/100 {
		t.Errorf("%d bytes can be compressed to %d", size, packed.Len())
	}
	const golden = "626c0a1f32aa96b4d8afa5a3c063dbb83b0a77ab46477d3d816de0753db534b6"
	if got := NewArchive(100_000, ArchiveSeed(42)).SHA256(); got != golden {
		t.Errorf("seed 42 gives other bytes than ever: SHA-256 %s", got)
	}
}

// TestNewArchiveTools has the programs that GitLab uses unpack an archive.
func TestNewArchiveTools(t *testing.T) {
	for _, tool := range []string{"gzip", "tar"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	a := NewArchive(2<<20+1, ArchiveUploads(5))
	name := filepath.Join(t.TempDir(), "export.tar.gz")
	if err := os.WriteFile(name, readArchive(t, a), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "gzip", "-t", name).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("gzip -t: %v: %s", err, out)
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "tar", "-xzf", name, "-C", dir).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("tar -xzf: %v: %s", err, out)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "VERSION")); err != nil || string(b) != "0.2.4" {
		t.Errorf("VERSION is %q (%v)", b, err)
	}
	fi, err := os.Stat(filepath.Join(dir, "project.bundle"))
	if err != nil || fi.Size() < 512<<10 {
		t.Errorf("project.bundle: %v, %v", fi, err)
	}
}

// TestArchiveReadAt reads pieces at random places and compares them with the
// whole.
func TestArchiveReadAt(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, size := range []int{MinArchiveSize, 300_001} {
		a := NewArchive(int64(size), ArchiveSeed(int64(seed)))
		whole := readArchive(t, a)
		for range 2000 {
			off, p := rng.IntN(size+10), make([]byte, rng.IntN(1000))
			if rng.IntN(10) == 0 {
				p = make([]byte, rng.IntN(2*size))
			}
			n, err := a.ReadAt(p, int64(off))
			want := whole[min(off, size):min(off+len(p), size)]
			if n != len(want) || !bytes.Equal(p[:n], want) {
				t.Fatalf("ReadAt of %d bytes at %d is wrong in its %d bytes", len(p), off, n)
			}
			if (n < len(p)) != (err == io.EOF) || err != nil && err != io.EOF {
				t.Fatalf("ReadAt of %d bytes at %d: %d, %v", len(p), off, n, err)
			}
		}
		if err := iotest.TestReader(a.NewReader(), whole); err != nil {
			t.Error(err)
		}
		if _, err := a.ReadAt(make([]byte, 1), -1); err == nil || err == io.EOF {
			t.Errorf("ReadAt at -1: error %v", err)
		}
	}
}

func TestArchiveConcurrent(t *testing.T) {
	a := NewArchive(200_000)
	want := sha256.Sum256(readArchive(t, NewArchive(200_000)))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if got := a.SHA256(); got != hex.EncodeToString(want[:]) {
				t.Errorf("SHA-256 is %s", got)
			}
			h := sha256.New()
			if _, err := io.Copy(h, a.NewReader()); err != nil || !bytes.Equal(h.Sum(nil), want[:]) {
				t.Errorf("reads differently: %v", err)
			}
		})
	}
	wg.Wait()
}

// TestNewArchiveLarge looks at an archive of 16 GiB, whose repository is too
// large for the size in an ordinary tar header, without reading all of it.
func TestNewArchiveLarge(t *testing.T) {
	const size = 16 << 30
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	a := NewArchive(size)
	p := make([]byte, 64<<10)
	for off := int64(0); off < size-int64(len(p)); off += size / 100 {
		if n, err := a.ReadAt(p, off); n != len(p) || err != nil {
			t.Fatalf("ReadAt %d: %d, %v", off, n, err)
		}
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d bytes allocated", got)
	}

	z, err := gzip.NewReader(a.NewReader())
	if err != nil {
		t.Fatal(err)
	}
	tr := tar.NewReader(z)
	var bundle int64
	for bundle == 0 {
		h, err := tr.Next()
		if err != nil {
			t.Fatal(err)
		}
		if h.Name == "./uploads/" {
			break // what follows takes long to read through
		}
	}
	g := a.src.(*gzipFile)
	if last := g.src.list[len(g.src.list)-1]; g.src.size-last.start != 2*tarBlock {
		t.Errorf("the tar file ends in %d zeros", g.src.size-last.start)
	}
	tail := io.NewSectionReader(g.src, bundleHeader(t, g.src), size)
	h, err := tar.NewReader(tail).Next()
	if err != nil || h.Name != "./project.bundle" || h.Size < 8<<30 {
		t.Errorf("got entry %+v (%v)", h, err)
	}
}

// bundleHeader returns where in the tar file project.bundle's header is.
func bundleHeader(t *testing.T, s *segments) int64 {
	t.Helper()
	for _, seg := range s.list {
		if l, ok := seg.src.(literal); ok && bytes.HasPrefix(l, []byte("./project.bundle\x00")) {
			return seg.start
		}
	}
	t.Fatal("no project.bundle")
	return 0
}

func TestBytesAndFileArchive(t *testing.T) {
	content := []byte("not even an archive")
	name := filepath.Join(t.TempDir(), "a.gz")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := FileArchive(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []*Archive{BytesArchive(content), file} {
		sum := sha256.Sum256(content)
		if got := readArchive(t, a); !bytes.Equal(got, content) || a.Size() != int64(len(content)) || a.SHA256() != hex.EncodeToString(sum[:]) {
			t.Errorf("got %q, size %d, SHA-256 %s", got, a.Size(), a.SHA256())
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := file.ReadAt(make([]byte, 1), 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Close: error %v", err)
	}
	if _, err := FileArchive(name + ".missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: error %v", err)
	}
	if _, err := FileArchive(t.TempDir()); err == nil {
		t.Error("a directory is taken for an archive")
	}
}

func TestSHA256Panics(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.gz")
	if err := os.WriteFile(name, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := FileArchive(name)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := os.Truncate(name, 50); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic for half a file")
		}
	}()
	a.SHA256()
}

// packed returns an archive of the entries. Where a file has no link, Linkname
// stands for its contents.
func packed(tb testing.TB, headers ...tar.Header) []byte {
	tb.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, h := range headers {
		content := ""
		if h.Typeflag == 0 {
			content, h.Linkname = h.Linkname, ""
			h.Size = int64(len(content))
		}
		if err := w.WriteHeader(&h); err != nil {
			tb.Fatal(err)
		}
		io.WriteString(w, content)
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestCheckArchive(t *testing.T) {
	good := readArchive(t, NewArchive(100_000))
	version, tree := tar.Header{Name: "./VERSION", Linkname: "0.2.4"}, tar.Header{Name: "./tree/project.json", Linkname: "{}"}
	change := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	ofVersion := func(v string) []byte { return packed(t, tar.Header{Name: "VERSION", Linkname: v}, tree) }
	repacked := func(b []byte) []byte {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		z.Write(b)
		z.Close()
		return out.Bytes()
	}
	const failed, missing = "Command exited with error code 2: ", " and No such file or directory @ rb_sysopen - [FILTERED]"

	for _, tt := range []struct {
		name    string
		archive []byte
		want    string // how the error starts, "" for none
		missing bool   // that VERSION is missing is said as well
	}{
		{"good", good, "", false},
		{"plain", packed(t, version, tree), "", false},
		{"VERSION with newline", ofVersion("0.2.4\n"), "", false},
		{"absolute names", packed(t, tar.Header{Name: "/VERSION", Linkname: "0.2.4"}, tree), "", false},
		{"symbolic link", packed(t, version, tree, tar.Header{Typeflag: tar.TypeSymlink, Name: "x", Linkname: "/etc"}), "", false},
		{"two members", change(func(b []byte) []byte { return append(b, good...) }), "", false},

		{"empty", nil, failed + "gzip: stdin: unexpected end of file\ntar: ", true},
		{"JSON", []byte(`{"message":"404 Not found or has expired"}`), failed + "gzip: stdin: not in gzip format\ntar: ", true},
		{"cut early", good[:100], failed + "gzip: stdin: unexpected end of file\ntar: ", true},
		{"cut late", good[:len(good)-1], failed + "gzip: stdin: unexpected end of file\ntar: ", false},
		{"wrong checksum", change(func(b []byte) []byte { b[len(b)-8] ^= 1; return b }),
			failed + "gzip: stdin: invalid compressed data--crc error\n", false},
		{"changed content", change(func(b []byte) []byte { b[90_000] ^= 1; return b }),
			failed + "gzip: stdin: invalid compressed data--crc error\n", false},
		{"invalid block", change(func(b []byte) []byte { b[10] |= 6; return b }),
			failed + "gzip: stdin: invalid compressed data--format violated\n", true},
		{"trailing garbage", change(func(b []byte) []byte { return append(b, "garbage garbage"...) }),
			failed + "gzip: stdin: decompression OK, trailing garbage ignored\ntar: Child returned status 2", false},
		{"no tar", repacked(bytes.Repeat([]byte("hello "), 1000)), failed + "tar: This does not look like a tar archive\n", true},
		{"tar cut short", repacked(gunzip(t, good)[:50_000]), failed + "tar: Unexpected EOF in archive\n", false},
		{"parent", packed(t, version, tree, tar.Header{Name: "../../x"}), failed + "tar: [FILTERED] Member name contains '..'\n", false},
		{"device", packed(t, version, tree, tar.Header{Typeflag: tar.TypeChar, Name: "null"}), failed + "tar: [FILTERED] Cannot mknod: ", false},

		{"no VERSION", packed(t, tree), missing[5:], false},
		{"VERSION is a link", packed(t, tree, tar.Header{Typeflag: tar.TypeSymlink, Name: "VERSION", Linkname: "/etc/passwd"}), missing[5:],
			false},
		{"old", ofVersion("0.2.3"), "Import version mismatch: Required 0.2.4 but was 0.2.3", false},
		{"empty VERSION", ofVersion(""), "end of file reached", false},
		{"no version", ofVersion("newest!"), "Import version mismatch: Required 0.2.4 but was newest!", false},
		{"VERSION in Latin-1", ofVersion("0.2.4\xff"), "Incorrect VERSION format", false},
		{"hard link", packed(t, version, tree, tar.Header{Typeflag: tar.TypeLink, Name: "x", Linkname: "VERSION"}), "File shares hard link",
			false},
		{"tree of old", packed(t, version, tar.Header{Name: "project.json"}), "invalid import format", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := bytes.NewReader(tt.archive)
			err := CheckArchive(iotest.HalfReader(r))
			got := ""
			if err != nil {
				got = err.Error()
			}
			if !strings.HasPrefix(got, tt.want) || (tt.want == "") != (err == nil) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if strings.HasSuffix(got, missing) != tt.missing {
				t.Errorf("got %q: VERSION missing is %v", got, !tt.missing)
			}
			if r.Len() > 0 {
				t.Errorf("%d bytes left unread", r.Len())
			}
		})
	}
}

func TestCheckArchiveDecompressedSize(t *testing.T) {
	b := readArchive(t, NewArchive(MinArchiveSize))
	size := int64(len(gunzip(t, b)))
	if err := checkArchive(bytes.NewReader(b), size); err != nil {
		t.Errorf("as large as allowed: got error %v", err)
	}
	if err := checkArchive(bytes.NewReader(b), size-1); err != errDecompressedSize {
		t.Errorf("a byte more than allowed: got error %v", err)
	}
}

func TestCheckArchiveReadError(t *testing.T) {
	good := readArchive(t, NewArchive(MinArchiveSize))
	broken := errors.New("connection broken")
	for _, n := range []int{0, 1, 100, len(good) / 2, len(good)} {
		err := CheckArchive(io.MultiReader(bytes.NewReader(good[:n]), iotest.ErrReader(broken)))
		if err != broken {
			t.Errorf("after %d bytes: got error %v", n, err)
		}
	}
}

// TestCheckArchiveReal reads archives that GitLab made, if there are any.
func TestCheckArchiveReal(t *testing.T) {
	dir := os.Getenv("PORTER_ARCHIVES")
	if dir == "" {
		t.Skip("PORTER_ARCHIVES does not name a folder of real archives")
	}
	for name, want := range map[string]string{
		"ndjson_project_export.tar.gz":      "<nil>",
		"legacy_json_project_export.tar.gz": "invalid import format",
	} {
		a, err := FileArchive(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if got := fmt.Sprint(CheckArchive(a.NewReader())); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestCheckArchiveOdd compares with what is known of the archives of a folder.
func TestCheckArchiveOdd(t *testing.T) {
	dir := os.Getenv("PORTER_ARCHIVES")
	if dir == "" {
		t.Skip("PORTER_ARCHIVES does not name a folder of real archives")
	}
	dir = filepath.Join(dir, "odd")
	table, err := os.ReadFile(filepath.Join(dir, "EXPECTED.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		name, verdict, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok {
			continue // a comment
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		err = CheckArchive(bytes.NewReader(b))
		if (verdict == "IMPORTED") != (err == nil) {
			t.Errorf("%s: got %v, want %s", name, err, verdict)
		}
		for _, text := range []string{"Import version mismatch", "Invalid", "Incorrect", "File shares", "end of file"} {
			if strings.HasPrefix(verdict, "REFUSED "+text) && !strings.HasPrefix(fmt.Sprint(err), text) {
				t.Errorf("%s: got %q, want %s", name, err, verdict)
			}
		}
	}
}

func BenchmarkArchiveRead(b *testing.B) {
	a := NewArchive(256 << 20)
	p := make([]byte, 64<<10)
	b.SetBytes(a.Size())
	for b.Loop() {
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{a.NewReader()}, p); err != nil {
			b.Fatal(err)
		}
	}
}

// TestNewArchiveClone has git take the bundles of archives of several sizes.
func TestNewArchiveClone(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip(err)
	}
	for _, size := range []int64{MinArchiveSize, MinArchiveSize + 5*tarBlock, 90_000, 3<<20 + 7} {
		dir := t.TempDir()
		tr := tar.NewReader(bytes.NewReader(gunzip(t, readArchive(t, NewArchive(size, ArchiveSeed(size))))))
		for {
			h, err := tr.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Ext(h.Name) != ".bundle" {
				continue
			}
			b, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(dir, filepath.Base(h.Name))
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
			run := func(args ...string) string {
				cmd := exec.CommandContext(t.Context(), git, args...)
				cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Errorf("%d bytes: git %s: %v: %s", size, args[0], err, out)
				}
				return string(out)
			}
			run("clone", "--quiet", name, name+"-clone")
			if out := run("-C", name+"-clone", "log", "--format=%s %an", "main"); out != "Initial commit Administrator\n" {
				t.Errorf("%d bytes: the log is %q", size, out)
			}
			run("-C", name+"-clone", "fsck", "--strict")
			readme, err := os.ReadFile(filepath.Join(name+"-clone", "README.md"))
			if err != nil || !bytes.HasPrefix(readme, []byte("# Widget ")) {
				t.Errorf("%d bytes: README.md is %q (%v)", size, readme, err)
			}
		}
	}
}
