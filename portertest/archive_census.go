package portertest

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"strconv"
)

// membersOfAll is the relation of the members.
const membersOfAll = "project_members"

// A census is who is in an archive: its members by their numbers at the source,
// and how often records refer to each number.
type census struct {
	members    map[int64]exportedMember
	references map[int64]int
}

// An exportedMember is a line of project_members.
type exportedMember struct {
	AccessLevel int `json:"access_level"`
	User        *struct {
		ID          int64  `json:"id"`
		PublicEmail string `json:"public_email"`
		Email       string `json:"email"`
	} `json:"user"`
}

func newCensus() *census {
	return &census{members: map[int64]exportedMember{}, references: map[int64]int{}}
}

func (c *census) clone() *census {
	return &census{members: maps.Clone(c.members), references: maps.Clone(c.references)}
}

// userReference finds what the importer takes for a user. A quote within a JSON
// string has a backslash before it.
var userReference = regexp.MustCompile(`"(?:author|assignee|updated_by|merged_by|latest_closed_by|user|created_by|` +
	`last_edited_by|merge_user|resolved_by|closed_by|owner)_id" *: *([0-9]+)`)

// take takes in a line of a relation.
func (c *census) take(relation string, line []byte) {
	if relation == membersOfAll {
		var m exportedMember
		if json.Unmarshal(line, &m) == nil && m.User != nil {
			c.members[m.User.ID] = m
		}
		return
	}
	if !bytes.Contains(line, []byte(`_id"`)) {
		return
	}
	for _, m := range userReference.FindAllSubmatch(line, -1) {
		if id, err := strconv.ParseInt(string(m[1]), 10, 64); err == nil {
			c.references[id]++
		}
	}
}
