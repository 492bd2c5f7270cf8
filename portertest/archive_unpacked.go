package portertest

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// unpackedFiles is what an unpacked archive leaves on disk, as far as the
// importer looks at it. Symbolic links and pipes are removed.
type unpackedFiles struct {
	files    map[string]*unpackedFile
	links    map[string]bool // what is unpacked below one is elsewhere
	tree     bool
	hardLink bool
	holds    *contents // what the project in them holds
}

// An unpackedFile is a file that the importer reads.
type unpackedFile struct {
	dir     bool
	text    string // of VERSION
	problem error  // what the importer says when it comes to the file
	sum     string // of an LFS object
	listed  map[string]any
}

func newUnpackedFiles() *unpackedFiles {
	return &unpackedFiles{files: map[string]*unpackedFile{}, links: map[string]bool{}, holds: newContents()}
}

// add unpacks an entry.
func (d *unpackedFiles) add(h *tar.Header, r io.Reader) error {
	name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
	switch {
	case h.Typeflag == tar.TypeXGlobalHeader, h.Typeflag == 'V':
		return nil
	case h.Name == "":
		return errNoName
	case slices.Contains(strings.Split(h.Name, "/"), ".."):
		return errDotDot
	case d.belowLink(name):
		return nil
	}
	switch h.Typeflag {
	case tar.TypeLink:
		d.hardLink = true
		return nil
	case tar.TypeChar, tar.TypeBlock:
		return errDevice
	case 'M':
		return errMultiVolume
	case tar.TypeSymlink:
		d.links[name] = true
		delete(d.files, name)
		return nil
	case tar.TypeFifo:
		delete(d.files, name)
		return nil
	}
	delete(d.links, name)
	d.tree = d.tree || strings.HasPrefix(name, "tree/")
	if h.Typeflag == tar.TypeDir || h.Typeflag == 'D' || strings.HasSuffix(h.Name, "/") {
		d.tree = d.tree || name == "tree"
		d.files[name] = &unpackedFile{dir: true, problem: errIsDirectory}
		return nil
	}
	delete(d.files, name)
	f := new(unpackedFile)
	if f.read(name, r, d.holds) {
		d.files[name] = f
	}
	return nil
}

func (d *unpackedFiles) belowLink(name string) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if d.links[dir] {
			return true
		}
	}
	return false
}

const (
	maxDocument = 50 << 20 // that the importer parses
	maxVersion  = 4 << 10  // of VERSION that is read
	maxListing  = 64 << 20 // of lfs-objects.json
	maxNesting  = 100
)

// read reads a file, if the importer does, and adds to holds what it says that
// the project holds.
func (f *unpackedFile) read(name string, r io.Reader, holds *contents) bool {
	dir, base := path.Split(name)
	switch {
	case name == "VERSION":
		b, err := io.ReadAll(io.LimitReader(r, maxVersion))
		f.text = string(b)
		return err == nil
	case name == "tree/project.json":
		b, _ := io.ReadAll(io.LimitReader(r, maxDocument))
		f.parse(b)
		holds.takeAttributes(b)
	case name == "project.json":
		f.parseStream(io.TeeReader(r, holds.document()))
	case dir == "tree/project/" && slices.Contains(importOrder, strings.TrimSuffix(base, ".ndjson")) && path.Ext(base) == ".ndjson":
		f.parseLines(r, func(line []byte) { holds.takeLine(strings.TrimSuffix(base, ".ndjson"), line) })
	case name == "lfs-objects.json":
		b, _ := io.ReadAll(io.LimitReader(r, maxListing))
		f.parse(b)
		json.Unmarshal(b, &f.listed)
	case dir == "" && slices.Contains([]string{"project.bundle", "project.wiki.bundle", "project.design.bundle"}, base),
		dir == "snippets/" && path.Ext(base) == ".bundle" && base[0] != '.':
		f.problem = checkBundle(bufio.NewReader(r), func(sha, ref string) {
			if name == "project.bundle" {
				holds.takeRef(sha, ref)
			}
		})
	case dir == "lfs-objects/" && base[0] != '.':
		h := sha256.New()
		io.Copy(h, r)
		f.sum = hex.EncodeToString(h.Sum(nil))
	default:
		return false
	}
	return true
}

func (f *unpackedFile) parse(b []byte) {
	if !json.Valid(b) || nesting(b) > maxNesting {
		f.problem = errJSON
	}
}

// parseStream parses a document of any length.
func (f *unpackedFile) parseStream(r io.Reader) {
	dec := json.NewDecoder(r)
	depth, deepest := 0, 0
	for n := 0; ; n++ {
		t, err := dec.Token()
		if err == io.EOF && n > 0 && depth == 0 && deepest <= maxNesting {
			return
		}
		if err != nil || n > 0 && depth == 0 {
			f.problem = errJSON
			return
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
			deepest = max(deepest, depth)
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
}

// parseLines parses each line, or, if it is longer than maxDocument, the pieces
// that it is cut into.
func (f *unpackedFile) parseLines(r io.Reader, take func([]byte)) {
	in := bufio.NewReaderSize(r, 64<<10)
	var line bytes.Buffer
	for {
		piece, err := in.ReadSlice('\n')
		for room := maxDocument - line.Len(); len(piece) >= room; room = maxDocument {
			line.Write(piece[:room])
			f.parse(line.Bytes())
			line.Reset()
			if piece = piece[room:]; f.problem != nil {
				return
			}
		}
		line.Write(piece)
		if line.Len() > 0 && err != bufio.ErrBufferFull {
			f.parse(line.Bytes())
			take(line.Bytes())
			line.Reset()
		}
		if f.problem != nil || err != nil && err != bufio.ErrBufferFull {
			return
		}
	}
}

// nesting is how deep the values of a valid document are nested.
func nesting(b []byte) (deepest int) {
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{', c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}', c == ']':
			depth--
		}
	}
	return deepest
}

// checkBundle checks a bundle as the importer does and then git.
func checkBundle(r *bufio.Reader, ref func(sha, name string)) error {
	first, _ := r.Peek(16)
	if string(first) != "# v2 git bundle\n" && string(first) != "# v3 git bundle\n" {
		return errBundle
	}
	r.Discard(len(first))
	sum := sha1.New()
	digits := 40
	for {
		line, err := r.ReadSlice('\n') // which takes no line of more than 4 KiB
		if err != nil {
			return errClone
		}
		if len(line) == 1 {
			break
		}
		id, name, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
		switch {
		case string(line) == "@object-format=sha256\n":
			sum, digits = sha256.New(), 64
		case line[0] == '@':
		case len(id) != digits || strings.Trim(id, "0123456789abcdefABCDEF") != "":
			return errClone // a commit that must be there already, or no reference
		default:
			ref(id, name)
		}
	}
	if magic, _ := r.Peek(4); string(magic) != "PACK" || !endsInItsSum(r, sum) {
		return errClone
	}
	return nil
}

// endsInItsSum reports whether what r holds ends in the sum of all before.
func endsInItsSum(r io.Reader, sum hash.Hash) bool {
	n := sum.Size()
	window := make([]byte, 32<<10)
	have := 0
	for {
		k, err := r.Read(window[have:])
		have += k
		if over := have - n; over > 0 {
			sum.Write(window[:over])
			have = copy(window, window[over:have])
		}
		if err != nil {
			return err == io.EOF && bytes.Equal(window[:have], sum.Sum(nil))
		}
	}
}

// importOrder is the relations in the order in which the importer reads them.
var importOrder = []string{
	membersOfAll, "labels", "milestones", "issues", "snippets", "releases", "merge_requests", "external_pull_requests",
	"commit_notes", "ci_pipelines", "auto_devops", "pipeline_schedules", "container_expiration_policy", "protected_branches",
	"protected_tags", "project_feature", "custom_attributes", "project_badges", "ci_cd_settings", "error_tracking_setting",
	"boards", "service_desk_setting", "user_contributions",
	"protected_environments", "security_setting", "push_rule", "approval_rules", "vulnerabilities",
}

// check imports what was unpacked, in the importer's order, and returns what
// ends the import.
func (d *unpackedFiles) check() error {
	if err := checkVersion(d.files["VERSION"]); err != nil {
		return err
	}
	names := []string{"project.bundle", "project.wiki.bundle"}
	if d.tree {
		names = append(names, "tree/project.json")
		for _, relation := range importOrder {
			names = append(names, "tree/project/"+relation+".ndjson")
		}
	}
	for _, name := range names {
		switch f := d.files[name]; {
		case f != nil && f.problem != nil:
			return f.problem
		case f == nil && name == "tree/project.json":
			return errInvalidFile
		}
	}
	if !d.tree {
		if f := d.files["project.json"]; f != nil {
			return jsonTreeError{errImportFormat, f.problem != nil}
		}
		return errImportFormat
	}
	if f := d.files["project.design.bundle"]; f != nil && f.problem != nil {
		return f.problem
	}
	if err := d.checkLFS(); err != nil {
		return err
	}
	for name, f := range d.files {
		if strings.HasPrefix(name, "snippets/") && !f.dir && f.problem != nil {
			return f.problem
		}
	}
	return nil
}

var (
	versionNumber = regexp.MustCompile(`(\d+)\.(\d+)\.(\d+)`)
	importNumbers = []int{0, 2, 4}
)

func checkVersion(f *unpackedFile) error {
	switch {
	case f == nil:
		return errNoVersion
	case f.dir:
		return f.problem
	case f.text == "":
		return errVersionEmpty
	}
	line, _, more := strings.Cut(f.text, "\n")
	if more {
		line += "\n"
	}
	if !utf8.ValidString(line) {
		return errVersionFormat
	}
	var numbers []int
	if utf8.RuneCountInString(line) <= 128 {
		for _, digits := range versionNumber.FindStringSubmatch(line) {
			if n, err := strconv.Atoi(digits); err == nil {
				numbers = append(numbers, n)
			}
		}
	}
	if !slices.Equal(numbers, importNumbers) {
		return formatMismatch{importFormat, line}
	}
	return nil
}

// checkLFS looks up each LFS object in the list, if there is one.
func (d *unpackedFiles) checkLFS() error {
	list := d.files["lfs-objects.json"]
	for name, f := range d.files {
		if !strings.HasPrefix(name, "lfs-objects/") || f.dir || list == nil {
			continue
		}
		if list.problem != nil {
			return list.problem
		}
		if types, ok := list.listed[f.sum].([]any); len(list.listed) > 0 && (!ok || types == nil) {
			return errLFS
		}
	}
	return nil
}
