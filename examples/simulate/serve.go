package main

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/seed-5d77b939/porter/examples/internal/cli"
	"github.com/seed-5d77b939/porter/portertest"
)

// place is where the two origins listen.
type place struct{ gitlab, storage net.Listener }

// readURL checks the URL that clients use.
func (o *options) readURL() error {
	if o.url == "" {
		return nil
	}
	u, err := url.Parse(o.url)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return fmt.Errorf("-url: %q is not a URL that begins with http:// or https://", o.url)
	}
	o.opts = append(o.opts, portertest.ExternalURL(o.url))
	return nil
}

// open listens.
func (o *options) open() (err error) {
	if o.storage == "" {
		host, _, err := net.SplitHostPort(o.listen)
		if err != nil {
			return fmt.Errorf("-listen: %w", err)
		}
		o.storage = net.JoinHostPort(host, "0")
	}
	if o.places.gitlab, err = net.Listen("tcp", o.listen); err != nil {
		return fmt.Errorf("-listen: %w", err)
	}
	if o.places.storage, err = net.Listen("tcp", o.storage); err != nil {
		o.places.gitlab.Close()
		return fmt.Errorf("-storage: %w", err)
	}
	return nil
}

// server starts the simulated GitLab. Its log keeps little, as it may run for days.
func (o *options) server(lines *log.Logger) (*portertest.Server, error) {
	opts := append(o.opts, portertest.Listeners(o.places.gitlab, o.places.storage), portertest.KeepRequests(1),
		portertest.OnRequest(func(r portertest.Request) { lines.Print(line(r, time.Since(r.Time))) }))
	s := portertest.NewServer(opts...)
	for _, f := range o.setUp {
		if _, err := attempt(func() any { f(s); return nil }); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

func (o *options) writeCertificate(s *portertest.Server) error {
	if o.tls == "" {
		return nil
	}
	return os.WriteFile(o.tls, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o644)
}

// welcome says where GitLab is, and how to begin.
func (o *options) welcome(w io.Writer, s *portertest.Server) {
	root := s.URL
	if o.url != "" {
		root = o.url
	}
	curl := "curl -sS"
	if o.tls != "" {
		curl += " --cacert " + quoted(o.tls)
	}
	curl += ` -H "PRIVATE-TOKEN: $GITLAB_TOKEN"`
	first, _, _ := strings.Cut(o.projects[0], "=")
	name := first[strings.LastIndex(first, "/")+1:]
	project := `"$GITLAB_URL/api/v4/projects/` + url.PathEscape(first)
	copied := `"$GITLAB_URL/api/v4/projects/` + url.PathEscape(o.groups[0]+"/"+name)

	fmt.Fprintf(w, "GitLab %s, simulated, at %s\n", o.version, root)
	fmt.Fprintf(w, "Token of the owner of everything: %s\n", portertest.Token)
	fmt.Fprintf(w, "Projects: %s. Groups to import into: %s.\n", cli.Printable(o.projects.String()), cli.Printable(o.groups.String()))
	fmt.Fprintln(w, "\nIn another terminal:")
	for _, command := range []string{
		"export GITLAB_URL=" + quoted(root) + " GITLAB_TOKEN=" + portertest.Token,
		curl + " -X POST " + project + `/export"`,
		curl + " " + project + `/export"`,
		curl + " -o app.tar.gz --fail " + project + `/export/download"`,
		curl + " -F path=" + quoted(name) + " -F namespace=" + quoted(o.groups[0]) + ` -F file=@app.tar.gz "$GITLAB_URL/api/v4/projects/import"`,
		curl + " " + copied + `/import"`,
	} {
		fmt.Fprintln(w, "  "+command)
	}
	fmt.Fprintln(w, "\nRequests, until Ctrl-C:")
}

// quoted returns s as a word of a shell.
func quoted(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func newLog(w io.Writer) *log.Logger { return log.New(w, "", log.Ltime) }

// line tells of a request.
func line(r portertest.Request, took time.Duration) string {
	where := ""
	if r.Origin == portertest.Storage {
		where = "object storage: "
	}
	answer := fmt.Sprint(r.Status)
	if r.Status == 0 {
		answer = "no answer"
	}
	text := fmt.Sprintf("%s%s %s%s: %s", where, r.Method, r.Path, query(r.RawQuery), answer)
	if r.BodyBytes > 0 {
		text += ", " + cli.Size(r.BodyBytes) + " in"
	}
	if r.Sent > 0 {
		text += ", " + cli.Size(r.Sent) + " out"
	}
	if !r.Complete {
		text += ", request not read to its end"
	}
	text += ", " + took.Round(time.Millisecond).String()
	if r.Origin == portertest.Storage && (r.Header.Get("Private-Token") != "" || r.Header.Get("Authorization") != "") {
		text += " - THE TOKEN WENT TO THE OBJECT STORAGE: do not send it where GitLab redirects to"
	}
	return cli.Printable(text)
}

// secret are parameters whose values are not told.
var secret = []string{"token", "signature", "credential"}

// query returns a query to print, with its "?".
func query(raw string) string {
	if raw == "" {
		return ""
	}
	parts := strings.Split(raw, "&")
	for i, part := range parts {
		name, _, _ := strings.Cut(part, "=")
		for _, word := range secret {
			if strings.Contains(strings.ToLower(name), word) {
				parts[i] = name + "=…"
			}
		}
	}
	return "?" + strings.Join(parts, "&")
}
