package diskio

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func spoolFor(t *testing.T) *Spool {
	t.Helper()
	sp, err := NewSpool(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sp.Close)
	return sp
}

// TestSpoolReadersFollow writes while several readers read behind.
func TestSpoolReadersFollow(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	content := make([]byte, 1<<20)
	for i := range content {
		content[i] = byte(rnd.Uint32())
	}
	sp := spoolFor(t)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			open := sp.Reader
			if i%2 == 0 {
				open = sp.ApprovedReader
			}
			got, err := io.ReadAll(open(t.Context()))
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("reader %d: %d bytes, %v", i, len(got), err)
			}
		})
	}
	for rest := content; len(rest) > 0; {
		n := min(len(rest), 1+rnd.IntN(100<<10))
		if m, err := sp.Write(rest[:n]); m != n || err != nil {
			t.Fatal(m, err)
		}
		rest = rest[n:]
	}
	sp.End(nil)
	sp.Approve(nil)
	if n, err := sp.Size(t.Context()); n != int64(len(content)) || err != nil {
		t.Errorf("whole: %d, %v", n, err)
	}
	wg.Wait()
}

// TestSpoolEnds goes through the orders in which writing and approval can end.
func TestSpoolEnds(t *testing.T) {
	broken, unsound := errors.New("broken"), errors.New("unsound")
	end := func(err error) func(*Spool) { return func(s *Spool) { s.End(err) } }
	approve := func(err error) func(*Spool) { return func(s *Spool) { s.Approve(err) } }
	tests := []struct {
		name    string
		steps   []func(*Spool)
		careful error // what a reader that waits for approval gets
		other   error
	}{
		{"whole and sound", []func(*Spool){end(nil), approve(nil)}, io.EOF, io.EOF},
		{"approved before", []func(*Spool){approve(nil), end(nil)}, io.EOF, io.EOF},
		{"not approved yet", []func(*Spool){end(nil)}, context.DeadlineExceeded, io.EOF},
		{"not ended yet", []func(*Spool){approve(nil)}, context.DeadlineExceeded, context.DeadlineExceeded},
		{"broken", []func(*Spool){end(broken)}, broken, broken},
		{"broken, so unsound", []func(*Spool){end(broken), approve(unsound)}, broken, broken},
		{"unsound", []func(*Spool){end(nil), approve(unsound)}, unsound, io.EOF},
		{"unsound, so broken off", []func(*Spool){approve(unsound), end(broken)}, unsound, unsound},
		{"approved, then broken", []func(*Spool){approve(nil), end(broken)}, broken, broken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sp := spoolFor(t)
				if _, err := sp.Write([]byte("text")); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var wg sync.WaitGroup
				for careful, want := range map[bool]error{true: tt.careful, false: tt.other} {
					open := sp.Reader
					if careful {
						open = sp.ApprovedReader
					}
					wg.Go(func() {
						if _, err := io.ReadAll(open(ctx)); !errors.Is(err, want) && !(want == io.EOF && err == nil) {
							t.Errorf("careful %v: got %v, want %v", careful, err, want)
						}
					})
				}
				for _, step := range tt.steps {
					synctest.Wait() // the readers are waiting
					step(sp)
				}
				wg.Wait()
				// A reader that comes later sees the same.
				if _, err := io.ReadAll(sp.ApprovedReader(ctx)); !errors.Is(err, tt.careful) && !(tt.careful == io.EOF && err == nil) {
					t.Errorf("later: got %v, want %v", err, tt.careful)
				}
			})
		})
	}
}

func TestSpoolWholeWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sp := spoolFor(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := sp.Size(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		broken := errors.New("broken")
		time.AfterFunc(time.Second, func() { sp.End(broken) })
		if _, err := sp.Size(t.Context()); err != broken {
			t.Errorf("got %v", err)
		}
	})
}

// TestSpoolLeavesNothing looks for the file: it has no name while it is used,
// where the system allows that, and is gone afterwards.
func TestSpoolLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	sp, err := NewSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sp.Write([]byte("text")); err != nil {
		t.Fatal(err)
	}
	files := func() []string {
		names, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if names := files(); runtime.GOOS != "windows" && len(names) > 0 {
		t.Errorf("a killed process would leave %q", names)
	}
	sp.End(nil)
	if b, err := io.ReadAll(sp.Reader(t.Context())); string(b) != "text" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
	sp.Close()
	sp.Close()
	if names := files(); len(names) > 0 {
		t.Errorf("left %q", names)
	}
	if _, err := sp.Reader(t.Context()).Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a late reader got %v", err)
	}
}

func TestSpoolNeedsItsFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(t.TempDir(), "missing"), file} {
		if sp, err := NewSpool(dir); err == nil {
			sp.Close()
			t.Errorf("no error for %s", dir)
		}
	}
}

// TestSpoolElsewhere removes the file wherever the process has gone, and keeps
// it from others.
func TestSpoolElsewhere(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	sp, err := NewSpool(".")
	if err != nil {
		t.Fatal(err)
	}
	if checked, err := CheckSpool("."); err != nil || !filepath.IsAbs(checked) || filepath.Dir(sp.f.Name()) != checked {
		t.Errorf("%s in %s: %v", sp.f.Name(), checked, err)
	}
	if fi, err := sp.f.Stat(); err != nil || runtime.GOOS != "windows" && fi.Mode() != newFileMode {
		t.Errorf("mode %v: %v", fi.Mode(), err)
	}
	t.Chdir(t.TempDir())
	sp.Close()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v: %v", left, err)
	}
}
