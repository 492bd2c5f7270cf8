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
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// isPage reports whether the answer is HTML or XML.
func (e *APIError) isPage() bool {
	return bytes.HasPrefix(bytes.TrimSpace(withoutBOM(e.Body)), []byte("<"))
}

// newAPIError reads the body of resp, the answer to r that is not a success,
// and makes an error of it. It closes the body.
func (c *Client) newAPIError(r *request, resp *http.Response, at reach) *APIError {
	return c.apiError(r, resp, readErrorBody(resp), at, nil)
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

// apiError makes an error of resp, the answer to r, whose body was read. The
// body of r had come as far as at when it came. If resp is a success, why says
// what is wrong with it, nil if it is not what it had to be.
func (c *Client) apiError(r *request, resp *http.Response, body []byte, at reach, why error) *APIError {
	hidden := secretsBehind(resp)
	e := &APIError{
		StatusCode: resp.StatusCode,
		RequestID:  printable(hidden.scrub(resp.Header.Get("X-Request-Id")), 100),
		reach:      at,
	}
	if resp.Request != nil {
		e.Method = resp.Request.Method
		e.URL = withoutQuery(resp.Request.URL)
	}
	e.RetryAfter, e.retryAfter = parseRetryAfter(resp.Header)
	if e.StatusCode/100 == 3 && !bytes.Contains(body, []byte("<Error>")) {
		// The body of a redirect repeats the location, query and all. Only object
		// storage, which sends none, says more.
		e.Message = hidden.scrub(redirectMessage(resp))
		return e
	}
	e.Body = []byte(hidden.scrubCut(string(body)))
	e.Message, e.Fields, e.key = parseErrorBody(e.Body)
	if e.scrub(hidden) {
		e.Body = nil // it holds a secret in some encoding
	}
	if e.StatusCode/100 == 2 {
		e.Message = describe(resp, e.Body)
		if why != nil {
			e.Message += ": " + printable(why.Error(), 200)
		}
		e.Message = hidden.scrub(e.Message)
	}
	if r.kind != nil {
		e.kind = r.kind(e)
	}
	e.hint = c.hint(r, e, resp)
	return e
}

// secretsBehind returns what an answer must not be allowed to repeat.
func secretsBehind(resp *http.Response) *secrets {
	if resp.Request == nil {
		return nil
	}
	return secretsOf(resp.Request.Context())
}

// scrub takes the secrets out of the decoded message, and reports whether
// there were any.
func (e *APIError) scrub(hidden *secrets) (found bool) {
	clean := func(text string) string {
		c := hidden.scrub(text)
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
	return "redirected to " + printable(withoutQuery(to), 500) + ", not followed"
}

// parseErrorBody flattens every shape in which GitLab and what stands before
// it say what went wrong.
func parseErrorBody(body []byte) (message string, fields map[string][]string, key string) {
	text := strings.TrimSpace(string(withoutBOM(body)))
	if strings.HasPrefix(text, "{") {
		var obj map[string]json.RawMessage
		if json.Unmarshal([]byte(text), &obj) == nil {
			return parseErrorObject(obj)
		}
	}
	if strings.HasPrefix(text, "<") {
		return parseMarkup(text), nil, ""
	}
	line, _, _ := strings.Cut(text, "\n")
	return printable(line, 500), nil, ""
}

func parseErrorObject(obj map[string]json.RawMessage) (message string, fields map[string][]string, key string) {
	raw, ok := obj["error"]
	if said, exists := obj["message"]; exists && (!ok || string(said) != "null") {
		message, fields = flatten(said)
		return message, fields, "message"
	}
	if !ok {
		return "", nil, ""
	}
	message, fields = flatten(raw)
	if desc, _ := flatten(obj["error_description"]); desc != "" {
		message += ": " + desc
	}
	if scope, _ := flatten(obj["scope"]); scope != "" {
		message += " (needs scope " + scope + ")"
	}
	return message, fields, "error"
}

// flatten makes one line of a message that is a text, a list, or an object of
// texts and lists, and keeps the messages by field.
func flatten(raw json.RawMessage) (string, map[string][]string) {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return "", nil
	}
	obj, ok := v.(map[string]any)
	if !ok {
		return printable(strings.Join(texts(v), ", "), 500), nil
	}
	if inner, ok := obj["error"].(string); ok && len(obj) == 1 {
		return printable(inner, 500), nil
	}
	fields := make(map[string][]string, len(obj))
	var parts []string
	for name, v := range obj {
		name = printable(name, 100)
		fields[name] = texts(v)
		parts = append(parts, name+" "+strings.Join(fields[name], ", "))
	}
	slices.Sort(parts)
	return printable(strings.Join(parts, "; "), 500), fields
}

func texts(v any) []string {
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		return []string{printable(v, 500)}
	case []any:
		var all []string
		for _, item := range v {
			all = append(all, texts(item)...)
		}
		return all
	default:
		raw, err := json.Marshal(v)
		if err != nil {
			return nil
		}
		return []string{printable(string(raw), 500)}
	}
}

var htmlTitle = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title\s*>`)

// parseMarkup returns the code and message of an object storage's XML error,
// or the title of an HTML page. An XML error also holds signatures, so no
// more of it is repeated.
func parseMarkup(text string) string {
	var e struct {
		XMLName xml.Name
		Code    string `xml:"Code"`
		Message string `xml:"Message"`
	}
	if xml.Unmarshal([]byte(text), &e) == nil && e.XMLName.Local == "Error" {
		return printable(strings.TrimSpace(e.Code+" "+e.Message), 500)
	}
	if m := htmlTitle.FindStringSubmatch(text); m != nil {
		return "HTML page “" + printable(html.UnescapeString(m[1]), 500) + "”"
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

// withoutQuery returns u without what can be secret: user, query, fragment.
func withoutQuery(u *url.URL) string {
	c := *u
	c.User, c.RawQuery, c.ForceQuery, c.Fragment, c.RawFragment = nil, "", false, "", ""
	return c.String()
}

// urlSecrets matches a URL; what is outside its groups can be secret.
var urlSecrets = regexp.MustCompile(`(?i)(https?://)(?:[^\s/?#"'<>]*@)?([^\s?#"'<>]*)(?:[?#][^\s"'<>]*)?`)

// printable returns s as one line, cut after n bytes, without control
// characters and without the secrets of URLs, for texts that a server chose.
func printable(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return '?'
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(urlSecrets.ReplaceAllString(s, "$1$2")), " ")
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// describe says what a body of a success is that was not what it had to be.
func describe(resp *http.Response, body []byte) string {
	message, _, _ := parseErrorBody(body)
	ct := printable(resp.Header.Get("Content-Type"), 100)
	if ct == "" {
		ct = "no content type"
	}
	if message == "" {
		return fmt.Sprintf("unexpected answer (%s, %d bytes)", ct, len(body))
	}
	return fmt.Sprintf("unexpected answer (%s): %s", ct, message)
}
