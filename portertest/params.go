package portertest

import (
	"encoding/json"
	"errors"
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

// field is a plain field of a form.
type field struct{ name, value string }

func mediaType(r *http.Request) string {
	t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return t
}

func isJSON(r *http.Request) bool {
	return mediaType(r) == "application/json"
}

// parseBody reads the body of a request that is no upload and merges it with
// the query.
func (c *call) parseBody() *reply {
	c.fields, _ = splitForm(c.r.URL.RawQuery)
	var body []byte
	if c.r.Body != http.NoBody {
		var err error
		if body, err = io.ReadAll(io.LimitReader(c.r.Body, maxForm)); err != nil {
			c.x.abort()
		}
	}
	switch mediaType(c.r) {
	case "application/x-www-form-urlencoded":
		fs, ok := splitForm(string(body))
		if !ok {
			return text(http.StatusBadRequest, "Bad Request")
		}
		c.addFields(fs)
	case "multipart/form-data":
		fs, err := readForm(c.r.Header.Get("Content-Type"), body)
		if err != nil {
			return text(http.StatusBadRequest, "Bad Request")
		}
		c.addFields(fs)
	default:
		c.s.edit(c.x.rec, func(r *Request) { r.Body = body[:min(len(body), maxLoggedBody)] })
	}
	if r := c.nestFields(); r != nil || len(body) == 0 {
		return r
	}
	switch t := mediaType(c.r); {
	case isJSON(c.r):
		return c.parseJSON(body)
	case t != "" && t != "application/x-www-form-urlencoded" && t != "multipart/form-data":
		return apiError(http.StatusUnsupportedMediaType, fmt.Sprintf("The provided content-type '%s' is not supported.", t))
	}
	return nil
}

// maxDepth is how deep parameters may be nested.
const maxDepth = 32

// parseJSON merges a document with the parameters. One that is no object is
// ignored.
func (c *call) parseJSON(body []byte) *reply {
	if !utf8.Valid(body) || strings.TrimSpace(string(body)) == "" { // which decoding would cover up
		return text(http.StatusBadRequest, "Bad Request")
	}
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.UseNumber()
	var doc any
	err := dec.Decode(&doc)
	if err == nil {
		_, err = dec.Token()
	}
	if err != io.EOF {
		return apiError(http.StatusBadRequest, "Invalid JSON format")
	}
	if depth(doc) > maxDepth {
		return apiError(http.StatusBadRequest, "Parameters nested too deeply")
	}
	members, _ := doc.(map[string]any)
	for k, v := range members {
		c.params[k] = v
	}
	return nil
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

// nestFields makes the parameters of the fields.
func (c *call) nestFields() *reply {
	var ok bool
	if c.params, ok = nest(c.fields); !ok {
		return text(http.StatusBadRequest, "Bad Request")
	}
	return nil
}

// addFields adds fields of the body to the parameters and to the log.
func (c *call) addFields(fs []field) {
	c.fields = append(c.fields, fs...)
	c.s.edit(c.x.rec, func(r *Request) {
		for _, f := range fs {
			r.Fields = append(r.Fields, [2]string{f.name, f.value})
		}
	})
}

// splitForm takes a query or an urlencoded form apart, in order, and reports
// whether every escape in it is one.
func splitForm(s string) (fs []field, ok bool) {
	ok = true
	for pair := range strings.SplitSeq(s, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		name, err1 := url.QueryUnescape(k)
		value, err2 := url.QueryUnescape(v)
		if err1 != nil || err2 != nil {
			ok = false
			continue
		}
		fs = append(fs, field{name, value})
	}
	return fs, ok
}

// readForm reads the plain fields of a small multipart form.
func readForm(contentType string, body []byte) ([]field, error) {
	_, p, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, err
	}
	if p["boundary"] == "" {
		return nil, http.ErrMissingBoundary
	}
	mr := multipart.NewReader(strings.NewReader(string(body)), p["boundary"])
	var fs []field
	for {
		part, err := mr.NextPart()
		if errors.Is(err, io.EOF) {
			return fs, nil
		}
		if err != nil {
			return nil, err
		}
		if part.FileName() != "" {
			continue
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return nil, err
		}
		fs = append(fs, field{part.FormName(), string(value)})
	}
}

// nest makes of fields such as "a[b][]" the parameters that Rails sees: maps,
// lists and strings. It is not ok if one is a map or list after it was
// something else.
func nest(fs []field) (root map[string]any, ok bool) {
	root = map[string]any{}
	for _, f := range fs {
		if !put(root, splitKey(f.name), f.value) {
			return nil, false
		}
	}
	return root, true
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

// present reports whether a parameter was sent with something in it.
func present(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case string:
		return strings.TrimSpace(v) != ""
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

// boolean returns what a parameter says if it is taken for true or false.
func boolean(v any) (value, ok bool) {
	s, plain := scalar(v)
	if !plain {
		return false, false
	}
	switch {
	case slices.Contains(trueTexts, s):
		return true, true
	case slices.Contains(falseTexts, s):
		return false, true
	}
	return false, false
}

// What GitLab takes for true and for false. It does not take "tRUE".
var (
	trueTexts  = strings.Fields("1 on On ON t T true True TRUE y Y yes Yes YES")
	falseTexts = strings.Fields("0 off Off OFF f F false False FALSE n N no No NO")
)

// plainParam returns a parameter that is to be a text, whether it was sent, and
// what is wrong with it.
func (c *call) plainParam(name string) (value string, sent bool, problem string) {
	v, sent := c.params[name]
	value, plain := scalar(v)
	if v == nil || plain {
		return value, sent && plain, ""
	}
	return "", true, name + " is invalid"
}
