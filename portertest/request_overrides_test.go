package portertest

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOverrides(t *testing.T) {
	o := func(key, value string) part { return plain("override_params"+key, value) }
	const invalid = `{"error":"override_params is invalid"}`
	for _, tt := range []struct {
		name  string
		parts []part
		want  url.Values
		err   string
	}{
		{"none", nil, nil, ""},
		{"JSON in a string", []part{o("", `{"visibility":"private"}`)}, nil, invalid},
		{"empty string", []part{o("", "")}, nil, invalid},
		{"array", []part{o("[]", "x")}, nil, invalid},
		{"enum", []part{o("[visibility]", "internal")}, url.Values{"visibility": {"internal"}}, ""},
		{"bad enum", []part{o("[visibility]", "secret")}, nil, `{"error":"override_params[visibility] does not have a valid value"}`},
		{"enum in upper case", []part{o("[merge_method]", "FF")}, nil, `{"error":"override_params[merge_method] does not have a valid value"}`},
		{"level", []part{o("[wiki_access_level]", "enabled")}, url.Values{"wiki_access_level": {"enabled"}}, ""},
		{"public is no level", []part{o("[wiki_access_level]", "public")}, nil,
			`{"error":"override_params[wiki_access_level] does not have a valid value"}`},
		{"except for pages", []part{o("[pages_access_level]", "public")}, url.Values{"pages_access_level": {"public"}}, ""},
		{"bool", []part{o("[lfs_enabled]", "1"), o("[wiki_enabled]", "false")}, url.Values{"lfs_enabled": {"true"}, "wiki_enabled": {"false"}},
			""},
		{"bad bool", []part{o("[lfs_enabled]", "maybe")}, nil, `{"error":"override_params[lfs_enabled] is invalid"}`},
		{"int", []part{o("[build_timeout]", "3600")}, url.Values{"build_timeout": {"3600"}}, ""},
		{"bad int", []part{o("[build_timeout]", "1h")}, nil, `{"error":"override_params[build_timeout] is invalid"}`},
		{"string", []part{o("[description]", "a, b")}, url.Values{"description": {"a, b"}}, ""},
		{"empty string field", []part{o("[description]", "")}, url.Values{"description": {""}}, ""},
		{"unknown", []part{o("[topic]", "x"), o("[visibilty]", "secret")}, url.Values{}, ""},
		{"topics with brackets", []part{o("[topics][]", "a"), o("[topics][]", "b,c")}, url.Values{"topics": {"a", "b", "c"}}, ""},
		{"topics with commas", []part{o("[topics]", "a, b")}, url.Values{"topics": {"a", "b"}}, ""},
		{"topics with an index", []part{o("[topics][0]", "a")}, url.Values{"topics": {}}, ""},
		{"no topics", []part{o("[topics]", "")}, url.Values{"topics": {}}, ""},
		{"hash", []part{o("[container_expiration_policy_attributes][enabled]", "true"), o("[container_expiration_policy_attributes][x]", "y")},
			url.Values{"container_expiration_policy_attributes[enabled]": {"true"}}, ""},
		{"whole hash", []part{o("[container_expiration_policy_attributes][keep_n]", "5"),
			o("[container_expiration_policy_attributes][cadence]", "1d")},
			url.Values{"container_expiration_policy_attributes[keep_n]": {"5"}, "container_expiration_policy_attributes[cadence]": {"1d"}}, ""},
		{"hash with errors", []part{o("[container_expiration_policy_attributes][keep_n]", "five"),
			o("[container_expiration_policy_attributes][enabled]", "maybe")}, nil,
			`{"error":"override_params[container_expiration_policy_attributes][keep_n] is invalid, ` +
				`override_params[container_expiration_policy_attributes][enabled] is invalid"}`},
		{"keys of the hash outside of it", []part{o("[keep_n]", "five"), o("[cadence]", "1d")}, url.Values{}, ""},
		{"another hash", []part{o("[visibility][x]", "y")}, nil,
			`{"error":"override_params[visibility] is invalid, override_params[visibility] does not have a valid value"}`},
		{"hash that is none", []part{o("[container_expiration_policy_attributes]", "x")}, nil,
			`{"error":"override_params[container_expiration_policy_attributes] is invalid"}`},
		{"two errors", []part{o("[lfs_enabled]", "x"), o("[visibility]", "x")}, nil,
			`{"error":"override_params[lfs_enabled] is invalid, override_params[visibility] does not have a valid value"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, nil, func(t *testing.T, s *Server) {
				a := importAs(t, s, Token, gz(append(tt.parts, plain("path", "new"))...)...)
				if tt.err != "" {
					a.want(t, 400, tt.err)
					return
				}
				if a.status != 201 {
					t.Fatalf("got %d %s", a.status, a.body)
				}
				if diff := cmp.Diff(tt.want, s.Project("owner/new").Overrides); diff != "" {
					t.Errorf("overrides (-want +got):\n%s", diff)
				}
			})
		})
	}
	var v validation
	if vals := overrides(&v, map[string]any{"container_expiration_policy_attributes[enabled]": true}); len(vals) != 0 || v.problems != nil {
		t.Errorf("a name in one piece: got %v, %v", vals, v.problems)
	}
	inMemory(t, []Option{Version("10.6")}, func(t *testing.T, s *Server) {
		importAs(t, s, Token, gz(plain("path", "new"), o("", "x"))...)
		if p := s.Project("owner/new"); p == nil || p.Overrides != nil {
			t.Errorf("10.6: %+v", p)
		}
	})
}
