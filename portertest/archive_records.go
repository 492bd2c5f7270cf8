package portertest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// records are what is in the tree of a generated archive.
type records struct {
	attributes string // of the project, as a JSON object
	byRelation map[string][]string
}

func newRecords(spec archiveSpec, hex func(int) string) records {
	members := cmp.Or(spec.members, 2)
	item := func(iid int, kind string, more string) string {
		return fmt.Sprintf(`{"iid":%d,"title":"%s %s","description":"%s","author_id":%d,"state":"opened",`+
			`"created_at":"2024-05-01T09:41:00.500Z","notes":[]%s}`, iid, kind, hex(8), hex(64), 1+iid%members, more)
	}
	member := func(id int, level Role, address string) string {
		return fmt.Sprintf(`{"access_level":%d,"source_type":"Project","user_id":%d,"created_at":"2024-05-01T09:41:00.500Z",`+
			`"user":{"id":%[2]d,"public_email":"%s","username":"user%[2]d"}}`, level, id, address)
	}
	maker := map[string]func(iid int) string{
		"issues": func(iid int) string { return item(iid, "Issue", "") },
		"merge_requests": func(iid int) string {
			return item(iid, "Merge request", `,"source_branch":"feature","target_branch":"main","merge_status":"unchecked"`)
		},
		"milestones": func(iid int) string {
			return fmt.Sprintf(`{"iid":%d,"title":"Milestone %s","state":"active"}`, iid, hex(8))
		},
		"ci_pipelines": func(iid int) string {
			return fmt.Sprintf(`{"iid":%d,"ref":"main","sha":"%s","status":"success","user_id":%d,"stages":[]}`, iid, hex(40), 1+iid%members)
		},
	}
	r := records{
		attributes: fmt.Sprintf(`{"description":"Widget %s","visibility_level":0,"archived":%t}`, hex(8), spec.archived),
		byRelation: map[string][]string{
			"issues":          {maker["issues"](1), maker["issues"](3)},
			"labels":          {fmt.Sprintf(`{"title":"bug %s","color":"#d9534f","type":"ProjectLabel","priorities":[]}`, hex(8))},
			"merge_requests":  {maker["merge_requests"](1), maker["merge_requests"](2)},
			"milestones":      {maker["milestones"](1)},
			"project_members": {member(1, Owner, "admin@example.com"), member(2, Developer, "")},
		},
	}
	if spec.members > 0 {
		r.byRelation[membersOfAll] = nil
		for id := range spec.members {
			r.byRelation[membersOfAll] = append(r.byRelation[membersOfAll], member(id+1, Developer, ""))
		}
	}
	for _, relation := range importableRelations {
		n, given := spec.items[relation]
		if !given {
			continue
		}
		r.byRelation[relation] = nil
		for i := range n {
			r.byRelation[relation] = append(r.byRelation[relation], maker[relation](i+1))
		}
	}
	return r
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
