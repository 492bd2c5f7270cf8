package porter

import (
	"archive/tar"
	"fmt"
	"path"
	"strings"
)

// entry notes an entry and, if it is a file that GitLab reads, has it checked.
func (c *contents) entry(h *tar.Header) (entrySink, error) {
	c.info.Entries++
	if isSparse(h) {
		c.odd.note("sparse file", h.Name)
	}
	name, check := c.take(h)
	if check == nil {
		return nil, nil
	}
	return &checkedFile{c, name, check}, nil
}

// A checkedFile is one that is being checked.
type checkedFile struct {
	c     *contents
	name  string
	check fileCheck
}

func (f *checkedFile) write(p []byte) error {
	f.check.write(p)
	return nil
}

func (f *checkedFile) end() error {
	f.c.endFile(f.name, f.check)
	return nil
}

// unpackedName is the name that an entry is unpacked to.
func unpackedName(h *tar.Header) string { return strings.TrimPrefix(path.Clean("/"+h.Name), "/") }

// An entryKind is what an entry is to GNU tar and GitLab's importer.
type entryKind uint8

const (
	fileEntry entryKind = iota
	directoryEntry
	symlinkEntry
	pipeEntry
	globalEntry // a header for all entries after it
	labelEntry
	namelessEntry
	outsideEntry
	hardLinkEntry
	deviceEntry
	continuedEntry
)

// refusedEntries are the kinds that GitLab refuses, and why.
var refusedEntries = map[entryKind]string{
	namelessEntry:  "has no name",
	outsideEntry:   "leads out of the archive: its name holds ..",
	hardLinkEntry:  "is a hard link, which GitLab refuses",
	deviceEntry:    "is a device, which GitLab cannot make",
	continuedEntry: "is the rest of a file in another tar file",
}

func kindOf(h *tar.Header) entryKind {
	switch {
	case h.Typeflag == tar.TypeXGlobalHeader:
		return globalEntry
	case h.Typeflag == 'V':
		return labelEntry
	case h.Name == "":
		return namelessEntry
	case strings.Contains("/"+h.Name+"/", "/../"):
		return outsideEntry
	}
	switch h.Typeflag {
	case tar.TypeLink:
		return hardLinkEntry
	case tar.TypeChar, tar.TypeBlock:
		return deviceEntry
	case 'M':
		return continuedEntry
	case tar.TypeSymlink:
		return symlinkEntry
	case tar.TypeFifo:
		return pipeEntry
	case tar.TypeDir, 'D':
		return directoryEntry
	}
	if strings.HasSuffix(h.Name, "/") { // as old tars write directories
		return directoryEntry
	}
	return fileEntry
}

// take sorts an entry by its kind. It returns the name that it is unpacked to
// and what reads it, if it is a file.
func (c *contents) take(h *tar.Header) (name string, check fileCheck) {
	name = unpackedName(h)
	kind := kindOf(h)
	if rule := refusedEntries[kind]; rule != "" {
		c.refuse(h.Name, rule)
		return name, nil
	}
	if path.IsAbs(h.Name) && kind != globalEntry && kind != labelEntry {
		c.odd.note("absolute name", h.Name)
	}
	switch kind {
	case globalEntry:
		c.takeGlobal(h)
	case labelEntry:
		c.odd.note("volume label", h.Name)
	case symlinkEntry:
		c.odd.note("symbolic link, which GitLab leaves out", h.Name)
		c.removed(name)
	case pipeEntry:
		c.odd.note("named pipe, which GitLab leaves out", h.Name)
		c.removed(name)
	case directoryEntry:
		if h.Typeflag == 'D' {
			c.odd.note("directory of an incremental backup", h.Name)
		}
		c.directory(name)
	default:
		c.noteType(h)
		check = c.file(name, h.Size)
	}
	return name, check
}

func (c *contents) noteType(h *tar.Header) {
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
	default:
		c.odd.note(fmt.Sprintf("entry of type %q, unpacked as a file", h.Typeflag), h.Name)
	}
}

// takeGlobal looks at what a global header says of all entries after it.
// archive/tar does not go by it, but GNU tar does.
func (c *contents) takeGlobal(h *tar.Header) {
	c.odd.note("global header", "")
	for key := range h.PAXRecords {
		if key == "path" || key == "linkpath" || key == "size" || strings.HasPrefix(key, "GNU.sparse.") {
			c.refuse(h.Name, "gives all entries after it the same "+key)
		}
	}
}
