package netio

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"
)

// dialTLS dials TLS with the DialContext and settings of t. net/http would do
// so itself, and does through a proxy, but then its records cannot be joined.
func dialTLS(ctx context.Context, t *http.Transport, network, addr string) (*tls.Conn, *recordConn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, nil, err
	}
	cfg := t.TLSClientConfig.Clone() // nil of nil
	if cfg == nil {
		cfg = new(tls.Config)
	}
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	cfg.NextProtos = []string{"http/1.1"} // what a bodyConn is used for
	conn, err := t.DialContext(ctx, network, addr)
	if err != nil {
		return nil, nil, err
	}
	records := &recordConn{Conn: conn}
	c := tls.Client(records, cfg)
	if err := handshake(ctx, c, t.TLSHandshakeTimeout); err != nil {
		conn.Close()
		return nil, nil, err
	}
	return c, records, nil
}

// ErrHandshakeTimeout is a server that did not finish the TLS handshake in time.
var ErrHandshakeTimeout = errors.New("TLS handshake took too long")

func handshake(ctx context.Context, c *tls.Conn, timeout time.Duration) error {
	hctx, cancel := context.WithTimeoutCause(ctx, timeout, ErrHandshakeTimeout)
	defer cancel()
	err := c.HandshakeContext(hctx)
	if err != nil && context.Cause(hctx) == ErrHandshakeTimeout {
		return ErrHandshakeTimeout
	}
	return err
}
