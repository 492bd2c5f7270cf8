package porter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Auth adds credentials to a request to the GitLab instance. It is never
// called for a request to another origin, such as the object storage that a
// download is redirected to. An error ends the operation.
type Auth func(*http.Request) error

// PrivateToken authenticates with a personal, project or group access token.
// An empty token, or one that holds anything but printable ASCII without
// spaces, is an error of the first request, before anything is sent.
func PrivateToken(token string) Auth {
	return func(req *http.Request) error {
		if err := checkToken("private token", token); err != nil {
			return err
		}
		req.Header.Set("PRIVATE-TOKEN", token)
		return nil
	}
}

// BearerToken authenticates with an OAuth 2.0 access token. It is checked as
// PrivateToken's is.
func BearerToken(token string) Auth {
	return func(req *http.Request) error {
		if err := checkToken("bearer token", token); err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
}

// TokenSource authenticates with the bearer token that next returns, asked
// before every request, so that an expiring token can be refreshed in the
// middle of a long wait. An error of next counts as a failure of the network:
// the request is tried again, as often as WithRetry says. A token that cannot
// be one, such as an empty one, ends the operation.
func TokenSource(next func(context.Context) (string, error)) Auth {
	return func(req *http.Request) error {
		if next == nil {
			return errors.New("token source is nil")
		}
		token, err := next(req.Context())
		if err != nil {
			return &tokenSourceError{err}
		}
		return BearerToken(token)(req)
	}
}

// checkToken refuses what is in no token, but comes along when one is copied
// or read from a file. What it says never repeats any of it.
func checkToken(what, token string) error {
	if token == "" {
		return fmt.Errorf("%s is empty", what)
	}
	for i := range token {
		r, size := utf8.DecodeRuneInString(token[i:])
		flaw := tokenFlaw(r)
		first, last := i == 0, i+size == len(token)
		if flaw == "" && (first || last) && strings.ContainsRune("\"'`", r) {
			flaw = "a quotation mark"
		}
		switch {
		case flaw == "":
		case first:
			return fmt.Errorf("%s holds %s at its start", what, flaw)
		case last:
			return fmt.Errorf("%s holds %s at its end", what, flaw)
		default:
			return fmt.Errorf("%s holds %s inside", what, flaw)
		}
	}
	return nil
}

// tokenFlaw returns what r is, if it can be in no token: a header could not
// carry it, or GitLab makes none of it.
func tokenFlaw(r rune) string {
	switch {
	case '!' <= r && r <= '~':
		return ""
	case r <= ' ' || r == 0x7f:
		return "white space or a control character"
	case r == '\ufeff':
		return "a byte order mark"
	case r == '\u00a0' || r == '\u2007' || r == '\u202f':
		return "a no-break space"
	case isBlank(r) || unicode.In(r, unicode.Cc, unicode.Mn):
		return "an invisible character"
	case unicode.In(r, unicode.Pi, unicode.Pf) || r == '\u201a' || r == '\u201e':
		return "a typographic quotation mark"
	case unicode.Is(unicode.Pd, r):
		return "a typographic dash"
	case r == utf8.RuneError:
		return "bytes that are no UTF-8"
	}
	return "a character that is not ASCII"
}

// An authError is an Auth that could not authenticate.
type authError struct {
	err        error
	redirected bool // it was not asked for the first time
}

func (e *authError) Error() string { return e.err.Error() }

func (e *authError) Unwrap() error { return e.err }

// A tokenSourceError is a TokenSource that has no token just now.
type tokenSourceError struct{ err error }

func (e *tokenSourceError) Error() string { return "token source: " + e.err.Error() }

func (e *tokenSourceError) Unwrap() error { return e.err }
