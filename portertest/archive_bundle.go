package portertest

import (
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"hash/adler32"
	"io"
	"sync"
)

// A bundle is a git bundle of exactly the wanted size or a little less. It
// holds a branch with one commit of one file, and an object of random bytes
// that no commit refers to: so its first bytes, unlike its last, do not depend
// on all the others.
func newBundle(readme string, noise noise, space int64) *segments {
	const author = "Administrator <admin@example.com> 1714556460 +0000"
	blob := packObjectOf(packBlob, readme)
	tree := packObjectOf(packTree, "100644 README.md\x00"+string(blob.id[:]))
	commit := packObjectOf(packCommit, fmt.Sprintf("tree %x\nauthor %s\ncommitter %s\n\nInitial commit\n", tree.id, author, author))
	refs := fmt.Sprintf("# v2 git bundle\n%x refs/heads/main\n%[1]x HEAD\n\n", commit.id)
	pack := "PACK" + string(binary.BigEndian.AppendUint32(nil, 2)) + string(binary.BigEndian.AppendUint32(nil, 4)) +
		commit.data + tree.data + blob.data

	size := func(n int64) int64 {
		return int64(len(refs)+len(pack)+len(packHeader(packBlob, n))+len(zlibHeader)) + storedSize(n) + adler32.Size + sha1.Size
	}
	n := max(0, space-size(0)-storedSize(space)+space)
	for n > 0 && size(n) > space {
		n--
	}
	for size(n+1) <= space {
		n++
	}

	s := new(segments)
	add := func(text string) { s.add(literal(text), int64(len(text))) }
	add(refs)
	start := s.size
	add(pack + packHeader(packBlob, n) + zlibHeader)
	s.add(storedBlocksOf{noise, n}, storedSize(n))
	s.add(lazy(func() []byte {
		h := adler32.New()
		io.Copy(h, io.NewSectionReader(readerAt{noise}, 0, n))
		return h.Sum(nil)
	}), adler32.Size)
	end := s.size
	sum := func() []byte {
		h := sha1.New()
		io.Copy(h, io.NewSectionReader(s, start, end-start))
		return h.Sum(nil)
	}
	s.add(lazy(sum), sha1.Size)
	return s
}

// Types of objects in a pack.
const (
	packCommit = 1
	packTree   = 2
	packBlob   = 3
)

var packNames = map[byte]string{packCommit: "commit", packTree: "tree", packBlob: "blob"}

// zlibHeader starts a zlib stream with the smallest effort of compression.
const zlibHeader = "\x78\x01"

// A packObject is an object of git as it is in a pack.
type packObject struct {
	id   [sha1.Size]byte
	data string
}

func packObjectOf(kind byte, content string) packObject {
	n := int64(len(content))
	stored := make([]byte, storedSize(n))
	storedBlocksOf{literal(content), n}.readAt(stored, 0)
	return packObject{
		id: sha1.Sum(fmt.Appendf(nil, "%s %d\x00%s", packNames[kind], n, content)),
		data: packHeader(kind, n) + zlibHeader + string(stored) +
			string(binary.BigEndian.AppendUint32(nil, adler32.Checksum([]byte(content)))),
	}
}

// packHeader is what stands before an object of n bytes.
func packHeader(kind byte, n int64) string {
	b := []byte{kind<<4 | byte(n&15)}
	for n >>= 4; n > 0; n >>= 7 {
		b[len(b)-1] |= 0x80
		b = append(b, byte(n&127))
	}
	return string(b)
}

// storedBlocksOf is src as the stored blocks of deflate.
type storedBlocksOf struct {
	src  interface{ readAt(p []byte, off int64) int }
	size int64
}

func storedSize(n int64) int64 {
	return n + storedHeadLen*max(1, (n+storedMax-1)/storedMax)
}

func (b storedBlocksOf) readAt(p []byte, off int64) (n int) {
	for total := storedSize(b.size); n < len(p) && off < total; {
		i, at := off/(storedMax+storedHeadLen), off%(storedMax+storedHeadLen)
		length := min(storedMax, b.size-i*storedMax)
		var k int
		if at < storedHeadLen {
			k = copy(p[n:], storedHead(length, (i+1)*storedMax >= b.size)[at:])
		} else {
			at -= storedHeadLen
			k = b.src.readAt(p[n:n+int(min(int64(len(p)-n), length-at))], i*storedMax+at)
		}
		n += k
		off += int64(k)
	}
	return n
}

// lazy is bytes that are computed when they are first read.
func lazy(compute func() []byte) lazyBytes { return lazyBytes{sync.OnceValue(compute)} }

type lazyBytes struct{ get func() []byte }

func (l lazyBytes) readAt(p []byte, off int64) int { return copy(p, l.get()[off:]) }

// readerAt reads what is endless.
type readerAt struct{ noise }

func (r readerAt) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		n += r.readAt(p[n:], off+int64(n))
	}
	return n, nil
}
