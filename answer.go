package porter

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-5d77b939/porter/internal/redact"
)

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

// redirectMessage says where a redirect that was not followed pointed.
func redirectMessage(resp *http.Response) string {
	to, err := resp.Location()
	if err != nil {
		return "redirected to nowhere"
	}
	return "redirected to " + redact.Line(redact.URL(to), 500) + ", not followed"
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
