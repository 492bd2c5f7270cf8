package main

import (
	"io"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
)

// A report is what is told of an archive.
type report struct {
	name string
	size int64 // packed; -1 if not known
	*porter.Inspection
}

// A verdict says whether GitLab imports an archive.
type verdict string

const (
	importable   verdict = "importable"
	olderOnly    verdict = "older_only" // releases before 15.11
	unimportable verdict = "unimportable"
)

// verdict returns whether GitLab imports the archive, and if not, the first
// reason that it comes to.
func (r *report) verdict() (v verdict, why string) {
	for _, p := range r.Problems {
		if p.Fatal {
			return unimportable, p.String()
		}
	}
	if r.Tree == porter.TreeJSON {
		return olderOnly, ""
	}
	return importable, ""
}

func (r *report) exitCode() int {
	if v, _ := r.verdict(); v != importable {
		return cli.Incomplete
	}
	return cli.OK
}

// attribution is whose the references to people become.
type attribution struct {
	mappable, importers int64
}

// attribution counts the references of those who have an address, and all
// others. What is no reference to a member is the importer's as well.
func (r *report) attribution() attribution {
	a := attribution{importers: r.Strangers}
	for _, p := range r.People {
		if p.Email != "" {
			a.mappable += p.References
		} else {
			a.importers += p.References
		}
	}
	return a
}

func (r *report) write(w io.Writer, asJSON bool) error {
	if asJSON {
		return r.writeJSON(w)
	}
	return r.writeText(w)
}
