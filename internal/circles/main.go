// Command circles fails when files of one package lean on each other in a
// circle that is too large. A file leans on another when it names something
// that is declared there: a type, a function, a method, a field.
//
//	go run ./internal/circles -max 3 . ./portertest
//
// With -v it prints the files in layers: a file leans only on files of the
// layers above its own, and on those of its own circle.
package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	most := flag.Int("max", 3, "how many files a circle may have")
	verbose := flag.Bool("v", false, "print the layers of files")
	why := flag.Bool("why", false, "print what the files of a circle name of each other")
	flag.Parse()

	failed := false
	for _, dir := range flag.Args() {
		g, err := load(dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, "circles:", err)
			os.Exit(1)
		}
		circles := g.circles()
		largest := 0
		for _, c := range circles {
			largest = max(largest, len(c))
			if len(c) > *most {
				failed = true
				fmt.Printf("%s: a circle of %d files: %s\n", dir, len(c), strings.Join(c, " "))
			}
			if *why && len(c) > 1 {
				g.explain(c)
			}
		}
		fmt.Printf("%s: %d files, the largest circle has %d\n", dir, len(g), largest)
		if *verbose {
			g.draw(circles)
		}
	}
	if failed {
		os.Exit(1)
	}
}

// A graph has for each file what it names, by the file that declares it.
type graph map[string]map[string][]string

func load(dir string) (graph, error) {
	pkg, err := build.ImportDir(dir, 0)
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range pkg.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "source", nil)}
	checked, err := conf.Check(dir, fset, files, info)
	if err != nil {
		return nil, err
	}

	file := func(p token.Pos) string { return filepath.Base(fset.Position(p).Filename) }
	g := graph{}
	for _, name := range pkg.GoFiles {
		g[name] = map[string][]string{}
	}
	for id, obj := range info.Uses {
		if obj.Pkg() != checked {
			continue
		}
		if from, to := file(id.Pos()), file(obj.Pos()); from != to && !slices.Contains(g[from][to], obj.Name()) {
			g[from][to] = append(g[from][to], obj.Name())
		}
	}
	for _, names := range g {
		for _, list := range names {
			slices.Sort(list) // info.Uses has no order
		}
	}
	return g, nil
}

// circles returns the strongly connected sets of files (Tarjan's algorithm), a
// set after those that it leans on. A file in no circle is a set of its own.
func (g graph) circles() [][]string {
	var (
		found       [][]string
		stack       []string
		index, low  = map[string]int{}, map[string]int{}
		onStack     = map[string]bool{}
		next        = 1
		visit       func(string)
		names       = slices.Sorted(maps.Keys(g))
		dependences = func(f string) []string { return slices.Sorted(maps.Keys(g[f])) }
	)
	visit = func(f string) {
		index[f], low[f] = next, next
		next++
		stack, onStack[f] = append(stack, f), true
		for _, to := range dependences(f) {
			if index[to] == 0 {
				visit(to)
				low[f] = min(low[f], low[to])
			} else if onStack[to] {
				low[f] = min(low[f], index[to])
			}
		}
		if low[f] != index[f] {
			return
		}
		i := slices.Index(stack, f)
		circle := slices.Clone(stack[i:])
		stack = stack[:i]
		for _, f := range circle {
			onStack[f] = false
		}
		slices.Sort(circle)
		found = append(found, circle)
	}
	for _, f := range names {
		if index[f] == 0 {
			visit(f)
		}
	}
	return found
}

// explain prints what the files of a circle name of each other.
func (g graph) explain(circle []string) {
	for _, from := range circle {
		for _, to := range circle {
			if names := g[from][to]; len(names) > 0 {
				fmt.Printf("\t%s -> %s: %s\n", from, to, strings.Join(names, " "))
			}
		}
	}
}

// draw prints the layers, those that lean on nothing first.
func (g graph) draw(circles [][]string) {
	layer := map[string]int{}
	var layers [][]string
	for _, c := range circles {
		at := 0
		for _, f := range c {
			for to := range g[f] {
				if !slices.Contains(c, to) {
					at = max(at, layer[to]+1)
				}
			}
		}
		for _, f := range c {
			layer[f] = at
		}
		for len(layers) <= at {
			layers = append(layers, nil)
		}
		text := strings.Join(c, " ")
		if len(c) > 1 {
			text = "(" + text + ")"
		}
		layers[at] = append(layers[at], text)
	}
	for i, l := range layers {
		slices.Sort(l)
		fmt.Printf("\t%d  %s\n", i, strings.Join(l, " "))
	}
}
