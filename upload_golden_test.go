package porter

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A sentPart is what a server reads out of one part of a form.
type sentPart struct {
	Name, FileName, Value string
}

// TestUploadGolden compares what goes over the wire with bodies that were
// written by hand. The files hold them byte for byte, but for the boundary.
func TestUploadGolden(t *testing.T) {
	t.Parallel()
	tests := []struct {
		golden   string
		opts     ImportOptions
		fileName string
		fullPath string // of the new project
		parts    []sentPart
	}{
		{
			golden:   "path-only",
			opts:     ImportOptions{Path: "widget"},
			fullPath: "user/widget",
			parts:    []sentPart{{"path", "", "widget"}, {"name", "", "widget"}, {"file", "archive.tar.gz", "the archive"}},
		},
		{
			golden:   "namespace-path",
			opts:     ImportOptions{Path: "widget", Name: "Widget 2", Namespace: NamespacePath("acme/tools"), Overwrite: true},
			fileName: "widget.tar.gz",
			fullPath: "acme/tools/widget",
			parts: []sentPart{
				{"path", "", "widget"}, {"name", "", "Widget 2"}, {"namespace", "", "acme/tools"}, {"overwrite", "", "true"},
				{"file", "widget.tar.gz", "the archive"},
			},
		},
		{
			golden: "overrides",
			opts: ImportOptions{Path: "widget", Namespace: NamespaceID(42), Override: &ProjectOverrides{
				Description:               ptr("New home"),
				Visibility:                VisibilityInternal,
				WikiAccessLevel:           AccessPrivate,
				LFSEnabled:                ptr(false),
				BuildTimeout:              ptr(int64(3600)),
				MergeMethod:               MergeMethodFastForward,
				Topics:                    []string{"go", "api"},
				ContainerExpirationPolicy: &ContainerExpirationPolicyOverrides{Enabled: ptr(true), KeepN: ptr(int64(10))},
				Avatar:                    &Avatar{Name: "logo.png", Data: []byte("a picture")},
				Extra:                     url.Values{"mirror": {"true"}, "custom[labels][]": {"b", "a"}},
			}},
			fileName: "widget.tar.gz",
			fullPath: "acme/widget",
			parts: []sentPart{
				{"path", "", "widget"}, {"name", "", "widget"}, {"namespace", "", "42"},
				{"override_params[build_timeout]", "", "3600"},
				{"override_params[container_expiration_policy_attributes][enabled]", "", "true"},
				{"override_params[container_expiration_policy_attributes][keep_n]", "", "10"},
				{"override_params[custom][labels][]", "", "b"}, {"override_params[custom][labels][]", "", "a"},
				{"override_params[description]", "", "New home"},
				{"override_params[lfs_enabled]", "", "false"},
				{"override_params[merge_method]", "", "ff"},
				{"override_params[mirror]", "", "true"},
				{"override_params[topics][]", "", "go"}, {"override_params[topics][]", "", "api"},
				{"override_params[visibility]", "", "internal"},
				{"override_params[wiki_access_level]", "", "private"},
				{"override_params[avatar]", "logo.png", "a picture"},
				{"file", "widget.tar.gz", "the archive"},
			},
		},
		{
			golden: "quoting",
			opts: ImportOptions{Path: "widget", Name: `Widget "2" – Käse & 世界`, Override: &ProjectOverrides{
				Description:         ptr("First \"line\" with ünïcode ☕,\r\nsecond after both, third\nafter a line feed: \\ % + & = --BOUND"),
				MergeCommitTemplate: ptr(""),
				Topics:              []string{},
			}},
			fileName: `Käse "2" 100%.tar.gz`,
			fullPath: "user/widget",
			parts: []sentPart{
				{"path", "", "widget"}, {"name", "", `Widget "2" – Käse & 世界`},
				{"override_params[description]", "",
					"First \"line\" with ünïcode ☕,\r\nsecond after both, third\nafter a line feed: \\ % + & = --BOUND"},
				{"override_params[merge_commit_template]", "", ""},
				{"override_params[topics]", "", ""},
				{"file", `Käse "2" 100%.tar.gz`, "the archive"},
			},
		},
	}
	for _, tt := range tests {
		for _, size := range []int64{int64(len("the archive")), -1} {
			t.Run(tt.golden+" of size "+strconv.FormatInt(size, 10), func(t *testing.T) {
				want, err := os.ReadFile(filepath.Join("testdata", "import", tt.golden+".golden"))
				if err != nil {
					t.Fatal(err)
				}
				var got *http.Request
				var raw []byte
				srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					got = r
					raw, err = io.ReadAll(r.Body)
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(http.StatusCreated)
					io.WriteString(w, `{"id":9001,"path_with_namespace":"`+tt.fullPath+`","import_status":"scheduled"}`)
				}))
				defer srv.Close()
				c, cerr := NewClient(srv.URL, PrivateToken("token"))
				if cerr != nil {
					t.Fatal(cerr)
				}
				src := ReaderSource(strings.NewReader("the archive"), size)
				if tt.fileName != "" {
					src.Name = tt.fileName
				}
				imp, ierr := c.StartImport(t.Context(), src, tt.opts)
				if ierr != nil || imp.ID != 9001 {
					t.Fatalf("got %+v, %v", imp, ierr)
				}
				if err != nil {
					t.Fatalf("server: %v", err)
				}

				typ, params, err := mime.ParseMediaType(got.Header.Get("Content-Type"))
				if err != nil || typ != "multipart/form-data" {
					t.Fatalf("content type %q, %v", got.Header.Get("Content-Type"), err)
				}
				boundary := params["boundary"]
				normal := bytes.ReplaceAll(raw, []byte("--"+boundary), []byte("--BOUNDARY"))
				if diff := cmp.Diff(string(want), string(normal)); diff != "" {
					t.Errorf("body (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tt.parts, readParts(t, raw, boundary)); diff != "" {
					t.Errorf("parts (-want +got):\n%s", diff)
				}
				checkFraming(t, got, size, len(raw))
			})
		}
	}
}

// readParts reads a form as a server does.
func readParts(t *testing.T, raw []byte, boundary string) []sentPart {
	t.Helper()
	var parts []sentPart
	mr := multipart.NewReader(bytes.NewReader(raw), boundary)
	for {
		part, err := mr.NextRawPart()
		if errors.Is(err, io.EOF) {
			return parts
		}
		if err != nil {
			t.Fatal(err)
		}
		value, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, sentPart{part.FormName(), part.FileName(), string(value)})
	}
}

// checkFraming makes sure that a body of known size is sent with its length,
// and any other in chunks.
func checkFraming(t *testing.T, r *http.Request, size int64, sent int) {
	t.Helper()
	if r.Method != "POST" || r.URL.String() != "/api/v4/projects/import" {
		t.Errorf("%s %s", r.Method, r.URL)
	}
	if got := r.Header.Get("Expect"); got != "" {
		t.Errorf("sent Expect: %s", got)
	}
	if size < 0 {
		if diff := cmp.Diff([]string{"chunked"}, r.TransferEncoding); diff != "" || r.ContentLength != -1 {
			t.Errorf("content length %d, transfer encoding (-want +got):\n%s", r.ContentLength, diff)
		}
		return
	}
	if r.ContentLength != int64(sent) || len(r.TransferEncoding) > 0 {
		t.Errorf("content length %d, transfer encoding %q for %d bytes", r.ContentLength, r.TransferEncoding, sent)
	}
}
