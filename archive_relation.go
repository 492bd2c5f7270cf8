package porter

import (
	"bytes"
	"fmt"
)

// maxDocument is the most that GitLab's importer takes for one record, with
// its newline, or for the project's own attributes: 50 MiB. What is longer it
// cuts, and then cannot parse.
const maxDocument = 50 << 20

// maxLineFaults is how many lines are told of that are not what they should be.
const maxLineFaults = 16

// A relationCheck reads a file of a relation: one JSON document a line.
type relationCheck struct {
	scan    jsonScanner
	length  int64  // of the line so far
	bad     string // what is wrong with it
	line    int    // counted from 0, as GitLab does
	bytes   int64
	longest int64
	records int64
	faults  []lineFault
	more    int          // lines with a fault that are not told
	members *memberSink  // of project_members
	items   *recordsSink // of other relations, if somebody asks
}

// A lineFault is what is wrong with a line.
type lineFault struct {
	line int
	what string
}

// newRelationCheck returns what reads the members, or another relation. Who is
// in it is counted in census, unless that is nil.
func newRelationCheck(members bool, census *census) *relationCheck {
	r := new(relationCheck)
	switch {
	case members:
		r.members = &memberSink{census: census}
		r.scan.sink = r.members
	case census != nil:
		r.items = &recordsSink{census: census}
		r.scan.sink = r.items
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
		if r.bad == "" && r.length <= maxDocument {
			r.bad = r.scan.write(piece)
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
	if len(r.faults) == 0 {
		return ""
	}
	return fmt.Sprintf("line %d (counted from 0) is %s", r.faults[0].line, r.faults[0].what)
}

func (r *relationCheck) endLine() {
	problem := endRecord(&r.scan, r.length, r.bad)
	switch {
	case problem == "":
	case len(r.faults) < maxLineFaults:
		r.faults = append(r.faults, lineFault{r.line, problem})
	default:
		r.more++
	}
	if problem == "" && r.scan.first != 'n' {
		r.records++
	}
	if r.members != nil {
		r.members.endLine(problem == "")
	}
	r.bytes += r.length
	r.longest = max(r.longest, r.length)
	r.line++
	r.length, r.bad = 0, ""
	r.scan.reset()
}

// endRecord ends a record of so many bytes, with its newline. It returns what
// is wrong with it, or "".
func endRecord(scan *jsonScanner, length int64, problem string) string {
	switch {
	case length > maxDocument:
		return fmt.Sprintf("%d bytes long, and GitLab takes no more than %d", length, maxDocument)
	case problem != "":
		return problem
	}
	return scan.end()
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
