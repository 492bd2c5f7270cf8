package porter

import (
	"fmt"
	"strings"
)

// An ArchiveProblem is something in an archive that is not as it should be.
type ArchiveProblem struct {
	Entry string // its name in the archive, without "./"; "" if it is none of one
	Line  int    // of the entry, counted from 0 as GitLab does; -1 if it is none of one
	What  string
	Fatal bool // GitLab imports nothing of the archive
}

// String names the entry and the line.
func (p ArchiveProblem) String() string {
	text := p.What
	if p.Line >= 0 {
		text = fmt.Sprintf("line %d (counted from 0) is %s", p.Line, text)
	}
	if p.Entry == "" {
		return text
	}
	return plainName(p.Entry) + ": " + text
}

func unimportable(why string) error { return fmt.Errorf("%w: %s", ErrUnimportable, why) }

// plainName is a name from an archive as it is, if that can be printed.
func plainName(s string) string {
	odd := func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' }
	if len(s) > 2*maxQuoted || strings.ContainsFunc(s, odd) {
		return quote(s)
	}
	return s
}

// andMore says that there are n more of something.
func andMore(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}
