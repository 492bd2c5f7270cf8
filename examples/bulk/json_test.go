package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/seed-5d77b939/porter"
)

func TestJSON(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := tell(newJSON(&out))
		s.middle()
		s.finish()
		wantText(t, out.String(), golden(t, "story.json"))
	})
}

// Names and texts are quoted whole, and a line is one line.
func TestJSONQuotes(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	v := newJSON(&out)
	p := project{Name: "a\n\"<b>\x00\xff", Target: "c", Step: stepFailed, Err: fmt.Errorf("line\nbreak")}
	v.change(p)
	var got struct {
		Project, Target string
		Error           jsonError
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || bytes.Count(out.Bytes(), []byte("\n")) != 1 {
		t.Fatalf("%v: %s", err, &out)
	}
	if got.Project != "a\n\"<b>\x00\ufffd" || got.Target != "c" || got.Error.Message != "line\nbreak" || got.Error.Code != "other" {
		t.Errorf("%+v", got)
	}
}

func TestJSONUnwritable(t *testing.T) {
	t.Parallel()
	var told bytes.Buffer
	v := newJSON(broken{}).(*jsonView)
	v.stderr = &told
	v.begin(begin{})
	v.change(project{Name: "a", Step: stepDone})
	v.end(nil, 0)
	wantText(t, told.String(), "error: -json: no disk\n")
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errNoDisk }

// Each Err variable of porter has the code that its name is, so that none is
// forgotten. A new one needs a line in codes.
func TestCodesOfSentinels(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "../../errors.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, c := range codes {
		if known[c.code] {
			t.Errorf("%s is there twice", c.code)
		}
		known[c.code] = true
		if !regexp.MustCompile(`(?m)[ ]` + c.code + `( |$)`).MatchString(jsonHelp) {
			t.Errorf("the help does not name %s", c.code)
		}
	}
	capital := regexp.MustCompile(`[A-Z]`)
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for _, name := range spec.Names {
			n++
			code := strings.TrimPrefix(strings.ToLower(capital.ReplaceAllString(strings.TrimPrefix(name.Name, "Err"), "_$0")), "_")
			if !known[code] {
				t.Errorf("%s has no code %s", name.Name, code)
			}
		}
		return true
	})
	if n < 18 {
		t.Errorf("found only %d Err variables", n)
	}
}

// Of what an error matches, the code says what is most worth knowing.
func TestCodeOf(t *testing.T) {
	t.Parallel()
	answer := func(status int) error {
		return &porter.APIError{StatusCode: status, Method: "POST", URL: "https://gitlab.example.com/"}
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("%w: %w", porter.ErrOutcomeUnknown, answer(502)), "outcome_unknown"},
		{fmt.Errorf("a: %w", &porter.ProjectExistsError{}), "project_exists"},
		{&porter.ExportError{}, "export_failed"},
		{&porter.ImportError{}, "import_failed"},
		{fmt.Errorf("%w: %w", porter.ErrArchiveDamaged, fs.ErrClosed), "archive_damaged"},
		{answer(401), "unauthorized"},
		{answer(403), "forbidden"},
		{answer(404), "not_found"},
		{answer(409), "conflict"},
		{answer(413), "too_large"},
		{answer(429), "rate_limited"},
		{answer(500), "api_error"},
		{fmt.Errorf("spool: %w", syscall.ENOSPC), "disk_full"},
		{&fs.PathError{Op: "write", Path: "a", Err: syscall.ENOSPC}, "disk_full"},
		{&fs.PathError{Op: "open", Path: "a", Err: fs.ErrPermission}, "file_error"},
		{&porter.WaitError{Err: context.Canceled}, "canceled"},
		{&porter.WaitError{Err: context.DeadlineExceeded}, "timeout"},
		{&porter.WaitError{Err: answer(403)}, "forbidden"},
		{porter.ErrStalled, "stalled"},
		{errNoDisk, "other"},
	} {
		if got := codeOf(tt.err); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.err, got, tt.want)
		}
	}
}

// The help names each field that is written, and no other type of line.
func TestJSONHelp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := tell(newJSON(&out))
		s.middle()
		s.finish()
		names := map[string]bool{}
		for line := range strings.Lines(out.String()) {
			var fields map[string]any
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				t.Fatal(err)
			}
			names[fields["type"].(string)] = true
			for name := range fields {
				names[name] = true
			}
		}
		for name := range maps.Keys(names) {
			if !regexp.MustCompile(`\b` + name + `\b`).MatchString(jsonHelp) {
				t.Errorf("the help does not name %s", name)
			}
		}
		for line := range strings.SplitSeq(jsonHelp, "\n") {
			if len(line) > 80 {
				t.Errorf("%d columns: %s", len(line), line)
			}
		}
	})
}
