package porter

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
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

// FuzzJSONScanner compares the scanner with encoding/json, in two pieces of
// any length.
func FuzzJSONScanner(f *testing.F) {
	for _, doc := range []string{`{"a":[1,-2.5e+3,true,false,null,"x\u00e9\\\""]}`, "", " ", "[]", "1", `"`,
		"{\"long enough for eight\": \"\x1f\"}", "\xff", "nul"} {
		f.Add([]byte(doc), len(doc)/2)
	}
	f.Fuzz(func(t *testing.T, doc []byte, cut int) {
		cut = max(0, min(cut, len(doc)))
		var s jsonScanner
		s.reset()
		problem := s.write(doc[:cut])
		if problem == "" {
			problem = s.write(doc[cut:])
		}
		if problem == "" {
			problem = s.end()
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
	})
}
