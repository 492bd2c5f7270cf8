package portertest

import (
	"path"
	"slices"
	"strings"
)

// Token is the access token of the user that every server starts with. Its
// name is "owner": it owns every group and project, but does not administer
// the instance.
const Token = "glpat-portertest-owner"

// A Role is a member's access level.
type Role int

// The roles, with the numbers that GitLab has for them.
const (
	Guest      Role = 10
	Reporter   Role = 20
	Developer  Role = 30
	Maintainer Role = 40
	Owner      Role = 50
)

// User is a user of the instance and one of the user's access tokens.
type User struct {
	Username string // required; also the path of the user's own namespace
	Name     string // defaults to Username
	Token    string // required
	Email    string // the primary address, by which imports of an administrator find the user; "" for none
	Admin    bool   // administers the instance
	Bot      bool   // is the user behind a project or group access token
	// ServiceAccount is a bot to look at, but imports as people do.
	ServiceAccount bool

	// Scopes are the token's; nil means "api".
	Scopes  []string
	Expired bool
	Revoked bool
	// ExpiresAt is the date at whose beginning the token ends, such as
	// "2026-05-01"; "" for none. Only the token tells it: see Expired.
	ExpiresAt string

	// FineGrained tokens may do what the import/export API has, but are refused
	// where an endpoint declares no permission that they could have.
	FineGrained bool

	// Lacks are permissions that a fine-grained token would need and has not
	// been given.
	Lacks []string

	// Blocked users are refused, and so are those with a reason in Denied,
	// such as "You must accept the Terms of Service …". Blocking a user lets
	// the exports fail that the user has running, from GitLab 17.3 on.
	Blocked bool
	Denied  string

	// ProjectsLimit is how many projects the user's own namespace may hold:
	// 0 for any number, negative for none.
	ProjectsLimit int
}

type user struct {
	id         int64
	username   string
	name       string
	email      string
	admin, bot bool
	service    bool
	everywhere bool // owns everything
	denied     string
	limit      int
	home       *namespace
}

type accessToken struct {
	user             *user
	scopes           []string
	expired, revoked bool
	lacks            []string
	fineGrained      bool
	expiresAt        string
}

// has reports whether the token has any of the scopes.
func (t *accessToken) has(anyOf ...string) bool {
	return slices.ContainsFunc(anyOf, func(scope string) bool { return slices.Contains(t.scopes, scope) })
}

// accounts are the users of the instance, their tokens, and the groups.
type accounts struct {
	*settings
	users         map[string]*user
	tokens        map[string]*accessToken
	namespaces    map[string]*namespace // by lower-case path
	namespaceByID map[int64]*namespace
	lastUser      int64
	lastNamespace int64
	onBlock       func(*user) // what else comes of blocking a user
}

func newAccounts(s *settings) accounts {
	return accounts{
		settings: s, users: map[string]*user{}, tokens: map[string]*accessToken{}, namespaces: map[string]*namespace{},
		namespaceByID: map[int64]*namespace{},
		lastNamespace: 100,
	}
}

// AddUser adds a user with an access token and returns the user's ID. For a
// user who exists already it adds the token; what else u says of the user
// replaces what was said before.
func (s *accounts) AddUser(u User) int64 {
	s.lock()
	defer s.unlock()
	if u.Username == "" || u.Token == "" {
		panic("portertest: a user needs a name and a token")
	}
	return s.addUser(u).id
}

func (s *accounts) addUser(u User) *user {
	usr := s.users[u.Username]
	if usr == nil {
		s.lastUser++
		usr = &user{id: s.lastUser, username: u.Username}
		s.users[u.Username] = usr
		s.lastNamespace++
		usr.home = &namespace{id: s.lastNamespace, path: u.Username, owner: usr, members: map[string]Role{}}
		s.namespaces[strings.ToLower(u.Username)], s.namespaceByID[usr.home.id] = usr.home, usr.home
	}
	usr.name = u.Name
	if usr.name == "" {
		usr.name = u.Username
	}
	usr.home.name = usr.name
	usr.admin, usr.bot, usr.limit, usr.denied = u.Admin, u.Bot, u.ProjectsLimit, u.Denied
	usr.service, usr.email = u.ServiceAccount, u.Email
	if u.Blocked {
		usr.denied = "Your account has been blocked."
		s.onBlock(usr)
	}
	scopes := u.Scopes
	if scopes == nil {
		scopes = []string{"api"}
	}
	s.tokens[u.Token] = &accessToken{
		user: usr, scopes: scopes, expired: u.Expired, revoked: u.Revoked, lacks: u.Lacks,
		fineGrained: u.FineGrained, expiresAt: u.ExpiresAt,
	}
	return usr
}

// namespace is a group or a user's own namespace.
type namespace struct {
	id      int64
	path    string // in full
	name    string
	owner   *user // of a personal namespace
	parent  *namespace
	members map[string]Role
	group   Group
}

func (n *namespace) base() string { return path.Base(n.path) }

func (n *namespace) fullName() string {
	if n.parent == nil {
		return n.name
	}
	return n.parent.fullName() + " / " + n.name
}

// role returns what u may do in n, 0 if u is not a member.
func (n *namespace) role(u *user) Role {
	switch {
	case u == nil:
		return 0
	case n.owner != nil:
		if n.owner == u || u.admin || u.everywhere {
			return Owner
		}
		return 0
	case u.admin || u.everywhere:
		return Owner
	}
	r := n.members[u.username]
	if n.parent != nil {
		r = max(r, n.parent.role(u))
	}
	return r
}

// AddGroup makes the group at the given full path and those above it, and
// returns its ID. It is no error if the group is there already.
func (s *accounts) AddGroup(fullPath string) int64 {
	s.lock()
	defer s.unlock()
	return s.addGroup(fullPath).id
}

func (s *accounts) addGroup(fullPath string) *namespace {
	fullPath = strings.Trim(fullPath, "/")
	if fullPath == "" {
		panic("portertest: a group needs a path")
	}
	key := strings.ToLower(fullPath)
	if n := s.namespaces[key]; n != nil {
		return n
	}
	var parent *namespace
	if dir, _ := path.Split(fullPath); dir != "" {
		parent = s.addGroup(dir)
	}
	s.lastNamespace++
	n := &namespace{id: s.lastNamespace, path: fullPath, name: path.Base(fullPath), parent: parent, members: map[string]Role{}}
	s.namespaces[key], s.namespaceByID[n.id] = n, n
	return n
}
