package porter

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// remoteURL checks a URL that GitLab itself goes to, and returns it as GitLab
// takes it, with its scheme in lower case. It refuses what every GitLab does,
// which may come at a price: an upload URL is looked at when the previous
// archive is deleted already. Its errors name the URL as what, and never repeat
// any of it, because it may be signed.
func remoteURL(what, s string, schemes ...string) (string, error) {
	switch {
	case strings.TrimSpace(s) == "":
		return "", fmt.Errorf("%s is empty", what)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return "", fmt.Errorf("%s is malformed: it holds a control character or invalid UTF-8", what)
	case strings.ContainsFunc(s, unicode.IsSpace) || strings.TrimFunc(s, isBlank) != s:
		return "", fmt.Errorf("%s is malformed: it holds white space or an invisible character", what)
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", fmt.Errorf("%s is malformed", what)
	case !slices.Contains(schemes, u.Scheme):
		return "", fmt.Errorf("%s must begin with %s", what, strings.Join(schemes, ":// or ")+"://")
	case u.Hostname() == "":
		return "", fmt.Errorf("%s has no host", what)
	case !takenHost(u.Hostname()):
		return "", fmt.Errorf("%s has a host that GitLab refuses: "+
			"it must begin with a letter or digit, and none of its parts begin or end with a hyphen", what)
	case !portInRange(u):
		return "", fmt.Errorf("%s has a port that is not between 1 and 65535", what)
	}
	return u.Scheme + s[len(u.Scheme):], nil
}

// isBlank reports whether r is white space, or a character that nobody sees.
func isBlank(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }

// takenHost reports whether GitLab takes host for the name of one, whatever
// the name service knows of it.
func takenHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	first, _ := utf8.DecodeRuneInString(host)
	if !unicode.IsLetter(first) && !unicode.IsNumber(first) || strings.ContainsAny(host, `<>"`) {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return false
		}
	}
	return true
}

// portInRange reports whether u can be reached by its port, if it names one.
func portInRange(u *url.URL) bool {
	if u.Port() == "" {
		return true
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0
}
