// Command lint runs the analyzers that find what staticcheck and vet do not. All
// share what is loaded, which takes most of the time.
package main

import (
	"strings"

	"github.com/gostaticanalysis/nilerr"
	"github.com/polyfloyd/go-errorlint/errorlint"
	"github.com/sonatard/noctx"
	fatcontext "go.augendre.info/fatcontext/pkg/analyzer"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/multichecker"
	"golang.org/x/tools/go/analysis/passes/deepequalerrors"
	"golang.org/x/tools/go/analysis/passes/nilness"
	"golang.org/x/tools/go/analysis/passes/reflectvaluecompare"
	"golang.org/x/tools/go/analysis/passes/sortslice"
	"golang.org/x/tools/go/analysis/passes/unusedwrite"
)

func main() {
	multichecker.Main(
		// What is known to be nil and used all the same, or compared with nil again.
		nilness.Analyzer,
		// A field of a copy that is set and then lost with the copy.
		unusedwrite.Analyzer,
		// Comparisons that compare something else: errors by their fields,
		// reflect.Values by where they are.
		deepequalerrors.Analyzer,
		reflectvaluecompare.Analyzer,
		// sort.Slice of what is no slice, which panics.
		sortslice.Analyzer,
		// An error whose chain ends in a %v. Tests print some that may be nil.
		// Comparisons with == and type assertions are left out: a reader's io.EOF is
		// never wrapped, and the others here mean that very error.
		only(with(errorlint.NewAnalyzer(), "errorf=true", "comparison=false", "asserts=false"), func(file, _ string) bool {
			return !strings.HasSuffix(file, "_test.go")
		}),
		// An error that is found, and nil returned.
		nilerr.Analyzer,
		// A context that grows with every round of a loop.
		fatcontext.NewAnalyzer(),
		// A request that does not end with the caller. Tests and what is no request,
		// such as a listener, need no context.
		only(noctx.Analyzer, func(file, message string) bool {
			return !strings.HasSuffix(file, "_test.go") && strings.Contains(message, "net/http")
		}),
	)
	// Left out, as nearly all that they find in this code is right as it is:
	//   - bodyclose knows nothing of a body that another function closes;
	//     TestNothingLeaks counts connections instead
	//   - errcheck wants an answer from each Close after a read, and each line for
	//     people; what is written is checked by tests that fill the disk
	//   - exhaustive wants every state in every switch, where most are about a few;
	//     TestKnown looks at those that have to know all
	//   - durationcheck takes a grid of minutes for minutes times minutes
	//   - contextcheck follows calls into the standard library
	//   - ineffassign finds what staticcheck does
}

// with returns a with flags set.
func with(a *analysis.Analyzer, flags ...string) *analysis.Analyzer {
	for _, f := range flags {
		name, value, _ := strings.Cut(f, "=")
		if err := a.Flags.Set(name, value); err != nil {
			panic(err)
		}
	}
	return a
}

// only returns a that reports what keep wants of it.
func only(a *analysis.Analyzer, keep func(file, message string) bool) *analysis.Analyzer {
	kept := *a
	kept.Run = func(pass *analysis.Pass) (any, error) {
		p := *pass
		p.Report = func(d analysis.Diagnostic) {
			if keep(pass.Fset.Position(d.Pos).Filename, d.Message) {
				pass.Report(d)
			}
		}
		return a.Run(&p)
	}
	return &kept
}
