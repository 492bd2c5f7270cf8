package porter

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter/portertest"
)

// A transport of another kind goes on using an HTTP/2 connection that died
// unnoticed, which ends a wait, unless it sends pings or speaks HTTP/1.1.
func TestClonedTransport(t *testing.T) {
	NoBubbleForHTTP2(t)
	tests := []struct {
		name   string
		change func(*http.Transport)
		stalls bool
	}{
		{"as it is", func(*http.Transport) {}, true},
		{"with pings", func(tr *http.Transport) { tr.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second} }, false},
		{"HTTP/1.1", func(tr *http.Transport) {
			tr.Protocols = new(http.Protocols)
			tr.Protocols.SetHTTP1(true)
			tr.TLSClientConfig.NextProtos = nil
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := portertest.NewServer(portertest.InMemory(), portertest.HTTP2(),
					portertest.Timing(portertest.Timings{Assemble: 5 * time.Minute}))
				defer s.Close()
				id := ProjectID(s.AddProject(portertest.Project{Path: "team/app"}))
				var dead atomic.Bool // as are the connections from before it
				var dialed atomic.Int64
				tr := s.Transport().Clone()
				tr.ForceAttemptHTTP2 = true
				tt.change(tr)
				tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
					conn, err := s.Transport().DialContext(ctx, network, addr)
					if err != nil {
						return nil, err
					}
					if dialed.Add(1); dead.Load() {
						return conn, nil
					}
					return forgetfulConn{conn, &dead}, nil
				}
				defer tr.CloseIdleConnections()
				c, err := NewClient(s.URL, PrivateToken(portertest.Token), WithTransport(tr))
				if err != nil {
					t.Fatal(err)
				}
				if err := c.ScheduleExport(t.Context(), id, nil); err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(time.Minute, func() { dead.Store(true) })
				_, err = c.WaitForExport(t.Context(), id)
				if errors.Is(err, ErrStalled) != tt.stalls || (err == nil) == tt.stalls {
					t.Errorf("after %d connections: %v", dialed.Load(), err)
				}
			})
		})
	}
}
