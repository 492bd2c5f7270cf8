package portertest

import "cmp"

// attribute gives what an archive says of users to those of this instance. Only
// an administrator's import maps anybody, by the e-mail address, and makes
// members of them; all else becomes the importer's. It returns how many
// references are to each user.
func (s *imports) attribute(j *importJob, c *census) map[string]int {
	references := map[string]int{}
	for id, n := range c.references {
		u := s.mapped(j, c.members[id])
		references[cmp.Or(u, j.user).username] += n
	}
	for _, m := range c.members {
		if u := s.mapped(j, m); u != nil && u != j.user {
			j.project.members[u.username] = min(Role(m.AccessLevel), Maintainer)
		}
	}
	return references
}

// mapped returns the user of this instance that a member becomes, or nil.
func (s *imports) mapped(j *importJob, m exportedMember) *user {
	if m.User == nil || !j.user.admin {
		return nil
	}
	email := cmp.Or(m.User.PublicEmail, m.User.Email)
	for _, u := range s.users {
		if email != "" && u.email == email {
			return u
		}
	}
	return nil
}
