package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/seed-5d77b939/porter"
)

// An instance is a GitLab, as the user of a token has it.
type instance struct {
	*porter.Client
	auth      porter.Auth
	transport http.RoundTripper
}

func connect(base string, auth porter.Auth, rt http.RoundTripper, opts ...porter.Option) (*instance, error) {
	client, err := porter.NewClient(base, auth, append(opts, porter.WithTransport(rt))...)
	if err != nil {
		return nil, err
	}
	return &instance{client, auth, rt}, nil
}

const (
	userTime = 30 * time.Second
	userSize = 1 << 20 // bytes of the answer
)

// user returns the name of the token's user, "" if GitLab does not tell. The
// error is a porter.ErrUnauthorized if GitLab does not take the token, else nil.
//
// GET /user: https://docs.gitlab.com/api/users/#retrieve-the-current-user
func (in *instance) user(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, userTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, in.BaseURL()+"user", nil)
	if err != nil || in.auth(req) != nil {
		return "", nil
	}
	resp, err := in.transport.RoundTrip(req) // follows no redirect: the token stays here
	if err != nil {
		return "", nil
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized {
		return "", fmt.Errorf("token for %s: %w", in.BaseURL(), porter.ErrUnauthorized)
	}
	var u struct {
		Username string `json:"username"`
	}
	if resp.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(resp.Body, userSize)).Decode(&u) != nil {
		return "", nil
	}
	return u.Username, nil
}
