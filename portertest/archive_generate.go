package portertest

import (
	"archive/tar"
	"bytes"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"path"
	"sort"
	"strings"
	"sync"
	"time"
)

// MinArchiveSize is the smallest size that NewArchive accepts without options
// that make the archive larger.
const MinArchiveSize = 20 << 10

// An ArchiveOption changes what NewArchive generates.
type ArchiveOption func(*archiveSpec)

type archiveSpec struct {
	seed          int64
	formatVersion string
	gitlabVersion string
	uploads       int
	members       int            // without an address; 0 for the usual two
	items         map[string]int // by relation, if not the usual
	archived      bool
}

// jsonTree reports whether the GitLab that made the archive wrote its tree as
// one file.
func (s archiveSpec) jsonTree() bool {
	v, err := parseVersion(s.gitlabVersion)
	return err == nil && !v.atLeast(13, 0)
}

// ArchiveSeed makes an archive whose bytes differ from those of every other
// seed. The default is 1.
func ArchiveSeed(seed int64) ArchiveOption {
	return func(s *archiveSpec) { s.seed = seed }
}

// ArchiveFormatVersion sets the contents of the archive's VERSION file, 0.2.4
// by default, which an importing GitLab compares with its own.
func ArchiveFormatVersion(version string) ArchiveOption {
	return func(s *archiveSpec) { s.formatVersion = version }
}

// ArchiveGitLabVersion sets the version of the GitLab that pretends to have
// made the archive, 18.9.0 by default.
func ArchiveGitLabVersion(version string) ArchiveOption {
	return func(s *archiveSpec) { s.gitlabVersion = version }
}

// ArchiveRelease makes an archive as that release of GitLab does, such as
// "13.12": it sets ArchiveFormatVersion and ArchiveGitLabVersion. It panics where
// [Version] does.
func ArchiveRelease(v string) ArchiveOption {
	parsed, err := parseVersion(v)
	if err != nil {
		panic(err)
	}
	return madeBy(parsed)
}

func madeBy(v version) ArchiveOption {
	return func(s *archiveSpec) { s.formatVersion, s.gitlabVersion = v.archiveFormat(), v.String() }
}

// ArchiveArchived makes it the archive of a project that was archived, if yes says
// so, which an import archives again.
func ArchiveArchived(yes bool) ArchiveOption {
	return func(s *archiveSpec) { s.archived = yes }
}

// ArchiveUploads sets the number of uploaded files in the archive, 1 by
// default. Each raises the smallest size by 1 KiB.
func ArchiveUploads(n int) ArchiveOption {
	return func(s *archiveSpec) { s.uploads = max(n, 0) }
}

// ArchiveMembers makes n members of the archive, instead of the two of whom one
// has an e-mail address: "user1" to "user14", say, without any. All of them have
// written some of its items, if there are as many. Each raises the smallest size by
// less than 1 KiB.
func ArchiveMembers(n int) ArchiveOption {
	return func(s *archiveSpec) { s.members = max(n, 0) }
}

// ArchiveItems makes n records of a relation, with the numbers 1 to n: "issues",
// "merge_requests", "milestones" or "ci_pipelines". Each raises the smallest size
// by less than 1 KiB.
func ArchiveItems(relation string, n int) ArchiveOption {
	if !numbered(relation) {
		panic("portertest: ArchiveItems: no relation " + relation)
	}
	return func(s *archiveSpec) {
		if s.items == nil {
			s.items = map[string]int{}
		}
		s.items[relation] = max(n, 0)
	}
}

// NewArchive returns a valid project export of exactly size bytes, most of
// which are its repository, which git can clone from. It holds two issues, two merge
// requests, two members, a label and a milestone, in one file if the GitLab that
// pretends to have made it is older than 13.0. The same arguments always give the same bytes, and
// they cannot be compressed further. NewArchive panics if size is less than
// MinArchiveSize, or less than what the options need.
func NewArchive(size int64, opts ...ArchiveOption) *Archive {
	spec := archiveSpec{seed: 1, formatVersion: "0.2.4", gitlabVersion: "18.9.0", uploads: 1}
	for _, opt := range opts {
		opt(&spec)
	}
	noise := newNoise(spec.seed)
	smallest := layOut(spec, noise, 0).size

	size -= gzipHeaderLen + gzipTrailerLen
	tarSize, blocks := storedBlocks(size)
	if tarSize < smallest || size < MinArchiveSize-gzipHeaderLen-gzipTrailerLen {
		panic(fmt.Sprintf("portertest: NewArchive: %d bytes are too few for this archive", size+gzipHeaderLen+gzipTrailerLen))
	}
	g := newGzipFile(layOut(spec, noise, tarSize-smallest), blocks)
	return newArchive(g, g.size, nil)
}

const (
	gzipHeaderLen  = 10
	gzipTrailerLen = 8
	storedHeadLen  = 5
	storedMax      = 65535 // bytes in one stored block of deflate
	tarBlock       = 512
)

// storedBlocks divides size bytes into a tar file and the headers of the stored
// blocks that carry it. A tar file has whole blocks of 512 bytes, so it is the
// number of stored blocks, more than needed, that makes every size possible.
func storedBlocks(size int64) (tarSize, blocks int64) {
	tarSize = (size - size/(storedMax+storedHeadLen)*storedHeadLen) / tarBlock * tarBlock
	for ; tarSize > 0; tarSize -= tarBlock {
		rest := size - tarSize
		blocks = rest / storedHeadLen
		if rest%storedHeadLen == 0 && blocks*storedMax >= tarSize {
			return tarSize, blocks
		}
	}
	return 0, 0
}

// A gzipFile is src in gzip's format, uncompressed, computed as it is read.
type gzipFile struct {
	src    *segments
	blocks int64
	len    int64 // of a short block; the first long blocks have one byte more
	long   int64
	size   int64
	crc    func() uint32
}

func newGzipFile(src *segments, blocks int64) *gzipFile {
	return &gzipFile{
		src:    src,
		blocks: blocks,
		len:    src.size / blocks,
		long:   src.size % blocks,
		size:   gzipHeaderLen + blocks*storedHeadLen + src.size + gzipTrailerLen,
		crc: sync.OnceValue(func() uint32 {
			h := crc32.NewIEEE()
			io.Copy(h, io.NewSectionReader(src, 0, src.size))
			return h.Sum32()
		}),
	}
}

// block returns the number of the stored block at off, which counts from the
// end of the gzip header, and where it starts.
func (g *gzipFile) block(off int64) (i, start int64) {
	long := g.len + 1 + storedHeadLen
	if off < g.long*long {
		i = off / long
	} else {
		i = g.long + (off-g.long*long)/(long-1)
	}
	return i, i*(long-1) + min(i, g.long)
}

func (g *gzipFile) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("portertest: read archive at negative offset %d", off)
	}
	trailer := g.size - gzipTrailerLen
	for n < len(p) && off < g.size {
		var piece int
		switch {
		case off < gzipHeaderLen:
			head := [gzipHeaderLen]byte{0x1f, 0x8b, 8, 9: 3} // deflated, made on Unix
			piece = copy(p[n:], head[off:])
		case off >= trailer:
			var tail [gzipTrailerLen]byte
			binary.LittleEndian.PutUint32(tail[:], g.crc())
			binary.LittleEndian.PutUint32(tail[4:], uint32(g.src.size))
			piece = copy(p[n:], tail[off-trailer:])
		default:
			piece = g.readBlock(p[n:], off-gzipHeaderLen)
		}
		n += piece
		off += int64(piece)
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (g *gzipFile) readBlock(p []byte, off int64) int {
	i, start := g.block(off)
	length := g.len
	if i < g.long {
		length++
	}
	off -= start
	if off < storedHeadLen {
		return copy(p, storedHead(length, i == g.blocks-1)[off:])
	}
	off -= storedHeadLen
	p = p[:min(int64(len(p)), length-off)]
	n, _ := g.src.ReadAt(p, i*g.len+min(i, g.long)+off)
	return n
}

// storedHead is what stands before a stored block.
func storedHead(length int64, last bool) []byte {
	head := make([]byte, 1, storedHeadLen)
	if last {
		head[0] = 1
	}
	head = binary.LittleEndian.AppendUint16(head, uint16(length))
	return binary.LittleEndian.AppendUint16(head, ^uint16(length))
}

// segments is a sequence of readers one after the other.
type segments struct {
	list []segment
	size int64
}

type segment struct {
	start int64
	src   interface{ readAt(p []byte, off int64) int }
}

// addAll adds the segments of t.
func (s *segments) addAll(t *segments) {
	for i, seg := range t.list {
		end := t.size
		if i+1 < len(t.list) {
			end = t.list[i+1].start
		}
		s.add(seg.src, end-seg.start)
	}
}

func (s *segments) add(src interface{ readAt(p []byte, off int64) int }, size int64) {
	if size > 0 {
		s.list = append(s.list, segment{s.size, src})
		s.size += size
	}
}

func (s *segments) ReadAt(p []byte, off int64) (n int, err error) {
	i := sort.Search(len(s.list), func(i int) bool { return s.list[i].start > off }) - 1
	for ; n < len(p) && i < len(s.list); i++ {
		end := s.size
		if i+1 < len(s.list) {
			end = s.list[i+1].start
		}
		piece := p[n:min(int64(len(p)), int64(n)+max(end-off, 0))]
		for len(piece) > 0 {
			k := s.list[i].src.readAt(piece, off-s.list[i].start)
			piece = piece[k:]
			n += k
			off += int64(k)
		}
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

type literal []byte

func (l literal) readAt(p []byte, off int64) int { return copy(p, l[off:]) }

type zeros struct{}

func (zeros) readAt(p []byte, _ int64) int {
	clear(p)
	return len(p)
}

// noise is the sum of two random patterns whose lengths have no common divisor:
// it looks random to a compressor, comes round after 4 GiB only, and is cheap.
type noise struct {
	a, b []byte
	base int64 // where the noise is entered
}

func newNoise(seed int64) noise {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], uint64(seed))
	z := noise{a: make([]byte, 65521), b: make([]byte, 65519)}
	rng := rand.NewChaCha8(key)
	rng.Read(z.a)
	rng.Read(z.b)
	return z
}

func (z noise) from(base int64) noise {
	z.base = base
	return z
}

func (z noise) readAt(p []byte, off int64) int {
	off += z.base
	a, b := z.a[off%int64(len(z.a)):], z.b[off%int64(len(z.b)):]
	n := min(len(p), len(a), len(b))
	return subtle.XORBytes(p, a[:n], b[:n])
}

// layOut lays out the tar file of an export with spare bytes, a multiple of
// 512, of uploads and repository beyond the least.
func layOut(spec archiveSpec, noise noise, spare int64) *segments {
	key := [32]byte{31: 1}
	binary.LittleEndian.PutUint64(key[:], uint64(spec.seed))
	rng := rand.New(rand.NewChaCha8(key))
	hex := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "0123456789abcdef"[rng.IntN(16)]
		}
		return string(b)
	}
	s := new(segments)
	header := func(name string, size int64) {
		h := &tar.Header{
			Typeflag: tar.TypeReg,
			Name:     "./" + name,
			Size:     size,
			Mode:     0o644,
			Uid:      998,
			Gid:      998,
			Uname:    "git",
			Gname:    "git",
			ModTime:  time.Date(2024, 5, 1, 9, 41, 0, 0, time.UTC),
			Format:   tar.FormatGNU,
		}
		if name == "" || strings.HasSuffix(name, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o700
		}
		var b bytes.Buffer
		if err := tar.NewWriter(&b).WriteHeader(h); err != nil {
			panic(fmt.Sprintf("portertest: NewArchive: %v", err))
		}
		s.add(literal(b.Bytes()), int64(b.Len()))
	}
	file := func(name, content string) {
		header(name, int64(len(content)))
		s.add(literal(content), int64(len(content)))
		s.add(zeros{}, -s.size&(tarBlock-1))
	}
	// bulk adds a file of random bytes that takes up the given space.
	bulk := func(name, start string, space int64) {
		size := space - int64(rng.IntN(tarBlock-len(start)))
		header(name, size)
		s.add(literal(start), int64(len(start)))
		s.add(noise.from(s.size), size-int64(len(start)))
		s.add(zeros{}, -s.size&(tarBlock-1))
	}
	// bundle adds a git bundle that takes up the given space.
	bundle := func(name string, space int64) {
		b := newBundle(fmt.Sprintf("# Widget %s\n", hex(8)), noise.from(s.size), space)
		header(name, b.size)
		s.addAll(b)
		s.add(zeros{}, -s.size&(tarBlock-1))
	}

	header("", 0)
	file("VERSION", spec.formatVersion)
	file("GITLAB_VERSION", spec.gitlabVersion)
	file("GITLAB_REVISION", hex(11))
	records := newRecords(spec, hex)
	if spec.jsonTree() {
		file("project.json", records.document())
	} else {
		header("tree/", 0)
		file("tree/project.json", records.attributes+"\n")
		header("tree/project/", 0)
		for _, relation := range records.names() {
			file(path.Join("tree/project", relation+".ndjson"), records.lines(relation))
		}
		file("tree/project/snippets.ndjson", "")
	}
	file("lfs-objects.json", "{}")

	share := spare / int64(spec.uploads+4) / tarBlock * tarBlock
	header("uploads/", 0)
	for i := range spec.uploads {
		bulk(fmt.Sprintf("uploads/%s/screenshot-%d.png", hex(32), i+1), "\x89PNG\r\n\x1a\n", tarBlock+share)
		spare -= share
	}
	bundle("project.wiki.bundle", tarBlock)
	bundle("project.bundle", tarBlock+spare)

	s.add(zeros{}, 2*tarBlock)
	return s
}
