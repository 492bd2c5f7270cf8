package redact

import (
	"cmp"
	"context"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Secrets are what one call carried and no error or log may repeat: its
// credentials, and the queries of signed URLs. Servers do send them back;
// object storage that refuses a signature quotes it.
type Secrets struct {
	mu    sync.Mutex
	texts []string
}

// shortestSecret keeps values like "1" or "PUT" from being cut out of every message.
const shortestSecret = 6

const redacted = "[redacted]"

type secretsKey struct{}

// WithSecrets returns a context whose requests collect their secrets.
func WithSecrets(ctx context.Context) (context.Context, *Secrets) {
	s := new(Secrets)
	return context.WithValue(ctx, secretsKey{}, s), s
}

// SecretsOf returns what WithSecrets made. Nil is none, and works.
func SecretsOf(ctx context.Context) *Secrets {
	s, _ := ctx.Value(secretsKey{}).(*Secrets)
	return s
}

// Add takes a text, if it is long enough to be a secret.
func (s *Secrets) Add(text string) {
	if s == nil || len(text) < shortestSecret {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts = append(s.texts, text)
}

// AddURL takes what is secret of a URL.
func (s *Secrets) AddURL(u *url.URL) {
	if pass, ok := u.User.Password(); ok {
		s.Add(pass)
	}
	s.Add(u.RawQuery)
	for _, values := range u.Query() {
		for _, v := range values {
			s.Add(v)
			// The first part of an X-Amz-Credential is the access key.
			for part := range strings.SplitSeq(v, "/") {
				if len(part) >= 16 {
					s.Add(part)
				}
			}
		}
	}
}

// addHeader takes the value of a header that authenticates.
func (s *Secrets) addHeader(value string) {
	const separators = " ;,="
	s.Add(value)
	if !strings.ContainsAny(value, separators) {
		return
	}
	for _, part := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		s.Add(part)
	}
}

// AddCredentials takes what Auth added to a request, and the cookies or
// password that it had already.
func (s *Secrets) AddCredentials(before, after *http.Request) {
	for name, values := range after.Header {
		if name == "Authorization" || name == "Cookie" || !slices.Equal(values, before.Header[name]) {
			for _, v := range values {
				s.addHeader(v)
			}
		}
	}
	if _, pass, ok := after.BasicAuth(); ok {
		s.Add(pass)
	}
	for _, values := range AddedQuery(before.URL, after.URL) {
		for _, v := range values {
			s.Add(v)
		}
	}
}

// AddedQuery returns the parameters that after has and before has not.
func AddedQuery(before, after *url.URL) url.Values {
	if after.RawQuery == before.RawQuery {
		return nil
	}
	added := after.Query()
	for key, values := range before.Query() {
		if slices.Equal(values, added[key]) {
			delete(added, key)
		}
	}
	return added
}

// forms returns the secrets in every form in which a server may send them
// back, so sorted that none hides another that contains it.
func (s *Secrets) forms() []string {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var forms []string
	for _, text := range s.texts {
		quoted, _ := json.Marshal(text) // a string never fails
		forms = append(forms,
			text, url.QueryEscape(text), url.PathEscape(text), html.EscapeString(text),
			strings.Trim(string(quoted), `"`), strings.ReplaceAll(text, "/", `\/`))
	}
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b)) })
	return slices.Compact(forms)
}

// Scrub returns text without the secrets.
func (s *Secrets) Scrub(text string) string {
	texts := s.forms()
	if len(texts) == 0 {
		return text
	}
	pairs := make([]string, 0, 2*len(texts))
	for _, t := range texts {
		pairs = append(pairs, t, redacted)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// ScrubCut is Scrub for a text that may end in the middle of a secret.
func (s *Secrets) ScrubCut(text string) string {
	const shortest = 8 // longer than "Bearer"
	text = s.Scrub(text)
	for _, t := range s.forms() {
		for n := min(len(t)-1, len(text)); n >= shortest; n-- {
			if strings.HasSuffix(text, t[:n]) {
				return text[:len(text)-n] + redacted
			}
		}
	}
	return text
}
