package porter

import (
	"bytes"
	"fmt"
)

// maxDocument is the most that GitLab's importer takes for one record, with
// its newline, or for the project's own attributes: 50 MiB. What is longer it
// cuts, and then cannot parse.
const maxDocument = 50 << 20

// A recordScan reads records: one JSON document a line, of any length.
type recordScan struct {
	scan   jsonScanner
	line   int    // counted from 0, as GitLab does
	length int64  // of the line so far
	bad    string // what is wrong with it
}

// A record is what was found in a line.
type record struct {
	line    int
	length  int64  // with its newline
	problem string // "" for none
	null    bool   // it holds none
}

// take takes p up to the end of the line at hand. It returns how much that is,
// and whether the line ended.
func (r *recordScan) take(p []byte) (n int, ended bool) {
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
		return len(p), false
	}
	r.length++
	return i + 1, true
}

// endRecord ends the line at hand, and begins the next one.
func (r *recordScan) endRecord() record {
	rec := record{line: r.line, length: r.length, problem: r.bad}
	switch {
	case r.length > maxDocument:
		rec.problem = fmt.Sprintf("%d bytes long, and GitLab takes no more than %d", r.length, maxDocument)
	case r.bad == "":
		rec.problem = r.scan.end()
		rec.null = rec.problem == "" && r.scan.first == 'n'
	}
	r.line++
	r.length, r.bad = 0, ""
	r.scan.reset()
	return rec
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
