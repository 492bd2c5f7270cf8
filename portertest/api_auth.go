package portertest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// credential returns the access token that came with the request: a known OAuth
// token first, then a parameter, then a header. Job tokens and deploy tokens are
// no credentials to this API.
func (c *call) credential() string {
	bearer := ""
	if scheme, t, ok := strings.Cut(c.r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		bearer = t
	}
	bearer = firstPresent(bearer, c.textParam("access_token"), c.textParam("bearer_token"))
	if c.m.tokens[bearer] != nil && isOAuth(bearer) {
		return bearer
	}
	secret := firstPresent(c.textParam("private_token"), c.r.Header.Get("Private-Token"), bearer)
	if strings.HasPrefix(secret, "glcbt-") {
		return ""
	}
	return secret
}

func firstPresent(texts ...string) string {
	for _, t := range texts {
		if present(t) {
			return t
		}
	}
	return ""
}

func (c *call) textParam(name string) string {
	t, _ := c.param(name)
	return t
}

// isOAuth tells OAuth tokens from the others, which GitLab gives prefixes such
// as "glpat-".
func isOAuth(token string) bool { return !strings.HasPrefix(token, "gl") }

// authenticate returns the caller, nil for an anonymous one, or the refusal.
func (c *call) authenticate() (*user, *reply) {
	t, u, r := c.token()
	if r != nil || t == nil || u != t.user {
		return u, r
	}
	return u, c.refuseScopes(t)
}

// token returns the access token that came with the request and the caller, nil
// for an anonymous one, or the refusal, whatever the token's scopes.
func (c *call) token() (*accessToken, *user, *reply) {
	secret := c.credential()
	if secret == "" {
		if _, asked := c.sudoName(); asked {
			return nil, nil, message(http.StatusUnauthorized, "401 Unauthorized")
		}
		return nil, nil, nil
	}
	t := c.m.tokens[secret]
	switch {
	case t == nil:
		return nil, nil, message(http.StatusUnauthorized, "401 Unauthorized")
	case t.expired:
		return nil, nil, tokenError(http.StatusUnauthorized, "invalid_token",
			"Token is expired. You can either do re-authorization or token refresh.")
	case t.revoked:
		return nil, nil, tokenError(http.StatusUnauthorized, "invalid_token", "Token was revoked. You have to re-authorize from the user.")
	}
	if t.user.denied != "" {
		return nil, nil, message(http.StatusForbidden, "403 Forbidden - "+t.user.denied)
	}
	u, r := c.sudo(t)
	return t, u, r
}

// refuseScopes returns the refusal of a token that may not do what is asked.
func (c *call) refuseScopes(t *accessToken) *reply {
	listed := []string{"api"}
	if c.m.cfg.atLeast(12, 10) {
		listed = append(listed, "read_api")
	}
	enough := listed
	if !c.reads() {
		enough = listed[:1] // although the refusal lists both
	}
	if !t.has(enough...) {
		return scopeError(listed)
	}
	if len(t.lacks) > 0 {
		return tokenError(http.StatusForbidden, "insufficient_granular_scope",
			fmt.Sprintf("Access denied: Your fine-grained personal access token lacks the required permissions: [%s].",
				strings.Join(t.lacks, ", ")))
	}
	return nil
}

// authenticatedWith is authenticated for an endpoint that any of the scopes is
// enough for, and that declares no permission of fine-grained tokens.
func (c *call) authenticatedWith(scopes ...string) (*user, *reply) {
	t, u, r := c.token()
	switch {
	case r != nil:
		return nil, r
	case t == nil:
		return nil, message(http.StatusUnauthorized, "401 Unauthorized")
	case !t.has(scopes...):
		return nil, scopeError(scopes)
	case t.fineGrained:
		return nil, undeclaredPermission()
	}
	return u, nil
}

// undeclaredPermission refuses a fine-grained token where there is no permission
// that it could have. GitLab's text is not known.
func undeclaredPermission() *reply {
	return tokenError(http.StatusForbidden, "insufficient_granular_scope", "Access denied: No permission allows this request.")
}

func scopeError(listed []string) *reply {
	return jsonReply(http.StatusForbidden, object{
		{"error", "insufficient_scope"},
		{"error_description", "The request requires higher privileges than provided by the access token."},
		{"scope", strings.Join(listed, " ")},
	})
}

// sudoName returns whom the request asks to act as. An empty name is one too.
func (c *call) sudoName() (name string, asked bool) {
	if name, asked = c.param("sudo"); asked {
		return name, true
	}
	if v, ok := c.r.Header["Sudo"]; ok {
		return v[0], true
	}
	return "", false
}

// sudo returns the user that an administrator asks to act as.
func (c *call) sudo(t *accessToken) (*user, *reply) {
	name, asked := c.sudoName()
	if !asked {
		return t.user, nil
	}
	if !t.user.admin {
		return nil, message(http.StatusForbidden, "403 Forbidden - Must be admin to use sudo")
	}
	if !t.has("sudo") {
		return nil, scopeError([]string{"sudo"})
	}
	for _, u := range c.m.users {
		if strings.EqualFold(u.username, name) || strconv.FormatInt(u.id, 10) == name {
			return u, nil
		}
	}
	return nil, message(http.StatusNotFound, fmt.Sprintf("404 User with ID or username '%s' Not Found", name))
}

// authenticated is authenticate for an endpoint that needs a caller.
func (c *call) authenticated() (*user, *reply) {
	u, r := c.authenticate()
	if r == nil && u == nil {
		r = message(http.StatusUnauthorized, "401 Unauthorized")
	}
	return u, r
}
