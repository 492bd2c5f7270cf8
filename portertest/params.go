package portertest

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxForm is how much of a body that is not an upload is read.
const maxForm = 10 << 20

// field is a plain field of a form: a text, nothing if it has no "=", or what
// stands for a file.
type field struct {
	name  string
	value any
}

// plainFile stands for a file that the front server has left in a form. GitLab
// sees a hash of it, which no endpoint here has a use for.
func plainFile(name string) any { return map[string]any{"filename": name} }

func mediaType(r *http.Request) string {
	t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return t
}

// jsonTypes are the content types whose bodies GitLab looks into before it does
// anything else. Its API reads the first one only.
var jsonTypes = []string{
	"application/json", "text/x-json", "application/jsonrequest", "application/vnd.git-lfs+json", "application/vnd.git-lfs",
}

// formTypes are the content types whose bodies are forms.
var formTypes = []string{"application/x-www-form-urlencoded", "multipart/form-data", "multipart/related", "multipart/mixed"}

func isJSON(r *http.Request) bool { return mediaType(r) == jsonTypes[0] }

// parseBody reads the body of a request that is no upload and merges it with
// the query. It returns how GitLab refuses JSON that is none, before everything
// else; what it refuses later is left in c.
func (c *call) parseBody() *reply {
	var body []byte
	if c.r.Body != http.NoBody {
		var err error
		if body, err = io.ReadAll(io.LimitReader(c.r.Body, maxForm)); err != nil {
			c.x.abort()
		}
	}
	kind := mediaType(c.r)
	switch {
	case kind == formTypes[0]:
		fs, ok := splitForm(string(body))
		c.addFields(fs, ok)
	case slices.Contains(formTypes, kind):
		fs, err := readForm(c.r.Header.Get("Content-Type"), body)
		c.addFields(fs, err == nil)
	default:
		c.s.edit(c.x.rec, func(r *Request) { r.Body = body[:min(len(body), maxLoggedBody)] })
	}
	c.nestFields()
	if len(body) == 0 || slices.Contains(formTypes, kind) {
		return nil
	}
	var doc map[string]any
	if slices.Contains(jsonTypes, kind) {
		var r *reply
		if doc, r = c.parseJSON(body); r != nil {
			return r
		}
	}
	if !c.readsBody() {
		return nil
	}
	switch kind {
	case jsonTypes[0]:
	case "":
		if json.Unmarshal(body, new(any)) != nil {
			c.unfit = apiError(http.StatusBadRequest, "message body does not match declared format")
			return nil
		}
		doc, _ = c.parseJSON(body)
	default:
		c.unfit = apiError(http.StatusUnsupportedMediaType, fmt.Sprintf("The provided content-type '%s' is not supported.", kind))
	}
	for k, v := range doc {
		c.params[k] = v
	}
	return nil
}

// readsBody reports whether the API reads the body of such a request at all.
func (c *call) readsBody() bool {
	switch c.r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return true
	}
	return false
}

// maxDepth is how deep parameters may be nested.
const maxDepth = 32

// parseJSON reads a document. One that is no object has no parameters.
func (c *call) parseJSON(body []byte) (map[string]any, *reply) {
	if !utf8.Valid(body) || strings.TrimSpace(string(body)) == "" { // which decoding would cover up
		c.malformed = true
		return nil, nil
	}
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.UseNumber()
	var doc any
	err := dec.Decode(&doc)
	if err == nil {
		_, err = dec.Token()
	}
	if err != io.EOF {
		return nil, apiError(http.StatusBadRequest, "Invalid JSON format")
	}
	if depth(doc) > maxDepth {
		return nil, apiError(http.StatusBadRequest, "Parameters nested too deeply")
	}
	c.malformed = c.malformed || !clean(doc)
	members, _ := doc.(map[string]any)
	return members, nil
}

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

// parseQuery begins the parameters with those of the query.
func (c *call) parseQuery() {
	fs, ok := splitForm(c.r.URL.RawQuery)
	c.fields, c.malformed = fs, !ok
}

// addFields adds fields of the body to the parameters and to the log.
func (c *call) addFields(fs []field, ok bool) {
	c.fields = append(c.fields, fs...)
	c.malformed = c.malformed || !ok
	c.s.edit(c.x.rec, func(r *Request) {
		for _, f := range fs {
			if text, plain := scalar(f.value); plain || f.value == nil {
				r.Fields = append(r.Fields, [2]string{f.name, text})
			}
		}
	})
}

// nestFields makes the parameters of the fields.
func (c *call) nestFields() {
	params, ok := nest(c.fields)
	c.params = params
	c.malformed = c.malformed || !ok || !clean(params)
}

// splitForm takes a query or an urlencoded form apart, in order, and reports
// whether every escape in it is one.
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

// readForm reads a small multipart form. One without a boundary has no fields.
func readForm(contentType string, body []byte) ([]field, error) {
	_, p, err := mime.ParseMediaType(contentType)
	if err != nil || p["boundary"] == "" {
		return nil, err
	}
	mr := multipart.NewReader(strings.NewReader(string(body)), p["boundary"])
	var fs []field
	for {
		part, err := mr.NextPart()
		if err == io.EOF { // not wrapped, so the form is complete
			return fs, nil
		}
		if err != nil {
			return nil, err
		}
		name, filename := dispositionOf(part)
		value, err := io.ReadAll(part)
		switch {
		case err != nil:
			return nil, err
		case filename != "":
			fs = append(fs, field{name, plainFile(filename)})
		default:
			fs = append(fs, field{name, string(value)})
		}
	}
}

// nest makes of fields such as "a[b][]" the parameters that Rails sees: maps,
// lists and texts. It is not ok if one is a map or list after it was something
// else, or if they are nested too deeply.
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

// clean reports whether all text in the parameters is text: UTF-8, and free of
// the NUL that a database would not take. GitLab looks for that one in the
// values only, and not deep down.
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
