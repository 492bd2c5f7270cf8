package porter

import "fmt"

// maxLineFaults is how many lines are told of that are not what they should be.
const maxLineFaults = 16

// A relationCheck reads a file of a relation: one JSON document a line.
type relationCheck struct {
	recordScan
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
		n, ended := r.take(p)
		if p = p[n:]; ended {
			r.endLine()
		}
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
	rec := r.endRecord()
	switch {
	case rec.problem == "" && !rec.null:
		r.records++
	case rec.problem == "":
	case len(r.faults) < maxLineFaults:
		r.faults = append(r.faults, lineFault{rec.line, rec.problem})
	default:
		r.more++
	}
	if r.members != nil {
		r.members.endLine(rec.problem == "")
	}
	r.bytes += rec.length
	r.longest = max(r.longest, rec.length)
}
