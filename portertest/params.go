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
	t := mediaType(r)
	return t == "application/json" || strings.HasSuffix(t, "+json")
}

// parseBody reads the body of a request that is no upload and merges it with
// the query.
func (c *call) parseBody() *reply {
	c.fields = splitForm(c.r.URL.RawQuery)
	var body []byte
	if c.r.Body != http.NoBody {
		var err error
		if body, err = io.ReadAll(io.LimitReader(c.r.Body, maxForm)); err != nil {
			c.x.abort()
		}
	}
	switch mediaType(c.r) {
	case "application/x-www-form-urlencoded":
		c.addFields(splitForm(string(body)))
	case "multipart/form-data":
		fs, err := readForm(c.r.Header.Get("Content-Type"), body)
		if err != nil {
			return text(http.StatusBadRequest, "Bad Request")
		}
		c.addFields(fs)
	default:
		c.s.edit(c.x.rec, func(r *Request) { r.Body = body[:min(len(body), maxLoggedBody)] })
	}
	c.params = nest(c.fields)
	if isJSON(c.r) && len(body) > 0 {
		if !utf8.Valid(body) { // which decoding would cover up
			return text(http.StatusBadRequest, "Bad Request")
		}
		dec := json.NewDecoder(strings.NewReader(string(body)))
		dec.UseNumber()
		var doc map[string]any
		if err := dec.Decode(&doc); err != nil {
			return apiError(http.StatusBadRequest, "message body does not match declared format")
		}
		for k, v := range doc {
			c.params[k] = v
		}
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

// splitForm takes a query or an urlencoded form apart, in order.
func splitForm(s string) []field {
	var fs []field
	for pair := range strings.SplitSeq(s, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		name, err1 := url.QueryUnescape(k)
		value, err2 := url.QueryUnescape(v)
		if err1 == nil && err2 == nil {
			fs = append(fs, field{name, value})
		}
	}
	return fs
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
// lists and strings.
func nest(fs []field) map[string]any {
	root := map[string]any{}
	for _, f := range fs {
		keys := splitKey(f.name)
		put(root, keys, f.value)
	}
	return root
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

func put(m map[string]any, keys []string, value any) {
	key := keys[0]
	switch {
	case len(keys) == 1:
		m[key] = value
	case keys[1] == "":
		list, _ := m[key].([]any)
		if len(keys) == 2 {
			m[key] = append(list, value)
			return
		}
		item := map[string]any{}
		put(item, keys[2:], value)
		m[key] = append(list, item)
	default:
		sub, ok := m[key].(map[string]any)
		if !ok {
			sub = map[string]any{}
			m[key] = sub
		}
		put(sub, keys[1:], value)
	}
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
	switch s = strings.ToLower(s); {
	case slices.Contains([]string{"true", "t", "1", "yes", "y", "on"}, s):
		return true, true
	case slices.Contains([]string{"false", "f", "0", "no", "n", "off"}, s):
		return false, true
	}
	return false, false
}
