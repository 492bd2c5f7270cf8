package portertest

import (
	"fmt"
	"slices"
	"strings"
)

// records are what is in the tree of a generated archive.
type records struct {
	attributes string // of the project, as a JSON object
	byRelation map[string][]string
}

func newRecords(hex func(int) string) records {
	item := func(iid int, kind string, more string) string {
		return fmt.Sprintf(`{"iid":%d,"title":"%s %s","description":"%s","author_id":%d,"state":"opened",`+
			`"created_at":"2024-05-01T09:41:00.500Z","notes":[]%s}`, iid, kind, hex(8), hex(64), 1+iid%2, more)
	}
	member := func(id int, level Role, address string) string {
		return fmt.Sprintf(`{"access_level":%d,"source_type":"Project","user_id":%d,"created_at":"2024-05-01T09:41:00.500Z",`+
			`"user":{"id":%[2]d,"public_email":"%s","username":"user%[2]d"}}`, level, id, address)
	}
	const mergeRequest = `,"source_branch":"feature","target_branch":"main","merge_status":"unchecked"`
	return records{
		attributes: fmt.Sprintf(`{"description":"Widget %s","visibility_level":0,"archived":false}`, hex(8)),
		byRelation: map[string][]string{
			"issues":          {item(1, "Issue", ""), item(3, "Issue", "")},
			"labels":          {fmt.Sprintf(`{"title":"bug %s","color":"#d9534f","type":"ProjectLabel","priorities":[]}`, hex(8))},
			"merge_requests":  {item(1, "Merge request", mergeRequest), item(2, "Merge request", mergeRequest)},
			"milestones":      {fmt.Sprintf(`{"iid":1,"title":"Milestone %s","state":"active"}`, hex(8))},
			"project_members": {member(1, Owner, "admin@example.com"), member(2, Developer, "")},
		},
	}
}

func (r records) names() []string {
	var names []string
	for name := range r.byRelation {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// lines is the file of a relation, as GitLab writes it since 13.0.
func (r records) lines(relation string) string {
	return strings.Join(r.byRelation[relation], "\n") + "\n"
}

// document is the whole tree in one object, as GitLab wrote it before.
func (r records) document() string {
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(r.attributes, "}"))
	for _, name := range r.names() {
		fmt.Fprintf(&b, `,"%s":[%s]`, name, strings.Join(r.byRelation[name], ","))
	}
	b.WriteByte('}')
	return b.String()
}
