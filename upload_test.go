package porter_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
	"github.com/seed-5d77b939/porter/portertest/testclient"
)

// checkNothingImported makes sure that no upload was whole and no project exists.
func checkNothingImported(t *testing.T, s *portertest.Server) {
	t.Helper()
	for _, r := range uploads(s) {
		if r.Complete {
			t.Errorf("an upload of %d bytes was whole", r.BodyBytes)
		}
	}
	if ps := s.Projects(); len(ps) > 0 {
		t.Errorf("project %s exists", ps[0].Path)
	}
}

func writeFile(t *testing.T, b []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "app.tar.gz")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestFileSource(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.tar.gz")
	secret := filepath.Join(dir, "secret.tar.gz")
	good := filepath.Join(dir, "app.tar.gz")
	for name, text := range map[string]string{empty: "", secret: "archive", good: "archive"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(secret, 0); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, file, text string
		is               error
	}{
		{name: "missing", file: filepath.Join(dir, "missing.tar.gz"), text: "no such file", is: os.ErrNotExist},
		{name: "no name", file: "", text: "no such file", is: os.ErrNotExist},
		{name: "directory", file: dir, text: "is not a regular file"},
		{name: "device", file: os.DevNull, text: "is not a regular file"},
		{name: "empty", file: empty, text: "is empty"},
		{name: "unreadable", file: secret, text: "permission denied", is: os.ErrPermission},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if runtime.GOOS == "windows" || tt.name == "unreadable" && os.Geteuid() == 0 {
				t.Skip("this user or system does not refuse it, or not with this text")
			}
			_, err := porter.FileSource(tt.file)
			if err == nil || !strings.HasPrefix(err.Error(), "file source: ") || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, want %q", err, tt.text)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v is no %v", err, tt.is)
			}
		})
	}
	src, err := porter.FileSource(good)
	if err != nil || src.Name != "app.tar.gz" || src.Size != 7 {
		t.Errorf("got %+v, %v", src, err)
	}
}

// A file whose name GitLab refuses is sent under another one, and imported. One
// that is no gzip data either is an error at once.
func TestFileSourceNames(t *testing.T) {
	s := portertest.NewServer(portertest.NoLimits())
	defer s.Close()
	client, dir := testclient.New(t, s), t.TempDir()
	for i, tt := range []struct{ file, sent string }{
		{"app.tar.gz", "app.tar.gz"}, {"app.gz", "app.gz"}, {"2026-01-02_a.tar.gz", "2026-01-02_a.tar.gz"}, {"ä b.tar.gz", "ä b.tar.gz"},
		{"app.tgz", ""}, {"APP.TAR.GZ", ""}, {"app.tar.Gz", ""}, {"app.tar.gz.part", ""}, {"app.tar.gz.1", ""}, {"app", ""}, {"app.zip", ""},
		{"app.tar.gz ", ""}, {".gz", ""}, {"...gz", ""}, {"a\\b.tar.gz", ""}, {"a\nb.tar.gz", ""}, {"a\xff.tar.gz", ""},
	} {
		if runtime.GOOS == "windows" && (strings.ContainsAny(tt.file, "\\\n ") || !utf8.ValidString(tt.file)) {
			continue // no file has such a name
		}
		name := filepath.Join(dir, tt.file)
		if err := os.WriteFile(name, []byte(smallContent()), 0o600); err != nil {
			t.Logf("%q: %v", tt.file, err) // not on every file system
			continue
		}
		want := tt.sent
		if want == "" {
			want = "archive.tar.gz"
		}
		src, err := porter.FileSource(name)
		if err != nil || src.Name != want {
			t.Errorf("%q: sent as %q, want %q: %v", tt.file, src.Name, want, err)
			continue
		}
		if _, err := client.Import(t.Context(), src, porter.ImportOptions{Path: fmt.Sprint("app", i)}); err != nil {
			t.Errorf("%q: %v", tt.file, err)
		}
		for _, content := range []string{"PK\x03\x04 a zip file", "\x1f"} {
			if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = porter.FileSource(name)
			if (err == nil) != (tt.sent != "") || err != nil && !strings.HasSuffix(err.Error(), "is no archive: it holds no gzip data") {
				t.Errorf("%q without gzip data: %v", tt.file, err)
			}
		}
	}
}

// However the file is read, a change of it is found: its reader has no method
// that goes past the check.
func TestFileSourceReader(t *testing.T) {
	name := writeFile(t, []byte("archive"))
	src, err := porter.FileSource(name)
	if err != nil {
		t.Fatal(err)
	}
	copies := map[string]func(io.Reader) error{
		"io.Copy":    func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err },
		"io.ReadAll": func(r io.Reader) error { _, err := io.ReadAll(r); return err },
		"to a file": func(r io.Reader) error {
			f, err := os.Create(filepath.Join(t.TempDir(), "copy"))
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.ReadFrom(r)
			return err
		},
	}
	for _, changed := range []bool{false, true} {
		open := make(map[string]io.ReadCloser)
		for how := range copies {
			if open[how], err = src.Open(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if changed {
			if err := os.WriteFile(name, []byte("another archive"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for how, r := range open {
			if err := copies[how](r); changed != (err != nil) {
				t.Errorf("%s, changed %v: %v", how, changed, err)
			}
			if _, ok := r.(io.Seeker); ok {
				t.Error("the reader can seek")
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A relative name is that of the file it was when the source was made.
func TestFileSourceStaysWhereItWas(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("app.tar.gz", []byte("archive"), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := porter.FileSource("app.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	r, err := src.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); string(b) != "archive" || err != nil || src.Name != "app.tar.gz" {
		t.Errorf("read %q of %s, %v", b, src.Name, err)
	}
}

// TestFileSourceChanged changes a file in the middle of its upload.
func TestFileSourceChanged(t *testing.T) {
	t.Parallel()
	content := archiveBytes(t, portertest.NewArchive(1<<20))
	tests := []struct {
		name   string
		text   string
		change func(name string) error
	}{
		{"grown", "holds more than", func(name string) error {
			f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteString("more")
			return err
		}},
		{"cut short", "changed meanwhile", func(name string) error { return os.Truncate(name, 700<<10) }},
		{"emptied", "changed meanwhile", func(name string) error { return os.Truncate(name, 0) }},
		{"written again", "changed meanwhile", func(name string) error {
			if err := os.WriteFile(name, content, 0o600); err != nil {
				return err
			}
			return os.Chtimes(name, time.Time{}, time.Now().Add(time.Hour))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := portertest.NewServer()
			defer s.Close()
			name := writeFile(t, content)
			src, err := porter.FileSource(name)
			if err != nil {
				t.Fatal(err)
			}
			open := src.Open
			src.Open = func(ctx context.Context) (io.ReadCloser, error) {
				r, err := open(ctx)
				return &middleReader{ReadCloser: r, at: 512 << 10, do: func() error { return tt.change(name) }}, err
			}
			_, err = connect(t, s).StartImport(t.Context(), src, porter.ImportOptions{Path: "app"})
			if err == nil || !strings.HasPrefix(err.Error(), "start import of app: source: ") || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v", err)
			}
			checkNothingImported(t, s)
			if n := len(uploads(s)); n > 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// middleReader does something once it has read so much.
type middleReader struct {
	io.ReadCloser
	at int64
	do func() error
}

func (m *middleReader) Read(b []byte) (int, error) {
	if m.at > 0 {
		b = b[:min(int64(len(b)), m.at)]
	} else if m.do != nil {
		if err := m.do(); err != nil {
			return 0, err
		}
		m.do = nil
	}
	n, err := m.ReadCloser.Read(b)
	m.at -= int64(n)
	return n, err
}

// TestFileSourceBetweenAttempts changes a file while an upload waits to be
// tried again.
func TestFileSourceBetweenAttempts(t *testing.T) {
	content := archiveBytes(t, portertest.NewArchive(100<<10))
	tests := []struct {
		name   string
		change func(name string) error
		text   string
	}{
		{"left alone", func(string) error { return nil }, ""},
		{"replaced", func(name string) error {
			fi, err := os.Stat(name)
			if err != nil {
				return err
			}
			if err := os.WriteFile(name+".new", content, 0o600); err != nil {
				return err
			}
			if err := os.Chtimes(name+".new", time.Time{}, fi.ModTime()); err != nil {
				return err
			}
			return os.Rename(name+".new", name)
		}, "changed meanwhile"},
		{"cut short in the same moment", func(name string) error {
			fi, err := os.Stat(name)
			if err != nil {
				return err
			}
			if err := os.Truncate(name, 50<<10); err != nil {
				return err
			}
			return os.Chtimes(name, time.Time{}, fi.ModTime())
		}, "changed meanwhile"},
		{"removed", os.Remove, "no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if runtime.GOOS == "windows" && tt.text != "" {
				t.Skip("no such text, or no file identity")
			}
			s := portertest.NewServer()
			defer s.Close()
			name := writeFile(t, content)
			src, err := porter.FileSource(name)
			if err != nil {
				t.Fatal(err)
			}
			c := connect(t, s, porter.WithObserver(func(ev porter.Event) {
				if ev.Kind == porter.EventRetry {
					if err := tt.change(name); err != nil {
						t.Error(err)
					}
				}
			}), porter.WithRetry(1, porter.ConstantBackoff(0)), porter.WithoutPacing())
			s.Inject(portertest.Fault{Method: "POST",
				Do: portertest.Respond(http.StatusTooManyRequests, http.Header{"Retry-After": {"0"}}, "")})
			_, err = c.StartImport(t.Context(), src, porter.ImportOptions{Path: "app"})
			switch {
			case tt.text == "" && err != nil:
				t.Error(err)
			case tt.text != "" && (err == nil || !strings.Contains(err.Error(), tt.text)):
				t.Errorf("got %v, want %q", err, tt.text)
			case tt.text != "" && len(s.Projects()) > 0:
				t.Error("a project was made")
			}
		})
	}
}

// TestReaderSource sends what each kind of reader holds, and sends it again if
// it can be had again.
func TestReaderSource(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(200 << 10)
	content := archiveBytes(t, archive)
	fileAt := func(t *testing.T, before int) *os.File {
		f, err := os.Open(writeFile(t, append(make([]byte, before), content...)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		if _, err := f.Seek(int64(before), io.SeekStart); err != nil {
			t.Fatal(err)
		}
		return f
	}
	tests := []struct {
		name   string
		reader func(t *testing.T) io.Reader
		once   bool // it can be read
	}{
		{"strings.Reader", func(t *testing.T) io.Reader { return strings.NewReader(string(content)) }, false},
		{"bytes.Reader in the middle", func(t *testing.T) io.Reader {
			r := bytes.NewReader(append([]byte("before"), content...))
			r.Seek(6, io.SeekStart)
			return r
		}, false},
		{"io.SectionReader", func(t *testing.T) io.Reader { return archive.NewReader() }, false},
		{"file", func(t *testing.T) io.Reader { return fileAt(t, 0) }, false},
		{"file in the middle", func(t *testing.T) io.Reader { return fileAt(t, 1000) }, false},
		{"pipe", func(t *testing.T) io.Reader {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { r.Close() })
			go func() {
				w.Write(content)
				w.Close()
			}()
			return r
		}, true},
		{"bufio.Reader", func(t *testing.T) io.Reader { return bufio.NewReader(bytes.NewReader(content)) }, true},
		{"bytes.Buffer", func(t *testing.T) io.Reader { return bytes.NewBuffer(content) }, true},
	}
	for _, tt := range tests {
		for _, size := range []int64{int64(len(content)), -1} {
			for _, refused := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, size %d, refused %v", tt.name, size, refused), func(t *testing.T) {
					s := portertest.NewServer()
					defer s.Close()
					if refused {
						s.Inject(portertest.Fault{Method: "POST",
							Do: portertest.Respond(http.StatusTooManyRequests, http.Header{"Retry-After": {"0"}}, "")})
					}
					waits := 0
					c := connect(t, s, porter.WithRetry(2, porter.ConstantBackoff(0)), porter.WithoutPacing(),
						porter.WithObserver(func(ev porter.Event) {
							if ev.Kind == porter.EventRetry {
								waits++
							}
						}))
					_, err := c.StartImport(t.Context(), porter.ReaderSource(tt.reader(t), size), porter.ImportOptions{Path: "app"})
					posts := uploads(s)
					for _, r := range posts {
						if size < 0 != (r.ContentLength < 0) {
							t.Errorf("content length %d for size %d", r.ContentLength, size)
						}
					}
					if refused && tt.once {
						if !errors.Is(err, porter.ErrRateLimited) || len(posts) != 1 || waits > 0 {
							t.Errorf("got %v after %d requests and %d waits", err, len(posts), waits)
						}
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					if p := s.Project("owner/app"); p == nil || p.ArchiveSHA256 != archive.SHA256() {
						t.Errorf("imported %+v", p)
					}
				})
			}
		}
	}
}

// TestReaderSourceBeforeReading tries again what failed before anything of
// the reader was read.
func TestReaderSourceBeforeReading(t *testing.T) {
	s := portertest.NewServer()
	defer s.Close()
	var dials atomic.Int32
	tr := s.Transport().Clone()
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dials.Add(1) == 1 {
			return nil, errors.New("no route")
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	defer tr.CloseIdleConnections()
	archive := portertest.NewArchive(50 << 10)
	src := porter.ReaderSource(io.MultiReader(archive.NewReader()), archive.Size())
	c := connect(t, s, porter.WithTransport(tr), porter.WithRetry(1, porter.ConstantBackoff(0)))
	if _, err := c.StartImport(t.Context(), src, porter.ImportOptions{Path: "app"}); err != nil || dials.Load() != 2 {
		t.Errorf("got %v after %d dials", err, dials.Load())
	}
	tr.CloseIdleConnections()
	if _, err := c.StartImport(t.Context(), src, porter.ImportOptions{Path: "app2"}); !errors.Is(err, porter.ErrSourceConsumed) {
		t.Errorf("a second use: %v", err)
	}
	if n := len(uploads(s)); n != 1 || dials.Load() != 2 {
		t.Errorf("%d requests, %d dials", n, dials.Load())
	}
}

// TestSourceSize lets sources end too early or too late. None may become a project.
func TestSourceSize(t *testing.T) {
	t.Parallel()
	content := archiveBytes(t, portertest.NewArchive(100<<10))
	n := int64(len(content))
	type closer struct {
		io.Reader
		io.Closer
	}
	kinds := map[string]func(t *testing.T, size int64) porter.Source{
		"reader at": func(t *testing.T, size int64) porter.Source {
			return porter.ReaderSource(bytes.NewReader(content), size)
		},
		"single pass": func(t *testing.T, size int64) porter.Source {
			return porter.ReaderSource(bytes.NewBuffer(content), size)
		},
		"custom": func(t *testing.T, size int64) porter.Source {
			return porter.Source{Size: size, Open: func(context.Context) (io.ReadCloser, error) {
				return closer{bytes.NewReader(content), io.NopCloser(nil)}, nil
			}}
		},
		"file": func(t *testing.T, size int64) porter.Source {
			src, err := porter.FileSource(writeFile(t, content))
			if err != nil {
				t.Fatal(err)
			}
			src.Size = size
			return src
		},
	}
	for kind, source := range kinds {
		for _, tt := range []struct {
			off  int64
			text string
		}{
			{-1, "holds more than"}, {-50 << 10, "holds more than"}, {1 - n, "holds more than"},
			{1, "1 too few"}, {1 << 20, "too few"},
		} {
			t.Run(fmt.Sprintf("%s, size %+d", kind, tt.off), func(t *testing.T) {
				s := portertest.NewServer()
				defer s.Close()
				_, err := connect(t, s).StartImport(t.Context(), source(t, n+tt.off), porter.ImportOptions{Path: "app"})
				if err == nil || !strings.HasPrefix(err.Error(), "start import of app: source: ") ||
					!strings.Contains(err.Error(), tt.text) {
					t.Errorf("got %v, want %q", err, tt.text)
				}
				if tt.off > 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("%v is no unexpected EOF", err)
				}
				if errors.Is(err, porter.ErrOutcomeUnknown) {
					t.Error("the outcome is known")
				}
				checkNothingImported(t, s)
			})
		}
	}
}

// sizedReader says its size itself.
type sizedReader struct {
	io.Reader
	size   int64
	closed *atomic.Int32
}

func (r *sizedReader) Size() int64  { return r.size }
func (r *sizedReader) Close() error { r.closed.Add(1); return nil }

func TestSourceSaysItsSize(t *testing.T) {
	archive := portertest.NewArchive(30 << 10)
	tests := []struct {
		name        string
		announced   int64
		says        int64
		read        int64
		text        string
		wantChunked bool
	}{
		{name: "says it", announced: -1, says: archive.Size(), read: archive.Size()},
		{name: "agrees", announced: archive.Size(), says: archive.Size(), read: archive.Size()},
		{name: "does not know", announced: -1, says: -1, read: archive.Size(), wantChunked: true},
		{name: "does not know what is known", announced: archive.Size(), says: -1, read: archive.Size()},
		{name: "disagrees", announced: archive.Size(), says: 5, text: "size is 5, but it should be 30720"},
		{name: "is empty", announced: -1, says: 0, text: "archive is empty"},
		{name: "turns out empty", announced: -1, says: -1, text: "archive is empty"},
		{name: "is shorter than it says", announced: -1, says: archive.Size(), read: 1000, text: "ended after 1000 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := portertest.NewServer()
			defer s.Close()
			closed := new(atomic.Int32)
			src := porter.Source{Size: tt.announced, Open: func(context.Context) (io.ReadCloser, error) {
				return &sizedReader{io.LimitReader(archive.NewReader(), tt.read), tt.says, closed}, nil
			}}
			_, err := connect(t, s).StartImport(t.Context(), src, porter.ImportOptions{Path: "app"})
			if tt.text != "" {
				if err == nil || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("got %v, want %q", err, tt.text)
				}
				checkNothingImported(t, s)
			} else if err != nil {
				t.Fatal(err)
			} else if r := uploads(s)[0]; tt.wantChunked != (r.ContentLength < 0) || r.FileName != "archive.tar.gz" ||
				r.FileContentType != "application/gzip" {
				t.Errorf("sent %+v", r)
			}
			if closed.Load() != 1 {
				t.Errorf("closed %d times", closed.Load())
			}
		})
	}
}

// TestNothingSentForBadInput makes sure that what can only be refused costs no request.
func TestNothingSentForBadInput(t *testing.T) {
	s := portertest.NewServer()
	defer s.Close()
	c := connect(t, s)
	content := []byte("archive")
	named := func(name string) porter.Source {
		src := porter.ReaderSource(bytes.NewReader(content), 7)
		src.Name = name
		return src
	}
	sized := func(size int64) porter.Source { return porter.ReaderSource(bytes.NewReader(content), size) }
	good := porter.ImportOptions{Path: "app"}
	tests := []struct {
		name string
		src  porter.Source
		opts porter.ImportOptions
		text string
	}{
		{"no source", porter.Source{}, good, "Open is nil"},
		{"no source with a name", porter.Source{Name: "a.gz", Size: 1}, good, "Open is nil"},
		{"no size", sized(0), good, "size is 0"},
		{"negative size", sized(-2), good, "negative"},
		{"nil reader", porter.ReaderSource(nil, 7), good, "reader is nil"},
		{"tgz", named("x.tgz"), good, "does not end in .gz"},
		{"zip", named("x.zip"), good, "does not end in .gz"},
		{"upper case", named("X.TAR.GZ"), good, "does not end in .gz"},
		{"upper case extension", named("x.tar.Gz"), good, "does not end in .gz"},
		{"space at the end", named("x.tar.gz "), good, "does not end in .gz"},
		{"bare extension", named(".gz"), good, "nothing before .gz"},
		{"dots", named("...gz"), good, "nothing before .gz"},
		{"slash", named("a/x.tar.gz"), good, "slash"},
		{"parent", named("../x.tar.gz"), good, "slash"},
		{"backslash", named(`a\x.tar.gz`), good, "slash"},
		{"line end", named("a\r\nContent-Type: text\r\n\r\nx.tar.gz"), good, "control characters"},
		{"line feed", named("a\nx.tar.gz"), good, "control characters"},
		{"NUL", named("a\x00x.tar.gz"), good, "control characters"},
		{"invalid UTF-8", named("a\xffx.tar.gz"), good, "invalid UTF-8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := c.StartImport(t.Context(), tt.src, tt.opts); err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("StartImport: got %v, want %q", err, tt.text)
			}
			if tt.src.Open != nil && tt.name == "nil reader" {
				return // found out when it is opened
			}
			if _, err := c.Import(t.Context(), tt.src, tt.opts); err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Import: got %v, want %q", err, tt.text)
			}
		})
	}
	if rs := s.Requests(); len(rs) > 0 {
		t.Errorf("%d requests were made: %s %s", len(rs), rs[0].Method, rs[0].Path)
	}
}

// TestFileNames sends names that are unusual and good.
func TestFileNames(t *testing.T) {
	archive := portertest.NewArchive(portertest.MinArchiveSize)
	for name, want := range map[string]string{
		"":                               "archive.tar.gz",
		"x.gz":                           "x.gz",
		"2024-05-01 09.41.tar.gz":        "2024-05-01 09.41.tar.gz",
		`with "quotes".tar.gz`:           `with "quotes".tar.gz`,
		"Käse und 世界.tar.gz":             "Käse und 世界.tar.gz",
		"100%;filename=b.tar.gz":         "100%;filename=b.tar.gz",
		"'; filename=\"a.exe\".gz":       "'; filename=\"a.exe\".gz",
		strings.Repeat("a", 500) + ".gz": strings.Repeat("a", 500) + ".gz",
	} {
		s := portertest.NewServer()
		src := sourceOf(archive)
		src.Name = name
		if _, err := connect(t, s).StartImport(t.Context(), src, porter.ImportOptions{Path: "app"}); err != nil {
			t.Errorf("%q: %v", name, err)
		} else if got := uploads(s)[0].FileName; got != want {
			t.Errorf("%q arrived as %q", name, got)
		}
		s.Close()
	}
}

func TestSourceOpen(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	tests := []struct {
		name string
		open func(context.Context) (io.ReadCloser, error)
		is   error
		text string
	}{
		{"fails", func(context.Context) (io.ReadCloser, error) { return nil, boom }, boom, "start import of app: source: boom"},
		{"returns nothing", func(context.Context) (io.ReadCloser, error) { return nil, nil }, nil,
			"start import of app: source: no reader was opened"},
		{"waits for the context", func(ctx context.Context) (io.ReadCloser, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, context.DeadlineExceeded, "start import of app: "},
		{"was read already", func(context.Context) (io.ReadCloser, error) {
			return nil, fmt.Errorf("my source: %w", porter.ErrSourceConsumed)
		}, porter.ErrSourceConsumed, "my source"},
		{"fails while it is read", func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader("archive"), errorReader{boom})), nil
		}, boom, "start import of app: source: boom"},
		{"never yields", func(context.Context) (io.ReadCloser, error) { return io.NopCloser(idleReader{}), nil }, io.ErrNoProgress, ""},
	}
	for _, tt := range tests {
		for _, size := range []int64{-1, 7, 1 << 20} {
			t.Run(fmt.Sprintf("%s, size %d", tt.name, size), func(t *testing.T) {
				if tt.name == "never yields" && size != 7 {
					t.Skip("a reader that yields nothing for ever is the caller's")
				}
				synctest.Test(t, func(t *testing.T) {
					s := portertest.NewServer(portertest.InMemory())
					defer s.Close()
					ctx := t.Context()
					if tt.is == context.DeadlineExceeded {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, 20*time.Millisecond)
						defer cancel()
					}
					open := tt.open
					if tt.name == "never yields" {
						open = func(context.Context) (io.ReadCloser, error) {
							return io.NopCloser(io.MultiReader(strings.NewReader("archive"), idleReader{})), nil
						}
					}
					_, err := connect(t, s).StartImport(ctx, porter.Source{Size: size, Open: open}, porter.ImportOptions{Path: "app"})
					if err == nil || !strings.Contains(err.Error(), tt.text) || tt.is != nil && !errors.Is(err, tt.is) {
						t.Errorf("got %v, want %v and %q", err, tt.is, tt.text)
					}
					if errors.Is(err, porter.ErrOutcomeUnknown) {
						t.Error("the outcome is known")
					}
					checkNothingImported(t, s)
				})
			})
		}
	}
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

type idleReader struct{}

func (idleReader) Read([]byte) (int, error) { return 0, nil }

func TestSourceOpenPanics(t *testing.T) {
	s := portertest.NewServer()
	defer s.Close()
	defer func() {
		if v := recover(); v != "mine" {
			t.Errorf("recovered %v", v)
		}
	}()
	connect(t, s).StartImport(t.Context(), porter.Source{Size: 1, Open: func(context.Context) (io.ReadCloser, error) { panic("mine") }},
		porter.ImportOptions{Path: "app"})
	t.Error("no panic")
}

// A watchedSource notices when it is closed too often, too late, or while it
// is being read.
type watchedSource struct {
	r     io.Reader
	block bool // for a while, or until the context ends
	pause time.Duration
	ctx   context.Context

	mu      sync.Mutex
	reading bool
	closed  int
	fault   string
}

func (w *watchedSource) Read(b []byte) (int, error) {
	w.mu.Lock()
	if w.closed > 0 {
		w.fault = "read after it was closed"
	}
	w.reading = true
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.reading = false
		w.mu.Unlock()
	}()
	n, err := w.r.Read(b)
	if w.block && err == io.EOF {
		select {
		case <-w.ctx.Done():
		case <-time.After(w.pause):
		}
		time.Sleep(2 * time.Millisecond) // as if it had to tidy up
		return n, errors.New("nothing more comes")
	}
	return n, err
}

func (w *watchedSource) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reading {
		w.fault = "closed while it was read"
	}
	w.closed++
	return nil
}

// TestSourceIsClosed makes sure that however an upload ends, its source is
// closed once, not in the middle of a Read, and before the call returns.
func TestSourceIsClosed(t *testing.T) {
	big := portertest.NewArchive(8 << 20)
	small := portertest.NewArchive(30 << 10)
	early := func(status int) portertest.Fault {
		return portertest.Fault{Method: "POST", Do: portertest.RespondEarly(status, nil, "no")}
	}
	tests := []struct {
		name    string
		archive *portertest.Archive
		block   bool
		fault   portertest.Fault
		timeout time.Duration
		ok      bool
	}{
		{name: "success", archive: small, ok: true},
		{name: "refused early", archive: big, fault: early(403)},
		{name: "refused early, slow source", archive: small, block: true, fault: early(413)},
		{name: "refused late", archive: small, fault: portertest.Fault{Method: "POST", Do: portertest.Respond(422, nil, "no")}},
		{name: "connection cut", archive: big, fault: portertest.Fault{Method: "POST", Times: -1, Do: portertest.CutRequest(1 << 20)}},
		{name: "connection cut, slow source", archive: small, block: true,
			fault: portertest.Fault{Method: "POST", Times: -1, Do: portertest.CutRequest(10000)}},
		{name: "canceled, slow source", archive: small, block: true, timeout: 30 * time.Millisecond},
		{name: "canceled, slow server", archive: big, timeout: 30 * time.Millisecond,
			fault: portertest.Fault{Method: "POST", Do: portertest.StallRequest(1<<20, 0)}},
		{name: "answer lost", archive: small, fault: portertest.Fault{Method: "POST", Do: portertest.LoseAnswer()}},
	}
	for _, proto := range []string{"HTTP/1.1", "HTTP/2"} {
		for _, tt := range tests {
			for _, known := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, %s, size known %v", proto, tt.name, known), func(t *testing.T) {
					t.Parallel()
					if proto == "HTTP/2" {
						porter.NoBubbleForHTTP2(t)
					}
					synctest.Test(t, func(t *testing.T) { // where a timeout is never too short
						opts := []portertest.Option{portertest.InMemory()}
						pause := 50 * time.Millisecond // HTTP/1.1 hears of a broken connection no earlier
						if proto == "HTTP/2" {
							opts = append(opts, portertest.HTTP2())
							pause = 10 * time.Second
						}
						s := portertest.NewServer(opts...)
						defer s.Close()
						if tt.fault.Method != "" {
							s.Inject(tt.fault)
						}
						ctx := t.Context()
						if tt.timeout > 0 {
							var cancel context.CancelFunc
							ctx, cancel = context.WithTimeout(ctx, tt.timeout)
							defer cancel()
						}
						var opened []*watchedSource
						src := porter.Source{Size: -1, Open: func(ctx context.Context) (io.ReadCloser, error) {
							w := &watchedSource{r: tt.archive.NewReader(), block: tt.block, pause: pause, ctx: ctx}
							opened = append(opened, w)
							return w, nil
						}}
						if known {
							src.Size = tt.archive.Size()
							if tt.block {
								src.Size++
							}
						}
						c := connect(t, s, porter.WithRetry(2, porter.ConstantBackoff(0)), porter.WithoutPacing())
						if _, err := c.StartImport(ctx, src, porter.ImportOptions{Path: "app"}); (err == nil) != tt.ok ||
							proto == "HTTP/2" && err != nil && strings.Contains(err.Error(), "nothing more comes") {
							t.Errorf("got %v", err)
						}
						for i, w := range opened {
							w.mu.Lock()
							if w.closed != 1 || w.fault != "" {
								t.Errorf("opening %d: closed %d times; %s", i, w.closed, w.fault)
							}
							w.mu.Unlock()
						}
						if len(opened) == 0 {
							t.Error("never opened")
						}
					})
				})
			}
		}
	}
}

// TestSourceThatIgnoresItsContext closes a source that hangs, so that it returns.
func TestSourceThatIgnoresItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := portertest.NewServer(portertest.InMemory())
		defer s.Close()
		pr, pw := io.Pipe()
		defer pw.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		src := porter.Source{Size: -1, Open: func(context.Context) (io.ReadCloser, error) { return pr, nil }}
		_, err := connect(t, s).StartImport(ctx, src, porter.ImportOptions{Path: "app"})
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, porter.ErrOutcomeUnknown) {
			t.Errorf("got %v", err)
		}
		if _, err := pw.Write([]byte("x")); err != io.ErrClosedPipe {
			t.Errorf("the pipe is open: %v", err)
		}
	})
}

// A wayIn is a way to reach a server.
type wayIn struct {
	name   string
	opts   []portertest.Option
	client func(t *testing.T, s *portertest.Server) porter.Option
}

func waysIn() []wayIn {
	own := func(t *testing.T, s *portertest.Server) porter.Option { return porter.WithTransport(s.Transport()) }
	// What http.DefaultTransport would be with the right certificate.
	standard := func(t *testing.T, s *portertest.Server) *http.Transport {
		tr := http.DefaultTransport.(*http.Transport).Clone()
		tr.Proxy = nil
		if pool := s.Transport().TLSClientConfig.RootCAs; pool != nil {
			tr.TLSClientConfig = &tls.Config{RootCAs: pool}
		}
		t.Cleanup(tr.CloseIdleConnections)
		return tr
	}
	plain := func(t *testing.T, s *portertest.Server) porter.Option { return porter.WithTransport(standard(t, s)) }
	proxied := func(t *testing.T, s *portertest.Server) porter.Option {
		tr := standard(t, s)
		tr.Proxy = http.ProxyURL(startProxy(t))
		return porter.WithTransport(tr)
	}
	return []wayIn{
		{"http with the client's own transport", nil,
			func(*testing.T, *portertest.Server) porter.Option { return porter.WithRetry(0, nil) }},
		{"http", nil, plain},
		{"TLS", []portertest.Option{portertest.TLS()}, plain},
		{"HTTP/2", []portertest.Option{portertest.HTTP2()}, own},
		{"HTTP/2 with the standard transport", []portertest.Option{portertest.HTTP2()}, plain},
		{"http through a proxy", nil, proxied},
		{"TLS through a proxy", []portertest.Option{portertest.TLS()}, proxied},
		{"in memory", []portertest.Option{portertest.InMemory()}, own},
	}
}

// startProxy runs an HTTP proxy and returns its URL.
func startProxy(t *testing.T) *url.URL {
	tr := &http.Transport{}
	var mu sync.Mutex // between the last CONNECT and the end
	var wg sync.WaitGroup
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			r.RequestURI = ""
			resp, err := tr.RoundTrip(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			defer resp.Body.Close()
			for name, values := range resp.Header {
				w.Header()[name] = values
			}
			w.WriteHeader(resp.StatusCode)
			io.Copy(w, resp.Body)
			return
		}
		there, err := net.Dial("tcp", r.Host)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		here, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		mu.Lock()
		defer mu.Unlock()
		wg.Go(func() {
			io.Copy(there, here)
			there.(*net.TCPConn).CloseWrite()
		})
		wg.Go(func() {
			io.Copy(here, there)
			here.Close()
			there.Close()
		})
	}))
	t.Cleanup(func() {
		srv.Close()
		tr.CloseIdleConnections()
		mu.Lock()
		defer mu.Unlock()
		wg.Wait()
	})
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A source that hangs does not outlive the context, whatever its Close does.
func TestSourceHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if an upload hangs
		s := portertest.NewServer(portertest.InMemory(), portertest.NoLimits())
		defer s.Close()
		release := make(chan struct{})
		defer close(release)
		hang := readerFunc(func([]byte) (int, error) {
			<-release
			return 0, io.EOF
		})
		for name, src := range map[string]porter.Source{
			"source": {Size: 10, Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(hang), nil }},
			"reader": porter.ReaderSource(hang, 10),
		} {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, err := connect(t, s).StartImport(ctx, src, porter.ImportOptions{Path: "app"})
			if !errors.Is(err, context.Canceled) || errors.Is(err, porter.ErrOutcomeUnknown) {
				t.Errorf("%s: error is %v", name, err)
			}
		}
	})
}

// A source that brings neither bytes nor an error is broken.
func TestSourceWithoutProgress(t *testing.T) {
	s := portertest.NewServer(portertest.NoLimits())
	defer s.Close()
	for _, size := range []int64{10, -1} {
		src := porter.Source{Size: size, Open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(readerFunc(func([]byte) (int, error) { return 0, nil })), nil
		}}
		if _, err := connect(t, s).StartImport(t.Context(), src, porter.ImportOptions{Path: "app"}); !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("size %d: error is %v", size, err)
		}
	}
}

// zeros is an endless source.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestEarlyRefusal sends far more than a server reads that has refused
// already. The refusal has to be told, not the broken connection.
func TestEarlyRefusal(t *testing.T) {
	early := func(status int, body string) func(s *portertest.Server) {
		return func(s *portertest.Server) {
			s.Inject(portertest.Fault{Method: "POST", Times: -1, Do: portertest.RespondEarly(status, nil, body)})
		}
	}
	tests := []struct {
		name    string
		prepare func(s *portertest.Server)
		is      error
		status  int
		text    string
	}{
		{"401", func(s *portertest.Server) {
			s.AddUser(portertest.User{Username: "owner", Token: portertest.Token, Revoked: true})
		}, porter.ErrUnauthorized, 401, "Token was revoked"},
		{"403", func(s *portertest.Server) { s.Configure(portertest.ImportsDisabled()) }, porter.ErrForbidden, 403, "import source"},
		{"413", func(s *portertest.Server) { s.Configure(portertest.MaxImportSize(100 << 10)) }, porter.ErrTooLarge, 413,
			"entity is too large"},
		{"413 of nginx", early(413, "<html><head><title>413 Request Entity Too Large</title></head></html>"), porter.ErrTooLarge, 413,
			"413 Request Entity Too Large"},
		{"502", early(502, "GitLab is not responding"), nil, 502, "GitLab is not responding"},
	}
	runs := 10
	if testing.Short() {
		runs = 3
	}
	for _, way := range waysIn() {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			for _, tt := range tests {
				t.Run(tt.name, func(t *testing.T) {
					runs := runs
					s := portertest.NewServer(append(way.opts, portertest.NoLimits())...)
					defer s.Close()
					tt.prepare(s)
					c := newClient(t, s.URL, porter.PrivateToken(portertest.Token), way.client(t, s), porter.WithoutPacing(),
						porter.WithRetry(1, porter.ConstantBackoff(0)))
					if tt.name == "413 of nginx" {
						runs = min(runs, 5)
					}
					for run := range runs {
						size := int64(1 << 30)
						if run%2 == 1 {
							size = -1
						}
						_, err := c.StartImport(t.Context(), porter.ReaderSource(zeros{}, size), porter.ImportOptions{Path: "app"})
						var api *porter.APIError
						if tt.is != nil && !errors.Is(err, tt.is) || errors.Is(err, porter.ErrOutcomeUnknown) || !errors.As(err, &api) ||
							api.StatusCode != tt.status || !strings.Contains(err.Error(), tt.text) {
							t.Fatalf("run %d: got %v", run, err)
						}
					}
					checkNothingImported(t, s)
				})
			}
		})
	}
}

// The body of an early refusal may come after its headers, or never.
func TestEarlyRefusalInParts(t *testing.T) {
	const body = `{"message":"403 Forbidden"}`
	for name, after := range map[string]time.Duration{"comes late": 50 * time.Millisecond, "never comes": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := portertest.NewServer(portertest.InMemory())
				defer s.Close()
				refuse := portertest.RespondEarly(http.StatusForbidden, http.Header{"Content-Type": {"application/json"}}, body)
				s.Inject(portertest.Fault{Do: refuse.And(portertest.StallResponse(0, after))})
				_, err := connect(t, s, porter.WithStallTimeout(time.Second)).StartImport(t.Context(),
					porter.Source{Size: 1 << 40, Open: func(ctx context.Context) (io.ReadCloser, error) {
						return io.NopCloser(slowReader{zeros{}, time.Millisecond}), nil
					}}, porter.ImportOptions{Path: "app"})
				var api *porter.APIError
				if !errors.As(err, &api) || api.StatusCode != http.StatusForbidden || (api.Message != "") != (after > 0) {
					t.Errorf("error is %v", err)
				}
			})
		})
	}
}

// TestLateRefusal refuses an upload after all of it was read.
func TestLateRefusal(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(100 << 10)
	reopenable := func() porter.Source { return sourceOf(archive) }
	once := func() porter.Source { return porter.ReaderSource(io.MultiReader(archive.NewReader()), archive.Size()) }
	json := http.Header{"Content-Type": {"application/json"}}
	answer := func(status int, body string) func(*portertest.Server) {
		return func(s *portertest.Server) {
			s.Inject(portertest.Fault{Method: "POST", Do: portertest.Respond(status, json, body)})
		}
	}
	taken := func(s *portertest.Server) { s.AddProject(portertest.Project{Path: "acme/app"}) }
	throttled := answer(429, `{"message":{"error":"This endpoint has been requested too many times. Try again later."}}`)
	tests := []struct {
		name     string
		source   func() porter.Source
		prepare  func(*portertest.Server)
		path     string
		is       []error
		not      []error
		requests int
	}{
		{"429", reopenable, throttled, "app", nil, nil, 2},
		{"429, read once", once, throttled, "app", []error{porter.ErrRateLimited}, []error{porter.ErrOutcomeUnknown}, 1},
		{"422", reopenable, answer(422, `{"message":{"error":"You need to upload a GitLab project export archive (ending in .gz)."}}`),
			"app", nil, []error{porter.ErrOutcomeUnknown}, 1},
		{"namespace", reopenable, answer(404, `{"message":"404 Namespace Not Found"}`), "app", []error{porter.ErrNotFound},
			[]error{porter.ErrOutcomeUnknown, porter.ErrProjectExists}, 1},
		{"path taken", reopenable, taken, "app", []error{porter.ErrProjectExists}, []error{porter.ErrOutcomeUnknown}, 1},
		{"path taken in other letters", reopenable, taken, "APP", []error{porter.ErrProjectExists}, nil, 1},
		{"name taken", reopenable, answer(400, `{"message":"Project namespace name has already been taken"}`), "app",
			[]error{porter.ErrProjectExists}, nil, 1},
		{"path taken, by field", reopenable, answer(400, `{"message":{"path":["has already been taken"]}}`), "app",
			[]error{porter.ErrProjectExists}, nil, 1},
		{"not valid", reopenable, answer(400, `{"message":"Namespace is not valid"}`), "app", nil, []error{porter.ErrProjectExists}, 1},
		{"500", reopenable, answer(500, `{"message":"500 Internal Server Error"}`), "app", nil, []error{porter.ErrOutcomeUnknown}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // a minute has to pass after a 429
				s := portertest.NewServer(portertest.InMemory())
				defer s.Close()
				s.AddGroup("acme")
				tt.prepare(s)
				c := connect(t, s, porter.WithRetry(3, porter.ConstantBackoff(0)), porter.WithoutPacing())
				_, err := c.StartImport(t.Context(), tt.source(),
					porter.ImportOptions{Path: tt.path, Namespace: porter.NamespacePath("acme")})
				posts := uploads(s)
				if len(posts) != tt.requests {
					t.Errorf("%d requests", len(posts))
				}
				for _, r := range posts {
					if !r.Complete {
						t.Errorf("%d bytes were sent", r.BodyBytes)
					}
				}
				if tt.requests == 2 {
					if p := s.Project("acme/app"); err != nil || p == nil || p.ArchiveSHA256 != archive.SHA256() {
						t.Errorf("got %v, imported %+v", err, p)
					}
					if diff := cmp.Diff(posts[1].Fields, [][2]string{{"path", "app"}, {"name", "app"}, {"namespace", "acme"}}); diff != "" {
						t.Errorf("fields (-got +want):\n%s", diff)
					}
					return
				}
				if err == nil {
					t.Error("no error")
				}
				for _, target := range tt.is {
					if !errors.Is(err, target) {
						t.Errorf("%v is no %v", err, target)
					}
				}
				for _, target := range tt.not {
					if errors.Is(err, target) {
						t.Errorf("%v is a %v", err, target)
					}
				}
			})
		})
	}
}

// TestRudeRefusal meets a server that resets the connection right behind its
// refusal, as some load balancers do.
func TestRudeRefusal(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer l.Close()
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 4<<10))
			io.WriteString(conn, "HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
			conn.Close() // with bytes unread, so this is a reset
		}
	})
	c := newClient(t, "http://"+l.Addr().String(), nil, porter.WithoutPacing(), porter.WithRetry(0, nil))
	for run := range 10 {
		if _, err := c.StartImport(t.Context(), porter.ReaderSource(zeros{}, 1<<30), porter.ImportOptions{Path: "app"}); !errors.Is(err,
			porter.ErrTooLarge) {
			t.Fatalf("run %d: got %v", run, err)
		}
	}
}

// TestReaderSourceIsGivenBack reads a source without an upload, and leaves nothing behind.
func TestReaderSourceIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := porter.ReaderSource(zeros{}, -1).Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, make([]byte, 100<<10)); err != nil {
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if left := leftGoroutines(); len(left) > 0 {
			t.Errorf("left %s", strings.Join(left, "\n\n"))
		}
	})
}
