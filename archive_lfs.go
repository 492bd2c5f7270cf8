package porter

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
)

// maxLFSListed is how many LFS objects are compared with lfs-objects.json. Of
// an archive with more, each is still compared with its name.
const maxLFSListed = 8 << 10

// An lfsCheck reads an LFS object, whose name must be its SHA-256.
type lfsCheck struct {
	name string
	hash hash.Hash
	set  *lfsSet
}

func (l *lfsCheck) write(p []byte) { l.hash.Write(p) }

func (l *lfsCheck) end() string {
	sum := lfsID(l.hash.Sum(nil))
	if got := hex.EncodeToString(sum[:]); got != l.name {
		return "is not the LFS object that its name says: its SHA-256 is " + got
	}
	l.set.add(sum)
	return ""
}

type lfsID [sha256.Size]byte

// An lfsSet is a set of LFS objects, up to maxLFSListed.
type lfsSet struct {
	ids  map[lfsID]struct{}
	full bool // there may be more
}

func (s *lfsSet) add(id lfsID) {
	if len(s.ids) >= maxLFSListed {
		s.full = true
		return
	}
	if s.ids == nil {
		s.ids = map[lfsID]struct{}{}
	}
	s.ids[id] = struct{}{}
}

// missingIn returns how many objects of s are not in list, if that can be
// known, and the first of them.
func (s *lfsSet) missingIn(list *lfsSet) (first string, n int) {
	if s.full || list.full {
		return "", 0
	}
	for id := range s.ids {
		if _, ok := list.ids[id]; !ok {
			if name := hex.EncodeToString(id[:]); n == 0 || name < first {
				first = name
			}
			n++
		}
	}
	return first, n
}

// An lfsList is the objects that lfs-objects.json lists.
type lfsList struct {
	lfsSet
	id    lfsID
	valid bool
	any   bool // it lists anything: GitLab takes an empty list for none
}

func (l *lfsList) key(depth int, text []byte) {
	if depth == 1 {
		l.any = true
		n, err := hex.Decode(l.id[:], text[:min(len(text), 2*len(l.id))])
		l.valid = err == nil && n == len(l.id) && len(text) == 2*n
	}
}

func (l *lfsList) value(depth int, first byte, _ []byte) {
	if depth == 1 && l.valid && first == '[' {
		l.add(l.id)
	}
}

// An lfsListCheck reads lfs-objects.json.
type lfsListCheck struct {
	*documentCheck
	list *lfsList
}

func newLFSListCheck() *lfsListCheck {
	list := new(lfsList)
	return &lfsListCheck{newDocumentCheck(0, list), list}
}

// end takes what cannot be parsed for a list, for GitLab tries to read it.
func (l *lfsListCheck) end() string {
	problem := l.documentCheck.end()
	l.list.any = l.list.any || problem != ""
	return problem
}
