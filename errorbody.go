package porter

import (
	"encoding/json"
	"encoding/xml"
	"html"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/seed-5d77b939/porter/internal/redact"
)

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
	message, fields, key = gitLabMessage(obj)
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
			message = joinTexts(message, details)
		}
		if len(byField) > 0 {
			fields = byField
		}
	}
	return message, fields, key
}

// gitLabMessage returns what GitLab's own keys say, and which of them it was.
func gitLabMessage(obj map[string]any) (message string, fields map[string][]string, key string) {
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
	return message, fields, key
}

func joinTexts(message, details string) string {
	if message != "" {
		details = message + ": " + details
	}
	return redact.Line(details, 500)
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
