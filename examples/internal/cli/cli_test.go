package cli

import (
	"bytes"
	"flag"
	"strings"
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0.0 B", 3: "3.0 B", 3 << 10: "3.0 KiB", 3 << 20: "3.0 MiB"} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestParseNegative(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-poll", "-1s"}, {"-timeout", "-1ns"}, {"-poll", "1s", "-timeout", "-5m"}} {
		fs := flag.NewFlagSet("test", flag.ContinueOnError)
		fs.Duration("poll", 0, "")
		fs.Duration("timeout", time.Hour, "")
		var out bytes.Buffer
		code, exit := Parse(fs, args, "", &out, &out)
		if !exit || code != BadUsage || !strings.Contains(out.String(), " must not be negative") {
			t.Errorf("%q: %d, %v, %q", args, code, exit, &out)
		}
	}
}
