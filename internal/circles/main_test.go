package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCircles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.go":      "package p\n\ntype A struct{ b B }\n",
		"b.go":      "package p\n\ntype B struct{ n int }\n\nfunc (B) twice() int { return C() }\n",
		"c.go":      "package p\n\nfunc C() int { return len(A{}.b.String()) }\n", // by a method and a field
		"d.go":      "package p\n\nfunc (B) String() string { return E }\n",
		"e.go":      "package p\n\nconst E = \"e\"\n",
		"f.go":      "package p\n\nvar F = E\n",
		"a_test.go": "package p\n\nvar _ = F\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g, err := load(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"e.go"}, {"a.go", "b.go", "c.go", "d.go"}, {"f.go"}}
	if diff := cmp.Diff(want, g.circles()); diff != "" {
		t.Errorf("circles (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"A", "b"}, g["c.go"]["a.go"]); diff != "" {
		t.Errorf("what c.go names of a.go (-want +got):\n%s", diff)
	}
}
