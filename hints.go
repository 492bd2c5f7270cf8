package porter

import (
	"net/http"
	"strings"
)

// hints add to an answer what its user has most likely overlooked. GitLab
// gives the same bare 403 or 404 for very different reasons, and not the same
// ones at the export endpoints as at the import endpoints.
type hints string

const (
	exportHints   hints = "export"
	importHints   hints = "import"
	relationHints hints = "relations export"
	listHints     hints = "list"
	foreignHints  hints = "" // not GitLab's
)

// hint returns what may have been overlooked where e came, perhaps to a
// download, and perhaps from elsewhere than it was asked for.
func (h hints) hint(e *APIError, download, elsewhere bool) string {
	switch {
	case e.StatusCode == http.StatusProxyAuthRequired:
		return "a proxy on the way wants credentials: give them in its URL (HTTPS_PROXY=http://user:password@proxy), or to the transport"
	case h == foreignHints:
	case !elsewhere:
		return h.forAnswer(e, download)
	case download && e.key == "": // object storage's
	case e.StatusCode < 300, e.StatusCode == http.StatusUnauthorized,
		e.StatusCode == http.StatusForbidden, e.StatusCode == http.StatusNotFound:
		return "the request was redirected to another origin, where no credentials are sent; if that is the instance, use it as base URL"
	}
	return ""
}

// forAnswer is hint for an answer of the instance itself.
func (h hints) forAnswer(e *APIError, download bool) string {
	if e.StatusCode/100 == 2 && e.isPage() {
		return notTheAPI
	}
	switch e.StatusCode {
	case http.StatusBadRequest:
		return h.badRequest(e)
	case http.StatusUnauthorized:
		if e.key == "message" { // else it says which token it was and why
			return "the token is missing or unknown; CI job tokens and deploy tokens are not accepted here"
		}
	case http.StatusForbidden:
		return h.forbidden(e)
	case http.StatusNotFound:
		if e.key == "message" {
			return h.notFound(e, download)
		}
		return notFoundElsewhere(e, download)
	case http.StatusMethodNotAllowed:
		if strings.Contains(e.Message, "moved") {
			return "the project was renamed or moved: name it by its ID"
		}
	case http.StatusRequestEntityTooLarge:
		return "the limit is the instance's maximum import size, or that of a proxy before it (GitLab.com: 5 GiB); " +
			"an import from a URL or from S3 avoids the latter"
	}
	return ""
}

func (h hints) badRequest(e *APIError) string {
	switch {
	case h != importHints:
	case e.Message == "Namespace is not valid", e.Message == "User is not allowed to import projects":
		return "importing needs the Maintainer role in the namespace; " +
			"the bot users of project and group access tokens have no namespace of their own"
	case strings.HasPrefix(e.Message, "Failed to retrieve headers"):
		return "GitLab first asks by HEAD and waits a second; stores other than Amazon's S3 refuse that for a URL signed for GET: " +
			"import the archive through this machine instead, with URLSource"
	case strings.HasPrefix(e.Message, "File url is blocked: Requests to "):
		return "GitLab's administrators have not allowed it to go there: import the archive through this machine instead, with URLSource"
	}
	return ""
}

func (h hints) forbidden(e *APIError) string {
	switch {
	case e.key != "message", h == listHints: // the text of a token error is enough
	case h != importHints && e.Message == "403 Forbidden":
		return "exporting needs the Maintainer role in the project"
	case h == importHints && e.Message == "403 Forbidden":
		return "the import source “GitLab export” is switched off on this instance, as it is by default"
	case h == importHints && (e.Message == "403 Forbidden - Project" || strings.Contains(e.Message, "not authorized to perform")):
		return "importing relations needs the Maintainer role in the project"
	}
	return ""
}

// notFound is for a 404 of an endpoint.
func (h hints) notFound(e *APIError, download bool) string {
	switch {
	case strings.Contains(e.Message, "Namespace"):
		return "the namespace does not exist, was renamed, or the user is no member of it"
	case strings.Contains(e.Message, "Group"):
		return "no such group for this user; one that was renamed is not found by its old path, and a user's own namespace is no group"
	case strings.Contains(e.Message, "Project") && h == importHints:
		return "no such project for this user"
	case strings.Contains(e.Message, "Project"):
		return "no such project for this user, or no valid token: CI job tokens and deploy tokens are not accepted here"
	case h == importHints || h == listHints || e.Message != "404 Not Found":
		return ""
	}
	why := "exports may be switched off on this instance"
	if h == relationHints {
		why = "direct transfer may be switched off on this instance, as it is by default"
	}
	if download {
		why += ", or the archive is gone from its object storage"
	}
	return why
}

// notFoundElsewhere is for a 404 that is none of an endpoint.
func notFoundElsewhere(e *APIError, download bool) string {
	switch {
	case e.key == "error":
		return "no such route: check the base URL, the GitLab version, and that no proxy decodes %2F"
	case download && e.Message == "404 page not found":
		return "the archive is gone from GitLab's disk, or this is no GitLab: export again, or check the base URL"
	case e.isPage() && strings.Contains(strings.ToUpper(e.URL), "%2F"):
		return "a web server before GitLab may refuse the %2F in a path, as Apache does unless it is told AllowEncodedSlashes NoDecode: " +
			"name the project by its ID, or check the base URL"
	}
	return notTheAPI
}

const notTheAPI = "this is no answer of GitLab's API: check the base URL"
