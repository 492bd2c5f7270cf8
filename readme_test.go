package porter_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestReadme makes sure that the Go code in the README compiles and runs: all
// of it is part of the examples.
func TestReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllSubmatch(readme, -1)
	if len(blocks) < 10 {
		t.Errorf("found only %d blocks of Go in the README", len(blocks))
	}
	for _, b := range blocks {
		if !strings.Contains(unindent(string(examples)), unindent(string(b[1]))) {
			t.Errorf("not in example_test.go:\n%s", b[1])
		}
	}
}

func unindent(s string) string {
	return regexp.MustCompile(`(?m)^\s+`).ReplaceAllString(s, "")
}
