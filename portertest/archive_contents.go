package portertest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"
)

const (
	maxRecord = 64 << 10 // of a line that is looked at
	maxTree   = 16 << 20 // of a tree in one file
)

// A record is a line of a relation's file, as far as the simulator cares. What
// is a name is a title of some relations and a ref of others.
type record struct {
	IID       int       `json:"iid,omitempty"`
	Title     string    `json:"title,omitempty"`
	Name      string    `json:"name,omitempty"`
	Ref       string    `json:"ref,omitempty"`
	State     string    `json:"state,omitempty"`
	Status    string    `json:"status,omitempty"`
	CreatedAt time.Time `json:"created_at,omitzero"`

	Type       string      `json:"type,omitempty"`
	LabelLinks []labelLink `json:"label_links,omitempty"`
	Notes      []note      `json:"notes,omitempty"`

	users []int64
}

type labelLink struct {
	Label record `json:"label"`
}

type note struct {
	AuthorID int64 `json:"author_id"`
}

// groupLabel is the type of a label that is the group's.
const groupLabel = "GroupLabel"

const (
	branchRefs = "refs/heads/"
	tagRefs    = "refs/tags/"
)

// takeAttributes takes in what a project's own attributes say of the rest.
func (c *contents) takeAttributes(b []byte) {
	var project struct {
		Archived bool `json:"archived"`
	}
	json.Unmarshal(b, &project)
	c.archived = project.Archived
}

// takeLine takes in a line of a relation's file. One that says null is no
// record; one that is long or broken is a record of which nothing is known.
func (c *contents) takeLine(relation string, line []byte) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 || string(line) == "null" {
		return
	}
	var rec record
	if len(line) <= maxRecord {
		json.Unmarshal(line, &rec)
	}
	if relation == membersOfAll {
		c.takePerson(line)
	} else {
		rec.users = usersIn(line)
	}
	c.take(relation, rec)
}

// take takes in a record. Labels of the group that it has become the project's.
func (c *contents) take(relation string, rec record) {
	c.items[relation] = append(c.items[relation], Item{
		IID:       rec.IID,
		Name:      cmp.Or(rec.Title, rec.Name, rec.Ref),
		State:     cmp.Or(rec.State, rec.Status, defaultStates[relation], "opened"),
		CreatedAt: rec.CreatedAt,
		Users:     rec.users,
	})
	for _, link := range rec.LabelLinks {
		known := slices.ContainsFunc(c.items["labels"], func(it Item) bool { return it.Name == link.Label.Title })
		if link.Label.Type == groupLabel && !known {
			link.Label.LabelLinks = nil
			c.take("labels", link.Label)
		}
	}
}

// takeRef takes in a ref of the repository's bundle.
func (c *contents) takeRef(sha, ref string) {
	if name, ok := strings.CutPrefix(ref, branchRefs); ok {
		c.branches[name] = sha
	} else if name, ok := strings.CutPrefix(ref, tagRefs); ok {
		c.tags[name] = sha
	}
}

// document takes in a tree in one file once the last byte of it was written.
func (c *contents) document() io.Writer { return &document{c: c} }

type document struct {
	c     *contents
	b     bytes.Buffer
	taken bool
}

func (d *document) Write(p []byte) (int, error) {
	if d.taken || d.b.Len()+len(p) > maxTree {
		return len(p), nil
	}
	d.b.Write(p)
	var tree map[string]json.RawMessage
	if bytes.HasSuffix(bytes.TrimSpace(d.b.Bytes()), []byte("}")) && json.Unmarshal(d.b.Bytes(), &tree) == nil {
		d.taken = true
		d.c.takeAttributes(d.b.Bytes())
		for relation, list := range tree {
			var recs []json.RawMessage
			json.Unmarshal(list, &recs)
			for _, rec := range recs {
				d.c.takeLine(relation, rec)
			}
		}
	}
	return len(p), nil
}
