package portertest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// itemRelations are the relations of which an archive has a file, empty or not.
var itemRelations = []string{
	"boards", "ci_pipelines", "issues", "labels", "merge_requests", "milestones", "project_badges", "project_members",
	"protected_branches", "protected_tags", "releases", "snippets",
}

// itemsArchive returns the archive of a project that holds c.
func itemsArchive(c *contents, v version) *Archive {
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	tw := tar.NewWriter(zw)
	file := func(name string, content []byte) {
		tw.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: "./" + name, Size: int64(len(content)), Mode: 0o644,
			ModTime: time.Date(2024, 5, 1, 9, 41, 0, 0, time.UTC), Format: tar.FormatGNU,
		})
		tw.Write(content)
	}
	file("VERSION", []byte(v.archiveFormat()))
	file("GITLAB_VERSION", []byte(v.String()))
	file("GITLAB_REVISION", []byte("0123456789a"))
	attributes := map[string]any{"description": "", "visibility_level": 0, "archived": c.archived}
	if v.atLeast(13, 0) {
		file("tree/project.json", append(mustMarshal(attributes), '\n'))
		for _, relation := range slices.Sorted(maps.Keys(withEmpty(c.items))) {
			file("tree/project/"+relation+".ndjson", lines(c.records(relation)))
		}
	} else {
		tree := attributes
		for relation := range c.items {
			tree[relation] = c.records(relation)
		}
		file("project.json", mustMarshal(tree))
	}
	if len(c.branches)+len(c.tags) > 0 {
		file("project.bundle", bundle(c))
	}
	if err := tw.Close(); err != nil {
		panic(fmt.Sprintf("portertest: archive of items: %v", err))
	}
	zw.Close()
	return BytesArchive(out.Bytes())
}

func withEmpty(items Items) Items {
	all := maps.Clone(items)
	if all == nil {
		all = Items{}
	}
	for _, relation := range itemRelations {
		if all[relation] == nil {
			all[relation] = nil
		}
	}
	return all
}

// records returns the records of a relation. The first issue has all labels of
// the group.
func (c *contents) records(relation string) []record {
	list := []record{}
	for i, it := range c.items[relation] {
		if it.Group {
			continue
		}
		rec := record{IID: it.IID, Title: it.Name, State: it.State, CreatedAt: it.CreatedAt}
		for _, id := range it.Users {
			rec.Notes = append(rec.Notes, note{id})
		}
		if relation == "issues" && i == 0 {
			rec.LabelLinks = c.groupLabels()
		}
		list = append(list, rec)
	}
	return list
}

func lines(list []record) []byte {
	var b bytes.Buffer
	for _, rec := range list {
		b.Write(mustMarshal(rec))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func mustMarshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("portertest: archive of items: %v", err))
	}
	return b
}

func (c *contents) groupLabels() (links []labelLink) {
	for _, it := range c.items["labels"] {
		if it.Group {
			links = append(links, labelLink{record{Title: it.Name, CreatedAt: it.CreatedAt, Type: groupLabel}})
		}
	}
	return links
}

// bundle returns a git bundle of the branches and tags, whose pack is empty:
// the SHAs are the test's own, of no objects.
func bundle(c *contents) []byte {
	var b bytes.Buffer
	b.WriteString("# v2 git bundle\n")
	for _, name := range slices.Sorted(maps.Keys(c.branches)) {
		fmt.Fprintf(&b, "%s %s%s\n", c.branches[name], branchRefs, name)
	}
	for _, name := range slices.Sorted(maps.Keys(c.tags)) {
		fmt.Fprintf(&b, "%s %s%s\n", c.tags[name], tagRefs, name)
	}
	b.WriteString("\n")
	pack := []byte("PACK\x00\x00\x00\x02\x00\x00\x00\x00")
	sum := sha1.Sum(pack)
	b.Write(append(pack, sum[:]...))
	return b.Bytes()
}
