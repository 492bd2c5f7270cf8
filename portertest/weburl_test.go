package portertest

import "testing"

// TestCheckURL checks which URLs GitLab refuses for their form alone.
func TestCheckURL(t *testing.T) {
	const (
		schemes = "is blocked: Only allowed schemes are http, https"
		invalid = "is blocked: URI is invalid"
		host    = "is blocked: Hostname or IP address invalid"
	)
	for raw, want := range map[string]string{
		"http://x.test":                  "",
		"https://x.test:8443/a?b#c":      "",
		"https://x.test/a b/%zz/ä":       "",
		"https://user:p@ss@x.test/":      "",
		"https://bücher.test/":           "",
		"https://a_b.test/":              "",
		"https://x.test./":               "",
		"https://x.test:/":               "",
		"https://[2001:db8::1]:443/":     "",
		"http:///a":                      "", // no host, which is this machine
		"http:/a":                        "",
		"http:x.test/a":                  "",
		"":                               schemes,
		"x.test":                         schemes,
		"not a url":                      schemes,
		"//x.test/a":                     schemes,
		"ftp://x.test/":                  schemes,
		"HTTPS://x.test/":                schemes,
		"Http://x.test/":                 schemes,
		"javascript:alert(1)":            schemes,
		"file:///etc/passwd":             schemes,
		"mailto:a@b.test":                schemes,
		"http:":                          invalid,
		"http://":                        invalid,
		"HTTPS://":                       invalid,
		"https://?a":                     invalid,
		"https://user@":                  invalid,
		"1http://x.test/":                invalid,
		"ht tp://x.test/":                invalid,
		"https://x y.test/":              invalid,
		"https://x\ty.test/":             invalid,
		"https://x<y.test/":              invalid,
		"https://x.test/a\nb":            invalid,
		"https://x.test/a\r":             invalid,
		"https://x.test:port/":           invalid,
		"https://x.test:123456/":         invalid,
		"https://[::1%25eth0]/":          invalid,
		"https://-x.test/":               host,
		"https://x-.test/":               host,
		"https://x.-y.test/":             host,
		"https://x.y-/":                  host,
		"https://.x.test/":               host,
		"https://_x.test/":               host,
		"https://::1/":                   host,
		"https://user@-x.test:8443/a?b#": host,
	} {
		if _, got := checkURL(raw, "http", "https"); got != want {
			t.Errorf("%q: got %q, want %q", raw, got, want)
		}
	}
}

// TestBlockedHost checks which addresses GitLab sends nothing to.
func TestBlockedHost(t *testing.T) {
	const (
		localhost = "is blocked: Requests to localhost are not allowed"
		loopback  = "is blocked: Requests to loopback addresses are not allowed"
		local     = "is blocked: Requests to the local network are not allowed"
		link      = "is blocked: Requests to the link local network are not allowed"
		shared    = "is blocked: Requests to the shared address space are not allowed"
		broadcast = "is blocked: Requests to the limited broadcast address are not allowed"
		unknown   = "is blocked: Host cannot be resolved or invalid"
	)
	for host, want := range map[string]string{
		"":                 localhost,
		"localhost":        localhost,
		"LocalHost":        localhost,
		"localhost.":       localhost,
		"127.0.0.1":        localhost,
		"127.1":            localhost,
		"2130706433":       localhost,
		"0x7f000001":       localhost,
		"0x7f.0.0.1":       localhost,
		"0177.0.0.1":       localhost,
		"017700000001":     localhost,
		"0.0.0.0":          localhost,
		"0":                localhost,
		"::":               localhost,
		"::1":              localhost,
		"::ffff:127.0.0.1": localhost,
		"::ffff:7f00:1":    localhost,
		"127.0.0.2":        loopback,
		"127.255.255.254":  loopback,
		"10.0.0.1":         local,
		"10.1":             local,
		"172.16.0.1":       local,
		"172.31.255.255":   local,
		"192.168.1.1":      local,
		"::ffff:10.0.0.1":  local,
		"fc00::1":          local,
		"fd12:3456::1":     local,
		"fec0::1":          local,
		"169.254.169.254":  link,
		"fe80::1":          link,
		"100.64.0.1":       shared,
		"100.127.255.255":  shared,
		"255.255.255.255":  broadcast,
		"172.32.0.1":       "",
		"100.128.0.1":      "",
		"192.0.2.1":        "",
		"2001:db8::1":      "",
		"x.test":           unknown,
		"foo.localhost":    unknown,
		"256.0.0.1":        unknown,
		"127.0.0.256":      unknown,
		"1.2.3.4.5":        unknown,
		"127.0.0.1.":       unknown,
		"0b1":              unknown,
		"1_0":              unknown,
		"08":               unknown,
	} {
		if got := blockedHost(host); got != want {
			t.Errorf("%q: got %q, want %q", host, got, want)
		}
	}
}
