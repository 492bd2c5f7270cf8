package netio

import (
	"net/url"
	"testing"
)

func TestSameOrigin(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"https://gitlab.test/a?b", "https://gitlab.test/c#d", true},
		{"https://gitlab.test", "HTTPS://GitLab.Test:443", true},
		{"http://gitlab.test:80", "http://user@gitlab.test", true},
		{"http://[::1]:3000", "http://[::1]:3000/", true},
		{"https://gitlab.test", "http://gitlab.test", false},
		{"https://gitlab.test:80", "http://gitlab.test:80", false},
		{"https://gitlab.test", "https://gitlab.test:8443", false},
		{"https://gitlab.test", "https://sub.gitlab.test", false},
		{"https://gitlab.test", "https://gitlab.test.", false},
		{"https://gitlab.test", "https://gitlab.test@evil.test", false},
	} {
		a, _ := url.Parse(test.a)
		b, _ := url.Parse(test.b)
		if SameOrigin(a, b) != test.want || SameOrigin(b, a) != test.want {
			t.Errorf("%s and %s: want %t", a, b, test.want)
		}
	}
}

func TestEscapeLocation(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "",
		"https://a.test/b%20c?d=e&f=[1]#": "https://a.test/b%20c?d=e&f=[1]#",
		"/a b\tc":                         "/a%20b%09c",
		"/é\x7f\xff":                      "/%C3%A9%7F%FF",
		`/"<>\^` + "`{|}":                 "/%22%3C%3E%5C%5E%60%7B%7C%7D",
		"/a\r\nX: y":                      "/a%0D%0AX:%20y",
	} {
		if got := EscapeLocation(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
