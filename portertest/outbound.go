package portertest

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed-5d77b939/porter/portertest/internal/wire"
)

// outbound makes GitLab's own requests, none of which leave this machine.
type outbound struct {
	network   *wire.Network
	transport *http.Transport

	mu      sync.Mutex
	allowed []string // hosts that a remote import may ask
}

func (s *outbound) begin(n *wire.Network) {
	s.network = n
	// It also sends to servers of the test's own, with certificates of theirs.
	s.transport = &http.Transport{DialContext: s.dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
}

func (s *outbound) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err == nil && !s.network.Serves(addr) && !strings.EqualFold(host, "localhost") {
		ip, ok := resolve(host)
		if !ok || !ip.IsLoopback() {
			return nil, &net.OpError{Op: "dial", Net: network, Err: wire.ErrRefused}
		}
		addr = net.JoinHostPort(ip.String(), port)
	}
	return s.network.Dial(ctx, network, addr)
}

// AllowOutbound lets GitLab import from a server of the test's own, as an
// administrator's list of allowed hosts does. Its URL must be on the loopback,
// and counts with its port. Without it a remote import reaches only GitLab's own
// object storage: every other address is refused as GitLab refuses it, or does
// not answer, and nothing is sent there.
func (s *outbound) AllowOutbound(rawURL string) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" || !isLoopback(u.Hostname()) {
		panic("portertest: AllowOutbound: " + rawURL + " is not on the loopback")
	}
	s.allow(u.Host)
}

func (s *outbound) allow(host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allowed = append(s.allowed, host)
}

// mayReach reports whether a remote import may ask there.
func (s *outbound) mayReach(raw string) bool {
	u, err := url.Parse(raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	return err == nil && slices.Contains(s.allowed, u.Host)
}

func (s *outbound) request(ctx context.Context, method, rawURL string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, rawURL, body)
	if err == nil {
		req.Header.Set("User-Agent", "GitLab")
	}
	return req, err
}

// headTimeout is how long GitLab waits for an answer to its HEAD.
const headTimeout = time.Second

// head asks for a file's size and type, and whether it is in Amazon S3, where
// a URL signed for GET does not allow HEAD.
func (s *outbound) head(rawURL string) (size int64, contentType string, amazon bool, err error) {
	ctx, cancel := context.WithTimeout(s.network.Context(), headTimeout)
	defer cancel()
	req, err := s.request(ctx, http.MethodHead, rawURL, nil)
	if err != nil {
		return 0, "", false, err
	}
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return 0, "", false, err
	}
	resp.Body.Close()
	amazon = resp.Header.Get("Server") == "AmazonS3" && resp.Header.Get("X-Amz-Request-Id") != ""
	return max(resp.ContentLength, 0), resp.Header.Get("Content-Type"), amazon, nil
}

// fetch reads a file to its end, or to the limit.
func (s *outbound) fetch(rawURL string, limit int64) *upload {
	failed := func(err error) *upload { return &upload{from: rawURL, problem: err} }
	req, err := s.request(s.network.Context(), http.MethodGet, rawURL, nil)
	if err != nil {
		return failed(err)
	}
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return failed(rubyError(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return failed(fmt.Errorf("unsupported response downloading fragment %d", resp.StatusCode))
	}
	up, err := readUpload(io.LimitReader(resp.Body, limit), 0)
	if err != nil {
		up.problem = rubyError(err)
	}
	up.from = rawURL
	return up
}

// send uploads an archive and notes in u what came of it. Old versions of
// GitLab do not say of what type it is.
func (s *outbound) send(u *Upload, a *Archive, typed bool) {
	sum := sha256.New()
	body := &countingReader{r: io.TeeReader(a.NewReader(), sum)}
	req, err := s.request(s.network.Context(), u.Method, u.URL, body)
	if err != nil {
		u.Err = err.Error()
		return
	}
	read := make(chan struct{}) // closed once nothing more is read of the body
	req.Body = &closeFunc{body, sync.OnceFunc(func() { close(read) })}
	req.ContentLength = a.Size()
	if typed {
		req.Header.Set("Content-Type", "application/gzip")
	}
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		u.Err = err.Error()
		return
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	<-read // the storage may have answered early
	u.Status = resp.StatusCode
	if body.whole() {
		u.Size, u.SHA256 = a.Size(), hex.EncodeToString(sum.Sum(nil))
	}
}

// closeFunc is a reader that tells when it is closed.
type closeFunc struct {
	io.Reader
	close func()
}

func (c *closeFunc) Close() error {
	c.close()
	return nil
}

// rubyError is what GitLab's libraries call a network error.
func rubyError(err error) error {
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("Net::ReadTimeout")
	case errors.As(err, &op) && op.Op == "dial":
		//lint:ignore ST1005 this is GitLab's text
		return errors.New("Failed to open TCP connection")
	}
	return errors.New("end of file reached")
}
