package porter

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"hash"
)

// maxBundleLine is the most that one line of a bundle's header may hold.
const maxBundleLine = 8 << 10

// A bundleCheck reads a git bundle: lines of references, an empty line, and a
// pack that ends in its own hash.
type bundleCheck struct {
	line    []byte // of the header, as far as it has come
	lines   int
	inPack  bool
	size    int    // bytes of an object's hash
	magic   []byte // "PACK", as far as it has come
	hash    hash.Hash
	tail    []byte // what may be the hash at the end
	problem string
}

func newBundleCheck() *bundleCheck { return &bundleCheck{size: sha1.Size} }

const packMagic = "PACK"

func (b *bundleCheck) write(p []byte) {
	for b.problem == "" && !b.inPack && len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		piece := p
		if i >= 0 {
			piece = p[:i]
		}
		if len(b.line)+len(piece) > maxBundleLine {
			b.problem = b.lineProblem("has a line of more than 8 KiB in its header")
			return
		}
		b.line = append(b.line, piece...)
		if i < 0 {
			return
		}
		b.endLine()
		p = p[i+1:]
	}
	if b.problem == "" && b.inPack {
		b.writePack(p)
	}
}

// lineProblem returns problem, or that the first line is wrong if that is the one.
func (b *bundleCheck) lineProblem(problem string) string {
	if b.lines == 0 {
		return "is no git bundle: its first line is not that of git"
	}
	return problem
}

func (b *bundleCheck) endLine() {
	line := string(b.line)
	b.line = b.line[:0]
	switch {
	case b.lines == 0 && line != "# v2 git bundle" && line != "# v3 git bundle":
		b.problem = b.lineProblem("")
	case b.lines == 0:
	case line == "":
		b.beginPack()
	case line == "@object-format=sha256":
		b.size = sha256.Size
	case line[0] == '@':
	case line[0] == '-':
		b.problem = "needs commits that are not in it"
	default:
		if n := 2 * b.size; len(line) < n+2 || line[n] != ' ' || !isHex(line[:n]) {
			b.problem = "has a malformed reference " + quote(line)
		}
	}
	b.lines++
}

func isHex(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil
}

func (b *bundleCheck) beginPack() {
	b.inPack = true
	b.hash = sha1.New()
	if b.size == sha256.Size {
		b.hash = sha256.New()
	}
}

// writePack hashes all but what may be the hash at the end.
func (b *bundleCheck) writePack(p []byte) {
	if n := len(packMagic) - len(b.magic); n > 0 {
		b.magic = append(b.magic, p[:min(n, len(p))]...)
	}
	if len(p) >= b.size {
		b.hash.Write(b.tail)
		b.hash.Write(p[:len(p)-b.size])
		b.tail = append(b.tail[:0], p[len(p)-b.size:]...)
		return
	}
	b.tail = append(b.tail, p...)
	if over := len(b.tail) - b.size; over > 0 {
		b.hash.Write(b.tail[:over])
		b.tail = append(b.tail[:0], b.tail[over:]...)
	}
}

func (b *bundleCheck) end() string {
	switch {
	case b.problem != "":
	case !b.inPack:
		b.problem = b.lineProblem("ends before its pack")
	case string(b.magic) != packMagic:
		b.problem = "has no pack"
	case !bytes.Equal(b.hash.Sum(nil), b.tail):
		b.problem = "is cut short or damaged: its pack does not end in its own hash"
	}
	return b.problem
}
