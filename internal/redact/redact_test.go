package redact

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

func TestURL(t *testing.T) {
	tests := []struct{ url, want string }{
		{"https://h/a?b=SECRET#SECRET", "https://h/a"},
		{"https://u:SECRET@h:8443/a%2Fb?", "https://h:8443/a%2Fb"},
		{"/a?b", "/a"},
	}
	for _, tt := range tests {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := URL(u); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
		if u.String() != tt.url {
			t.Errorf("changed the URL to %s", u)
		}
	}
}

func TestLine(t *testing.T) {
	tests := []struct {
		in   string
		n    int
		want string
	}{
		{"", 5, ""},
		{" a\tb\r\n", 5, "a b"},
		{"12345", 5, "12345"},
		{"123456", 5, "12345…"},
		{"1234ö", 5, "1234…"},
		{"öö", 1, "…"},
		{"a\u00a0b", 9, "a b"},
	}
	for _, tt := range tests {
		if got := Line(tt.in, tt.n); got != tt.want {
			t.Errorf("Line(%q, %d) = %q, want %q", tt.in, tt.n, got, tt.want)
		}
	}
}

// What was collected is found in every form in which a server may send it back.
func TestScrub(t *testing.T) {
	ctx, s := WithSecrets(t.Context())
	SecretsOf(ctx).Add("to/ken+<1>")
	s.Add("short")
	u, err := url.Parse("https://user:pass-word@store.test/a?X-Amz-Signature=0123456789abcdef&" +
		"X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261126")
	if err != nil {
		t.Fatal(err)
	}
	s.AddURL(u)
	for in, want := range map[string]string{
		"the token to/ken+<1> is wrong":   "the token [redacted] is wrong",
		"to%2Fken%2B%3C1%3E":              "[redacted]",
		"to/ken+&lt;1&gt;":                "[redacted]",
		`"to\/ken+<1>"`:                   `"[redacted]"`,
		`"to/ken+\u003c1\u003e"`:          `"[redacted]"`,
		"pass-word":                       "[redacted]",
		"0123456789abcdef":                "[redacted]",
		"key AKIAIOSFODNN7EXAMPLE":        "key [redacted]",
		"short is too short to be secret": "short is too short to be secret",
	} {
		if got := s.Scrub(in); got != want {
			t.Errorf("%s became %s, want %s", in, got, want)
		}
	}
	if got := s.ScrubCut("cut in 0123456789ab"); got != "cut in [redacted]" {
		t.Errorf("a secret that is cut became %s", got)
	}
	if got := (*Secrets)(nil).Scrub("nothing"); got != "nothing" {
		t.Errorf("without secrets it became %s", got)
	}
}

func TestAddCredentials(t *testing.T) {
	before := httptest.NewRequest(http.MethodGet, "https://gitlab.test/api?page=1", nil)
	before.Header.Set("Accept", "application/json")
	after := before.Clone(t.Context())
	after.Header.Set("PRIVATE-TOKEN", "glpat-1234567890")
	after.Header.Set("Authorization", "Bearer abcdefghij")
	after.URL.RawQuery += "&private_token=qrstuvwxyz"
	s := new(Secrets)
	s.AddCredentials(before, after)
	const text = "glpat-1234567890 abcdefghij qrstuvwxyz application/json"
	if got, want := s.Scrub(text), "[redacted] [redacted] [redacted] application/json"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
