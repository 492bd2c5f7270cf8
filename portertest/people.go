package portertest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"regexp"
	"strconv"
)

// A person is a user of the source who is a member in an archive.
type person struct {
	id      int64
	address string // that is mapped by
	role    int
}

// takePerson takes in who is a member by a line of the members.
func (c *contents) takePerson(line []byte) {
	var m struct {
		AccessLevel int `json:"access_level"`
		User        *struct {
			ID          int64  `json:"id"`
			PublicEmail string `json:"public_email"`
			Email       string `json:"email"` // in archives of old
		} `json:"user"`
	}
	if json.Unmarshal(line, &m) == nil && m.User != nil {
		c.people = append(c.people, person{m.User.ID, cmp.Or(m.User.PublicEmail, m.User.Email), m.AccessLevel})
	}
}

// userReference is a user in a record. In a string of it, the quotation marks
// would be escaped.
var userReference = regexp.MustCompile(`"(?:author|assignee|updated_by|merged_by|latest_closed_by|user|created_by|last_edited_by|` +
	`merge_user|resolved_by|closed_by|owner)_id"\s*:\s*([1-9]\d*)`)

// usersIn returns the users that a record refers to, at any depth of it.
func usersIn(line []byte) (ids []int64) {
	if !bytes.Contains(line, []byte(`_id"`)) {
		return nil
	}
	for _, m := range userReference.FindAllSubmatch(line, -1) {
		if id, err := strconv.ParseInt(string(m[1]), 10, 64); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}
