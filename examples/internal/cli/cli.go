// Package cli holds what the example programs have in common.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/seed-5d77b939/porter"
)

// Exit codes.
const (
	OK          = 0
	Failure     = 1
	BadUsage    = 2
	Incomplete  = 3
	Again       = 4 // only failures that are worth trying again
	Interrupted = 130
)

// Main runs a program until it ends or the user interrupts it.
func Main(run func(ctx context.Context, args []string, stdout, stderr io.Writer) int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for an orderly end
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Parse parses flags and arguments. If the program is not to go on, exit is
// true and code what to exit with.
func Parse(fs *flag.FlagSet, args []string, help string, stdout, stderr io.Writer) (code int, exit bool) {
	fs.SetOutput(io.Discard)
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, help, "\nFlags:\n")
		fs.SetOutput(stdout)
		fs.PrintDefaults()
		return OK, true
	case err != nil:
		return Misused(fs, stderr, err.Error()), true
	}
	var negative string
	fs.Visit(func(f *flag.Flag) {
		if v, ok := f.Value.(flag.Getter); ok {
			if d, ok := v.Get().(time.Duration); ok && d < 0 {
				negative = f.Name
			}
		}
	})
	if negative != "" {
		return Misused(fs, stderr, "-"+negative+" must not be negative"), true
	}
	return OK, false
}

// Misused tells what is wrong with the command line.
func Misused(fs *flag.FlagSet, stderr io.Writer, text string) int {
	fmt.Fprintf(stderr, "%s: %s (-h for help)\n", fs.Name(), text)
	return BadUsage
}

// Given begins a complaint about what is missing beside a flag. It tells those
// who did not set the flag of the variable that did.
func Given(fs *flag.FlagSet, name, variable string) string {
	text := fmt.Sprintf("-%s was taken from %s", name, variable)
	fs.Visit(func(f *flag.Flag) {
		if f.Name == name {
			text = fmt.Sprintf("-%s is given", name)
		}
	})
	return text
}

// Token returns the token in an environment variable.
func Token(variable string) (porter.Auth, error) {
	token := os.Getenv(variable)
	if token == "" {
		return nil, fmt.Errorf("%s is not set", variable)
	}
	return porter.PrivateToken(token), nil
}

// Tokens returns the tokens of the source and of the destination.
func Tokens() (from, to porter.Auth, err error) {
	if from, err = Token("GITLAB_TOKEN"); err == nil {
		to, err = Token("GITLAB_DEST_TOKEN")
	}
	return from, to, err
}

// Polling are a client's options for looking at a job every so often; 0 is the
// client's own choice.
func Polling(every time.Duration) []porter.Option {
	if every <= 0 {
		return nil
	}
	return []porter.Option{porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(every)})}
}

// WithTimeout returns a context that ends after d, unless d is 0.
func WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("-timeout of %s is over", d))
}

// FailedRelation says what an import could not import, in one line. Lines are
// counted from 1.
func FailedRelation(r porter.FailedRelation) string {
	line := ""
	if r.LineNumber >= 0 {
		line = fmt.Sprintf(", line %d", r.LineNumber+1) // GitLab counts from 0
	}
	return strings.TrimSpace(fmt.Sprintf("%s%s: %s %s", r.RelationName, line, r.ExceptionClass, r.ExceptionMessage))
}

// lostTexts is how many items that are lost are named.
const lostTexts = 20

// Lost names what a finished import left out; nil is no import.
func Lost(imp *porter.Import) (texts []string) {
	if imp == nil || imp.Status != porter.ImportFinished || imp.Complete() {
		return nil
	}
	for i, r := range imp.FailedRelations {
		if i == lostTexts {
			texts = append(texts, fmt.Sprintf("and %d more", len(imp.FailedRelations)-i))
			break
		}
		texts = append(texts, FailedRelation(r))
	}
	if imp.Error != "" {
		texts = append(texts, imp.Error)
	}
	return texts
}

// Explain prints why an operation failed, and what can be done about it.
func Explain(stderr io.Writer, err error) {
	fmt.Fprintln(stderr, "error:", Printable(err.Error()))
	for _, advice := range []struct {
		err  error
		text string
	}{
		{porter.ErrUnauthorized, "The token is wrong, expired or revoked."},
		{porter.ErrProjectExists, "Choose another -path or -namespace, or replace the project with -overwrite."},
		{porter.ErrOutcomeUnknown, "Look on GitLab whether the project is there before trying again."},
	} {
		if errors.Is(err, advice.err) {
			fmt.Fprintln(stderr, advice.text)
			return
		}
	}
}
