package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/seed-5d77b939/porter/examples/internal/clitest"
	"github.com/seed-5d77b939/porter/portertest"
)

// key is a recipient.
const key = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"

func TestMain(m *testing.M) {
	os.Unsetenv("GITLAB_URL")
	os.Setenv("GITLAB_TOKEN", portertest.Token)
	os.Exit(m.Run())
}

var call = clitest.Program(run).Call

func TestSimulation(t *testing.T) {
	t.Parallel()
	code, out := call(t.Context())
	if code != 0 || !strings.Contains(out, "They are equal.") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

func TestEncrypt(t *testing.T) {
	t.Parallel()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		fault portertest.ExportFault
		code  int
	}{
		{name: "saved"},
		{name: "export fails", fault: portertest.FailRelation, code: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			archive := portertest.NewArchive(1 << 20)
			s := portertest.NewServer()
			defer s.Close()
			s.AddProject(portertest.Project{Path: "group/app", Archive: archive})
			s.ScriptExport("group/app", portertest.ExportScript{Fault: tt.fault, Timing: &portertest.Timings{Failure: 300 * time.Millisecond}})
			dir := t.TempDir()
			file := filepath.Join(dir, "app.age")
			code, out := call(t.Context(), "-url", s.URL, "-poll", "5ms", "-r", identity.Recipient().String(), "-o", file, "group/app")
			if code != tt.code {
				t.Fatalf("exit code %d, want %d\n%s", code, tt.code, out)
			}
			left, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			if tt.code != 0 {
				if len(left) != 0 {
					t.Errorf("left behind: %v", left)
				}
				return
			}
			if len(left) != 1 {
				t.Errorf("left behind: %v", left)
			}
			if sum, err := decryptedSum(file, identity); err != nil || sum != archive.SHA256() {
				t.Errorf("decrypted SHA-256 is %s, %v; want %s", sum, err, archive.SHA256())
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	code, out := call(t.Context(), "-timeout", "50ms", "-r", key)
	if code != 1 || !strings.Contains(out, "-timeout of 50ms is over") {
		t.Errorf("exit code %d, want 1\n%s", code, out)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-h"}, 0, "Exit codes: 0 saved, 1 failed, 2 wrong usage"},
		{[]string{"-nonsense"}, 2, "-nonsense"},
		{[]string{"-r", "bogus"}, 2, "-r: "},
		{[]string{"a/b"}, 2, "no -url"},
		{[]string{"-url", "http://localhost:1"}, 2, "no project"},
		{[]string{"-url", "http://localhost:1", "a/b", "c/d"}, 2, "more than one project"},
		{[]string{"-url", "http://localhost:1", "a/b"}, 2, "no -r"},
		{[]string{"-url", "http://localhost:1", "-r", "age1", "a/b"}, 2, "-r: "},
	} {
		code, out := call(t.Context(), tt.args...)
		if code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%q: exit code %d, want %d with %q\n%s", tt.args, code, tt.code, tt.want, out)
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("GITLAB_URL", "http://localhost:1")
	t.Setenv("GITLAB_TOKEN", "")
	clitest.Misused(t, run, "-url was taken from GITLAB_URL, but no project is named")
	clitest.Misused(t, run, "GITLAB_TOKEN is not set", "-r", key, "a/b")
}
