package porter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-5d77b939/porter/portertest"
)

// memberCount is how many members large archives have.
const memberCount = 14

// largeTree is an archive with members and so many bytes of issues, each of a few
// hundred bytes and by one of the members. It is made while it is read.
func largeTree(size int64) Source {
	const length = 512
	var issues bytes.Buffer
	for n := range 1024 {
		line := fmt.Appendf(nil, `{"iid":%d,"title":"Issue %x","author_id":%d,"description":"`, n+1, n*n*7919, 1+n%memberCount)
		for len(line) < length-40 {
			line = fmt.Appendf(line, "%x words %d ", n*len(line), n^len(line))
		}
		issues.Write(spaced(append(line, `"}`...), length))
	}
	block := issues.Bytes()
	return Source{Size: -1, Open: func(context.Context) (io.ReadCloser, error) {
		return packed("issues", size/int64(len(block))*int64(len(block)), func(n int) []byte {
			if int64(n) == size/int64(len(block)) {
				return nil
			}
			return block
		}, fileNamed("./tree/project/project_members.ndjson", members(memberCount))), nil
	}}
}

// members are records of members without addresses.
func members(n int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, `{"access_level":30,"user_id":%d,"user":{"id":%[1]d,"username":"user%[1]d","public_email":""}}`+"\n", i+1)
	}
	return s.String()
}

func addressOf(c Contributor) (string, bool) { return c.Username + "@example.com", true }

// TestEditArchiveMemory counts everything that is allocated while large archives
// are edited, their making included.
func TestEditArchiveMemory(t *testing.T) {
	const most = 16 << 20
	size := int64(64 << 20)
	if RaceDetector {
		size /= 8 // a run without it says whether the size matters
	}
	large := portertest.NewArchive(size / 2)
	long := func(n int64) func() Source {
		return func() Source {
			filler := bytes.Repeat([]byte("t"), int(n)-5)
			return Source{Size: -1, Open: func(context.Context) (io.ReadCloser, error) {
				pieces := [][]byte{[]byte(`["`), filler, []byte("\"]\n"), nil}
				return packed("merge_requests", n, func(n int) []byte { return pieces[n] }), nil
			}}
		}
	}
	for _, tt := range []struct {
		name string
		src  func() Source
		edit Edit
	}{
		{"without the repository", func() Source {
			return ReaderSource(large.NewReader(), large.Size())
		}, Drop(PartRepository)},
		{"without the wiki", func() Source {
			return ReaderSource(large.NewReader(), large.Size())
		}, Drop(PartWiki)},
		{"mapped", func() Source { return largeTree(size / 2) }, MapUsers(addressOf)},
		{"half the issues", func() Source { return largeTree(size / 2) },
			KeepItems(RelationIssues, func(i Item) bool { return i.IID%2 == 0 })},
		{"a line of 64 MiB", long(size), KeepItems(RelationMergeRequests, func(i Item) bool { return i.Problem == "" })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := tt.src()
			var n int64
			var err error
			got := allocated(func() { n, err = discard(t.Context(), EditArchive(src, tt.edit)) })
			if err != nil || n == 0 {
				t.Fatalf("%d bytes, %v", n, err)
			}
			t.Logf("%d KiB allocated for a result of %d KiB", got>>10, n>>10)
			if got > most {
				t.Errorf("%d bytes allocated", got)
			}
		})
	}
}

// discard reads a source to its end.
func discard(ctx context.Context, src Source) (int64, error) {
	r, err := src.Open(ctx)
	if err != nil {
		return 0, err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, make([]byte, 32<<10))
	return n, errors.Join(err, r.Close())
}

// BenchmarkEditArchive compares edits with what GitLab's documentation tells to
// do by hand: unpack the archive, change it, and pack it again. The bytes are
// those unpacked.
func BenchmarkEditArchive(b *testing.B) {
	large := portertest.NewArchive(1 << 30)
	for _, bb := range []struct {
		name string
		src  Source
		size int64
		edit Edit
		sh   string
	}{
		{"1GiB without the repository", ReaderSource(large.NewReader(), large.Size()), 1 << 30, Drop(PartRepository), "rm project.bundle"},
		{"256MiB of issues, mapped", largeTree(256 << 20), 256 << 20, MapUsers(addressOf),
			`sed -i 's/"id":\([0-9]*\),"username":"\([^"]*\)","public_email":""/"id":\1,"username":"\2","public_email":"\2@example.com"/' ` +
				`tree/project/project_members.ndjson`},
	} {
		b.Run(bb.name+"/edit", func(b *testing.B) {
			b.SetBytes(bb.size)
			b.ReportAllocs()
			for b.Loop() {
				n, err := discard(b.Context(), EditArchive(bb.src, bb.edit))
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(n), "result-B")
			}
		})
		b.Run(bb.name+"/tar", func(b *testing.B) {
			if _, err := exec.LookPath("tar"); err != nil {
				b.Skip(err)
			}
			dir := b.TempDir()
			saveSource(b, bb.src, filepath.Join(dir, "a.tar.gz"))
			b.SetBytes(bb.size)
			for b.Loop() {
				cmd := exec.CommandContext(b.Context(), "sh", "-ec",
					"mkdir d; tar -xzf a.tar.gz -C d; cd d; "+bb.sh+"; tar -czf ../b.tar.gz .; cd ..; rm -r d")
				cmd.Dir = dir
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v: %s", err, out)
				}
			}
			if fi, err := os.Stat(filepath.Join(dir, "b.tar.gz")); err == nil {
				b.ReportMetric(float64(fi.Size()), "result-B")
			}
		})
	}
}

func saveSource(tb testing.TB, src Source, name string) {
	tb.Helper()
	r, err := src.Open(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	defer r.Close()
	f, err := os.Create(name)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, r); err != nil {
		tb.Fatal(err)
	}
}
