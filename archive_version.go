package porter

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"
)

// formatVersion is the format of archives that GitLab writes and reads since
// 11.1.
const formatVersion = "0.2.4"

// maxVersionLine is the longest line, in characters, that GitLab looks for a
// version in.
const maxVersionLine = 128

// versionPattern finds a version as GitLab does, wherever it stands in a line.
var versionPattern = regexp.MustCompile(`([0-9]+)\.([0-9]+)\.([0-9]+)`)

// A lineCheck keeps the first line of a file, and no more of it than
// maxVersionLine characters can be.
type lineCheck struct{ b []byte }

func (l *lineCheck) write(p []byte) {
	l.b = append(l.b, p[:min(len(p), utf8.UTFMax*maxVersionLine+1-len(l.b))]...)
}

func (l *lineCheck) end() string { return "" }

// line is the first line, with its newline.
func (l *lineCheck) line() string {
	if i := bytes.IndexByte(l.b, '\n'); i >= 0 {
		return string(l.b[:i+1])
	}
	return string(l.b)
}

// word is the line if it looks like a version or a revision, or else "".
func (l *lineCheck) word() string {
	s := strings.TrimSpace(l.line())
	if len(s) > 64 || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return ""
	}
	return s
}

// parseFormat finds the version in the first line of VERSION by GitLab's rule.
func parseFormat(line string) (version, problem string) {
	switch {
	case line == "":
		return "", "it is empty"
	case !utf8.ValidString(line):
		return "", "it is not UTF-8"
	}
	m := versionPattern.FindStringSubmatch(line)
	if m == nil || utf8.RuneCountInString(line) > maxVersionLine {
		return "", "no version in its first line " + quote(line)
	}
	for i, digits := range m[1:] {
		if m[i+1] = strings.TrimLeft(digits, "0"); m[i+1] == "" {
			m[i+1] = "0"
		}
	}
	return strings.Join(m[1:], "."), ""
}
