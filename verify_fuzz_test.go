package porter

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed-5d77b939/porter/portertest"
)

// FuzzVerifyArchive holds VerifyArchive to its word: it always ends, with
// little memory, in one of its three errors or in a verdict that bears out.
func FuzzVerifyArchive(f *testing.F) {
	contents := tarOf(f, exportHeaders()...)
	archive := gzipOf(f, contents)
	f.Add(archive, false)
	f.Add(archive[:len(archive)/2], false)
	f.Add(append(bytes.Clone(archive), archive...), false)
	f.Add([]byte(`{"message":"404 Not Found"}`), false)
	f.Add([]byte{}, false)
	f.Add(contents, true)
	f.Add(contents[:1500], true)
	f.Add(paxSparse(), true)
	f.Add(tarOf(f, append(exportHeaders(), tar.Header{Name: "tree/project/issues.ndjson", Linkname: "{}\n{\"a\":[]}\n"},
		tar.Header{Name: "lfs-objects.json", Linkname: "{}"}, tar.Header{Name: "lfs-objects/a", Linkname: "x"})...), true)
	f.Add(rawHeader('S', func(b []byte) { b[482] = 1 }), true)

	// pack says that b is the contents of the gzip file and not the file, so
	// that fuzzing reaches the tar file behind the checksum.
	f.Fuzz(func(t *testing.T, b []byte, pack bool) {
		archive := b
		if pack {
			archive = gzipOf(t, b)
		}
		var info *ArchiveInfo
		var err error
		if got := allocated(func() { info, err = VerifyArchive(bytes.NewReader(archive)) }); got > 32<<20 {
			t.Errorf("%d bytes allocated for %d", got, len(archive))
		}
		if err != nil {
			if !errors.Is(err, ErrArchiveDamaged) && !errors.Is(err, ErrNotArchive) && !errors.Is(err, ErrUnimportable) {
				t.Errorf("error %v is none of ErrArchiveDamaged, ErrNotArchive and ErrUnimportable", err)
			}
			if info != nil || len(err.Error()) > 600 {
				t.Errorf("got info %v and an error of %d bytes", info, len(err.Error()))
			}
			return
		}
		unpacked, err := gunzip(archive)
		if err != nil || int64(len(unpacked)) != info.Bytes {
			t.Errorf("verified as %d bytes, but unpacks to %d with error %v", info.Bytes, len(unpacked), err)
		}
		if info.FormatVersion == "" || info.Entries < 2 {
			t.Errorf("got %+v", info)
		}
		err = portertest.CheckArchive(bytes.NewReader(archive))
		if err != nil && (info.Tree == TreeNDJSON || err.Error() != "invalid import format" && info.FormatVersion == "0.2.4") {
			t.Errorf("verified, but GitLab says %v", err)
		}
	})
}

// FuzzJSONScanner compares the scanner with encoding/json, and what it tells when it
// gets the document whole, in two pieces of any length, and byte by byte.
func FuzzJSONScanner(f *testing.F) {
	for _, doc := range []string{`{"a":[1,-2.5e+3,true,false,null,"x\u00e9\\\""]}`, "", " ", "[]", "1", `"`,
		"{\"long enough for eight\": \"\x1f\"}", "\xff", "nul", `{"iid":10,"title":"\n\u003cb\u003e","a":["b",7,null],"c":true,"d":false}`,
		`{"a":"\u00g0"}`, `{"a":"\x"}`, `{"a":012}`, `{"a":1.5,"b":12e3,"c":-1}`, `{"a" :1 ,"b": "c" , "d" : null }`, `[nulll,truE]`,
		fmt.Sprintf(`{"%0*d":"%0*d","n":1%0*d}`, maxJSONText+9, 0, maxJSONText, 0, maxJSONText+1, 0)} {
		f.Add([]byte(doc), len(doc)/2)
	}
	f.Fuzz(func(t *testing.T, doc []byte, cut int) {
		cut = max(0, min(cut, len(doc)))
		var told [3]toldJSON
		problem := told[0].scan(doc)
		two := told[1].scan(doc[:cut], doc[cut:])
		bytewise := told[2].scan(split(doc)...)
		if problem != two || problem != bytewise {
			t.Errorf("%q: %q whole, %q in two pieces, %q byte by byte", doc, problem, two, bytewise)
		}
		if !slices.Equal(told[0].calls, told[1].calls) || !slices.Equal(told[0].calls, told[2].calls) {
			t.Errorf("%q tells\n%q whole,\n%q in two pieces,\n%q byte by byte", doc, told[0].calls, told[1].calls, told[2].calls)
		}
		valid := json.Valid(doc)
		if strings.HasPrefix(problem, "nested deeper") {
			if bytes.Count(doc, []byte("["))+bytes.Count(doc, []byte("{")) <= maxJSONDepth {
				t.Errorf("%q: %s", doc, problem)
			}
			return
		}
		if (problem == "") != valid {
			t.Errorf("%q: %q, but encoding/json says %v", doc, problem, valid)
		}
		if want := tokens(doc); valid && !slices.Equal(told[0].calls, want) {
			t.Errorf("%q tells\n%q\nand encoding/json\n%q", doc, told[0].calls, want)
		}
	})
}

// split returns the bytes of b, each by itself.
func split(b []byte) (pieces [][]byte) {
	for i := range b {
		pieces = append(pieces, b[i:i+1])
	}
	return pieces
}

// A toldJSON notes what a scanner tells.
type toldJSON struct{ calls []string }

func (s *toldJSON) scan(pieces ...[]byte) (problem string) {
	scan := jsonScanner{sink: s}
	scan.reset()
	for _, p := range pieces {
		if problem = scan.write(p); problem != "" {
			return problem
		}
	}
	return scan.end()
}

func (s *toldJSON) key(depth int, text []byte) { s.note("key", depth, '"', string(text)) }

func (s *toldJSON) value(depth int, first byte, text []byte) {
	s.note("value", depth, first, string(text))
}

func (s *toldJSON) note(what string, depth int, first byte, text string) {
	if len(text) < maxJSONText && first == '"' { // else it was cut, perhaps in an escape
		text = jsonText([]byte(text))
	}
	s.calls = append(s.calls, fmt.Sprintf("%s %d %c %s", what, depth, first, text))
}

// tokens returns what a scanner has to tell of a document, by encoding/json. Of long
// strings it leaves out the text.
func tokens(doc []byte) []string {
	var told toldJSON
	raw := &rawStrings{doc: doc}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var objects []bool // which of those around are objects
	isKey := false     // what comes next is one
	for {
		tok, err := d.Token()
		if err != nil {
			return told.calls
		}
		depth := len(objects)
		what := "value"
		if isKey {
			what = "key"
		}
		switch tok := tok.(type) {
		case json.Delim:
			if tok == '}' || tok == ']' {
				objects, what = objects[:depth-1], "value"
				break
			}
			told.note(what, depth, byte(tok), "")
			objects = append(objects, tok == '{')
			isKey = tok == '{'
			continue
		case string:
			told.note(what, depth, '"', raw.next())
		case json.Number:
			s := tok.String()
			told.note(what, depth, s[0], s[:min(len(s), maxJSONText)])
		case bool:
			s := fmt.Sprint(tok)
			told.note(what, depth, s[0], s)
		case nil:
			told.note(what, depth, 'n', "null")
		}
		isKey = len(objects) > 0 && objects[len(objects)-1] && what == "value"
	}
}

// rawStrings finds the strings of a valid document as they are written.
type rawStrings struct{ doc []byte }

func (r *rawStrings) next() string {
	doc := r.doc[bytes.IndexByte(r.doc, '"')+1:]
	n := 0
	for ; doc[n] != '"'; n++ {
		if doc[n] == '\\' {
			n++
		}
	}
	r.doc = doc[n+1:]
	return string(doc[:min(n, maxJSONText)])
}
