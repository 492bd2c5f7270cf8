package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/clitest"
	"github.com/seed-5d77b939/porter/portertest"
)

func TestMain(m *testing.M) {
	os.Setenv("GITLAB_TOKEN", portertest.Token)
	os.Exit(m.Run())
}

// call runs the program and returns its exit code and what it wrote.
func call(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

var exitCodes = map[verdict]int{importable: 0, olderOnly: 3, unimportable: 3}

func TestKinds(t *testing.T) {
	t.Parallel()
	for _, k := range kinds(t) {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			file := k.save(t)
			code, text, errs := call(t.Context(), file)
			if code != exitCodes[k.verdict] || errs != "" {
				t.Errorf("exit code %d, %q", code, errs)
			}
			text = strings.ReplaceAll(text, file, "app.tar.gz")
			golden := filepath.Join("testdata", strings.ReplaceAll(k.name, " ", "-")+".txt")
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if text != string(want) {
				t.Errorf("got this, which differs from %s:\n%s", golden, text)
			}
			checkText(t, text)
		})
	}
}

// checkText finds what may harm a terminal, and lines of the picture that are
// too long for one.
func checkText(t *testing.T, text string) {
	t.Helper()
	inPicture := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if i := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("not printable at byte %d: %q", i, line)
		}
		inPicture = strings.HasPrefix(line, "Where the bytes are") || inPicture && line != ""
		if inPicture && len([]rune(line)) > 80 {
			t.Errorf("longer than 80 columns: %s", line)
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	for _, k := range kinds(t) {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			file := k.save(t)
			code, text, errs := call(t.Context(), "-json", file)
			if code != exitCodes[k.verdict] || errs != "" {
				t.Errorf("exit code %d, %q", code, errs)
			}
			checkText(t, text)
			got := decode(t, text)
			found, err := porter.InspectArchive(bytes.NewReader(k.archive))
			if err != nil {
				t.Fatal(err)
			}
			checkJSON(t, k, got, found)
			if got.Archive != file || got.Size == nil || *got.Size != int64(len(k.archive)) {
				t.Errorf("archive %s of %v bytes", got.Archive, got.Size)
			}
		})
	}
}

// decode reads a report. Every field has to be there, and no other.
func decode(t *testing.T, text string) (r jsonReport) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil || dec.More() {
		t.Fatalf("%v\n%s", err, text)
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		t.Fatal(err)
	}
	for name, value := range fields {
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(jsonHelp) {
			t.Errorf("the help does not tell of %q", name)
		}
		if value == nil && name != "size" {
			t.Errorf("%q is null", name)
		}
	}
	return r
}

// checkJSON compares what is said in JSON with what was found.
func checkJSON(t *testing.T, k kind, got jsonReport, found *porter.Inspection) {
	t.Helper()
	if got.Verdict != k.verdict || (got.Why != "") != (k.verdict == unimportable) {
		t.Errorf("verdict %q, why %q", got.Verdict, got.Why)
	}
	if len(got.Problems) != len(found.Problems) || len(got.Problems) != len(k.problems) {
		t.Fatalf("problems are %v, want %q", got.Problems, k.problems)
	}
	for i, p := range got.Problems {
		back := porter.ArchiveProblem{Line: -1, What: p.What, Fatal: p.Fatal}
		if p.Entry != nil {
			back.Entry = *p.Entry
		}
		if p.Line != nil {
			back.Line = *p.Line
		}
		if back != found.Problems[i] || !strings.Contains(back.String(), k.problems[i]) {
			t.Errorf("problem %d is %+v, want %+v with %q", i, back, found.Problems[i], k.problems[i])
		}
	}
	var people []porter.Contributor
	var mappable, all int64
	for _, p := range got.People {
		people = append(people, porter.Contributor{SourceID: p.ID, Username: p.Username, Email: p.Email,
			AccessLevel: p.AccessLevel, References: p.References})
		all += p.References
		if p.Email != "" {
			mappable += p.References
		}
	}
	if len(people) != len(found.People) {
		t.Fatalf("%d people, want %d", len(people), len(found.People))
	}
	for i := range people {
		if people[i] != found.People[i] {
			t.Errorf("%+v, want %+v", people[i], found.People[i])
		}
	}
	if r := (jsonReferences{mappable, all - mappable + found.Strangers, found.Strangers}); got.References != r {
		t.Errorf("%+v, want %+v", got.References, r)
	}
	if len(got.Relations) != len(found.Contents) || got.GitLabVersion != found.GitLabVersion || got.Unpacked != found.Bytes {
		t.Errorf("got %+v\nfound %+v", got, found)
	}
}

// TestArchives holds the verdicts against what GitLab makes of real archives.
func TestArchives(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("PORTER_ARCHIVES")
	if dir == "" {
		t.Skip("PORTER_ARCHIVES is not set")
	}
	table, err := os.ReadFile(filepath.Join(dir, "odd", "EXPECTED.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]verdict{"legacy_json_project_export.tar.gz": olderOnly, "ndjson_project_export.tar.gz": importable}
	for line := range strings.Lines(string(table)) {
		name, outcome, ok := strings.Cut(strings.TrimSpace(line), "\t")
		switch {
		case !ok: // a comment
		case outcome == "IMPORTED" && name != "17-no-end-mark.tar.gz" && name != "18-one-zero-block.tar.gz":
			want["odd/"+name] = importable
		default: // of the two GitLab imports what is left, without a word
			want["odd/"+name] = unimportable
		}
	}
	for name, v := range want {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, text, errs := call(t.Context(), filepath.Join(dir, name))
			if code != exitCodes[v] || errs != "" {
				t.Errorf("exit code %d, %q\n%s", code, errs, text)
			}
			checkText(t, text)
			_, text, _ = call(t.Context(), "-json", filepath.Join(dir, name))
			if got := decode(t, text); got.Verdict != v {
				t.Errorf("verdict %s, want %s", got.Verdict, v)
			}
		})
	}
}

// TestDemonstration compares the output with the sample in docs/archives.md, whose
// lines of dots stand for more.
func TestDemonstration(t *testing.T) {
	t.Parallel()
	code, text, errs := call(t.Context())
	if code != 0 || errs != "" {
		t.Errorf("exit code %d, %q", code, errs)
	}
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "archives.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, sample, _ := strings.Cut(string(doc), "$ go run ./examples/inspect\n")
	sample, _, ok := strings.Cut(sample, "```")
	if !ok {
		t.Fatal("no sample in docs/archives.md")
	}
	rest := text
	for piece := range strings.SplitSeq(sample, "…\n") {
		_, after, found := strings.Cut(rest, piece)
		if !found {
			t.Errorf("the output lacks this of the sample:\n%s\nIt is:\n%s", piece, text)
		}
		rest = after
	}
}

// TestStandardInput has it for itself.
func TestStandardInput(t *testing.T) {
	stdin := os.Stdin
	defer func() { os.Stdin = stdin }()
	for _, k := range kinds(t) {
		f, err := os.Open(k.save(t))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		os.Stdin = f
		code, text, errs := call(t.Context(), "-json", "-")
		got := decode(t, text)
		if code != exitCodes[k.verdict] || errs != "" || got.Verdict != k.verdict || got.Archive != "standard input" {
			t.Errorf("%s: exit code %d, %q, %+v", k.name, code, errs, got)
		}
		if read := k.name != "page"; read != (got.Size != nil) || read && *got.Size != int64(len(k.archive)) {
			t.Errorf("%s: size %v", k.name, got.Size)
		}
	}
}

func TestDownload(t *testing.T) {
	t.Parallel()
	fine := generated()
	for _, tt := range []struct {
		name    string
		archive []byte
		setup   func(*portertest.Server)
		args    []string
		code    int
		want    string
	}{
		{name: "text", archive: fine, want: "group/app: 100.0 KiB, unpacked"},
		{name: "JSON", archive: fine, args: []string{"-json"}, want: `"verdict": "importable"`},
		{
			name: "unimportable", archive: generated(portertest.ArchiveFormatVersion("0.2.3")), code: 3,
			want: "  fatal: VERSION: the format is 0.2.3",
		},
		{
			name: "no export", archive: fine, code: 1, want: "Have GitLab export the project first",
			setup: func(s *portertest.Server) {
				s.RemoveProject("group/app")
				s.AddProject(portertest.Project{Path: "group/app"})
			},
		},
		{name: "no project", archive: fine, setup: func(s *portertest.Server) { s.RemoveProject("group/app") }, code: 1, want: "404"},
		{
			name: "timeout", archive: fine, args: []string{"-timeout", "50ms"}, code: 1, want: "-timeout of 50ms is over",
			setup: func(s *portertest.Server) {
				s.Inject(portertest.Fault{Path: "/export/download", Times: -1, Do: portertest.StallResponse(50<<10, time.Hour)})
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := portertest.NewServer()
			defer s.Close()
			s.AddProject(portertest.Project{Path: "group/app", Archive: portertest.BytesArchive(tt.archive)})
			s.AddExport("group/app", "owner")
			if tt.setup != nil {
				tt.setup(s)
			}
			code, text, errs := call(t.Context(), append(append([]string{"-url", s.URL}, tt.args...), "group/app")...)
			if code != tt.code || !strings.Contains(text+errs, tt.want) || (code == 1) != (text == "") {
				t.Errorf("exit code %d, want %d with %q\n%s%s", code, tt.code, tt.want, text, errs)
			}
			if strings.Contains(text+errs, portertest.Token) {
				t.Error("the token shows")
			}
		})
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-h"}, 0, "Exit codes:"},
		{[]string{"-nonsense"}, 2, "-nonsense"},
		{[]string{"-timeout", "-1s", "x"}, 2, "-timeout must not be negative"},
		{[]string{"a.tar.gz", "b.tar.gz"}, 2, "more than one archive"},
		{[]string{""}, 2, "the name of the archive is empty"},
		{[]string{"-url", "http://localhost:1"}, 2, "-url is given, but no project is named"},
		{[]string{"-url", "http://localhost:1", "a b\x1b"}, 2, "a b"},
		{[]string{"-url", "localhost", "a/b"}, 2, "-url: "},
		{[]string{"-url", "", "a/b"}, 2, "-url: "},
		{[]string{"no-such-file\x1b.tar.gz"}, 1, "no-such-file?.tar.gz"},
		{[]string{"testdata"}, 1, "inspect archive: read testdata: "},
	} {
		code, text, errs := call(t.Context(), tt.args...)
		if code != tt.code || !strings.Contains(text+errs, tt.want) || strings.Contains(text+errs, "\x1b") {
			t.Errorf("%q: exit code %d, want %d with %q\n%s%s", tt.args, code, tt.code, tt.want, text, errs)
		}
		for line := range strings.Lines(text) {
			if len(line) > 82 {
				t.Errorf("a long line in the help: %s", line)
			}
		}
	}
}

func TestInterrupt(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code, text, errs := call(ctx, filepath.Join("testdata", "fine.txt")); code != 130 || text != "" || errs != "Interrupted.\n" {
		t.Errorf("exit code %d\n%s%s", code, text, errs)
	}
}

// TestWriteError tells of a report that could not be written.
func TestWriteError(t *testing.T) {
	t.Parallel()
	file := kind{archive: generated()}.save(t)
	for _, args := range [][]string{{file}, {"-json", file}} {
		var errs bytes.Buffer
		if code := run(t.Context(), args, brokenWriter{}, &errs); code != 1 || !strings.Contains(errs.String(), "pipe is broken") {
			t.Errorf("%q: exit code %d, %s", args, code, &errs)
		}
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("pipe is broken") }

func TestEnvironment(t *testing.T) {
	t.Setenv("GITLAB_TOKEN", "")
	clitest.Misused(t, run, "GITLAB_TOKEN is not set", "-url", "http://localhost:1", "a/b")
}
