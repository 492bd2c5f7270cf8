package porter

import (
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/seed-5d77b939/porter/internal/pace"
)

// A core is what calls, downloads and waits need, whatever server they ask.
// Derived clients share all of it but the options.
type core struct {
	cfg      config
	bare     http.Client  // as the options want it
	http     *http.Client // bare, bound to a server
	clock    *pace.Clock
	pacer    *pace.Pacer
	polls    *pace.Polls
	places   *pace.Places  // of transfers; nil if they are not limited
	calls    chan struct{} // holds an element for each request under way that is no transfer
	answered *atomic.Bool  // the server has answered once
}

func newCore(cfg config, bare http.Client) core {
	clock := new(pace.Clock)
	return core{
		cfg:      cfg,
		bare:     bare,
		clock:    clock,
		pacer:    pace.NewPacer(clock),
		polls:    pace.NewPolls(clock),
		places:   new(pace.Places),
		calls:    make(chan struct{}, maxCalls),
		answered: new(atomic.Bool),
	}
}

// maxCalls bounds the requests under way that are no transfers. Over HTTP/1.1
// each has a connection of its own, and macOS allows a process 256 open files.
const maxCalls = 64

// bind has requests to the origin of home, and to no other, carry the
// credentials that auth adds, and the clock learn its time.
func (c *core) bind(home *url.URL, auth Auth) {
	hc := c.bare
	hc.Transport = &originTransport{
		next:     c.bare.Transport,
		home:     home,
		auth:     auth,
		agent:    c.cfg.userAgentHeader(),
		logger:   c.cfg.logger,
		clock:    c.clock,
		polls:    c.polls,
		answered: c.answered,
	}
	hc.CheckRedirect = redirectPolicy(c.bare.CheckRedirect)
	c.http = &hc
}

// version names this module's version in the User-Agent.
var version = sync.OnceValue(func() string {
	const path = "github.com/seed-5d77b939/porter"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	v := ""
	if info.Main.Path == path {
		v = info.Main.Version
	}
	for _, dep := range info.Deps {
		if dep.Path == path {
			v = dep.Version
		}
	}
	if v == "" || v == "(devel)" {
		return "devel"
	}
	return v
})

func (cfg *config) userAgentHeader() string {
	return strings.TrimSpace(cfg.userAgent + " porter/" + version())
}
