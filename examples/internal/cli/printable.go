package cli

import (
	"strings"
	"unicode"
)

// Printable takes out of s what would move a terminal's cursor, or hide what
// follows. Names come from archives and servers, and errors may quote anything.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\r', r == '\t':
			return ' '
		case r == unicode.ReplacementChar, !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
}
