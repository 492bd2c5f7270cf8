package porter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// maxAnswer bounds an answer that is read whole. The largest one, a hundred
// failed relations, is far below.
const maxAnswer = 8 << 20

// getJSON asks for r.url and decodes the answer into v, which is an answer
// only if ok says so. A body that breaks off is a broken connection, like any
// other.
func (c *core) getJSON(ctx context.Context, r *request, v any, ok func() bool) error {
	r.method = http.MethodGet
	r.read = func(resp *http.Response) error { return decode(r, resp, v, ok) }
	_, err := c.send(ctx, r)
	return err
}

// answers holds buffers for answers: with a new one for each, BenchmarkGetExport
// takes twice the memory.
var answers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// decode reads resp, a success that answers r, into v and closes it. The error
// is an *APIError if the body is not what it had to be, and a *transportError
// if it broke off.
func decode(r *request, resp *http.Response, v any, ok func() bool) error {
	defer resp.Body.Close()
	buf := answers.Get().(*bytes.Buffer)
	defer func() {
		if buf.Cap() <= maxErrorBody {
			buf.Reset()
			answers.Put(buf)
		}
	}()
	if _, err := buf.ReadFrom(io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return newBodyError(resp.Request, err)
	}
	body := plain(buf.Bytes(), maxAnswer)
	err := json.Unmarshal(body, v)
	if err == nil && ok() {
		return nil
	}
	return newAPIError(r, resp, body[:min(len(body), maxErrorBody)], whole, jsonReason(body, err))
}

// jsonReason says why body could not be decoded, in words for users of the
// API. A body that is no JSON says more for itself.
func jsonReason(body []byte, err error) error {
	if !looksLikeJSON(body) {
		return nil
	}
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err
	}
	kind, _, _ := strings.Cut(wrong.Value, " ") // else with the number
	if field := wrong.Field[strings.LastIndex(wrong.Field, ".")+1:]; field != "" {
		return fmt.Errorf("%s is of type %s", field, kind)
	}
	return fmt.Errorf("it is of type %s", kind)
}

func looksLikeJSON(body []byte) bool {
	body = bytes.TrimSpace(body)
	return len(body) > 0 && (body[0] == '{' || body[0] == '[')
}

// accepted takes in the answer to r, a job that was scheduled, which says no
// more than that. What it holds is read, so that the connection can be used
// again.
func accepted(r *request, resp *http.Response) error {
	if resp.StatusCode != http.StatusAccepted {
		return readAPIError(r, resp, whole)
	}
	io.CopyN(io.Discard, resp.Body, maxErrorBody)
	resp.Body.Close()
	return nil
}

// allPresent reports whether no element of a list was null.
func allPresent[T any](list []*T) bool {
	for _, t := range list {
		if t == nil {
			return false
		}
	}
	return true
}
