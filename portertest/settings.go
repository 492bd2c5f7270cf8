package portertest

import (
	"strings"
	"time"
)

// settings are what an administrator of the instance can change.
type settings struct {
	clock
	cfg config
	url string // where the instance is reached
}

// Configure applies options to a running server, as an administrator would
// change settings or upgrade GitLab. Options that say how the server listens, or
// what becomes of its log, have no effect.
func (s *settings) Configure(opts ...Option) {
	s.lock()
	defer s.unlock()
	c := s.cfg
	c.apply(opts)
	c.inMemory, c.tls, c.http2, c.root = s.cfg.inMemory, s.cfg.tls, s.cfg.http2, s.cfg.root
	s.cfg = c
}

// externalURL is where the instance believes to be reached.
func (s *settings) externalURL() string {
	if s.cfg.external != "" {
		return s.cfg.external
	}
	return s.url
}

// timestamp is how the API writes times.
func (s *settings) timestamp(t time.Time) string {
	return t.In(s.cfg.zone).Format("2006-01-02T15:04:05.000Z07:00")
}

// translate is where GitLab words a message in the user's language.
func (s *settings) translate(msg string) string {
	if !s.cfg.localized {
		return msg
	}
	return foreign.Replace(msg)
}

// foreign keeps a message readable, but hides it from a search for English.
var foreign = strings.NewReplacer("a", "á", "e", "é", "i", "í", "o", "ó", "u", "ú")
