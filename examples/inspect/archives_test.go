package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed-5d77b939/porter/portertest"
)

// generated is an archive as GitLab makes it.
func generated(opts ...portertest.ArchiveOption) []byte {
	b, err := io.ReadAll(portertest.NewArchive(100<<10, opts...).NewReader())
	if err != nil {
		panic(err)
	}
	return b
}

// An entry is a file of an archive, or, without a text, a link.
type entry struct{ name, text string }

// with returns a generated archive with more entries, in place of those of the
// same name.
func with(t *testing.T, more ...entry) []byte {
	t.Helper()
	in, err := gzip.NewReader(bytes.NewReader(generated()))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(more, func(e entry) bool { return path.Clean(e.name) == path.Clean(h.Name) }) {
			continue
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, r); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range more {
		h := &tar.Header{Name: e.name, Size: int64(len(e.text)), Mode: 0o644}
		if e.text == "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, "VERSION"
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// terminal is text that does much to a terminal.
const terminal = "\x1b[2J\x1b]0;owned\x07\u009b1A\u202e\x7f\r\n\t\U000e0041"

// asJSON writes text as most programs would in JSON.
func asJSON(text string) string {
	var b strings.Builder
	for _, c := range text {
		if c < ' ' {
			fmt.Fprintf(&b, `\u%04x`, c)
		} else {
			b.WriteRune(c)
		}
	}
	return b.String()
}

// crowd are the members and issues of a project with many of them.
func crowd() []entry {
	var members, issues strings.Builder
	for id := 1; id <= 30; id++ {
		address := ""
		if id%10 == 0 {
			address = fmt.Sprintf("user%d@example.com", id)
		}
		fmt.Fprintf(&members, `{"access_level":%d,"user":{"id":%d,"username":"user%[2]d","public_email":"%s"}}`+"\n", 5*(id%11), id, address)
		for iid := range id {
			fmt.Fprintf(&issues, `{"iid":%d,"author_id":%d,"updated_by_id":99}`+"\n", 100*id+iid, id)
		}
	}
	return []entry{{"./tree/project/project_members.ndjson", members.String()}, {"./tree/project/issues.ndjson", issues.String()}}
}

// hostile are entries whose names and texts are meant for the terminal of
// whoever looks.
func hostile() []entry {
	return []entry{
		{"uploads/" + terminal, ""},
		{"GITLAB_VERSION", "18" + terminal},
		{"VERSION", "0.2.4" + strings.ReplaceAll(terminal, "\n", "")},
		{"tree/project/" + strings.Repeat("long_", 12) + ".ndjson", strings.Repeat("{}\n", 1<<20)},
		{"tree/project/project_members.ndjson", fmt.Sprintf(
			`{"access_level":1%s,"user":{"id":1,"username":"%s","public_email":"%s%s"}}`+"\n"+`{"user":{"id":2,"username":"%[2]s"}}`+"\n",
			strings.Repeat("0", 15), asJSON(terminal), strings.Repeat("x", 100), asJSON(terminal))},
		{"tree/project/labels.ndjson", terminal},
	}
}

// kinds are archives of which each stands for others.
func kinds(t *testing.T) []kind {
	fine := generated()
	return []kind{
		{name: "fine", archive: fine, verdict: importable},
		{name: "odd", archive: with(t, entry{"./uploads/link", ""}), verdict: importable, problems: []string{"symbolic link"}},
		{name: "zeros behind", archive: append(bytes.Clone(fine), 0), verdict: importable, problems: []string{"zeros after"}},
		{
			name: "json tree", archive: generated(portertest.ArchiveGitLabVersion("12.10.0")), verdict: olderOnly,
			problems: []string{"one file"},
		},
		{name: "both trees", archive: with(t, entry{"project.json", "{"}), verdict: importable},
		{name: "damaged", archive: fine[:len(fine)-9], verdict: unimportable, problems: []string{"archive damaged"}},
		{name: "byte behind", archive: append(bytes.Clone(fine), 'x'), verdict: unimportable, problems: []string{"archive damaged"}},
		{
			name: "other format", archive: generated(portertest.ArchiveFormatVersion("0.2.3")), verdict: unimportable,
			problems: []string{"0.2.3"},
		},
		{
			name: "unimportable", verdict: unimportable,
			archive: with(t, entry{"tree/project/issues.ndjson", "{}\n{\n{}\n[\n"}, entry{"./uploads/link", ""}, entry{"project.wiki.bundle", "x"}),
			problems: []string{"project.wiki.bundle: is no git bundle", "issues.ndjson: line 1 (counted from 0) is not JSON",
				"issues.ndjson: line 3 (counted from 0) is not JSON", "symbolic link"},
		},
		{name: "crowd", archive: with(t, crowd()...), verdict: importable},
		{
			name: "hostile", archive: with(t, hostile()...), verdict: unimportable,
			problems: []string{"labels.ndjson: line 0", "labels.ndjson: line 1", "symbolic link"},
		},
		{name: "page", archive: []byte("<html>"), verdict: unimportable, problems: []string{"not a project export"}},
		{name: "empty", archive: nil, verdict: unimportable, problems: []string{"it is empty"}},
	}
}

type kind struct {
	name     string
	archive  []byte
	verdict  verdict
	problems []string // parts of each, in order
}

// save writes the archive to a file.
func (k kind) save(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "app.tar.gz")
	if err := os.WriteFile(name, k.archive, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
