package porter

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/seed-5d77b939/porter/internal/redact"
)

// CheckImport looks for what would make an import with opts fail, and imports
// nothing; opts.Resume and opts.Checkpoint mean nothing to it. The size is that
// of the archive in bytes; 0, or -1 as in a Source, if it is not known. The archive
// itself is not looked at: see VerifyArchive. The look at the path of the project to
// be is the import's own, and what keeps that from an answer is an error, such as
// ErrUnauthorized. Other looks add findings if they are answered; ProbeImport finds
// more.
//
// It makes 3 requests for the user's own namespace, 7 for a group, and at most one
// more. The answers about the token, its user, the namespace, the user's role
// there, the release and the settings are kept for a minute, for this client and
// all that With derives from it, so that at most 2 are made for each further
// project:
// GET /projects/:id/import, /personal_access_tokens/self, /user,
// /application/settings, /namespaces/:id, /groups/:id,
// /groups/:id/members/all/:user_id and /version:
// https://docs.gitlab.com/api/project_import_export/#retrieve-the-status-of-an-import
// and the pages of the others
func (c *Client) CheckImport(ctx context.Context, opts ImportOptions, size int64) (_ *Check, err error) {
	opts.Resume, opts.Checkpoint = nil, nil
	err = c.ready(ctx)
	if err == nil {
		_, err = opts.fields()
	}
	if err != nil {
		return nil, checkError("import of "+opts.label(), err)
	}
	ctx, o := c.begin(ctx, OpLook, "", opts.label())
	defer o.end(&err)
	k := new(Check)
	x := &importCheck{c: c, opts: opts, check: k, own: true}
	if err := x.run(ctx); err != nil {
		return nil, checkError("import of "+opts.label(), err)
	}
	x.size(size, true)
	return k, nil
}

// An importCheck checks an import.
type importCheck struct {
	c        *Client
	opts     ImportOptions
	check    *Check
	own      bool // the look at the project's path is the check's own, and its error counts
	looked   bool // the job has looked at the path, or need not
	user     *userLook
	settings *settingsLook
	home     string // the namespace's path, "" if it is not known
	group    bool   // it is a group
}

// run looks at everything but the archive.
func (x *importCheck) run(ctx context.Context) (err error) {
	if err := x.check.token(ctx, x.c, "importing"); err != nil {
		return err
	}
	if err := x.who(ctx); err != nil {
		return err
	}
	if exists, err := x.namespace(ctx); err != nil || !exists {
		return err
	}
	return x.path(ctx)
}

// tokenBot matches the users behind project and group access tokens. Service
// accounts are bots too, and import as people do.
var tokenBot = regexp.MustCompile(`^(project|group)_[0-9]+_bot(_?[0-9a-f]*)$`)

// who looks at the user, and at what only administrators are told.
func (x *importCheck) who(ctx context.Context) (err error) {
	if x.user, err = x.c.lookAtUser(ctx); x.user == nil {
		return err
	}
	if x.user.Bot && tokenBot.MatchString(x.user.Username) {
		x.check.add(FindingBot, true, "%s at %s is the user of a project or group access token, and imports of such users fail",
			x.username(), x.c.base.Host)
	}
	if !x.user.IsAdmin {
		x.check.add(FindingUsers, false, "%s does not administer %s, so that what others wrote becomes %[1]s's there",
			x.username(), x.c.base.Host)
	}
	x.settings, err = x.c.lookAtSettings(ctx, x.user)
	if x.settings == nil {
		return err
	}
	on := x.settings.ImportSources == nil
	for _, source := range x.settings.ImportSources {
		on = on || source == "gitlab_project"
	}
	if !on {
		x.check.add(FindingImportSource, true, "the import source “GitLab export” is switched off at %s", x.c.base.Host)
	}
	return nil
}

func (x *importCheck) username() string { return redact.Line(x.user.Username, 300) }

// namespace looks at the namespace, and reports whether there may be one.
func (x *importCheck) namespace(ctx context.Context) (bool, error) {
	if x.opts.Namespace == nil {
		if x.user != nil {
			x.home = x.user.Username
			x.room()
		}
		return true, nil
	}
	n, missing, err := x.c.lookAtNamespace(ctx, x.opts.Namespace)
	switch {
	case err != nil:
		return false, err
	case missing:
		x.check.add(FindingNamespace, true, "the namespace %s does not exist at %s, was renamed, or the user is no member of it",
			redact.Line(x.opts.Namespace.String(), 300), x.c.base.Host)
		return false, nil
	case n == nil:
		if p, ok := x.opts.Namespace.(NamespacePath); ok {
			x.home = string(p)
		}
		return true, nil
	}
	x.home, x.group = string(n.FullPath), n.Kind == "group"
	switch {
	case x.group:
		err = x.role(ctx, n)
	case n.Kind != "user" || x.user == nil:
	case strings.EqualFold(x.home, x.user.Username):
		x.room()
	default:
		x.check.add(FindingRole, false, "%s is the personal namespace of another user than %s", n.label(), x.username())
	}
	return true, err
}

func (n *namespaceLook) label() string { return redact.Line(string(n.FullPath), 300) }

// room looks whether the user's own namespace takes one more project.
func (x *importCheck) room() {
	if can := x.user.CanCreateProject; can != nil && !*can {
		x.check.add(FindingNamespaceFull, true, "%s may create no more projects in the own namespace at %s", x.username(), x.c.base.Host)
	}
}

// The access levels that decide who may import.
const (
	accessDeveloper  = 30
	accessMaintainer = 40
	accessOwner      = 50
)

// accessLevels are the names of the levels.
var accessLevels = map[int]string{
	5: "Minimal Access", 10: "Guest", 15: "Planner", 20: "Reporter", 25: "Security Manager",
	accessDeveloper: "Developer", accessMaintainer: "Maintainer", accessOwner: "Owner",
}

// role looks whether the group lets the user import.
func (x *importCheck) role(ctx context.Context, n *namespaceLook) error {
	g, err := x.c.lookAtGroup(ctx, n.ID)
	switch {
	case g == nil:
		return err
	case g.Archived:
		x.check.add(FindingRole, true, "the group %s is archived", n.label())
		return nil
	case g.ProjectCreation == "noone":
		x.check.add(FindingRole, true, "nobody may create projects in the group %s", n.label())
		return nil
	case x.user == nil || x.user.IsAdmin:
		return nil
	case g.ProjectCreation == "administrator":
		x.check.add(FindingRole, true, "only administrators may create projects in the group %s", n.label())
		return nil
	}
	m, err := x.c.lookAtMember(ctx, n.ID, x.user)
	if m == nil {
		return err
	}
	needed := accessMaintainer
	if g.ProjectCreation == "owner" {
		needed = accessOwner
	}
	if m.AccessLevel >= needed {
		return nil
	}
	certain := true
	if m.AccessLevel >= accessDeveloper && needed == accessMaintainer && g.ProjectCreation != "maintainer" {
		// It was enough before 16.0, or before patches of 15.10 and 15.11.
		r, err := x.c.lookAtRelease(ctx)
		if err != nil || r != nil && !r.atLeast(15, 10) {
			return err
		}
		certain = r != nil && r.atLeast(16, 0)
	}
	has := cmp.Or(accessLevels[m.AccessLevel], "access level "+strconv.Itoa(m.AccessLevel))
	x.check.add(FindingRole, certain, "importing into the group %s needs the role %s, and %s has %s",
		n.label(), accessLevels[needed], x.username(), has)
	return nil
}

// path looks whether the path of the project to be is free.
func (x *importCheck) path(ctx context.Context) error {
	if x.home == "" && x.own {
		_, err := x.c.getImport(ctx, "1", x.opts.label(), false) // any project tells whether the token is accepted
		return unlessRefused(err)
	}
	if x.home == "" {
		return nil
	}
	target := ProjectPath(x.home + "/" + x.opts.Path)
	if x.own || !x.looked {
		found, err := x.c.lookUp(ctx, target, !x.own)
		if err = unlessRefused(err); err != nil && (x.own || ctx.Err() != nil) {
			return err
		}
		if found != nil && !x.opts.Overwrite {
			x.check.add(FindingPathTaken, true, "%s is taken by project %d", redact.Line(string(target), 300), found.ID)
			return nil
		}
	}
	if !x.group {
		return nil
	}
	// Who may import into a group can see its subgroups.
	n, _, err := look(ctx, x.c, request{url: x.c.endpoint("namespaces/" + url.PathEscape(string(target)))}, (*namespaceLook).valid)
	if n != nil && strings.EqualFold(string(n.FullPath), string(target)) {
		x.check.add(FindingPathTaken, true, "%s is taken by a group", redact.Line(string(target), 300))
	}
	return err
}

// unlessRefused returns the error of a look at a project, unless GitLab refuses
// the look and may yet take an import.
func unlessRefused(err error) error {
	e := answerOf(err)
	if e != nil && (e.StatusCode == http.StatusNotFound && !e.isPage() || e.StatusCode == http.StatusForbidden && e.key != "message") {
		return nil
	}
	return err
}

// size compares the archive's size with the limit. It is certain if it is no
// estimate.
func (x *importCheck) size(n int64, certain bool) {
	if x.settings == nil || !over(n, x.settings.MaxImportSize) {
		return
	}
	what := "the archive is"
	if !certain {
		what = "the archive may be"
	}
	x.check.add(FindingArchiveSize, certain, "%s %s large, and %s imports no more than %d MiB",
		what, mebibytes(n), x.c.base.Host, x.settings.MaxImportSize)
}
