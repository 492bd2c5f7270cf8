package portertest

import (
	"cmp"
	"strings"
)

// join makes the importer a member of the new project, as GitLab does.
func (s *imports) join(p *project, u *user) {
	if p.ns.owner == nil {
		p.members[u.username] = min(p.ns.role(u), Maintainer)
	}
}

// attribute gives items of an import to users: to those of the same primary
// address, who become members, if an administrator imports, and else to the
// importer.
func (s *imports) attribute(p *project, importer *user, people []person, items ...Item) {
	known := map[int64]*user{}
	if importer.admin {
		byAddress := map[string]*user{}
		for _, u := range s.users {
			byAddress[strings.ToLower(u.email)] = u
		}
		delete(byAddress, "")
		for _, m := range people {
			u := byAddress[strings.ToLower(m.address)]
			if u == nil {
				continue
			}
			known[m.id] = u
			if _, member := p.members[u.username]; !member {
				p.members[u.username] = min(Role(m.role), Maintainer)
			}
		}
	}
	if p.references == nil {
		p.references = map[string]int{}
	}
	for _, it := range items {
		for _, id := range it.Users {
			p.references[cmp.Or(known[id], importer).username]++
		}
	}
}
