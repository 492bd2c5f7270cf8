package portertest

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestDeclaredTypes checks what GitLab takes for which type.
func TestDeclaredTypes(t *testing.T) {
	list := func(items ...any) any { return append([]any{}, items...) }
	hash := map[string]any{"a": "b"}
	text := func(v *validation, value any) any { return v.text("x", value) }
	enum := func(v *validation, value any) any { return v.oneOf("x", value, "a", "b") }
	integer := func(v *validation, value any) any {
		if n, ok := v.integer("x", value); ok {
			return n
		}
		return nil
	}
	boolean := func(v *validation, value any) any {
		if b, ok := v.boolean("x", value); ok {
			return b
		}
		return nil
	}
	const invalid, notThis = "x is invalid", "x does not have a valid value"
	for _, tt := range []struct {
		name    string
		read    func(*validation, any) any
		value   any
		want    any
		problem string
	}{
		{"text", text, " a ", " a ", ""},
		{"text, null", text, nil, "", ""},
		{"text, number", text, json.Number("1.50"), "1.50", ""},
		{"text, true", text, true, "true", ""},
		{"text, list", text, list("a"), "", invalid},
		{"text, empty list", text, list(), "", invalid},
		{"text, hash", text, hash, "", invalid},

		{"enum", enum, "b", "b", ""},
		{"enum, null", enum, nil, "", ""},
		{"enum, empty", enum, "", "", notThis},
		{"enum, other", enum, "A", "A", notThis},
		{"enum, list of good ones", enum, list("a", "b"), "", invalid},
		{"enum, list with a bad one", enum, list("a", "c"), "", invalid + ", " + notThis},
		{"enum, hash", enum, hash, "", invalid + ", " + notThis},

		{"integer", integer, "12", int64(12), ""},
		{"integer, signs, zeros and lines", integer, "+0_12", int64(12), ""},
		{"integer, negative", integer, "-5", int64(-5), ""},
		{"integer, space around", integer, " 12\n", int64(12), ""},
		{"integer, empty", integer, "", nil, ""},
		{"integer, null", integer, nil, nil, ""},
		{"integer, spaces", integer, "  ", nil, invalid},
		{"integer, fraction", integer, "1.0", nil, invalid},
		{"integer, fraction in JSON", integer, json.Number("1.9"), int64(1), ""},
		{"integer, power in JSON", integer, json.Number("1e2"), int64(100), ""},
		{"integer, hexadecimal", integer, "0x1", nil, invalid},
		{"integer, two lines", integer, "1__2", nil, invalid},
		{"integer, line at the end", integer, "1_", nil, invalid},
		{"integer, true", integer, true, nil, invalid},
		{"integer, list", integer, list("1"), nil, invalid},

		{"boolean, empty", boolean, "", nil, ""},
		{"boolean, null", boolean, nil, nil, ""},
		{"boolean, spaces", boolean, "  ", nil, invalid},
		{"boolean, false", boolean, false, false, ""},
		{"boolean, 1", boolean, json.Number("1"), true, ""},
		{"boolean, 1.0", boolean, json.Number("1.0"), nil, invalid},
		{"boolean, 2", boolean, "2", nil, invalid},
		{"boolean, list", boolean, list(true), nil, invalid},
	} {
		var v validation
		got := tt.read(&v, tt.value)
		if problem := strings.Join(v.problems, ", "); problem != tt.problem || tt.problem == "" && got != tt.want {
			t.Errorf("%s: got %v, %q; want %v, %q", tt.name, got, problem, tt.want, tt.problem)
		}
	}
}

// TestDeclaredParameters checks what endpoints say of parameters of other kinds
// than those that they declare, and of parameters that are null.
func TestDeclaredParameters(t *testing.T) {
	for _, tt := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"projects/7/export", `{"description":[],"upload":{"url":{},"http_method":["GET"]}}`, 400,
			`{"error":"description is invalid, upload[url] is invalid, upload[http_method] is invalid, upload[http_method] does not have a ` +
				`valid value"}`},
		{"projects/7/export", `{"upload":{"url":"http://x.test/","http_method":["PUT"]}}`, 400, `{"error":"upload[http_method] is invalid"}`},
		{"projects/7/export", `{"upload":{"url":null,"http_method":null}}`, 202, accepted},
		{"projects/7/export_relations", `{"batched":" "}`, 400, `{"error":"batched is invalid"}`},
		{"projects/remote-import", `{"path":null,"url":null}`, 400, `{"message":"Path can't be blank"}`},
		{"projects/remote-import", `{"path":"x","url":null}`, 400, `{"message":"File url must be a valid URL"}`},
		{"projects/remote-import", `{"path":["x"],"url":{"x":"y"}}`, 400, `{"error":"url is invalid, path is invalid"}`},
		{"projects/remote-import",
			`{"path":"x","url":"x","name":[],"namespace":[],"namespace_id":true,"namespace_path":{},"overwrite":" ","override_params":[]}`, 400,
			`{"error":"name is invalid, namespace is invalid, namespace_id is invalid, namespace_path is invalid, ` +
				`namespace, namespace_id, namespace_path are mutually exclusive, overwrite is invalid, override_params is invalid"}`},
		{"projects/remote-import", `{"path":"x","url":"x","namespace_id":" "}`, 400, `{"error":"namespace_id is invalid"}`},
		{"projects/remote-import", `{"path":"x","url":"x","namespace_id":98765.4}`, 404, noNamespace},
		{"projects/remote-import",
			`{"path":"x","url":"x","override_params":{"visibility":["x"],"description":{},"avatar":"x","topics":{"a":"b"}}}`, 400,
			`{"error":"override_params[description] is invalid, override_params[visibility] is invalid, ` +
				`override_params[visibility] does not have a valid value, override_params[avatar] is invalid"}`},
		{"projects/remote-import-s3", `{"path":"x","region":null,"bucket_name":[],"file_key":"x","access_key_id":"x","secret_access_key":"x"}`,
			400,
			`{"error":"bucket_name is invalid"}`},
		{"projects/remote-import-s3", `{"path":"x","region":null,"bucket_name":"x","file_key":"x","access_key_id":"x","secret_access_key":"x"}`,
			400,
			`{"message":"Region can't be blank"}`},
		{"projects/import-relation", `{"path":["x"],"relation":{"x":"y"},"file":"x"}`, 400,
			`{"error":"path is invalid, file is invalid, relation is invalid"}`},
	} {
		inMemory(t, []Option{RelationExports()}, func(t *testing.T, s *Server) {
			s.AddProject(Project{Path: "a/b", ID: 7})
			if a := post(t, s, tt.path, jsonType, tt.body); a.status != tt.status || a.body != tt.want {
				t.Errorf("%s %s:\ngot  %d %s\nwant %d %s", tt.path, tt.body, a.status, a.body, tt.status, tt.want)
			}
		})
	}
	inMemory(t, []Option{RelationExports()}, func(t *testing.T, s *Server) {
		s.AddProject(Project{Path: "a/b", ID: 7})
		at := "projects/7/export_relations/"
		get(t, s, at+"status?relation[]=labels").want(t, 400, `{"error":"relation is invalid"}`)
		get(t, s, at+"status?relation").want(t, 200, `[]`)
		get(t, s, at+"download?relation[]=labels").want(t, 400, `{"error":"relation is invalid, relation is not portable"}`)
		get(t, s, at+"download?relation=labels&batched=&batch_number=").want(t, 404, `{"message":"Export not found"}`)
	})
}
