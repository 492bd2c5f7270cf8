// Package testclient makes clients of a simulated GitLab, for tests of programs
// that use package porter:
//
//	gitlab := portertest.NewServer(portertest.NoLimits())
//	defer gitlab.Close()
//	client := testclient.New(t, gitlab)
//
// A program that makes its own client is given [Options].
package testclient

import (
	"testing"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// New returns a client of s as its first user, who owns everything, or ends the
// test. It has [Options], and opts after them.
func New(tb testing.TB, s *portertest.Server, opts ...porter.Option) *porter.Client {
	tb.Helper()
	return As(tb, s, portertest.Token, opts...)
}

// As is [New] as the user with an access token, which [portertest.User] gives.
func As(tb testing.TB, s *portertest.Server, token string, opts ...porter.Option) *porter.Client {
	tb.Helper()
	client, err := porter.NewClient(s.URL, porter.PrivateToken(token), append(Options(s), opts...)...)
	if err != nil {
		tb.Fatalf("testclient: %v", err)
	}
	return client
}

// Options are what a client of s needs to find it, over TLS and in memory too,
// and not to keep a test waiting. What a job does in milliseconds takes
// milliseconds:
//
//   - Polls and retries come after 1 ms at first and then ever later, up to
//     30 seconds, so that hours in a testing/synctest bubble need no more of them
//     than from any other client.
//   - A job that never begins, and a failure of polls that passes, are waited for a
//     minute.
//   - The client does not pace itself. A server with limits refuses what comes
//     too early, and a client waits for the next minute then: see
//     [portertest.NoLimits]. [porter.WithPacing] brings the pacing back.
//
// Options that follow these in a call of NewClient take precedence.
func Options(s *portertest.Server) []porter.Option {
	soon := porter.ExponentialBackoff(time.Millisecond, 30*time.Second)
	return []porter.Option{
		porter.WithTransport(s.Transport()),
		porter.WithPolling(porter.Polling{Backoff: soon, Grace: time.Minute, Patience: time.Minute}),
		porter.WithRetry(5, soon),
		porter.WithoutPacing(),
	}
}
