package porter

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

// secrets are what one call carried and no error or log may repeat: its
// credentials, and the queries of signed URLs. Servers do send them back;
// object storage that refuses a signature quotes it.
type secrets struct {
	mu    sync.Mutex
	texts []string
}

// shortestSecret keeps values like "1" or "PUT" from being cut out of every message.
const shortestSecret = 6

const redacted = "[redacted]"

type secretsKey struct{}

// withSecrets returns a context whose requests collect their secrets.
func withSecrets(ctx context.Context) (context.Context, *secrets) {
	s := new(secrets)
	return context.WithValue(ctx, secretsKey{}, s), s
}

// secretsOf returns what withSecrets made. Nil is none, and works.
func secretsOf(ctx context.Context) *secrets {
	s, _ := ctx.Value(secretsKey{}).(*secrets)
	return s
}

func (s *secrets) add(text string) {
	if s == nil || len(text) < shortestSecret {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts = append(s.texts, text)
}

// addURL takes what is secret of a URL.
func (s *secrets) addURL(u *url.URL) {
	if pass, ok := u.User.Password(); ok {
		s.add(pass)
	}
	s.add(u.RawQuery)
	for _, values := range u.Query() {
		for _, v := range values {
			s.add(v)
			// The first part of an X-Amz-Credential is the access key.
			for part := range strings.SplitSeq(v, "/") {
				if len(part) >= 16 {
					s.add(part)
				}
			}
		}
	}
}

// addHeader takes the value of a header that authenticates.
func (s *secrets) addHeader(value string) {
	const separators = " ;,="
	s.add(value)
	if !strings.ContainsAny(value, separators) {
		return
	}
	for _, part := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		s.add(part)
	}
}

// addCredentials takes what Auth added to a request, and the cookies or
// password that it had already.
func (s *secrets) addCredentials(before, after *http.Request) {
	for name, values := range after.Header {
		if name == "Authorization" || name == "Cookie" || !slices.Equal(values, before.Header[name]) {
			for _, v := range values {
				s.addHeader(v)
			}
		}
	}
	if _, pass, ok := after.BasicAuth(); ok {
		s.add(pass)
	}
	for _, values := range addedQuery(before.URL, after.URL) {
		for _, v := range values {
			s.add(v)
		}
	}
}

// addedQuery returns the parameters that after has and before has not.
func addedQuery(before, after *url.URL) url.Values {
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
func (s *secrets) forms() []string {
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

// scrub returns text without the secrets.
func (s *secrets) scrub(text string) string {
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

// scrubCut is scrub for a text that may end in the middle of a secret.
func (s *secrets) scrubCut(text string) string {
	const shortest = 8 // longer than "Bearer"
	text = s.scrub(text)
	for _, t := range s.forms() {
		for n := min(len(t)-1, len(text)); n >= shortest; n-- {
			if strings.HasSuffix(text, t[:n]) {
				return text[:len(text)-n] + redacted
			}
		}
	}
	return text
}
