package diskio

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestOpenLocked(t *testing.T) {
	name := filepath.Join(t.TempDir(), "state")
	for i := range 2 { // closing the file unlocks it
		f, made, err := openLocked(name)
		if errors.Is(err, errLocked) {
			t.Skip("no locks here")
		}
		if err != nil || made != (i == 0) {
			t.Fatal(made, err)
		}
		if _, _, err := openLocked(name); !errors.Is(err, errLocked) {
			t.Errorf("locked twice: %v", err)
		}
		f.Close()
	}
	f, _, err := openLocked(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if os.Remove(name) != nil {
		t.Skip("an open file can't be removed here")
	}
	g, made, err := openLocked(name) // another file now
	if err != nil || !made {
		t.Fatal(made, err)
	}
	g.Close()
}

// Somebody who reads the file that is to be replaced keeps that up at most for a
// while, on Windows.
func TestRenameWaitsForReader(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	for name, text := range map[string]string{from: "new", to: "old"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(50*time.Millisecond, func() { f.Close() }).Stop()
	if err := rename(from, to); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(to); string(b) != "new" {
		t.Errorf("%q, %v", b, err)
	}
	f.Close()
}

func TestOpenLockedErrors(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{dir, filepath.Join(dir, "missing", "state"), "nul\x00"} {
		f, _, err := openLocked(name)
		if err == nil {
			f.Close()
		}
		if err == nil || errors.Is(err, errLocked) {
			t.Errorf("%q: error: %v", name, err)
		}
	}
}
