// Command nethttp moves an archive with net/http and nothing else: "plain" as
// one writes it, "tuned" with everything that was found to make it faster and
// none of what a client has to check.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"mime/multipart"
	"net"
	"net/http"
	"os"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("nethttp: ")
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		log.Fatal(err)
	}
}

func run(verb string, args []string) error {
	switch verb {
	case "download":
		return download(http.DefaultClient, args[0], args[1], io.Copy)
	case "download-tuned":
		return download(tuned(), args[0], args[1], copyLarge)
	case "upload":
		return upload(http.DefaultClient, args[0], args[1])
	case "upload-tuned":
		return upload(tuned(), args[0], args[1])
	}
	return fmt.Errorf("unknown verb %q", verb)
}

func download(hc *http.Client, base, name string, copyBody func(io.Writer, io.Reader) (int64, error)) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, base+"/api/v4/projects/1/export/download", nil)
	if err != nil {
		return err
	}
	req.Header.Set("PRIVATE-TOKEN", "token")
	resp, err := hc.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("unexpected status %s", resp.Status)
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if _, err := copyBody(f, resp.Body); err != nil {
		return err
	}
	return f.Close()
}

// piece is how much is written at a time, the best of 256 KiB to 1 MiB.
const piece = 512 << 10

// copyLarge writes whole pieces, however little each read brings.
func copyLarge(w io.Writer, r io.Reader) (n int64, err error) {
	buf := make([]byte, piece)
	for err == nil {
		var m int
		if m, err = io.ReadFull(r, buf); m > 0 {
			if _, err := w.Write(buf[:m]); err != nil {
				return n, err
			}
			n += int64(m)
		}
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return n, err
}

func upload(hc *http.Client, base, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	var form bytes.Buffer
	mw := multipart.NewWriter(&form)
	mw.WriteField("path", "app")
	mw.CreateFormFile("file", "archive.tar.gz")
	head := bytes.Clone(form.Bytes())
	form.Reset()
	mw.Close()
	body := io.MultiReader(bytes.NewReader(head), struct{ io.Reader }{f}, &form)
	size := int64(len(head)) + fi.Size() + int64(form.Len())
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, base+"/api/v4/projects/import", body)
	if err != nil {
		return err
	}
	req.ContentLength = size
	req.Header.Set("PRIVATE-TOKEN", "token")
	req.Header.Set("Content-Type", mw.FormDataContentType())
	resp, err := hc.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("unexpected status %s", resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// tuned speaks HTTP/1.1, and writes what is uploaded in large pieces.
func tuned() *http.Client {
	t := &http.Transport{Protocols: new(http.Protocols)}
	t.Protocols.SetHTTP1(true)
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &largeConn{Conn: c}, nil
	}
	t.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		host, _, _ := net.SplitHostPort(addr)
		pool, _ := x509.SystemCertPool()
		joined := &joiningConn{Conn: c}
		tc := tls.Client(joined, &tls.Config{ServerName: host, RootCAs: pool})
		return &largeConn{Conn: tc, joined: joined}, tc.HandshakeContext(ctx)
	}
	return &http.Client{Transport: t}
}

// A largeConn is handed the body of a request as a reader, because it has
// ReadFrom, and takes a piece of it at a time.
type largeConn struct {
	net.Conn
	joined *joiningConn // nil without TLS
}

func (c *largeConn) ReadFrom(r io.Reader) (n int64, err error) {
	buf := make([]byte, piece)
	for err == nil {
		var m int
		if m, err = r.Read(buf); m == 0 {
			continue
		}
		n += int64(m)
		if c.joined != nil {
			c.joined.hold = true
		}
		_, werr := c.Write(buf[:m])
		if c.joined != nil && werr == nil {
			werr = c.joined.release()
		}
		if werr != nil {
			return n, werr
		}
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// A joiningConn joins the records of TLS while it is told to hold them.
type joiningConn struct {
	net.Conn
	hold bool
	held []byte
}

func (c *joiningConn) Write(b []byte) (int, error) {
	if c.hold {
		c.held = append(c.held, b...)
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *joiningConn) release() error {
	_, err := c.Conn.Write(c.held)
	c.hold, c.held = false, c.held[:0]
	return err
}
