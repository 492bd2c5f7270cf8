package porter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
)

// maxAnswer bounds an answer that is read whole. The largest one, a hundred
// failed relations, is far below.
const maxAnswer = 8 << 20

// getJSON asks for r.url and decodes the answer into v, which is an answer
// only if ok says so. A body that breaks off is a broken connection, like any
// other.
func (c *Client) getJSON(ctx context.Context, r *request, v any, ok func() bool) error {
	r.method = http.MethodGet
	r.read = func(resp *http.Response) error {
		err := decode(resp, v, ok)
		if api := (*APIError)(nil); errors.As(err, &api) {
			c.hint(r, api, resp)
		}
		return err
	}
	_, err := c.send(ctx, r)
	return err
}

// answers holds buffers for answers. With a new one for each, a small call
// takes twice the memory and 1.02 times as long.
var answers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// decode reads a success into v and closes it. The error is an *APIError if
// the body is not what it had to be, and a *transportError if it broke off.
func decode(resp *http.Response, v any, ok func() bool) error {
	defer resp.Body.Close()
	body := answers.Get().(*bytes.Buffer)
	defer func() {
		if body.Cap() <= maxErrorBody {
			body.Reset()
			answers.Put(body)
		}
	}()
	if _, err := body.ReadFrom(io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return newTransportError(resp.Request, err)
	}
	if json.Unmarshal(body.Bytes(), v) != nil || !ok() {
		return unexpectedBody(resp, body.Bytes())
	}
	return nil
}

// accepted takes in the answer to a job that was scheduled, which says no more
// than that. What it holds is read, so that the connection can be used again.
func accepted(resp *http.Response) error {
	if resp.StatusCode != http.StatusAccepted {
		return unexpected(resp)
	}
	io.CopyN(io.Discard, resp.Body, maxErrorBody)
	resp.Body.Close()
	return nil
}

// unexpected makes an error of a success that was none.
func unexpected(resp *http.Response) error {
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // what arrived is better than nothing
	return unexpectedBody(resp, body)
}

func unexpectedBody(resp *http.Response, body []byte) error {
	body = body[:min(len(body), maxErrorBody)]
	e := apiErrorFrom(resp, body)
	hidden := secretsBehind(resp)
	e.Message = hidden.scrub(describe(resp, []byte(hidden.scrubCut(string(body)))))
	return e
}
