package porter

import (
	"bytes"
	"fmt"
)

// maxDocument is the most that GitLab's importer takes for one record, with
// its newline, or for the project's own attributes: 50 MiB. What is longer it
// cuts, and then cannot parse.
const maxDocument = 50 << 20

// A relationCheck reads a file of a relation: one JSON document a line.
type relationCheck struct {
	scan    jsonScanner
	line    int64 // counted from 0, as GitLab does
	length  int64 // of the line so far
	longest int64
	records int64
	problem string // with the first line that has one
	people  *memberCount
}

func newRelationCheck(members bool) *relationCheck {
	r := new(relationCheck)
	if members {
		r.people = new(memberCount)
		r.scan.sink = r.people
	}
	r.scan.reset()
	return r
}

func (r *relationCheck) write(p []byte) {
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		piece := p
		if i >= 0 {
			piece = p[:i]
		}
		r.length += int64(len(piece))
		if r.problem == "" && r.length <= maxDocument {
			r.blame(r.scan.write(piece))
		}
		if i < 0 {
			return
		}
		r.length++
		r.endLine()
		p = p[i+1:]
	}
}

func (r *relationCheck) end() string {
	if r.length > 0 {
		r.endLine()
	}
	return r.problem
}

func (r *relationCheck) endLine() {
	if r.length > maxDocument {
		r.blame(fmt.Sprintf("%d bytes long, and GitLab takes no more than %d", r.length, maxDocument))
	}
	r.longest = max(r.longest, r.length)
	if r.problem == "" {
		r.blame(r.scan.end())
	}
	if r.problem == "" && r.scan.first != 'n' {
		r.records++
	}
	r.line++
	r.length = 0
	r.scan.reset()
	if r.people != nil {
		r.people.endLine()
	}
}

func (r *relationCheck) blame(problem string) {
	if problem != "" && r.problem == "" {
		r.problem = fmt.Sprintf("line %d (counted from 0) is %s", r.line, problem)
	}
}

// A memberCount counts the users in project_members. GitLab maps one by the
// public address, or, in archives of old, the primary one.
type memberCount struct {
	users      int
	unmappable int
	inUser     bool
	isEmail    bool
	user       bool // this line's
	email      bool
}

func (m *memberCount) key(depth int, text []byte) {
	switch depth {
	case 1:
		m.inUser = string(text) == "user"
	case 2:
		m.isEmail = string(text) == "public_email" || string(text) == "email"
	}
}

func (m *memberCount) value(depth int, first byte, text []byte) {
	switch {
	case depth == 1 && m.inUser:
		m.user = first == '{'
	case depth == 2 && m.inUser && m.isEmail && first == '"' && len(text) > 0:
		m.email = true
	}
}

func (m *memberCount) endLine() {
	if m.user {
		m.users++
		if !m.email {
			m.unmappable++
		}
	}
	*m = memberCount{users: m.users, unmappable: m.unmappable}
}

// A documentCheck reads a file that is one JSON document, of which GitLab
// takes the first limit bytes, or, if limit is 0, all.
type documentCheck struct {
	scan    jsonScanner
	n       int64
	limit   int64
	problem string
}

func newDocumentCheck(limit int64, sink jsonSink) *documentCheck {
	d := &documentCheck{limit: limit, scan: jsonScanner{sink: sink}}
	d.scan.reset()
	return d
}

func (d *documentCheck) write(p []byte) {
	if d.limit > 0 {
		p = p[:min(int64(len(p)), d.limit-d.n)]
	}
	d.n += int64(len(p))
	if d.problem == "" {
		d.problem = d.scan.write(p)
	}
}

func (d *documentCheck) end() string {
	if d.problem == "" {
		d.problem = d.scan.end()
	}
	switch {
	case d.problem == "":
		return ""
	case d.limit > 0 && d.n == d.limit:
		return fmt.Sprintf("it is %s, and GitLab reads no more than %d bytes", d.problem, d.limit)
	}
	return "it is " + d.problem
}
