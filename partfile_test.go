package porter

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestOpenLocked(t *testing.T) {
	name := filepath.Join(t.TempDir(), "state")
	for range 2 { // closing the file unlocks it
		f, err := openLocked(name)
		if errors.Is(err, errLocked) {
			t.Skip("no locks here")
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := openLocked(name); !errors.Is(err, errLocked) {
			t.Errorf("locked twice: %v", err)
		}
		f.Close()
	}
	f, err := openLocked(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if os.Remove(name) != nil {
		t.Skip("an open file can't be removed here")
	}
	g, err := openLocked(name) // another file now
	if err != nil {
		t.Fatal(err)
	}
	g.Close()
}

func TestOpenLockedErrors(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{dir, filepath.Join(dir, "missing", "state"), "nul\x00"} {
		f, err := openLocked(name)
		if err == nil {
			f.Close()
		}
		if err == nil || errors.Is(err, errLocked) {
			t.Errorf("%q: error: %v", name, err)
		}
	}
}

func TestPartFileBesideAnother(t *testing.T) {
	target := filepath.Join(t.TempDir(), "a.gz")
	one, err := openPart(target)
	if err != nil {
		t.Fatal(err)
	}
	two, err := openPart(target)
	if err != nil {
		t.Fatal(err)
	}
	if two.state != nil || two.bytes.Name() == one.bytes.Name() {
		t.Errorf("both write %s", one.bytes.Name())
	}
	if off, v := two.resumable("x"); off != 0 || v != (validator{}) {
		t.Errorf("the second one continues at %d", off)
	}
	two.bytes.WriteString("second")
	two.leave()
	if _, err := os.Stat(two.bytes.Name()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it left its part: %v", err)
	}
	one.leave()
	left, err := os.ReadDir(filepath.Dir(target))
	if err != nil || len(left) > 0 {
		t.Errorf("left %v: %v", left, err)
	}
}

func TestPartFileState(t *testing.T) {
	target := filepath.Join(t.TempDir(), "a.gz")
	v := validator{ETag: `"v1"`, Modified: "Wed, 01 May 2024 09:41:00 GMT", Size: 10}
	p, err := openPart(target)
	if err != nil {
		t.Fatal(err)
	}
	if p.state == nil {
		t.Skip("no locks here")
	}
	long := v
	long.ETag = `"` + strings.Repeat("x", 1000) + `"`
	for _, v := range []validator{long, v} { // a shorter state leaves nothing of a longer one
		if err := p.begin("project", v); err != nil {
			t.Fatal(err)
		}
	}
	p.bytes.WriteString("\x1f\x8b345")
	p.leave()
	if err := checkPart(target); err != nil { // leaves it as it is
		t.Fatal(err)
	}

	for _, tt := range []struct {
		project string
		add     string
		off     int64
	}{{"project", "", 5}, {"other", "", 0}, {"project", "6789", 9}, {"project", "0", 9}, {"project", "more", 0}} {
		if p, err = openPart(target); err != nil {
			t.Fatal(err)
		}
		p.bytes.Seek(0, 2)
		p.bytes.WriteString(tt.add)
		off, got := p.resumable(tt.project)
		if off != tt.off || off > 0 && got != v {
			t.Errorf("%s after %q: continues %+v at %d, not %d", tt.project, tt.add, got, off, tt.off)
		}
		if tt.off > 0 || tt.project == "other" {
			p.leave()
		}
	}
	p.leave() // it is longer than the archive now
	if left, _ := os.ReadDir(filepath.Dir(target)); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestValidator(t *testing.T) {
	const date, later = "Wed, 01 May 2024 09:41:00 GMT", "Wed, 01 May 2024 09:42:00 GMT"
	v := func(etag, modified string, size int64) validator { return validator{etag, modified, size} }
	tests := []struct {
		name                  string
		a, b                  validator
		contradicts, confirms bool
	}{
		{"same ETag", v(`"1"`, "", -1), v(`"1"`, "", -1), false, true},
		{"same ETag, other date", v(`"1"`, date, 5), v(`"1"`, later, 5), false, true},
		{"same ETag, other size", v(`"1"`, "", 5), v(`"1"`, "", 6), true, false},
		{"other ETag, same date", v(`"1"`, date, 5), v(`"2"`, date, 5), true, false},
		{"same date and size", v("", date, 5), v("", date, 5), false, true},
		{"same date, one size", v("", date, 5), v("", date, -1), false, false},
		{"other date", v("", date, 5), v("", later, 5), true, false},
		{"other size", v("", date, 5), v("", date, 6), true, false},
		{"one ETag, same date and size", v(`"1"`, date, 5), v("", date, 5), false, true},
		{"size alone", v("", "", 5), v("", "", 5), false, false},
		{"nothing", v("", "", -1), v("", "", -1), false, false},
	}
	for _, tt := range tests {
		for _, pair := range [][2]validator{{tt.a, tt.b}, {tt.b, tt.a}} {
			if got := pair[0].contradicts(pair[1]); got != tt.contradicts {
				t.Errorf("%s: contradicts: %v", tt.name, got)
			}
			if got := pair[0].confirms(pair[1]); got != tt.confirms {
				t.Errorf("%s: confirms: %v", tt.name, got)
			}
		}
	}
}

func TestValidatorOf(t *testing.T) {
	const date = "Wed, 01 May 2024 09:41:00 GMT"
	tests := []struct {
		etag, modified string
		size           int64
		ifRange        string
		resumable      bool
	}{
		{`"v1"`, date, 5, `"v1"`, true},
		{`"v1"`, "", 5, `"v1"`, true},
		{`"v1"`, "", -1, `"v1"`, false},
		{`W/"v1"`, date, 5, date, true},
		{`W/"v1"`, "", 5, "", false},
		{`W/"v1"`, date, -1, "", false},
		{`""`, date, 5, date, true},
		{`v1`, "", 5, "", false},
		{`"v1`, "", 5, "", false},
		{"\"a\r\nb\"", "", 5, "", false},
		{`"a"b"`, "", 5, "", false},
		{"", "yesterday", 5, "", false},
		{"", date + "\r\nX: y", 5, "", false},
		{"", "", 5, "", false},
		{`"v1"`, date, 0, `"v1"`, false},
	}
	for _, tt := range tests {
		v := validatorOf(http.Header{"Etag": {tt.etag}, "Last-Modified": {tt.modified}}, tt.size)
		if got := v.ifRange(); got != tt.ifRange || v.resumable() != tt.resumable {
			t.Errorf("%q, %q, %d: If-Range %q, resumable %v", tt.etag, tt.modified, tt.size, got, v.resumable())
		}
	}
}

func TestContentRange(t *testing.T) {
	tests := []struct {
		value    string
		at, size int64
		ok       bool
	}{
		{"bytes 0-0/1", 0, 1, true},
		{"bytes 5-9/10", 5, 10, true},
		{"bytes 5-9/*", 5, -1, true},
		{"bytes 9000000000-9000000001/9000000002", 9000000000, 9000000002, true},
		{"", 0, 0, false},
		{"bytes", 0, 0, false},
		{"bytes */10", 0, 0, false},
		{"bytes 5-9", 0, 0, false},
		{"bytes -5-9/10", 0, 0, false},
		{"bytes 5-9/-10", 0, 0, false},
		{"bytes 5-9/ten", 0, 0, false},
		{"items 5-9/10", 0, 0, false},
		{"bytes 99999999999999999999-9/10", 0, 0, false},
	}
	for _, tt := range tests {
		at, size, ok := contentRange(&http.Response{Header: http.Header{"Content-Range": {tt.value}}})
		if at != tt.at || size != tt.size || ok != tt.ok {
			t.Errorf("%q: %d of %d, %v", tt.value, at, size, ok)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 5-9/10", "bytes 5-9/*", "bytes */10", "bytes -/", "bytes 5-9/10/11", "items 1-2/3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, size, ok := contentRange(&http.Response{Header: http.Header{"Content-Range": {s}}})
		if at < 0 || size < -1 || !ok && (at != 0 || size != 0) {
			t.Errorf("%q: %d of %d, %v", s, at, size, ok)
		}
	})
}

// dispositions are headers and the names they suggest.
var dispositions = map[string]string{
	`attachment; filename="2024-05-01_09-41-123_acme_tools_widget_export.tar.gz"; filename*=UTF-8''2024-05-01_09-41-123_acme_tools_widget_export.tar.gz`: "2024-05-01_09-41-123_acme_tools_widget_export.tar.gz",
	`attachment; filename=2018-03-22_10-15-200_acme_widget_export.tar.gz`:                                                                                "2018-03-22_10-15-200_acme_widget_export.tar.gz",
	``:                              "",
	`attachment`:                    "",
	`inline; filename=""`:           "",
	`attachment; filename="a b.gz"`: "a b.gz",
	`attachment; filename=a b.gz`:   "",
	`attachment; filename="a.gz`:    "",
	`attachment; filename*=UTF-8''%C3%A4.tar.gz`:                 "ä.tar.gz",
	`attachment; filename="a.gz"; filename*=UTF-8''..%2Fb%2F.gz`: ".gz",
	`attachment; filename="a.gz"; filename="b.gz"`:               "",
	`attachment; filename="../../etc/passwd"`:                    "passwd",
	`attachment; filename="/etc/cron.d/x"`:                       "x",
	`attachment; filename="..\\..\\boot.ini"`:                    "boot.ini",
	`attachment; filename="C:\\windows\\a.gz"`:                   "a.gz",
	`attachment; filename="C:a.gz"`:                              "a.gz",
	`attachment; filename="a.gz:stream"`:                         "stream",
	`attachment; filename=".."`:                                  "",
	`attachment; filename="."`:                                   "",
	`attachment; filename="/"`:                                   "",
	`attachment; filename="a/.."`:                                "",
	`attachment; filename*=UTF-8''.%00.`:                         "",
	`attachment; filename*=UTF-8''a%0D%0Ab%1B%5B2J.gz`:           "a b[2J.gz",
	`attachment; filename*=UTF-8''a%E2%80%AEzg.tar`:              "azg.tar",
	`attachment; filename*=UTF-8''%FF%FE.gz`:                     "??.gz",
	`attachment; filename="` + strings.Repeat("x", 300) + `"`:    strings.Repeat("x", 250) + "…",
}

func TestSuggestedName(t *testing.T) {
	for header, want := range dispositions {
		if got := suggestedName(http.Header{"Content-Disposition": {header}}); got != want {
			t.Errorf("%s:\n%q, not %q", header, got, want)
		}
	}
}

func FuzzContentDisposition(f *testing.F) {
	for header := range dispositions {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		name := suggestedName(http.Header{"Content-Disposition": {header}})
		switch {
		case name == "":
			return
		case name == ".", name == "..", strings.ContainsAny(name, `/\:`), filepath.Base(name) != name:
			t.Errorf("%q: %q is more than a name", header, name)
		case !utf8.ValidString(name), strings.ContainsFunc(name, unicode.IsControl), strings.TrimSpace(name) != name, len(name) > 255:
			t.Errorf("%q: %q can't be shown or used", header, name)
		}
	})
}
