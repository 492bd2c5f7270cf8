package portertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// reply is an answer that has been decided on and not been sent yet.
type reply struct {
	status    int
	header    http.Header
	body      []byte
	workhorse bool // Workhorse made it, and GitLab did not see the request
	// send, if set, writes the whole answer instead.
	send func(http.ResponseWriter, *http.Request)
}

func (r *reply) write(w http.ResponseWriter, req *http.Request) {
	for k, v := range r.header {
		w.Header()[k] = v
	}
	if r.send != nil {
		r.send(w, req)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(r.body)))
	w.WriteHeader(r.status)
	if req.Method != http.MethodHead {
		w.Write(r.body)
	}
}

func newReply(status int, contentType string, body []byte) *reply {
	r := &reply{status: status, header: http.Header{}, body: body}
	if contentType != "" {
		r.header.Set("Content-Type", contentType)
	}
	return r
}

// sends is a reply that send writes once GitLab's state is no longer locked.
func sends(send func(http.ResponseWriter, *http.Request)) *reply {
	return &reply{header: http.Header{}, send: send}
}

func jsonReply(status int, v any) *reply {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	return newReply(status, "application/json", bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

func text(status int, body string) *reply { return newReply(status, "text/plain", []byte(body)) }

// object is a JSON object that keeps its order.
type object []member

type member struct {
	key   string
	value any
}

func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:", m.key)
		v, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.Write(v)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
