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
	"regexp"
	"slices"
	"strconv"
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
	for _, dir := range apiDirs {
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

// apiDirs are the packages that others import.
var apiDirs = []string{".", "portertest", "portertest/testclient"}

// apiFiles returns the files of the package in dir, without what is not exported.
func apiFiles(t *testing.T, fset *token.FileSet, dir string, mode parser.Mode) (files []*ast.File) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, mode|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.FileExports(f)
		files = append(files, f)
	}
	return files
}

// api returns the exported declarations of the package in dir, sorted, without
// comments, bodies and the values of variables.
func api(t *testing.T, dir string) string {
	t.Helper()
	decls := map[string]string{} // by what they are sorted by
	fset := token.NewFileSet()
	for _, f := range apiFiles(t, fset, dir, 0) {
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

// TestDocs makes sure that every exported name has a comment, its own or that of
// its group, and that what names an endpoint has GitLab's page about it.
func TestDocs(t *testing.T) {
	t.Parallel()
	endpoint := regexp.MustCompile(`(?m)^(GET|POST) /`)
	links := 0
	for _, dir := range apiDirs {
		for name, text := range docs(t, dir) {
			if text == "" {
				t.Errorf("%s: %s has no comment", dir, name)
			}
			switch named, linked := endpoint.MatchString(text), strings.Contains(text, "https://docs.gitlab.com/"); {
			case named && linked:
				links++
			case named:
				t.Errorf("%s: %s names an endpoint, but no page of GitLab's", dir, name)
			}
		}
	}
	if links < 18 {
		t.Errorf("found only %d links", links)
	}
}

// docs returns the comments of what the package in dir exports.
func docs(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, f := range apiFiles(t, token.NewFileSet(), dir, parser.ParseComments) {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if name := apiName(d); name != "" {
					found[name] = d.Doc.Text()
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						found[spec.Name.Name] = spec.Doc.Text() + d.Doc.Text()
					case *ast.ValueSpec:
						found[spec.Names[0].Name] = spec.Doc.Text() + d.Doc.Text() + spec.Comment.Text()
					}
				}
			}
		}
	}
	return found
}

// TestKnown asks every type that knows its constants about all of them.
func TestKnown(t *testing.T) {
	t.Parallel()
	knows := map[string]func(string) bool{
		"ExportStatus":         func(s string) bool { return ExportStatus(s).Known() },
		"ImportStatus":         func(s string) bool { return ImportStatus(s).Known() },
		"RelationExportStatus": func(s string) bool { return RelationExportStatus(s).Known() },
		"RelationImportStatus": func(s string) bool { return RelationImportStatus(s).Known() },
		"Relation":             func(s string) bool { return Relation(s).Known() },
		"PortableRelation":     func(s string) bool { return PortableRelation(s).Known() },
	}
	asked := 0
	for _, f := range apiFiles(t, token.NewFileSet(), ".", 0) {
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) == 0 {
				return true
			}
			of, ok := spec.Type.(*ast.Ident)
			value, isText := spec.Values[0].(*ast.BasicLit)
			if !ok || !isText || knows[of.Name] == nil {
				return true
			}
			asked++
			if text, err := strconv.Unquote(value.Value); err != nil || !knows[of.Name](text) || knows[of.Name](text+"x") {
				t.Errorf("%s does not know %s", of.Name, value.Value)
			}
			return true
		})
	}
	if asked < 45 {
		t.Errorf("found only %d constants", asked)
	}
}
