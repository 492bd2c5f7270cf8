package portertest

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// webURL is what GitLab looks at of a URL that it uploads to or downloads from.
// It accepts more than net/url does.
type webURL struct{ scheme, host string }

var (
	urlParts  = regexp.MustCompile(`^(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)`)
	urlScheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9.+-]*$`)
	urlUser   = regexp.MustCompile(`^[^\[\]]*@`)
	urlPort   = regexp.MustCompile(`:([^:@\[\]]*)$`)
	hostChars = regexp.MustCompile(`[<>{}/\\?#@"\s]`)
	ipv6Chars = regexp.MustCompile(`^[A-Za-z0-9._~!$&'()*+,;=:-]*$`)
	portChars = regexp.MustCompile(`^[0-9]{0,5}$`)
)

// parseWebURL reads a URL, and reports whether it is one.
func parseWebURL(raw string) (webURL, bool) {
	m := urlParts.FindStringSubmatch(raw)
	scheme, authority, path := m[1], m[2], m[3]
	host := urlUser.ReplaceAllString(authority, "")
	port := ""
	if p := urlPort.FindStringSubmatch(host); p != nil {
		host, port = strings.TrimSuffix(host, p[0]), p[1]
	}
	u := webURL{scheme: scheme, host: host}
	literal, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		literal, bracketed = strings.CutSuffix(literal, "]")
	}
	if bracketed {
		u.host = literal
	}
	web := strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")
	switch {
	case strings.ContainsAny(raw, "\r\n"), scheme != "" && !urlScheme.MatchString(scheme), !portChars.MatchString(port),
		hostChars.MatchString(host), bracketed && !ipv6Chars.MatchString(literal),
		web && host == "" && path == "":
		return u, false
	}
	return u, true
}

// checkURL returns why GitLab refuses a URL before it looks for its host, "" if
// it does not. Schemes in capital letters are not allowed.
func checkURL(raw string, schemes ...string) (u webURL, problem string) {
	u, ok := parseWebURL(raw)
	switch {
	case !ok:
		return u, "is blocked: URI is invalid"
	case !slices.Contains(schemes, u.scheme):
		return u, "is blocked: Only allowed schemes are " + strings.Join(schemes, ", ")
	case !validHost(u.host):
		return u, "is blocked: Hostname or IP address invalid"
	}
	return u, ""
}

// validHost reports whether a host is valid: none at all, an address, or a name.
// A name may have any characters, except at its beginning and for hyphens at the
// ends of its labels.
func validHost(host string) bool {
	if _, err := netip.ParseAddr(host); host == "" || err == nil {
		return true
	}
	if first, _ := utf8.DecodeRuneInString(host); !unicode.IsLetter(first) && !unicode.IsNumber(first) {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return false
		}
	}
	return true
}

// blockedRanges are the addresses that GitLab itself sends nothing to, in the
// order in which it checks them.
var blockedRanges = []struct{ network, problem string }{
	{"127.0.0.1/32", toLocalhost}, {"::1/128", toLocalhost}, {"0.0.0.0/32", toLocalhost}, {"::/128", toLocalhost},
	{"127.0.0.0/8", "Requests to loopback addresses are not allowed"},
	{"10.0.0.0/8", toLocalNetwork}, {"172.16.0.0/12", toLocalNetwork}, {"192.168.0.0/16", toLocalNetwork},
	{"fc00::/7", toLocalNetwork}, {"fec0::/10", toLocalNetwork},
	{"169.254.0.0/16", toLinkLocal}, {"fe80::/10", toLinkLocal},
	{"100.64.0.0/10", "Requests to the shared address space are not allowed"},
	{"255.255.255.255/32", "Requests to the limited broadcast address are not allowed"},
}

const (
	toLocalhost    = "Requests to localhost are not allowed"
	toLocalNetwork = "Requests to the local network are not allowed"
	toLinkLocal    = "Requests to the link local network are not allowed"
)

// blockedHost returns why GitLab refuses a host that is not on its list of
// allowed ones, "" if it does not. No name but localhost can be resolved here.
func blockedHost(host string) string {
	addr, ok := resolve(host)
	if !ok {
		return "is blocked: Host cannot be resolved or invalid"
	}
	for _, blocked := range blockedRanges {
		if netip.MustParsePrefix(blocked.network).Contains(addr) {
			return "is blocked: " + blocked.problem
		}
	}
	return ""
}

// resolve returns the address of a host, which may be written in any of the
// ways that the C library reads.
func resolve(host string) (netip.Addr, bool) {
	if name := strings.TrimSuffix(host, "."); host == "" || strings.EqualFold(name, "localhost") {
		return netip.IPv6Loopback(), true
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().WithZone(""), true
	}
	return shortIPv4(host)
}

// shortIPv4 reads an IPv4 address of fewer than four parts, of which the last
// stands for the rest, and with parts in octal or hexadecimal.
func shortIPv4(host string) (netip.Addr, bool) {
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var bits uint64
	for i, part := range parts {
		limit := uint64(1) << 8
		if i == len(parts)-1 {
			limit = 1 << (8 * (5 - len(parts)))
		}
		n, err := strconv.ParseUint(part, 0, 32)
		if err != nil || n >= limit || strings.ContainsAny(part, "_boBO") {
			return netip.Addr{}, false
		}
		shift := 8 * (3 - i)
		if i == len(parts)-1 {
			shift = 0
		}
		bits |= n << shift
	}
	return netip.AddrFrom4([4]byte{byte(bits >> 24), byte(bits >> 16), byte(bits >> 8), byte(bits)}), true
}

// isLoopback reports whether a host is this machine.
func isLoopback(host string) bool {
	addr, ok := resolve(host)
	return ok && addr.IsLoopback()
}
