package cli

import (
	"bytes"
	"errors"
	"testing"

	"github.com/seed-5d77b939/porter"
)

func TestPrintable(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"group/Ünïcode 日本": "group/Ünïcode 日本",
		"a\nb\r\n\tc":      "a b   c",
		"\x1b[2Jx\x07\x7f": "?[2Jx??",
		"\u009b31m":        "?31m", // CSI in one character
		"gz.\u202etxt":     "gz.?txt",
		"a\xff\u200bb":     "a??b",
	} {
		if got := Printable(s); got != want {
			t.Errorf("Printable(%q) = %q, want %q", s, got, want)
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	Explain(&out, errors.Join(errors.New("\x1b[2J"), porter.ErrUnauthorized))
	const want = "error: ?[2J unauthorized\nThe token is wrong, expired or revoked.\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", &out, want)
	}
}
