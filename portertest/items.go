package portertest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Items are what a project holds beside its repository, by relation. A relation
// has the name of its file in an archive, such as "issues" or "ci_pipelines".
type Items map[string][]Item

// An Item is an issue, a merge request, a label or another record of a relation.
type Item struct {
	// IID is its number in the project, such as 7 for issue #7. The default is the
	// next one. Only issues, merge requests, milestones and pipelines have one.
	IID       int
	Name      string    // its title, name or ref; the default is made of the relation and a number
	State     string    // the default is "opened", "active" for a milestone and "success" for a pipeline
	CreatedAt time.Time // the default is the day before the project's
	Group     bool      // of a label or badge: it is the group's, which lists show and archives leave out

	// Users are whom its record in an archive refers to, as its author, assignee
	// and the like, by their IDs at the source. An item can have several.
	Users []int64
}

// MakeItems returns n items with all the defaults.
func MakeItems(n int) []Item { return make([]Item, n) }

// contents are what a project holds. Branches and tags are SHAs by name.
type contents struct {
	items          Items
	branches, tags map[string]string
	people         []person // who are members in an archive
	archived       bool     // the project is, or was when it was exported
}

func newContents() *contents {
	return &contents{items: Items{}, branches: map[string]string{}, tags: map[string]string{}}
}

func (c *contents) clone() *contents {
	items := make(Items, len(c.items))
	for relation, list := range c.items {
		items[relation] = slices.Clone(list)
	}
	return &contents{items: items, branches: maps.Clone(c.branches), tags: maps.Clone(c.tags), people: c.people, archived: c.archived}
}

// add adds items, with their defaults filled in.
func (c *contents) add(relation string, created time.Time, list ...Item) {
	highest := c.highestIID(relation)
	for _, it := range list {
		it.Name = cmp.Or(it.Name, fmt.Sprintf("%s %d", relation, len(c.items[relation])+1))
		it.State = cmp.Or(it.State, defaultStates[relation], "opened")
		if it.CreatedAt.IsZero() {
			it.CreatedAt = created.Add(-24 * time.Hour)
		}
		it.CreatedAt = it.CreatedAt.Truncate(time.Microsecond) // as GitLab keeps it
		if it.IID == 0 && numbered(relation) {
			it.IID = highest + 1
		}
		highest = max(highest, it.IID)
		c.items[relation] = append(c.items[relation], it)
	}
}

var defaultStates = map[string]string{"milestones": "active", "ci_pipelines": "success"}

// membersOfAll is the relation of the members.
const membersOfAll = "project_members"

// importableRelations are those that GitLab can import alone.
var importableRelations = []string{"issues", "merge_requests", "milestones", "ci_pipelines"}

// numbered reports whether the items of a relation have numbers of their own in
// the project.
func numbered(relation string) bool { return slices.Contains(importableRelations, relation) }

func (c *contents) highestIID(relation string) (highest int) {
	for _, it := range c.items[relation] {
		highest = max(highest, it.IID)
	}
	return highest
}

// all returns the items of all relations.
func (c *contents) all() (all []Item) {
	for _, list := range c.items {
		all = append(all, list...)
	}
	return all
}

// takeMissing takes in the items of a relation that are not there by their
// number, and returns these.
func (c *contents) takeMissing(relation string, list []Item) []Item {
	there := map[int]bool{}
	for _, it := range c.items[relation] {
		there[it.IID] = true
	}
	var missing []Item
	for _, it := range list {
		if it.IID == 0 || !there[it.IID] {
			missing, there[it.IID] = append(missing, it), true
		}
	}
	c.items[relation] = append(c.items[relation], missing...)
	return missing
}

// lose takes away the last n items of a relation.
func (c *contents) lose(relation string, n int) {
	list := c.items[relation]
	c.items[relation] = list[:len(list)-min(n, len(list))]
}

// exportBatch is how many records of a relation GitLab serializes at a time.
const exportBatch = 100

// loseBatch takes away the first batch of a relation.
func (c *contents) loseBatch(relation string) {
	list := c.items[relation]
	c.items[relation] = list[min(exportBatch, len(list)):]
}
