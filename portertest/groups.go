package portertest

import "strings"

// Group is what can be set for a group.
type Group struct {
	// ProjectCreation is who may create projects in it: "noone", "owner",
	// "maintainer", "developer", which is the default, or "administrator".
	ProjectCreation string
	Visibility      string // "private", the default, "internal" or "public"
	Archived        bool   // with all that is in it
}

// ConfigureGroup sets what g says of the group at a full path, which is made if
// it is not there.
func (s *accounts) ConfigureGroup(fullPath string, g Group) {
	s.lock()
	defer s.unlock()
	s.addGroup(strings.Trim(fullPath, "/")).group = g
}

func (n *namespace) creationLevel() string {
	if n.group.ProjectCreation == "" {
		return "developer"
	}
	return n.group.ProjectCreation
}

func (n *namespace) visibilityLevel() string {
	if n.group.Visibility == "" {
		return "private"
	}
	return n.group.Visibility
}

// open reports whether u can read a group without being a member.
func (n *namespace) open(u *user) bool {
	return n.visibilityLevel() == "public" || u != nil && n.visibilityLevel() == "internal"
}

func (n *namespace) isArchived() bool {
	return n.group.Archived || n.parent != nil && n.parent.isArchived()
}

// admits reports whether u, with a role there, may create projects in it.
func (n *namespace) admits(u *user, role Role) bool {
	switch {
	case n.isArchived():
		return false
	case n.owner != nil:
		return !u.bot
	}
	switch n.creationLevel() {
	case "noone":
		return false
	case "administrator":
		return u.admin
	case "owner":
		return role >= Owner
	case "maintainer":
		return role >= Maintainer
	}
	return role >= Developer
}

// membership is the role that u has as a member of n or of a group above, which
// an administrator need not be.
func (n *namespace) membership(u *user) (role Role) {
	for ; n != nil; n = n.parent {
		if n.owner == u || u.everywhere {
			return Owner
		}
		role = max(role, n.members[u.username])
	}
	return role
}
