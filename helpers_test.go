package porter_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// connect returns a client of s as its default user. It polls fast; options
// that are given win.
func connect(t *testing.T, s *portertest.Server, opts ...porter.Option) *porter.Client {
	t.Helper()
	c := newClient(t, s.URL, porter.PrivateToken(portertest.Token), append([]porter.Option{
		porter.WithTransport(s.Transport()),
		porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(5 * time.Millisecond), Grace: time.Minute}),
	}, opts...)...)
	return c
}

// userPolling lets a client of connect wait as a user's does.
var userPolling = porter.WithPolling(porter.Polling{
	Backoff: porter.ExponentialBackoff(2*time.Second, 30*time.Second), Grace: 10 * time.Minute, Patience: 5 * time.Minute,
})

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// connectAs returns a client of s as the user with that token, which waits as
// a user's does.
func connectAs(t *testing.T, s *portertest.Server, token string) *porter.Client {
	t.Helper()
	c := newClient(t, s.URL, porter.PrivateToken(token), porter.WithTransport(s.Transport()))
	return c
}

// inBubble runs f in a synctest bubble with a server of its own that takes as
// long for everything as GitLab does, and a client that waits as a user's does.
func inBubble(t *testing.T, opts []portertest.Option, f func(t *testing.T, s *portertest.Server, c *porter.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := portertest.NewServer(append([]portertest.Option{portertest.InMemory(), portertest.RealTiming()}, opts...)...)
		defer s.Close()
		f(t, s, connectAs(t, s, portertest.Token))
	})
}

// smallArchive is an archive whose size does not matter.
var smallArchive = portertest.NewArchive(portertest.MinArchiveSize)

// sourceOf is an archive that can be sent again.
func sourceOf(a *portertest.Archive) porter.Source {
	return porter.ReaderSource(a.NewReader(), a.Size())
}

// newClient returns a client, or ends the test.
func newClient(t *testing.T, baseURL string, auth porter.Auth, opts ...porter.Option) *porter.Client {
	t.Helper()
	c, err := porter.NewClient(baseURL, auth, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
