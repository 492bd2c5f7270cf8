package porter_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// certificate returns the certificate of the source.
func (s *simulation) certificate() []byte {
	conn, err := tls.Dial("tcp", s.src.URL[len("https://"):], &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: conn.ConnectionState().PeerCertificates[0].Raw})
}

func ExampleWithTransport() {
	sim := simulate(portertest.TLS())
	defer sim.end()
	if err := os.WriteFile("ca.pem", sim.certificate(), 0o600); err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()

	ca, err := os.ReadFile("ca.pem")
	if err != nil {
		log.Fatal(err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		log.Fatal(err)
	}
	if !pool.AppendCertsFromPEM(ca) {
		log.Fatal("ca.pem holds no certificate")
	}
	client, err := porter.NewClient(os.Getenv("GITLAB_URL"), porter.PrivateToken(os.Getenv("GITLAB_TOKEN")),
		porter.WithTransport(porter.NewTransport(&tls.Config{RootCAs: pool})))

	if err != nil {
		log.Fatal(err)
	}
	exp, err := client.GetExport(ctx, porter.ProjectID(42))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(exp.PathWithNamespace, exp.Status)
	// Output: group/app none
}

// pool returns a pool with the certificate of the source.
func (s *simulation) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.certificate())
	return pool
}

// counting counts the requests that pass through another transport.
type counting struct {
	next     http.RoundTripper
	requests atomic.Int64
}

func (c *counting) RoundTrip(req *http.Request) (*http.Response, error) {
	c.requests.Add(1)
	return c.next.RoundTrip(req)
}

func ExampleNewTransport() {
	sim := simulate(portertest.TLS())
	defer sim.end()
	pool, ctx := sim.pool(), context.Background()

	counted := &counting{next: porter.NewTransport(&tls.Config{RootCAs: pool})}
	client, err := porter.NewClient(os.Getenv("GITLAB_URL"), porter.PrivateToken(os.Getenv("GITLAB_TOKEN")),
		porter.WithTransport(counted))

	if err != nil {
		log.Fatal(err)
	}
	_, err = client.GetExport(ctx, porter.ProjectID(42))
	fmt.Println(counted.requests.Load(), err)
	// Output: 1 <nil>
}

func ExampleWithTransport_clone() {
	sim := simulate(portertest.HTTP2())
	defer sim.end()
	pool, ctx := sim.pool(), context.Background()
	var proxy *url.URL // none here

	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.Proxy = http.ProxyURL(proxy)
	tr.TLSClientConfig = &tls.Config{RootCAs: pool}
	tr.Protocols = new(http.Protocols)
	tr.Protocols.SetHTTP1(true)
	tr.IdleConnTimeout = 40 * time.Second // below the usual 60 of load balancers
	tr.MaxIdleConnsPerHost = 16
	client, err := porter.NewClient(os.Getenv("GITLAB_URL"), porter.PrivateToken(os.Getenv("GITLAB_TOKEN")),
		porter.WithTransport(tr))

	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.GetExport(ctx, porter.ProjectID(42)); err != nil {
		log.Fatal(err)
	}
	fmt.Println(sim.src.Requests()[0].Proto)

	tr = tr.Clone()
	tr.Protocols.SetHTTP2(true)
	tr.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second}

	if client, err = client.With(porter.WithTransport(tr)); err != nil {
		log.Fatal(err)
	}
	if _, err := client.GetExport(ctx, porter.ProjectID(42)); err != nil {
		log.Fatal(err)
	}
	fmt.Println(sim.src.Requests()[1].Proto)
	// Output:
	// HTTP/1.1
	// HTTP/2.0
}
