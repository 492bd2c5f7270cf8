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
	Name      string    // its title, name or ref; the default is made of the relation and a number
	State     string    // the default is "opened", "active" for a milestone and "success" for a pipeline
	CreatedAt time.Time // the default is the day before the project's
	Group     bool      // of a label or badge: it is the group's, which lists show and archives leave out
}

// MakeItems returns n items with all the defaults.
func MakeItems(n int) []Item { return make([]Item, n) }

// contents are what a project holds. Branches and tags are SHAs by name.
type contents struct {
	items          Items
	branches, tags map[string]string
}

func newContents() *contents {
	return &contents{items: Items{}, branches: map[string]string{}, tags: map[string]string{}}
}

func (c *contents) clone() *contents {
	items := make(Items, len(c.items))
	for relation, list := range c.items {
		items[relation] = slices.Clone(list)
	}
	return &contents{items: items, branches: maps.Clone(c.branches), tags: maps.Clone(c.tags)}
}

// add adds items, with their defaults filled in.
func (c *contents) add(relation string, created time.Time, list ...Item) {
	for _, it := range list {
		it.Name = cmp.Or(it.Name, fmt.Sprintf("%s %d", relation, len(c.items[relation])+1))
		it.State = cmp.Or(it.State, defaultStates[relation], "opened")
		if it.CreatedAt.IsZero() {
			it.CreatedAt = created.Add(-24 * time.Hour)
		}
		it.CreatedAt = it.CreatedAt.Truncate(time.Microsecond) // as GitLab keeps it
		c.items[relation] = append(c.items[relation], it)
	}
}

var defaultStates = map[string]string{"milestones": "active", "ci_pipelines": "success"}

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
