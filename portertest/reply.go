package portertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// reply is an answer that has been decided on and not been sent yet.
type reply struct {
	status int
	header http.Header
	body   []byte
	front  bool // the server in front of GitLab made it, and GitLab did not see the request
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

// message is how API helpers answer.
func message(status int, v any) *reply { return jsonReply(status, object{{"message", v}}) }

// serviceError is how services refuse.
func (s *Server) serviceError(status int, msg string) *reply {
	return message(status, s.translate(msg))
}

// translate is where GitLab words a message in the user's language.
func (s *Server) translate(msg string) string {
	if !s.cfg.localized {
		return msg
	}
	return foreign.Replace(msg)
}

// foreign keeps a message readable, but hides it from a search for English.
var foreign = strings.NewReplacer("a", "á", "e", "é", "i", "í", "o", "ó", "u", "ú")

// apiError is how parameter validation and routing answer.
func apiError(status int, text string) *reply { return jsonReply(status, object{{"error", text}}) }

func tokenError(status int, code, description string) *reply {
	r := jsonReply(status, object{{"error", code}, {"error_description", description}})
	if status == http.StatusUnauthorized {
		r.header.Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="Protected by OAuth 2.0", error="%s", error_description="%s"`, code, description))
	}
	return r
}

func text(status int, body string) *reply { return newReply(status, "text/plain", []byte(body)) }

// frontServer is how the server in front of GitLab answers by itself.
func frontServer(status int, body string) *reply {
	r := newReply(status, "text/plain; charset=utf-8", []byte(body+"\n"))
	r.header.Set("X-Content-Type-Options", "nosniff")
	r.front = true
	return r
}

func page(status int, title string) *reply {
	return newReply(status, "text/html; charset=utf-8", fmt.Appendf(nil,
		"<!DOCTYPE html>\n<html><head><title>%[1]s · GitLab</title></head><body><h1>%[1]s</h1></body></html>\n", title))
}

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

// orNull makes an empty string null.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
