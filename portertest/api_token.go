package portertest

import (
	"fmt"
	"net/http"
)

// ownToken answers GET /personal_access_tokens/self, which any token may ask.
func (c *call) ownToken() *reply {
	t, u, r := c.token()
	switch {
	case r != nil:
		return r
	case t == nil:
		return message(http.StatusUnauthorized, "401 Unauthorized")
	case t.fineGrained:
		return undeclaredPermission()
	case isOAuth(c.credential()) && c.r.Header.Get("Private-Token") == "":
		return message(http.StatusBadRequest, "400 Bad request - This endpoint requires token type to be a personal access token")
	case !c.m.cfg.atLeast(15, 5): // "self" is no ID
		return message(http.StatusNotFound, "404 Not Found")
	}
	return jsonReply(http.StatusOK, object{
		{"id", u.id},
		{"name", fmt.Sprintf("token of %s", u.username)},
		{"revoked", false},
		{"created_at", "2000-01-01T00:00:00.000Z"},
		{"description", nil},
		{"scopes", t.scopes},
		{"user_id", u.id},
		{"last_used_at", c.m.timestamp(c.m.now())},
		{"active", true},
		{"expires_at", orNull(t.expiresAt)},
	})
}
