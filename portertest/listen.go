package portertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"time"
)

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// listen opens both origins and starts to serve them.
func (s *Server) listen() {
	scheme := "http"
	var cert tls.Certificate
	clientTLS := &tls.Config{}
	if s.cfg.tls {
		scheme = "https"
		cert, clientTLS.RootCAs = selfSigned("127.0.0.1", "gitlab.test", "storage.test")
	}
	s.transport = &http.Transport{
		DialContext:         s.dial,
		TLSClientConfig:     clientTLS,
		ForceAttemptHTTP2:   s.cfg.http2,
		MaxIdleConnsPerHost: 100,
	}
	// GitLab itself also sends to servers of the test's own.
	s.outbound = &http.Transport{
		DialContext:     s.dialOut,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	s.URL = scheme + "://" + s.serve("gitlab.test", cert, s.origin(GitLab, s.serveGitLab)) + s.cfg.root
	s.StorageURL = scheme + "://" + s.serve("storage.test", cert, s.origin(Storage, s.serveStorage))
}

// serve starts one origin and returns its host and port.
func (s *Server) serve(name string, cert tls.Certificate, h http.Handler) string {
	var l net.Listener
	host := name
	if s.cfg.inMemory {
		pl := newPipeListener(name)
		if s.listeners == nil {
			s.listeners = map[string]*pipeListener{}
		}
		s.listeners[name] = pl
		l = pl
	} else {
		var err error
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			panic("portertest: " + err.Error())
		}
		host = l.Addr().String()
	}
	srv := &http.Server{
		Handler:   h,
		ErrorLog:  log.New(io.Discard, "", 0), // broken connections are what this is for
		Protocols: &http.Protocols{},
	}
	if s.cfg.inMemory {
		// net/http lets a connection linger after an early answer. A bubble
		// must not end before that, and its time is free.
		srv.ConnState = func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.wg.Add(1)
			case http.StateClosed, http.StateHijacked:
				s.wg.Done()
			}
		}
	}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(s.cfg.http2)
	s.servers = append(s.servers, srv)
	serve := func() { srv.Serve(l) }
	if s.cfg.tls {
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
		serve = func() { srv.ServeTLS(l, "", "") }
	}
	s.wg.Go(serve)
	return host
}

// selfSigned returns a certificate for hosts and a pool that trusts it. It is
// valid at any time, because a testing/synctest bubble lives in the year 2000.
func selfSigned(hosts ...string) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic("portertest: " + err.Error())
	}
	tmpl := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{Organization: []string{"portertest"}},
		NotBefore:             time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2190, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		panic("portertest: " + err.Error())
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic("portertest: " + err.Error())
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}
