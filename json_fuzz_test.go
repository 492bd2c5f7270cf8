package porter

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"testing"
)

// FuzzStatusJSON decodes whatever a server may answer with where a status is
// expected. It must end in an answer that can be used, or in an error.
func FuzzStatusJSON(f *testing.F) {
	for _, seed := range []string{
		`{"id":4711,"description":null,"name":"Widget","path":"widget","path_with_namespace":"acme/widget",` +
			`"created_at":"2023-02-14T08:15:30.123Z","export_status":"finished","_links":{"api_url":"u","web_url":"w"}}`,
		`{"id":9001,"created_at":"2024-05-01T09:41:00.500+02:00","import_status":"failed","import_type":null,"correlation_id":null,` +
			`"failed_relations":[{"id":77,"line_number":null,"exception_message":null}],"import_error":"x","stats":null}`,
		`{"id":1,"export_status":"after_export_action"}`,
		`{"id":1,"created_at":1714556465,"import_status":"finished","failed_relations":[{"created_at":"2024-05-01 09:41:05 UTC"},null]}`,
		`{"id":1,"import_status":""}`,
		`[{"id":31,"project_path":"acme/widget","relation":"issues","status":"created"},null]`,
		`[{"relation":"labels","status":1,"error":null,"batched":true,"batches":[{"status":9,"batch_number":1},null]}]`,
		`{"message":"404 Project Not Found"}`, `null`, `[]`, `{}`, `"`, "", "<html>", "\xff", `{"id":1e99}`,
	} {
		f.Add([]byte(seed))
	}
	answer := func(body []byte) *http.Response {
		return &http.Response{
			StatusCode: http.StatusOK,
			Header:     http.Header{},
			Body:       io.NopCloser(bytes.NewReader(body)),
			Request:    &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: "gitlab.test", Path: "/api/v4/x"}},
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		exp := new(Export)
		if decode(new(request), answer(body), exp, func() bool { return exp.ID > 0 && exp.Status != "" }) == nil {
			if n := boolCount(exp.Status.Terminal(), exp.Status.underWay(), exp.Status == ExportNone); n != 1 {
				t.Errorf("export status %q is %d of ended, under way and none", exp.Status, n)
			}
		}
		imp := new(Import)
		if decode(new(request), answer(body), imp, func() bool { return imp.ID > 0 && imp.Status != "" }) == nil {
			if imp.Complete() && (imp.Status != ImportFinished || imp.Error != "") {
				t.Errorf("an import with status %q and error %q is complete", imp.Status, imp.Error)
			}
			_ = (&ImportError{imp}).Error()
		}
		var imports []*RelationImport
		if decode(new(request), answer(body), &imports, func() bool { return allPresent(imports) }) == nil {
			for _, i := range imports {
				_ = (&RelationImportError{i}).Error()
			}
		}
		var exports []*RelationExport
		if decode(new(request), answer(body), &exports, func() bool { return allPresent(exports) }) == nil {
			for _, e := range exports {
				if e.Relation == "" || e.Status == "" {
					t.Errorf("relation export without a relation or status: %+v", e)
				}
				_ = (&RelationExportError{e}).Error()
			}
		}
	})
}

func boolCount(bools ...bool) (n int) {
	for _, b := range bools {
		if b {
			n++
		}
	}
	return n
}
