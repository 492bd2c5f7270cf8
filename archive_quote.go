package porter

import "fmt"

// maxQuoted is the most of an archive's own bytes in one error. Quoting makes
// up to four of one.
const maxQuoted = 50

// quote quotes the start of s, which comes from an archive.
func quote(s string) string {
	if len(s) > maxQuoted {
		return fmt.Sprintf("%q…", s[:maxQuoted])
	}
	return fmt.Sprintf("%q", s)
}
