package porter

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzMultipartFields makes sure that whatever a caller puts into a form is
// read back as it was: nothing can add a field, a file or a header.
func FuzzMultipartFields(f *testing.F) {
	f.Add("app", "App", "group/app", "text", "mirror", "true", "app.tar.gz")
	f.Add("app", "A \"quoted\" name", "g", "one\r\ntwo\r\n--boundary--\r\n", "a[b][]", "", "x\"; filename=\"y.exe\".gz")
	f.Add("app", "n", "g", "", "k\r\nX: y", "v", "a\r\nContent-Type: text/html\r\n\r\n.gz")
	f.Add("a", "ünï", "grüße/тест", "\x00", "file.gz", "\xff", "世界.gz")
	f.Add("a", "--\r\n", "g", "Content-Disposition: form-data; name=\"overwrite\"\r\n\r\ntrue", `k"; name="path`, "v", `\".gz`)
	f.Fuzz(func(t *testing.T, path, name, namespace, description, key, value, file string) {
		opts := ImportOptions{Path: path, Name: name, Namespace: NamespacePath(namespace), Override: &ProjectOverrides{
			Description: &description, Topics: []string{value, name}, Extra: url.Values{key: {value}},
		}}
		fields, err := opts.fields()
		if err != nil {
			t.Skip()
		}
		if file == "" || checkFileName(file) != nil {
			t.Skip()
		}
		head, tail, contentType, err := form{fields: fields, source: Source{Name: file}}.envelope()
		if err != nil {
			t.Fatal(err)
		}
		_, params, err := mime.ParseMediaType(contentType)
		if err != nil {
			t.Fatal(err)
		}
		mr := multipart.NewReader(io.MultiReader(bytes.NewReader(head), strings.NewReader("archive"), bytes.NewReader(tail)), params["boundary"])
		got := url.Values{}
		last := ""
		for {
			part, err := mr.NextRawPart()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(part)
			if err != nil {
				t.Fatal(err)
			}
			if last == "file" {
				t.Error("a part follows the file")
			}
			last = part.FormName()
			if last == "file" {
				_, disposition, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
				if err != nil || disposition["filename"] != file || string(content) != "archive" || len(part.Header) != 2 {
					t.Errorf("file %q, sent with %q and as %q, %v", file, part.Header, content, err)
				}
				continue
			}
			if len(part.Header) != 1 || part.FileName() != "" {
				t.Errorf("field %q has the header %q", last, part.Header)
			}
			got.Add(last, string(content))
		}
		if last != "file" {
			t.Error("no file")
		}
		if diff := cmp.Diff(fields, got); diff != "" {
			t.Errorf("fields (-want +got):\n%s", diff)
		}
	})
}
