package portertest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// field is a field of a form: a text, nil without a "=", or what stands for a
// file.
type field struct {
	name  string
	value any
}

// splitForm reads a query or an urlencoded form, in order, and reports whether
// every escape in it is valid.
func splitForm(s string) (fs []field, ok bool) {
	ok = true
	for pair := range strings.SplitSeq(s, "&") {
		if pair == "" {
			continue
		}
		k, v, hasValue := strings.Cut(pair, "=")
		name, err1 := url.QueryUnescape(k)
		value, err2 := url.QueryUnescape(v)
		switch {
		case err1 != nil, err2 != nil:
			ok = false
		case hasValue:
			fs = append(fs, field{name, value})
		default:
			fs = append(fs, field{name, nil})
		}
	}
	return fs, ok
}

// maxDepth is how deep parameters may be nested.
const maxDepth = 32

// nest makes of fields such as "a[b][]" the parameters that Rails sees: maps,
// lists and texts. It is not ok if a parameter changes its kind, or if they are
// nested too deeply.
func nest(fs []field) (root map[string]any, ok bool) {
	root, ok = map[string]any{}, true
	for _, f := range fs {
		keys := splitKey(f.name)
		ok = len(keys) <= maxDepth && put(root, keys, f.value) && ok
	}
	return root, ok
}

func splitKey(name string) []string {
	head, rest, ok := strings.Cut(name, "[")
	if !ok || head == "" {
		return []string{name}
	}
	keys := []string{head}
	for part := range strings.SplitSeq(rest, "[") {
		key, _, _ := strings.Cut(part, "]")
		keys = append(keys, key)
	}
	return keys
}

func put(m map[string]any, keys []string, value any) bool {
	key := keys[0]
	if len(keys) == 1 {
		m[key] = value
		return true
	}
	if keys[1] == "" {
		list, ok := m[key].([]any)
		if !ok && m[key] != nil {
			return false
		}
		if len(keys) > 2 {
			item := map[string]any{}
			ok = put(item, keys[2:], value)
			m[key] = append(list, item)
			return ok
		}
		m[key] = append(list, value)
		return true
	}
	sub, ok := m[key].(map[string]any)
	if !ok && m[key] != nil {
		return false
	}
	if sub == nil {
		sub = map[string]any{}
		m[key] = sub
	}
	return put(sub, keys[1:], value)
}

// depth is how deep a document is nested.
func depth(v any) int {
	deepest := 0
	switch v := v.(type) {
	case map[string]any:
		for _, item := range v {
			deepest = max(deepest, depth(item))
		}
	case []any:
		for _, item := range v {
			deepest = max(deepest, depth(item))
		}
	default:
		return 0
	}
	return 1 + deepest
}

// clean reports whether all texts in the parameters are valid: in UTF-8, and
// without NUL, which a database refuses. GitLab looks for NUL only in values, and
// only in the upper levels.
func clean(params any) bool { return cleanAt(params, -1) }

func cleanAt(v any, depth int) bool {
	switch v := v.(type) {
	case string:
		return utf8.ValidString(v) && (depth > 2 || !strings.Contains(v, "\x00"))
	case []any:
		return !slices.ContainsFunc(v, func(item any) bool { return !cleanAt(item, depth+1) })
	case map[string]any:
		for name, value := range v {
			if !utf8.ValidString(name) || !cleanAt(value, depth+1) {
				return false
			}
		}
	}
	return true
}

// scalar returns a plain parameter as text.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return fmt.Sprint(v), true
	}
	return "", false
}

// present reports whether a parameter is not blank.
func present(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case string:
		return strings.TrimSpace(v) != ""
	case bool:
		return v
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	return true
}
