package porter

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// parseBaseURL checks and completes what a user gives as the instance. Its
// errors never repeat it, because it may hold a password.
func parseBaseURL(s string) (*url.URL, error) {
	if s == "" {
		return nil, errors.New("is empty: give the instance's root, such as https://gitlab.example.com")
	}
	if strings.ContainsFunc(s, isBlank) {
		return nil, errors.New("must not hold white space or invisible characters")
	}
	scheme, _, _ := strings.Cut(strings.ToLower(s), "://")
	if scheme != "http" && scheme != "https" {
		return nil, errors.New("must begin with https:// or http://")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("not a URL")
	case u.Hostname() == "":
		return nil, errors.New("has no host")
	case !portInRange(u):
		return nil, errors.New("has a port that is not between 1 and 65535")
	case u.User != nil:
		return nil, errors.New("must not hold a user or password; give the credentials as an Auth")
	case u.RawQuery != "" || u.ForceQuery:
		return nil, errors.New("must not have a query")
	case strings.Contains(s, "#"):
		return nil, errors.New("must not have a fragment")
	}
	for seg := range strings.SplitSeq(u.Path, "/") {
		if seg == "." || seg == ".." {
			return nil, errors.New("must not hold . or .. segments")
		}
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	if root, ok := strings.CutSuffix(path, "/api/v4"); !ok || strings.Contains(root+"/", "/api/v4/") {
		if end := apiInside(u.Path); end != "" {
			return nil, fmt.Errorf("must end at the instance's root or its /api/v4, not at %s", end)
		}
	}
	path = strings.TrimSuffix(path, "/api/v4") + "/api/v4/"
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: decoded, RawPath: path}, nil
}

// apiInside returns what of path says that it leads into an API, so that it is
// no root: it ends at /api or a version of it, or goes on below GitLab's own.
// Elsewhere "api" is a name like any other.
func apiInside(path string) string {
	segs := strings.FieldsFunc(strings.ToLower(path), func(r rune) bool { return r == '/' })
	for i, seg := range segs {
		if seg != "api" {
			continue
		}
		switch rest := segs[i+1:]; {
		case len(rest) == 0:
			return "/api"
		case len(rest) == 1 && apiVersion.MatchString(rest[0]):
			return "/api/" + rest[0]
		case rest[0] == "v3" || rest[0] == "v4" || rest[0] == "graphql":
			return "a path below /api/" + rest[0]
		}
	}
	return ""
}

var apiVersion = regexp.MustCompile(`^(v[0-9]{1,2}|graphql)$`)

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

// isBlank reports whether r is white space or an invisible character.
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
