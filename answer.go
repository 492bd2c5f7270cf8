package porter

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"io"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-5d77b939/porter/internal/redact"
)

// isPage reports whether the answer is HTML or XML.
func (e *APIError) isPage() bool {
	return bytes.HasPrefix(bytes.TrimSpace(withoutBOM(e.Body)), []byte("<"))
}

// readAPIError reads the body of resp, the answer to r that is not a success,
// and makes an error of it. It closes the body.
func readAPIError(r *request, resp *http.Response, at reach) *APIError {
	return newAPIError(r, resp, readErrorBody(resp), at, nil)
}

// readErrorBody reads a body, bounded, and closes it. What arrived is better
// than nothing.
func readErrorBody(resp *http.Response) []byte {
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	return plain(body, maxErrorBody)
}

// plain returns a text that a server or proxy sent, unpacked and without a byte
// order mark. Some compress what was asked for as it is. Of a text that
// unpacks to more than n bytes, or breaks off, it returns what there is.
func plain(body []byte, n int64) []byte {
	if isGzip(body) {
		if zr, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
			if text, _ := io.ReadAll(io.LimitReader(zr, n)); len(text) > 0 {
				body = text
			}
		}
	}
	return withoutBOM(body)
}

// withoutBOM takes a byte order mark off, which gateways and Azure put before
// JSON and XML.
func withoutBOM(body []byte) []byte { return bytes.TrimPrefix(body, []byte("\ufeff")) }

// newAPIError makes an error of resp, the answer to r, whose body was read. The
// body of r had come as far as at when it came. If resp is a success, why says
// what is wrong with it, nil if it is not what it had to be.
func newAPIError(r *request, resp *http.Response, body []byte, at reach, why error) *APIError {
	hidden := secretsBehind(resp)
	e := &APIError{
		StatusCode: resp.StatusCode,
		RequestID:  redact.Line(hidden.Scrub(resp.Header.Get("X-Request-Id")), 100),
		reach:      at,
	}
	if resp.Request != nil {
		e.Method = resp.Request.Method
		e.URL = redact.URL(resp.Request.URL)
	}
	e.RetryAfter, e.retryAfter = parseRetryAfter(resp.Header)
	if e.StatusCode/100 == 3 && !bytes.Contains(body, []byte("<Error>")) {
		// The body of a redirect repeats the location, query and all. Only object
		// storage, which sends none, says more.
		e.Message = hidden.Scrub(redirectMessage(resp))
		return e
	}
	e.Body = []byte(hidden.ScrubCut(string(body)))
	e.Message, e.Fields, e.key = parseErrorBody(e.Method, e.Body)
	if e.scrub(hidden) {
		e.Body = nil // it holds a secret in some encoding
	}
	code, _, _ := strings.Cut(e.Message, " ")
	e.busy = e.isPage() && slices.Contains(busyStorage, code)
	if e.StatusCode/100 == 2 {
		e.Message = describe(resp, e.Body)
		if why != nil {
			e.Message += ": " + redact.Line(why.Error(), 200)
		}
		e.Message = hidden.Scrub(e.Message)
	}
	if r.kind != nil {
		e.kind = r.kind(e)
	}
	e.hint = r.hints.hint(e, r.download, r.elsewhere(resp))
	return e
}

// secretsBehind returns what an answer must not be allowed to repeat.
func secretsBehind(resp *http.Response) *redact.Secrets {
	if resp.Request == nil {
		return nil
	}
	return redact.SecretsOf(resp.Request.Context())
}

// scrub takes the secrets out of the decoded message, and reports whether
// there were any.
func (e *APIError) scrub(hidden *redact.Secrets) (found bool) {
	clean := func(text string) string {
		c := hidden.Scrub(text)
		found = found || c != text
		return c
	}
	e.Message = clean(e.Message)
	for _, texts := range e.Fields {
		for i := range texts {
			texts[i] = clean(texts[i])
		}
	}
	return found
}

// redirectMessage says where a redirect that was not followed pointed.
func redirectMessage(resp *http.Response) string {
	to, err := resp.Location()
	if err != nil {
		return "redirected to nowhere"
	}
	return "redirected to " + redact.Line(redact.URL(to), 500) + ", not followed"
}

// parseErrorBody flattens every shape in which GitLab and what stands before
// it say what went wrong with a request of that method. The key is that of
// GitLab's API that held the message, "" if it was another one.
func parseErrorBody(method string, body []byte) (message string, fields map[string][]string, key string) {
	text := strings.TrimSpace(string(withoutBOM(body)))
	if strings.HasPrefix(text, "{") {
		var obj map[string]any
		if json.Unmarshal([]byte(text), &obj) == nil {
			return parseErrorObject(method, obj)
		}
	}
	if strings.HasPrefix(text, "<") {
		return parseMarkup(text), nil, ""
	}
	line, _, _ := strings.Cut(text, "\n")
	return redact.Line(line, 500), nil, ""
}

// parseErrorObject looks for GitLab's own keys first, and then for those of
// other programs: of GraphQL and JSON:API, of RFC 9457, and of gateways.
func parseErrorObject(method string, obj map[string]any) (message string, fields map[string][]string, key string) {
	for _, name := range []string{"message", "error"} {
		said, exists := obj[name]
		if !exists {
			continue
		}
		if message, fields = flatten(said); key == "" || message != "" {
			key = name
		}
		if message != "" {
			break
		}
	}
	if key == "error" {
		if inner, ok := obj["error"].(map[string]any); ok && said(inner) != "" {
			key = "" // GitLab puts no message into its error
		}
		if desc, _ := flatten(obj["error_description"]); desc != "" {
			message += ": " + desc
		}
		if scope := neededScope(method, obj["scope"]); scope != "" {
			message += " (needs scope " + scope + ")"
		}
	}
	if message == "" {
		message = said(obj)
	}
	switch list := obj["errors"].(type) {
	case string, []any, map[string]any:
		details, byField := flatten(list)
		if details != "" && !strings.Contains(message, details) {
			if message != "" {
				details = message + ": " + details
			}
			message = redact.Line(details, 500)
		}
		if len(byField) > 0 {
			fields = byField
		}
	}
	return message, fields, key
}

// neededScope says which scope would do. GitLab lists those that do for a GET,
// whatever the method is; for another method of this API only api does.
func neededScope(method string, list any) string {
	scopes := strings.FieldsFunc(strings.Join(texts(list), " "), func(r rune) bool { return r == ' ' || r == ',' })
	if method != "" && method != http.MethodGet && method != http.MethodHead && slices.Contains(scopes, "api") {
		return "api"
	}
	return redact.Line(strings.Join(scopes, " or "), 500)
}

// flatten makes one line of a message that is a text, a list, or an object of
// texts and lists, and keeps the messages by field.
func flatten(v any) (string, map[string][]string) {
	obj, ok := v.(map[string]any)
	if !ok {
		return redact.Line(strings.Join(texts(v), ", "), 500), nil
	}
	if inner, ok := obj["error"].(string); ok && len(obj) == 1 {
		return redact.Line(inner, 500), nil
	}
	if message := said(obj); message != "" {
		return message, nil
	}
	fields := make(map[string][]string, len(obj))
	var parts []string
	for name, v := range obj {
		name = redact.Line(name, 100)
		fields[name] = texts(v)
		parts = append(parts, name+" "+strings.Join(fields[name], ", "))
	}
	slices.Sort(parts)
	return redact.Line(strings.Join(parts, "; "), 500), fields
}

// said returns what an object says that is an error itself, rather than one of
// messages by field.
func said(obj map[string]any) string {
	var parts []string
	for _, key := range []string{"title", "message", "Message", "detail", "msg", "reason"} {
		text, _ := obj[key].(string)
		if key == "detail" { // which may be a list of errors
			text = strings.Join(texts(obj[key]), ", ")
		}
		if text != "" && !slices.Contains(parts, text) {
			parts = append(parts, text)
		}
	}
	return redact.Line(strings.Join(parts, ": "), 500)
}

func texts(v any) []string {
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		return []string{redact.Line(v, 500)}
	case []any:
		var all []string
		for _, item := range v {
			all = append(all, texts(item)...)
		}
		return all
	case map[string]any:
		if message := said(v); message != "" {
			return []string{message}
		}
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return []string{redact.Line(string(raw), 500)}
}

var (
	markupTag = regexp.MustCompile(`<[^>]*>`)
	// Where a page says what it is about. Those of HAProxy have no title, some
	// of a firewall no heading either.
	headings = []*regexp.Regexp{heading("title"), heading("h1"), heading("h2"), heading("center")}
)

func heading(tag string) *regexp.Regexp {
	return regexp.MustCompile(`(?is)<` + tag + `(?:\s[^>]*)?>(.*?)</` + tag + `\s*>`)
}

// parseMarkup returns the code and message of an object storage's XML error,
// or the title or first heading of an HTML page. An XML error also holds
// signatures, so no more of it is repeated.
func parseMarkup(text string) string {
	var e struct {
		XMLName  xml.Name
		Code     string `xml:"Code"`
		Message  string `xml:"Message"`
		Endpoint string `xml:"Endpoint"` // of a bucket that is elsewhere
	}
	if xml.Unmarshal([]byte(text), &e) == nil && e.XMLName.Local == "Error" {
		if e.Endpoint != "" {
			e.Message += " Use " + e.Endpoint
		}
		return redact.Line(strings.TrimSpace(e.Code+" "+e.Message), 500)
	}
	for _, h := range headings {
		if m := h.FindStringSubmatch(text); m != nil {
			if said := redact.Line(html.UnescapeString(markupTag.ReplaceAllString(m[1], " ")), 500); said != "" {
				return "HTML page “" + said + "”"
			}
		}
	}
	return "an HTML or XML page"
}

// parseRetryAfter understands seconds, an HTTP date (by the server's own
// clock, if it told it) and a Go duration.
func parseRetryAfter(h http.Header) (time.Duration, bool) {
	s := strings.TrimSpace(h.Get("Retry-After"))
	if s == "" {
		return 0, false
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		const most = math.MaxInt64 / int64(time.Second)
		return time.Duration(max(0, min(n, most))) * time.Second, true
	}
	if t, err := http.ParseTime(s); err == nil {
		now, err := http.ParseTime(h.Get("Date"))
		if err != nil {
			now = time.Now()
		}
		return max(0, t.Sub(now)), true
	}
	if d, err := time.ParseDuration(s); err == nil {
		return max(0, d), true
	}
	return 0, false
}

// describe says what a body of a success is that was not what it had to be.
func describe(resp *http.Response, body []byte) string {
	method := ""
	if resp.Request != nil {
		method = resp.Request.Method
	}
	message, _, _ := parseErrorBody(method, body)
	ct := redact.Line(resp.Header.Get("Content-Type"), 100)
	if ct == "" {
		ct = "no content type"
	}
	if message == "" {
		return fmt.Sprintf("unexpected answer (%s, %d bytes)", ct, len(body))
	}
	return fmt.Sprintf("unexpected answer (%s): %s", ct, message)
}
