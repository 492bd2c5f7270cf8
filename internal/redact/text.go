// Package redact keeps secrets out of errors, logs and events.
package redact

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// URL returns u without what can be secret: user, query, fragment.
func URL(u *url.URL) string {
	c := *u
	c.User, c.RawQuery, c.ForceQuery, c.Fragment, c.RawFragment = nil, "", false, "", ""
	return c.String()
}

// URLText returns s without user, query and fragment, or nothing of it if
// it is no URL.
func URLText(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "(malformed URL)"
	}
	return URL(u)
}

// urlSecrets matches a URL; what is outside its groups can be secret.
var urlSecrets = regexp.MustCompile(`(?i)(https?://)(?:[^\s/?#"'<>]*@)?([^\s?#"'<>]*)(?:[?#][^\s"'<>]*)?`)

// Line returns s as one line, cut after n bytes, without control
// characters and without the secrets of URLs, for texts that a server chose.
func Line(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return '?'
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(urlSecrets.ReplaceAllString(s, "$1$2")), " ")
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
