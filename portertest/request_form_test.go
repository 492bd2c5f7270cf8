package portertest

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// raw uploads a body as it is.
func raw(t *testing.T, s *Server, contentType, body string) answer {
	t.Helper()
	h := as(Token)
	if contentType != "" {
		h["Content-Type"] = contentType
	}
	return do(t, s, request{method: "POST", path: "projects/import", header: h, body: strings.NewReader(body)})
}

func TestUploadForms(t *testing.T) {
	const (
		badRequest = "Bad Request\n"
		internal   = "Internal Server Error\n"
	)
	other := "y.png"
	path := plain("path", "new")
	name := func(field, filename string) part {
		p := file(filename, "x")
		p.name = field
		return p
	}
	files := func(n int) []part {
		parts := []part{path}
		for i := range n {
			f := fmt.Sprintf("file%d", i)
			if i == 0 {
				f = "file"
			}
			parts = append(parts, name(f, "x.gz"))
		}
		return parts
	}
	for _, tt := range []struct {
		name   string
		parts  []part
		status int
		body   string // a part of it
	}{
		{"file last", []part{path, file("x.gz", "x")}, 201, ""},
		{"file first", []part{file("x.gz", "x"), path}, 201, ""},
		{"empty file", []part{path, file("x.gz", "")}, 201, ""},
		{"directory", []part{path, file("/a/b/x.gz", "x")}, 201, ""},
		{"a dot", []part{path, file(".", "x")}, 500, internal},
		{"two dots", []part{path, file("..", "x")}, 500, internal},
		{"a slash", []part{path, file("/", "x")}, 500, internal},
		{"field file.path before the file", []part{path, plain("file.path", "/etc/passwd"), file("x.gz", "x")}, 201, ""},
		{"field that Workhorse does not know", []part{path, file("x.gz", "x"), plain("file.type", "x")}, 201, ""},
		{"field of another file after it", []part{path, {"other", "x", &other}, plain("other.sha256", "x"), file("x.gz", "x")}, 400, badRequest},
		{"field file.path after the file", []part{path, file("x.gz", "x"), plain("file.path", "/etc/passwd")}, 400, badRequest},
		{"two files", []part{path, file("x.gz", "x"), file("y.gz", "y")}, 500, internal},
		{"another file", []part{path, file("x.gz", "x"), name("avatar", "a.png")}, 201, ""},
		{"only another file", []part{path, name("avatar", "a.gz")}, 400, `{"error":"file is missing"}`},
		{"ten files", files(10), 201, ""},
		{"eleven files", files(11), 400, "upload request contains more than 10 files\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, nil, func(t *testing.T, s *Server) {
				a := importAs(t, s, Token, tt.parts...)
				if a.status != tt.status || !strings.Contains(a.body, tt.body) {
					t.Errorf("got %d %s, want %d %s", a.status, a.body, tt.status, tt.body)
				}
				if p := s.Project("owner/new"); p != nil && p.ArchiveName != "x.gz" {
					t.Errorf("the file's name is %q", p.ArchiveName)
				}
			})
		})
	}
}

func TestBrokenForms(t *testing.T) {
	body, ct := form(plain("path", "new"), file("x.gz", "some content"))
	end := strings.LastIndex(body, "\r\n--")
	for _, tt := range []struct {
		name, contentType, body string
		status                  int
		want                    string
	}{
		{"whole", ct, body, 201, ""},
		{"epilogue", ct, body + "\r\nwhatever follows", 201, ""},
		{"no boundary", "multipart/form-data", body, 400, "Bad Request\n"},
		{"other boundary", "multipart/form-data; boundary=x", body, 400, "Bad Request\n"},
		{"empty", ct, "", 400, "Bad Request\n"},
		{"no closing boundary", ct, body[:end], 500, "Internal Server Error\n"},
		{"cut in the closing boundary", ct, body[:len(body)-6], 500, "Internal Server Error\n"},
		{"cut in the file", ct, body[:end-3], 500, "Internal Server Error\n"},
		{"cut after the boundary", ct, body[:len(body)-len("--\r\n")], 500, "Internal Server Error\n"},
		{"cut in the first part", ct, body[:strings.Index(body, "new")+1], 400, "Bad Request\n"},
		{"cut in the first header", ct, body[:strings.Index(body, "Content")+5], 400, "Bad Request\n"},
		// mime/multipart, which Workhorse uses too, takes this for the end.
		{"cut in a part's header", ct, body[:100], 400, `{"error":"path is missing, file is missing"}`},
		{"other type", "text/plain", body, 415, `{"error":"The provided content-type 'text/plain' is not supported."}`},
		{"no type", "", body, 400, `{"error":"message body does not match declared format"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, nil, func(t *testing.T, s *Server) {
				a := raw(t, s, tt.contentType, tt.body)
				if a.status != tt.status || tt.want != "" && a.body != tt.want {
					t.Errorf("got %d %q, want %d %q", a.status, a.body, tt.status, tt.want)
				}
				if got := s.Project("owner/new") != nil; got != (tt.status == 201) {
					t.Errorf("project made: %t", got)
				}
			})
		})
	}
}

// TestMaxImportSize checks the limit to the byte.
func TestMaxImportSize(t *testing.T) {
	for _, tt := range []struct {
		size, status int
	}{{1000, 201}, {1001, 413}, {5000, 413}} {
		inMemory(t, []Option{MaxImportSize(1000)}, func(t *testing.T, s *Server) {
			a := importAs(t, s, Token, plain("path", "new"), file("x.gz", strings.Repeat("x", tt.size)))
			if a.status != tt.status {
				t.Errorf("%d bytes: got %d %s", tt.size, a.status, a.body)
			}
		})
	}
	if got := (&config{version: version{13, 7}}).maxImportSize(); got != 50<<20 {
		t.Errorf("13.7: the limit is %d", got)
	}
	if got := (&config{version: version{13, 8}}).maxImportSize(); got != 0 {
		t.Errorf("13.8: the limit is %d", got)
	}
}

// TestChunkedUpload checks that a body without a length is as good, and what
// the log says of either.
func TestChunkedUpload(t *testing.T) {
	everyTransport(t, func(t *testing.T, s *Server) {
		body, ct := form(plain("path", "new"), plain("name", "New"), file("dir/x.tar.gz", smallArchive))
		a := do(t, s, request{method: "POST", path: "projects/import", header: as(Token, "Content-Type", ct),
			body: io.MultiReader(strings.NewReader(body))})
		if a.status != 201 {
			t.Fatalf("got %d %s", a.status, a.body)
		}
		rs := s.Requests()
		r := rs[len(rs)-1]
		if r.ContentLength != -1 || !r.Complete || r.BodyBytes != int64(len(body)) || r.Status != 201 || r.Sent != int64(len(a.body)) {
			t.Errorf("got length %d, complete %t, %d bytes, status %d, %d sent", r.ContentLength, r.Complete, r.BodyBytes, r.Status, r.Sent)
		}
		if !s.cfg.http2 && cmp.Diff([]string{"chunked"}, r.TransferEncoding) != "" {
			t.Errorf("transfer encoding %v", r.TransferEncoding)
		}
		if diff := cmp.Diff([][2]string{{"path", "new"}, {"name", "New"}}, r.Fields); diff != "" {
			t.Errorf("fields (-want +got):\n%s", diff)
		}
		if r.FileName != "dir/x.tar.gz" || r.FileContentType != "application/gzip" || r.FileSize != 20<<10 ||
			r.FileSHA256 != shaOf(smallArchive) {
			t.Errorf("file: %q %q %d %s", r.FileName, r.FileContentType, r.FileSize, r.FileSHA256)
		}
		if r.Field("name") != "New" || r.Field("nope") != "" || r.Header.Get("Private-Token") != Token || r.Path != "/api/v4/projects/import" {
			t.Errorf("got %+v", r)
		}
	})
}

// TestUnacceleratedUpload checks that old versions answer nothing early.
func TestUnacceleratedUpload(t *testing.T) {
	inMemory(t, []Option{Version("12.8")}, func(t *testing.T, s *Server) {
		importAs(t, s, "x", gz(plain("path", "new"))...).want(t, 401, unauthorized)
		if r := s.Requests()[0]; !r.Complete {
			t.Error("the answer came early")
		}
	})
	inMemory(t, []Option{Version("12.9")}, func(t *testing.T, s *Server) {
		importAs(t, s, "x", gz(plain("path", "new"))...).want(t, 401, unauthorized)
		if r := s.Requests()[0]; r.Complete {
			t.Error("12.9: the answer came late")
		}
	})
}
