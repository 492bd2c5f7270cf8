package porter

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode"
)

// An Option configures a Client.
type Option func(*config) error

// Polling says how a waiter polls. Zero fields stand for what a client has
// already, which at first are the defaults.
type Polling struct {
	// Backoff spaces the polls. The default grows from 2 to 30 seconds.
	Backoff Backoff
	// Grace is how long "none" or a stale "failed" is taken to mean that the
	// job has not been picked up yet. The default is 10 minutes.
	Grace time.Duration
	// Patience is how long polls may keep failing with transient errors
	// before the wait gives up, and how long a download waits for an archive
	// that is not stored yet, looking once a minute. It also is how long an
	// outage may last in a download of which bytes have come, and in the
	// transfers for which ExportTo, ExportToFile and Migrate made an export; and
	// the longest pause that a failing server may ask for. The default is 5
	// minutes.
	Patience time.Duration
}

func (p *Polling) setDefaults() {
	if p.Backoff == nil {
		p.Backoff = ExponentialBackoff(2*time.Second, 30*time.Second)
	}
	if p.Grace == 0 {
		p.Grace = 10 * time.Minute
	}
	if p.Patience == 0 {
		p.Patience = 5 * time.Minute
	}
}

// Pacing holds what a client, with all that are derived from it, keeps to by
// itself: the limits that GitLab sets per user and minute, and how often its
// waits poll. Zero fields stand for what a client has already, which at first
// are the defaults; a negative one is none.
type Pacing struct {
	Exports   int // exports scheduled per minute; the default is 6
	Imports   int // imports started per minute; the default is 6
	Downloads int // downloads of one project per minute; the default is 1
	// Polls is how many polls per minute all waits make together, whatever
	// Polling.Backoff says. The default is 90, of the 120 requests of any kind that
	// GitLab allows itself where its limit for all is switched on. If answers tell
	// that less is left of that, as those of 18.6 and later do, the waits make
	// less. If there are more waits than a quarter of Polls, they look once a
	// minute at a job that has run for one, when its export ends.
	Polls int
}

func (p *Pacing) setDefaults() {
	if p.Exports == 0 {
		p.Exports = 6
	}
	if p.Imports == 0 {
		p.Imports = 6
	}
	if p.Downloads == 0 {
		p.Downloads = 1
	}
	if p.Polls == 0 {
		p.Polls = 90
	}
}

type config struct {
	httpClient *http.Client
	transport  http.RoundTripper
	rewired    bool // one of the two was set
	userAgent  string
	logger     *slog.Logger
	observer   func(Event)
	retries    int
	backoff    Backoff
	polling    Polling
	stall      time.Duration
	pacing     Pacing
	unpaced    bool
	transfers  int // at a time, 0 for any number
	chunking   chunking
}

func defaultConfig() config {
	cfg := config{
		logger:    slog.New(slog.DiscardHandler),
		retries:   5,
		backoff:   ExponentialBackoff(time.Second, 30*time.Second),
		stall:     2 * time.Minute,
		transfers: 4,
		chunking:  defaultChunking,
	}
	cfg.polling.setDefaults()
	cfg.pacing.setDefaults()
	return cfg
}

func (cfg *config) apply(opts []Option) error {
	for _, opt := range opts {
		if opt == nil {
			return errors.New("option is nil")
		}
		if err := opt(cfg); err != nil {
			return err
		}
	}
	return nil
}

// WithHTTPClient makes the client use a copy of hc: its transport, cookie jar
// and redirect policy. Its Timeout is left out, because it would cut long
// transfers; give operations a context with a deadline instead. If it has no
// Transport, the library's own is used.
func WithHTTPClient(hc *http.Client) Option {
	return func(cfg *config) error {
		if hc == nil {
			return errors.New("HTTP client is nil")
		}
		cfg.httpClient, cfg.rewired = hc, true
		return nil
	}
}

// WithTransport sends requests through rt, whatever WithHTTPClient says. For
// another certificate or authority, NewTransport keeps what is good in the
// library's own, which also can be inside rt. Any other one that
// speaks HTTP/2 should look for connections that died unnoticed, as an
// http.Transport does with an HTTP2.SendPingTimeout, because otherwise they are
// used again; and where the server closes a connection in the middle of an
// upload that it refuses, it may find the connection broken instead of the
// refusal.
func WithTransport(rt http.RoundTripper) Option {
	return func(cfg *config) error {
		if rt == nil {
			return errors.New("transport is nil")
		}
		cfg.transport, cfg.rewired = rt, true
		return nil
	}
}

// WithUserAgent puts product in front of the library's User-Agent.
func WithUserAgent(product string) Option {
	return func(cfg *config) error {
		if strings.ContainsFunc(product, unicode.IsControl) {
			return errors.New("user agent holds a control character")
		}
		cfg.userAgent = strings.TrimSpace(product)
		return nil
	}
}

// WithLogger logs requests at Debug, status changes at Info and retries at
// Warn, never with a credential or the query of a signed URL. Each record has the
// project as the caller named it, but for requests that ask for the instance, its
// groups or its users.
func WithLogger(l *slog.Logger) Option {
	return func(cfg *config) error {
		if l == nil {
			return errors.New("logger is nil")
		}
		cfg.logger = l
		return nil
	}
}

// WithObserver calls fn, in order and never concurrently for one operation,
// for every Event. The operation waits until fn returns, but for the Close of a
// reader. Each operation begins with one EventStarted, and ends with one EventDone
// or EventFailed, also if it is cancelled; that of a reader ends with its last byte,
// an error or its Close, and that of an iterator with its loop. While an operation
// waits to try again, for its turn, or for the time of the next poll, an event comes
// at least every 30 seconds; only a poll that has to wait for those of other waits
// ([Pacing].Polls) tells nothing. A nil fn switches observing off.
func WithObserver(fn func(Event)) Option {
	return func(cfg *config) error {
		cfg.observer = fn
		return nil
	}
}

// WithRetry sets how often and how soon a failed request is tried again.
// Zero retries switch retrying off. A nil b keeps the present backoff. A 429 uses
// none up: it is waited for as long as the context lasts. The
// default is 5 retries, spaced from 1 to 30 seconds.
func WithRetry(retries int, b Backoff) Option {
	return func(cfg *config) error {
		if retries < 0 {
			return errors.New("retries are negative")
		}
		cfg.retries = retries
		if b != nil {
			cfg.backoff = b
		}
		return nil
	}
}

// WithPolling sets how the waiters poll. Zero fields of p keep what they are.
func WithPolling(p Polling) Option {
	return func(cfg *config) error {
		if p.Grace < 0 || p.Patience < 0 {
			return errors.New("polling: a duration is negative")
		}
		if p.Backoff != nil {
			cfg.polling.Backoff = p.Backoff
		}
		cfg.polling.Grace = cmp.Or(p.Grace, cfg.polling.Grace)
		cfg.polling.Patience = cmp.Or(p.Patience, cfg.polling.Patience)
		return nil
	}
}

// WithStallTimeout sets how long a transfer may move no byte, or a request go
// unanswered, before its connection is given up and the transfer resumed or
// the request retried. The default is 2 minutes; 0 switches it off. It never
// limits how long a transfer may take as a whole. The answer to a POST that was
// sent whole may take three times as long, because GitLab's front server waits
// five minutes for it; then its outcome is unknown, and it is not retried.
func WithStallTimeout(d time.Duration) Option {
	return func(cfg *config) error {
		if d < 0 {
			return errors.New("stall timeout is negative")
		}
		cfg.stall = d
		return nil
	}
}

// WithPacing sets the limits that the client keeps to by itself. Zero fields
// of p keep what they are, and a negative one switches that limit off. It takes
// back WithoutPacing.
func WithPacing(p Pacing) Option {
	return func(cfg *config) error {
		cfg.pacing.Exports = cmp.Or(p.Exports, cfg.pacing.Exports)
		cfg.pacing.Imports = cmp.Or(p.Imports, cfg.pacing.Imports)
		cfg.pacing.Downloads = cmp.Or(p.Downloads, cfg.pacing.Downloads)
		cfg.pacing.Polls = cmp.Or(p.Polls, cfg.pacing.Polls)
		cfg.unpaced = false
		return nil
	}
}

// WithoutPacing lets operations start and waits poll at once, whatever GitLab's
// limits are.
func WithoutPacing() Option {
	return func(cfg *config) error {
		cfg.unpaced = true
		return nil
	}
}

// WithTransfers sets how many downloads and uploads may be under way at a
// time, on the client and all that are derived from it. Who asks first is
// served first. Zero is no limit; the default is 4. The clients count
// together: one with a limit of n of its own begins a transfer while fewer
// than n of any of them are under way.
//
// A Migrate counts as one, at both of its clients. What an operation spends on
// waiting does not count: for a job, a limit of GitLab's, or an archive that is
// not stored yet. Neither does what GitLab itself transfers, nor a URLSource.
// A Source is opened once its upload may begin.
//
// An ExportReader counts until it is at its end, has failed or is closed, so a
// program that opens n of them and then waits for another waits for ever. A
// download that feeds an upload counts as one with it if it is opened with the
// context that Source.Open was given, as ExportSource does; with another
// context both count, and the upload may wait for the download that waits for
// it.
func WithTransfers(n int) Option {
	return func(cfg *config) error {
		if n < 0 {
			return errors.New("transfers are negative")
		}
		cfg.transfers = n
		return nil
	}
}
