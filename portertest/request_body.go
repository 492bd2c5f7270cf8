package portertest

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxForm is how much of a body that is not an upload is read.
const maxForm = 10 << 20

// jsonTypes are the content types whose bodies GitLab parses before it does
// anything else. Its API reads only the first one.
var jsonTypes = []string{
	"application/json", "text/x-json", "application/jsonrequest", "application/vnd.git-lfs+json", "application/vnd.git-lfs",
}

// formTypes are the content types whose bodies are forms.
var formTypes = []string{"application/x-www-form-urlencoded", "multipart/form-data", "multipart/related", "multipart/mixed"}

func isJSON(r *http.Request) bool { return mediaType(r) == jsonTypes[0] }

// readBody reads the body of a request that is no upload and merges it with the
// query. It returns the refusal of invalid JSON, which comes before everything
// else; what is refused later is left in the input.
func (in *input) readBody() *reply {
	var body []byte
	if in.r.Body != http.NoBody {
		var err error
		if body, err = io.ReadAll(io.LimitReader(in.r.Body, maxForm)); err != nil {
			abort()
		}
	}
	kind := mediaType(in.r)
	switch {
	case kind == formTypes[0]:
		fs, ok := splitForm(string(body))
		in.addFields(fs, ok)
	case slices.Contains(formTypes, kind):
		fs, err := readForm(in.r.Header.Get("Content-Type"), body)
		in.addFields(fs, err == nil)
	default:
		in.entry.edit(func(r *Request) { r.Body = body[:min(len(body), maxLoggedBody)] })
	}
	in.nestFields()
	if len(body) == 0 || slices.Contains(formTypes, kind) {
		return nil
	}
	return in.readDocument(kind, body)
}

// readDocument adds the parameters of a body that is no form.
func (in *input) readDocument(kind string, body []byte) *reply {
	var doc map[string]any
	if slices.Contains(jsonTypes, kind) {
		var r *reply
		if doc, r = in.parseJSON(body); r != nil {
			return r
		}
	}
	if !in.readsBody() {
		return nil
	}
	switch kind {
	case jsonTypes[0]:
	case "":
		if json.Unmarshal(body, new(any)) != nil {
			in.unfit = apiError(http.StatusBadRequest, "message body does not match declared format")
			return nil
		}
		doc, _ = in.parseJSON(body)
	default:
		in.unfit = apiError(http.StatusUnsupportedMediaType, fmt.Sprintf("The provided content-type '%s' is not supported.", kind))
	}
	for k, v := range doc {
		in.params[k] = v
	}
	return nil
}

// readsBody reports whether the API reads the body of such a request at all.
func (in *input) readsBody() bool {
	switch in.r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return true
	}
	return false
}

// parseJSON reads a document. One that is no object has no parameters.
func (in *input) parseJSON(body []byte) (map[string]any, *reply) {
	if !utf8.Valid(body) || strings.TrimSpace(string(body)) == "" { // decoding would not notice
		in.malformed = true
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
	in.malformed = in.malformed || !clean(doc)
	members, _ := doc.(map[string]any)
	return members, nil
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

// plainFile stands for a file in a form that Workhorse has not taken out. GitLab
// sees a hash, which no endpoint here uses.
func plainFile(name string) any { return map[string]any{"filename": name} }

// dispositionOf returns the names of a part, whatever its disposition is.
func dispositionOf(part *multipart.Part) (name, filename string) {
	_, p, _ := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	return p["name"], p["filename"]
}
