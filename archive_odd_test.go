package porter

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVerifyArchiveOdd reads archives with one thing changed in each, of which
// it is known what GitLab makes of them, if there are any.
func TestVerifyArchiveOdd(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("PORTER_ARCHIVES")
	if dir == "" {
		t.Skip("PORTER_ARCHIVES does not name a folder of real archives")
	}
	dir = filepath.Join(dir, "odd")
	table, err := os.ReadFile(filepath.Join(dir, "EXPECTED.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		name, verdict, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok {
			continue // a comment
		}
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			info, err := VerifyArchive(bytes.NewReader(b))
			t.Logf("%v %+v", err, info)
			switch {
			case name == "17-no-end-mark.tar.gz", name == "18-one-zero-block.tar.gz":
				wantDamaged(t, name, err) // GitLab imports what is left
			case verdict == "IMPORTED" && err != nil:
				t.Errorf("GitLab imports it, but: %v", err)
			case verdict != "IMPORTED" && err == nil:
				t.Errorf("GitLab says %s, but: %+v", verdict, info)
			case err != nil && !errors.Is(err, ErrUnimportable) && !errors.Is(err, ErrNotArchive) && !errors.Is(err, ErrArchiveDamaged):
				t.Errorf("error %v is none of the three", err)
			}
		})
	}
}
