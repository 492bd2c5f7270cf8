package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/seed-5d77b939/porter"
)

// jsonHelp is what the help says of -json.
const jsonHelp = `-json writes one JSON object. All its fields are always there; more may be added.

  archive            what was read: the file, the project, "standard input"
  size               bytes of it; null if it was not read to its end
  verdict            importable, older_only (by GitLab before 15.11: the tree is
                     one file) or unimportable
  why                the first reason for unimportable, else ""
  gitlab_version, revision
                     of the GitLab that made it, "" before GitLab 13
  format_version     such as 0.2.4
  tree               ndjson, json or "" for none
  entries            files and directories
  unpacked           bytes
  has_repository     false also for an empty one
  parts              an object, bytes by part: tree (all records), repository,
                     wiki, designs, snippets, uploads, lfs, avatar, other; those
                     that are there
  relations          a list in the order of the import: relation, items, bytes,
                     longest_item (bytes; GitLab takes no more than 52428800),
                     highest_iid (0 for none)
  members, unmappable
                     records of members, and those without an e-mail address
  people             a list of the members, those with the most references first:
                     id (at the source), username, email ("": what is the user's
                     becomes the importer's), access_level, references
  references         an object: mappable (to people with an address), importers
                     (to all others) and, as a part of these, strangers (to users
                     who are no members)
  problems           a list: entry (null for none), line (from 0; null for none),
                     what, fatal (GitLab will not import the archive whole)

An archive with a tree of one file tells neither relations nor people.
`

type jsonReport struct {
	Archive       string                       `json:"archive"`
	Size          *int64                       `json:"size"`
	Verdict       verdict                      `json:"verdict"`
	Why           string                       `json:"why"`
	GitLabVersion string                       `json:"gitlab_version"`
	Revision      string                       `json:"revision"`
	FormatVersion string                       `json:"format_version"`
	Tree          porter.ArchiveTree           `json:"tree"`
	Entries       int                          `json:"entries"`
	Unpacked      int64                        `json:"unpacked"`
	HasRepository bool                         `json:"has_repository"`
	Parts         map[porter.ArchivePart]int64 `json:"parts"`
	Relations     []jsonRelation               `json:"relations"`
	Members       int                          `json:"members"`
	Unmappable    int                          `json:"unmappable"`
	People        []jsonPerson                 `json:"people"`
	References    jsonReferences               `json:"references"`
	Problems      []jsonProblem                `json:"problems"`
}

type jsonRelation struct {
	Relation    porter.PortableRelation `json:"relation"`
	Items       int64                   `json:"items"`
	Bytes       int64                   `json:"bytes"`
	LongestItem int64                   `json:"longest_item"`
	HighestIID  int64                   `json:"highest_iid"`
}

type jsonPerson struct {
	ID          int64  `json:"id"`
	Username    string `json:"username"`
	Email       string `json:"email"`
	AccessLevel int    `json:"access_level"`
	References  int64  `json:"references"`
}

type jsonReferences struct {
	Mappable  int64 `json:"mappable"`
	Importers int64 `json:"importers"`
	Strangers int64 `json:"strangers"`
}

type jsonProblem struct {
	Entry *string `json:"entry"`
	Line  *int    `json:"line"`
	What  string  `json:"what"`
	Fatal bool    `json:"fatal"`
}

// writeJSON writes the report for programs.
func (r *report) writeJSON(w io.Writer) error {
	v, why := r.verdict()
	a := r.attribution()
	j := jsonReport{
		Archive: r.name, Verdict: v, Why: why,
		GitLabVersion: r.GitLabVersion, Revision: r.Revision, FormatVersion: r.FormatVersion, Tree: r.Tree,
		Entries: r.Entries, Unpacked: r.Bytes, HasRepository: r.HasRepository, Parts: r.Parts,
		Relations: []jsonRelation{}, Members: r.Members, Unmappable: r.Unmappable, People: []jsonPerson{},
		References: jsonReferences{a.mappable, a.importers, r.Strangers}, Problems: []jsonProblem{},
	}
	if r.size >= 0 {
		j.Size = &r.size
	}
	for _, c := range r.Contents {
		j.Relations = append(j.Relations, jsonRelation(c))
	}
	for _, p := range r.People {
		j.People = append(j.People, jsonPerson{p.SourceID, p.Username, p.Email, p.AccessLevel, p.References})
	}
	for _, p := range r.Problems {
		problem := jsonProblem{What: p.What, Fatal: p.Fatal}
		if p.Entry != "" {
			problem.Entry = &p.Entry
		}
		if p.Line >= 0 {
			problem.Line = &p.Line
		}
		j.Problems = append(j.Problems, problem)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(j); err != nil {
		return err
	}
	_, err := w.Write(escaped(b.Bytes()))
	return err
}

// escaped escapes what a terminal would act upon and JSON does not: such runes
// are in strings only.
func escaped(text []byte) []byte {
	var b []byte
	for len(text) > 0 {
		c, n := utf8.DecodeRune(text)
		switch {
		case c == '\n', unicode.IsPrint(c):
			b = append(b, text[:n]...)
		case c > 0xffff:
			high, low := utf16.EncodeRune(c)
			b = fmt.Appendf(b, `\u%04x\u%04x`, high, low)
		default:
			b = fmt.Appendf(b, `\u%04x`, c)
		}
		text = text[n:]
	}
	return b
}
