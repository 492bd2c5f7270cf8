package portertest

import (
	"fmt"
	"net/http"
)

// message is how the API's helpers answer.
func message(status int, v any) *reply { return jsonReply(status, object{{"message", v}}) }

// apiError is how parameter validation and routing answer.
func apiError(status int, text string) *reply { return jsonReply(status, object{{"error", text}}) }

func tokenError(status int, code, description string) *reply {
	r := jsonReply(status, object{{"error", code}, {"error_description", description}})
	if status == http.StatusUnauthorized {
		r.header.Set("WWW-Authenticate",
			fmt.Sprintf(`Bearer realm="Protected by OAuth 2.0", error="%s", error_description="%s"`, code, description))
	}
	return r
}

// workhorseReply is how Workhorse answers by itself.
func workhorseReply(status int, body string) *reply {
	r := newReply(status, "text/plain; charset=utf-8", []byte(body+"\n"))
	r.header.Set("X-Content-Type-Options", "nosniff")
	r.workhorse = true
	return r
}

func page(status int, title string) *reply {
	return newReply(status, "text/html; charset=utf-8", fmt.Appendf(nil,
		"<!DOCTYPE html>\n<html><head><title>%[1]s · GitLab</title></head><body><h1>%[1]s</h1></body></html>\n", title))
}

// orNull makes an empty string null.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
