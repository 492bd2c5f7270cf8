package porter

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// dispositions are headers and the names they suggest.
var dispositions = map[string]string{
	`attachment; filename="2024-05-01_09-41-123_acme_tools_widget_export.tar.gz"; ` +
		`filename*=UTF-8''2024-05-01_09-41-123_acme_tools_widget_export.tar.gz`: "2024-05-01_09-41-123_acme_tools_widget_export.tar.gz",
	`attachment; filename=2018-03-22_10-15-200_acme_widget_export.tar.gz`: "2018-03-22_10-15-200_acme_widget_export.tar.gz",
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
