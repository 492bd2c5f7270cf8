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

// take sorts an entry by its kind, as GNU tar and GitLab's importer do. It
// returns the name that it is unpacked to and what reads it, if it is a file.
func (c *contents) take(h *tar.Header) (name string, check fileCheck) {
	name = unpackedName(h)
	switch {
	case h.Typeflag == tar.TypeXGlobalHeader:
		c.takeGlobal(h)
		return name, nil
	case h.Typeflag == 'V':
		c.odd.note("volume label", h.Name)
		return name, nil
	case h.Name == "":
		c.refuse(h.Name, "has no name")
		return name, nil
	case strings.Contains("/"+h.Name+"/", "/../"):
		c.refuse(h.Name, "leads out of the archive: its name holds ..")
		return name, nil
	}
	switch h.Typeflag {
	case tar.TypeLink:
		c.refuse(h.Name, "is a hard link, which GitLab refuses")
		return name, nil
	case tar.TypeChar, tar.TypeBlock:
		c.refuse(h.Name, "is a device, which GitLab cannot make")
		return name, nil
	case 'M':
		c.refuse(h.Name, "is the rest of a file in another tar file")
		return name, nil
	}
	if path.IsAbs(h.Name) {
		c.odd.note("absolute name", h.Name)
	}
	switch h.Typeflag {
	case tar.TypeSymlink:
		c.odd.note("symbolic link, which GitLab leaves out", h.Name)
		c.removed(name)
		return name, nil
	case tar.TypeFifo:
		c.odd.note("named pipe, which GitLab leaves out", h.Name)
		c.removed(name)
		return name, nil
	case tar.TypeDir:
		c.directory(name)
		return name, nil
	case 'D':
		c.odd.note("directory of an incremental backup", h.Name)
		c.directory(name)
		return name, nil
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
	default:
		c.odd.note(fmt.Sprintf("entry of type %q, unpacked as a file", h.Typeflag), h.Name)
	}
	if strings.HasSuffix(h.Name, "/") { // as old tars write directories
		c.directory(name)
		return name, nil
	}
	return name, c.file(name, h.Size)
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
