// Command typecheck finds what would not compile on other systems. It reads the
// sources of all that is imported, too, and compiles nothing: the standard
// library alone takes a minute of a processor for each system.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("typecheck: ")
	systems := flag.String("on", "windows/amd64", "`systems` and architectures, with commas between them")
	tests := flag.Bool("tests", true, "with the tests")
	flag.Parse()
	code := 0
	for _, system := range strings.Split(*systems, ",") {
		wrong, err := check(system, *tests, flag.Args())
		if err != nil {
			log.Fatalf("%s: %v", system, err)
		}
		for text := range wrong {
			fmt.Printf("%s: %s\n", system, text)
			code = 1
		}
	}
	os.Exit(code)
}

// check returns what is wrong with the packages on one system.
func check(system string, tests bool, patterns []string) (wrong map[string]bool, err error) {
	goos, goarch, _ := strings.Cut(system, "/")
	pkgs, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports | packages.NeedDeps |
			packages.NeedTypes | packages.NeedTypesSizes | packages.NeedSyntax | packages.NeedModule,
		Env:   append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0"),
		Tests: tests,
	}, patterns...)
	if err != nil {
		return nil, err
	}
	wrong = map[string]bool{}
	files := 0
	for _, p := range pkgs {
		files += len(p.Syntax)
		for _, e := range p.Errors {
			wrong[e.Error()] = true // a package and its tests have the same
		}
	}
	if files == 0 && len(wrong) == 0 {
		return nil, fmt.Errorf("no files in %s", strings.Join(patterns, " "))
	}
	return wrong, nil
}
