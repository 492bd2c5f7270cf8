package porter_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/seed-5d77b939/porter/portertest"
)

// documents returns the texts for readers, by name.
func documents(t *testing.T) map[string]string {
	t.Helper()
	docs := make(map[string]string)
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			docs[filepath.ToSlash(name)] = string(b)
		}
	}
	return docs
}

// A codeBlock is what stands between two fences.
type codeBlock struct {
	document string
	line     int // of the opening fence
	language string
	text     string
}

func (b codeBlock) String() string { return fmt.Sprintf("%s:%d", b.document, b.line) }

// codeBlocks returns those of a document.
func codeBlocks(document, text string) (blocks []codeBlock) {
	var b *codeBlock
	for i, line := range strings.Split(text, "\n") {
		language, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && b == nil:
			b = &codeBlock{document: document, line: i + 1, language: language}
		case fence:
			blocks = append(blocks, *b)
			b = nil
		case b != nil:
			b.text += line + "\n"
		}
	}
	if b != nil {
		blocks = append(blocks, codeBlock{document: document, line: b.line, language: "a block without an end"})
	}
	return blocks
}

// inClone skips a test of texts where not all that they name is there: the module
// by itself is without the examples.
func inClone(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("examples"); err != nil {
		t.Skip("only in a clone of the repository")
	}
}

// programs returns what is compiled or run by tests, by the language of its blocks.
func programs(t *testing.T) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	for pattern, language := range map[string]string{
		"example*_test.go": "go",
		"examples/internal/comingfrom/example_test.go": "go",
		"examples/internal/comingfrom/testdata/*.py":   "python",
		"examples/internal/comingfrom/testdata/*.sh":   "sh",
	} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			texts[language] += string(b)
		}
	}
	texts["go"] = unindent(texts["go"])
	return texts
}

// TestReadme makes sure that the Go code of README and docs compiles and runs:
// all of it is part of the examples. So are the programs of others.
func TestReadme(t *testing.T) {
	t.Parallel()
	inClone(t)
	texts, found := programs(t), 0
	for name, text := range documents(t) {
		for _, b := range codeBlocks(name, text) {
			block := b.text
			switch {
			case b.language == "go":
				found++
				block = unindent(block)
				if strings.HasPrefix(block, "package main\n") { // TestReadmeProgram runs it
					continue
				}
			case b.language == "python", b.language == "sh" && name == "docs/coming-from.md":
			case slices.Contains([]string{"sh", "console", "json", "mermaid"}, b.language), name == "CONTRIBUTING.md":
				continue
			default:
				t.Errorf("%s: %q is no language that is checked here", b, b.language)
			}
			if !strings.Contains(texts[b.language], block) {
				t.Errorf("%s: no test compiles or runs this:\n%s", b, b.text)
			}
		}
	}
	if found < 15 {
		t.Errorf("found only %d blocks of Go", found)
	}
}

func unindent(s string) string {
	return regexp.MustCompile(`(?m)^\s+`).ReplaceAllString(s, "")
}

var (
	markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	inlineCode   = regexp.MustCompile("`[^`\n]*`")
)

// prose returns a document without its code, line by line.
func prose(text string) []string {
	lines, code := strings.Split(text, "\n"), false
	for i, line := range lines {
		fence := strings.HasPrefix(line, "```")
		if fence || code {
			lines[i] = ""
		}
		code = code != fence
	}
	return lines
}

// anchors returns what the headings of a document can be linked by.
func anchors(text string) map[string]bool {
	found := make(map[string]bool)
	for _, line := range prose(text) {
		hashes, heading, ok := strings.Cut(line, " ")
		if !ok || hashes == "" || strings.Trim(hashes, "#") != "" {
			continue
		}
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, heading)
		for n, base := 1, anchor; found[anchor]; n++ {
			anchor = fmt.Sprintf("%s-%d", base, n)
		}
		found[anchor] = true
	}
	return found
}

var exampleRun = regexp.MustCompile(`go run \./([\w/]+)`)

// TestLinks makes sure that links within the repository lead somewhere, as do the
// programs to run, and that every page can be reached from the README.
func TestLinks(t *testing.T) {
	t.Parallel()
	inClone(t)
	docs := documents(t)
	linked := make(map[string][]string)
	for name, text := range docs {
		for i, line := range prose(text) {
			for _, m := range markdownLink.FindAllStringSubmatch(inlineCode.ReplaceAllString(line, ""), -1) {
				target, anchor, _ := strings.Cut(m[1], "#")
				if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
					continue
				}
				file := name
				if target != "" {
					file = path.Join(path.Dir(name), target)
				}
				linked[name] = append(linked[name], file)
				if _, err := os.Stat(filepath.FromSlash(file)); err != nil {
					t.Errorf("%s:%d: dead link to %s", name, i+1, m[1])
				} else if anchor != "" && !anchors(docs[file])[anchor] {
					t.Errorf("%s:%d: no heading for %s", name, i+1, m[1])
				}
			}
		}
	}
	for name, text := range docs {
		for _, m := range exampleRun.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.FromSlash(m[1])); err != nil {
				t.Errorf("%s: there is no %s to run", name, m[1])
			}
		}
	}
	reached, queue := map[string]bool{}, []string{"README.md"}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		if !reached[name] {
			reached[name] = true
			queue = append(queue, linked[name]...)
		}
	}
	for name := range docs {
		if strings.HasPrefix(name, "docs/") && !reached[name] {
			t.Errorf("%s can't be reached from the README", name)
		}
	}
}

// TestCodeBlocks and the anchors are what the tests above rest on.
func TestCodeBlocks(t *testing.T) {
	t.Parallel()
	const text = "# A `B`, c & d\n```go\nx := 1\n# no heading\n```\n## E_f-g\n## E_f-g\n```sh\nls\n```\n```json\n"
	var got []string
	for _, b := range codeBlocks("x.md", text) {
		got = append(got, b.String()+" "+b.language+" "+b.text)
	}
	want := []string{"x.md:2 go x := 1\n# no heading\n", "x.md:8 sh ls\n", "x.md:11 a block without an end "}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if a := anchors(text); len(a) != 3 || !a["a-b-c--d"] || !a["e_f-g"] || !a["e_f-g-1"] {
		t.Errorf("anchors are %v", a)
	}
}

// TestReadmeProgram runs the program on README's first screen, and compares what
// it prints.
func TestReadmeProgram(t *testing.T) {
	t.Parallel()
	var program, output string
	for _, b := range codeBlocks("README.md", documents(t)["README.md"]) {
		switch {
		case b.language == "go" && program == "":
			program = b.text
		case b.language == "console" && output == "":
			_, output, _ = strings.Cut(b.text, " go run .\n")
		}
	}
	dir := t.TempDir()
	file, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "program.exe")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := func(s *simulation, env ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), binary)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), append(env, "GITLAB_URL="+s.src.URL, "GITLAB_TOKEN="+portertest.Token)...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	sim := newSimulation()
	defer sim.close()
	if out, err := run(sim); err != nil || out != output {
		t.Errorf("%v: got %q, want %q", err, out, output)
	}

	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		return // where SSL_CERT_FILE means nothing
	}
	private := newSimulation(portertest.TLS())
	defer private.close()
	unknown := "certificate signed by unknown authority; a private CA is trusted by way of SSL_CERT_FILE or NewTransport"
	if out, err := run(private); err == nil || !strings.Contains(out, unknown) {
		t.Errorf("without the CA: %v: %q", err, out)
	}
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, private.certificate(), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run(private, "SSL_CERT_FILE="+ca); err != nil || out != output {
		t.Errorf("with SSL_CERT_FILE: %v: got %q, want %q", err, out, output)
	}
}

// exported adds what a package exports to names: with the type before it, and by
// itself, as texts name it.
func exported(t *testing.T, dir string, names map[string]bool) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				names[d.Name.Name] = true
				if d.Recv != nil {
					names[typeName(d.Recv.List[0].Type)+"."+d.Name.Name] = true
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					exportedBy(spec, names)
				}
			}
		}
	}
}

func exportedBy(spec ast.Spec, names map[string]bool) {
	switch s := spec.(type) {
	case *ast.ValueSpec:
		for _, n := range s.Names {
			names[n.Name] = true
		}
	case *ast.TypeSpec:
		names[s.Name.Name] = true
		ast.Inspect(s.Type, func(n ast.Node) bool {
			field, ok := n.(*ast.Field)
			if !ok {
				return true
			}
			for _, n := range field.Names {
				names[n.Name], names[s.Name.Name+"."+n.Name] = true, true
			}
			if len(field.Names) == 0 {
				names[s.Name.Name+" has "+typeName(field.Type)] = true
			}
			return true
		})
	}
}

func typeName(x ast.Expr) string {
	if star, ok := x.(*ast.StarExpr); ok {
		x = star.X
	}
	if id, ok := x.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

// TestNames makes sure that what README and docs name is there.
func TestNames(t *testing.T) {
	t.Parallel()
	names := map[string]bool{ // of others
		"Range": true, "InternalError": true, "SlowDown": true, "IdleConnTimeout": true, "TLSClientConfig": true, "NextProtos": true,
		"Protocols": true, "MaxIdleConnsPerHost": true,
	}
	for _, dir := range []string{".", "portertest"} {
		exported(t, dir, names)
	}
	name := regexp.MustCompile(`^\*?(?:porter\.|portertest\.|client\.)?([A-Z]\w*(?:\.[A-Z]\w*)?)$`)
	checked := 0
	for document, text := range documents(t) {
		for i, line := range prose(text) {
			for _, code := range inlineCode.FindAllString(line, -1) {
				m := name.FindStringSubmatch(strings.Trim(code, "`"))
				if m == nil || strings.ToUpper(m[1]) == m[1] || testName.MatchString(m[1]) {
					continue
				}
				checked++
				if !names[m[1]] && !promoted(names, m[1]) {
					t.Errorf("%s:%d: there is no %s", document, i+1, m[1])
				}
			}
		}
	}
	if checked < 200 {
		t.Errorf("found only %d names", checked)
	}
}

// promoted reports whether a name is that of a field of an embedded type.
func promoted(names map[string]bool, name string) bool {
	outer, field, _ := strings.Cut(name, ".")
	for n := range names {
		if inner, ok := strings.CutPrefix(n, outer+" has "); ok && names[inner+"."+field] {
			return true
		}
	}
	return false
}

var testName = regexp.MustCompile(`^(Test|Fuzz|Benchmark)[A-Z]`)
