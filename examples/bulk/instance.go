package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/seed-5d77b939/porter"
)

// An instance is a GitLab, as the user of a token has it.
type instance struct {
	*porter.Client
	auth porter.Auth
	http *http.Client
}

func connect(base string, auth porter.Auth, opts ...porter.Option) (*instance, error) {
	client, err := porter.NewClient(base, auth, opts...)
	if err != nil {
		return nil, err
	}
	return &instance{client, auth, &http.Client{
		Transport:     porter.NewTransport(nil),
		Timeout:       lookTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token stays here
	}}, nil
}

const (
	lookTime = 30 * time.Second
	lookSize = 1 << 20 // bytes of an answer
)

// look asks for something beside exports and imports, once. If it is refused,
// that says nothing of an export or import, but for a message that tells.
func (in *instance) look(ctx context.Context, endpoint string, into any) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, in.BaseURL()+endpoint, nil)
	if err != nil {
		return 0, err
	}
	if err := in.auth(req); err != nil {
		return 0, err
	}
	resp, err := in.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, lookSize)).Decode(into); err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}

// user returns the name of the token's user, "" if GitLab does not tell.
//
// GET /user: https://docs.gitlab.com/api/users/#retrieve-the-current-user
func (in *instance) user(ctx context.Context) string {
	var u struct {
		Username string `json:"username"`
	}
	if status, err := in.look(ctx, "user", &u); err != nil || status != http.StatusOK {
		return ""
	}
	return u.Username
}

// checkNamespace returns an error if a project can't be imported into the
// namespace, because it is not there or not shown to the user. It asks as the
// import does.
//
// GET /namespaces/:id: https://docs.gitlab.com/api/namespaces/#retrieve-a-namespace
func (in *instance) checkNamespace(ctx context.Context, path string) error {
	var answer struct {
		Message any `json:"message"`
	}
	status, err := in.look(ctx, "namespaces/"+url.PathEscape(path), &answer)
	if err != nil || status != http.StatusNotFound || answer.Message != "404 Namespace Not Found" {
		return nil // or it can't be known
	}
	return fmt.Errorf("there is no namespace %s at the destination that the token's user can import into: make the group first, "+
		"because an import does not", path)
}
