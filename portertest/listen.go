package portertest

import (
	"net"
	"net/url"

	"github.com/seed-5d77b939/porter/portertest/internal/wire"
)

// Listeners serves GitLab and the object storage with TCP listeners of the
// caller's, for a port or an address that is to be known beforehand; the server
// closes them. A nil one stands for a loopback port, as without this option.
//
// [Server.URL] and [Server.StorageURL] name the address that a listener has. If
// that is every address of the machine, as of ":8080", they name the host of
// [ExternalURL], or localhost. What is served to other machines has no secrets
// to keep: [Token] is known to everyone.
func Listeners(gitlab, storage net.Listener) Option {
	return func(c *config) { c.gitlab, c.storage = gitlab, storage }
}

// origin is where l is served, and without l at a host of the network's own.
func (c *config) origin(l net.Listener, name string) wire.Origin {
	if l == nil {
		return wire.Origin{Host: name}
	}
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		panic("portertest: not a listener of TCP: " + err.Error())
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
		if u, err := url.Parse(c.external); err == nil && u.Hostname() != "" {
			host = u.Hostname()
		}
	}
	return wire.Origin{Listener: l, Host: net.JoinHostPort(host, port)}
}

// hosts are the names that a certificate for origins is good for.
func hosts(origins ...wire.Origin) (names []string) {
	for _, o := range origins {
		host, _, err := net.SplitHostPort(o.Host)
		if err != nil {
			host = o.Host
		}
		names = append(names, host)
	}
	return names
}
