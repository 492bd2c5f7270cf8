package porter

import (
	"flag"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var updateAPI = flag.Bool("update-api", false, "write testdata/api anew")

// TestAPI holds the exported names, with their types, against those written
// down, so that no change of them goes unseen. After one that is meant:
//
//	go test -run '^TestAPI$' -update-api .
func TestAPI(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{".", "portertest", "portertest/testclient"} {
		golden := filepath.Join("testdata", "api", strings.Replace(filepath.Base(dir), ".", "porter", 1)+".txt")
		got := api(t, dir)
		if *updateAPI {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
			t.Errorf("the API of %s differs; if that is meant, run go test -run '^TestAPI$' -update-api . (-written down +now):\n%s", dir, diff)
		}
	}
}

// api returns the exported declarations of the package in dir, sorted, without
// comments, bodies and the values of variables.
func api(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	decls := map[string]string{} // by what they are sorted by
	fset := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.FileExports(f)
		for _, d := range f.Decls {
			name := apiName(d)
			if name == "" {
				continue
			}
			var b strings.Builder
			if err := format.Node(&b, fset, d); err != nil {
				t.Fatal(err)
			}
			decls[name] += compact(b.String()) // twice if a file for another system has it, too
		}
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(decls)) {
		b.WriteString(decls[name])
	}
	return b.String()
}

// compact takes out of a declaration what comes of the comments that were in it:
// empty lines, and how far fields are aligned.
func compact(decl string) string {
	var b strings.Builder
	for line := range strings.Lines(decl + "\n") {
		if words := strings.Fields(line); len(words) > 0 {
			indent := len(line) - len(strings.TrimLeft(line, "\t"))
			b.WriteString(strings.Repeat("\t", indent) + strings.Join(words, " ") + "\n")
		}
	}
	return b.String()
}

// apiName returns what a declaration is called, with the type first for a
// method, and takes from it what is no part of the API; "" if all of it is.
func apiName(d ast.Decl) string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		d.Body = nil
		if d.Recv == nil {
			return "func " + d.Name.Name
		}
		of := d.Recv.List[0].Type
		if star, ok := of.(*ast.StarExpr); ok {
			of = star.X
		}
		if id, ok := of.(*ast.Ident); ok && id.IsExported() {
			return "type " + id.Name + " " + d.Name.Name
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				return "type " + spec.Name.Name
			case *ast.ValueSpec:
				if d.Tok == token.VAR {
					for _, spec := range d.Specs {
						spec.(*ast.ValueSpec).Values = nil
					}
				}
				return d.Tok.String() + " " + spec.Names[0].Name
			}
		}
	}
	return ""
}
