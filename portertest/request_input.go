package portertest

import (
	"mime"
	"net/http"
)

// input is what a request asks with: its parameters and its file.
type input struct {
	r     *http.Request
	entry *logEntry

	fields    []field        // of the query and of the body's form, in order
	params    map[string]any // query and body as Rails sees them
	malformed bool           // a parameter has wrong bytes, escapes or nesting
	unfit     *reply         // the API's answer to a body that it cannot read
	upload    *upload        // a form's file
}

// newInput begins the parameters with those of the query.
func newInput(r *http.Request, entry *logEntry) *input {
	fs, ok := splitForm(r.URL.RawQuery)
	in := &input{r: r, entry: entry, fields: fs, malformed: !ok}
	in.nestFields()
	return in
}

// addFields adds fields of the body to the parameters and to the log.
func (in *input) addFields(fs []field, ok bool) {
	in.fields = append(in.fields, fs...)
	in.malformed = in.malformed || !ok
	in.entry.edit(func(r *Request) {
		for _, f := range fs {
			if text, plain := scalar(f.value); plain || f.value == nil {
				r.Fields = append(r.Fields, [2]string{f.name, text})
			}
		}
	})
}

// nestFields makes the parameters of the fields.
func (in *input) nestFields() {
	params, ok := nest(in.fields)
	in.params = params
	in.malformed = in.malformed || !ok || !clean(params)
}

// reads reports whether the request changes nothing.
func (in *input) reads() bool {
	return in.r.Method == http.MethodGet || in.r.Method == http.MethodHead
}

// param returns a plain parameter.
func (in *input) param(name string) (string, bool) { return scalar(in.params[name]) }

func mediaType(r *http.Request) string {
	t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return t
}
