package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/input"
)

// An estimate is what is known of how long a run takes.
type estimate struct {
	projects  int           // that are left to do
	perMinute int           // that GitLab lets begin, 0 for any number
	bound     time.Duration // how long that, and what is known of the jobs, make it at least
	longest   time.Duration // job known of earlier runs, 0 for none
	who       string        // was the longest
}

// newEstimate goes by the limits, and by how long the jobs took earlier.
func newEstimate(projects []project, rate porter.Pacing, migrate bool, took map[string]time.Duration) estimate {
	e := estimate{perMinute: perMinute(rate.Exports)}
	if imports := perMinute(rate.Imports); migrate && imports > 0 && (imports < e.perMinute || e.perMinute == 0) {
		e.perMinute = imports
	}
	for _, p := range projects {
		if p.Step.ended() {
			continue
		}
		begins := time.Duration(0)
		if e.perMinute > 0 {
			begins = time.Duration(e.projects/e.perMinute) * time.Minute
		}
		e.projects++
		known := took[recordOf(p).key()]
		e.bound = max(e.bound, begins+known)
		if known > e.longest {
			e.longest, e.who = known, p.Name
		}
	}
	return e
}

// perMinute is a limit of porter.Pacing: GitLab's own if it is not given.
func perMinute(limit int) int {
	switch {
	case limit == 0:
		return 6
	case limit < 0:
		return 0
	}
	return limit
}

func (e estimate) String() string {
	s := fmt.Sprintf("%d to do", e.projects)
	switch {
	case e.projects == 0:
		return s + "."
	case e.perMinute > 0:
		s += fmt.Sprintf("; at %d a minute the last begins %s after the first", e.perMinute,
			time.Duration((e.projects-1)/e.perMinute)*time.Minute)
	}
	if e.longest > 0 {
		s += fmt.Sprintf("; the longest job known took %s (%s)", e.longest.Round(time.Second), e.who)
	} else {
		s += "; how long a job takes is not known yet"
	}
	return s + fmt.Sprintf(". In all at least %s.", e.bound.Round(time.Second))
}

// A planner says what a run would do.
type planner struct {
	from, to *instance
	past     *history // nil for none
	maxAge   time.Duration
}

// plan writes what would become of each project, and an estimate, unless it is
// cut off. It returns the projects with the errors that were found on the way.
func (w *planner) plan(ctx context.Context, projects []project, rate porter.Pacing, took map[string]time.Duration,
	out io.Writer) []project {
	projects = recallAll(w.past, projects)
	e := newEstimate(projects, rate, w.to != nil, took)
	var notes notes
	texts := make([]string, len(projects))
	var g errgroup.Group
	g.SetLimit(input.Lookers)
	for i := range projects {
		g.Go(func() error {
			p := &projects[i]
			texts[i] = w.fate(ctx, p, &notes)
			if p.Err != nil {
				p.Step = stepFailed
				texts[i] = "would fail: " + p.Err.Error()
			}
			return nil
		})
	}
	g.Wait()
	if ctx.Err() != nil {
		return projects // what is not known is no failure
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, p := range projects {
		fmt.Fprintf(table, "%s\t%s\t%s\n", p.Name, p.Target+p.File, texts[i])
	}
	table.Flush()
	notes.write(out, len(projects))
	fmt.Fprintf(out, "\n%d projects: %v\n", len(projects), e)
	return projects
}

// fate says what would become of a project, and sets its Err if that is a
// failure.
func (w *planner) fate(ctx context.Context, p *project, notes *notes) string {
	if p.Err != nil {
		return ""
	}
	if p.Step.ended() {
		return "taken from the journal: it is there already"
	}
	if w.past != nil {
		if r, known := w.past.of(*p); known && r.Checkpoint != nil {
			return fmt.Sprintf("taken up where it was by the journal: %s", r.Checkpoint.Step)
		}
		if p.File != "" && madeSince(p.File, w.past.header.Begun) > 0 {
			return "the file of the earlier run is whole"
		}
	}
	ref, err := porter.ParseProject(p.Name)
	if err != nil {
		p.Err = err
		return ""
	}
	text := w.source(ctx, p, ref)
	if p.Err == nil {
		p.Err = w.check(ctx, *p, ref, notes)
	}
	if w.to != nil {
		text += "; " + p.Target + " is free"
	}
	return text
}

// source says where the archive would come from.
func (w *planner) source(ctx context.Context, p *project, ref porter.ProjectRef) string {
	exp, err := w.from.GetExport(ctx, ref)
	if err != nil {
		p.Err = err
		return ""
	}
	p.ID = exp.ID
	maxAge := w.maxAge
	if w.past != nil && w.to == nil {
		maxAge = max(maxAge, time.Since(w.past.header.Begun)+clockSlack)
	}
	switch {
	case exp.Status == porter.ExportFinished && maxAge > 0: // its age would cost the download of this minute
		return fmt.Sprintf("the archive that is there, if it is not older than %s, else a new export", maxAge.Round(time.Second))
	case exp.Status.Terminal() || exp.Status == porter.ExportNone:
		return "a new export"
	}
	return fmt.Sprintf("joins the export under way (%s)", exp.Status)
}

// check looks for what would make a project fail, and notes what else may be
// unexpected.
func (w *planner) check(ctx context.Context, p project, ref porter.ProjectRef, notes *notes) error {
	var found *porter.Check
	var err error
	if w.to == nil {
		found, err = w.from.CheckExport(ctx, ref)
	} else {
		found, err = porter.CheckMigration(ctx, w.from.Client, ref, w.to.Client, porter.MigrateOptions{Import: importOf(p)})
	}
	if err != nil {
		return err
	}
	for _, f := range found.Findings {
		if !f.Certain {
			notes.add(p.Name, f.Text)
		}
	}
	return found.Err()
}

// notes are what may be unexpected, with the projects of which it was said.
type notes struct {
	mu    sync.Mutex
	texts map[string][]string
}

func (n *notes) add(project, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.texts == nil {
		n.texts = map[string][]string{}
	}
	n.texts[text] = append(n.texts[text], project)
}

// notedNames is how many projects a note names.
const notedNames = 3

func (n *notes) write(out io.Writer, all int) {
	for i, text := range slices.Sorted(maps.Keys(n.texts)) {
		if i == 0 {
			fmt.Fprintln(out)
		}
		names := n.texts[text]
		slices.Sort(names)
		who := strings.Join(names[:min(len(names), notedNames)], ", ")
		switch {
		case len(names) == all && all > 1:
			who = "all"
		case len(names) > notedNames:
			who += fmt.Sprintf(" and %d more", len(names)-notedNames)
		}
		fmt.Fprintf(out, "Note: %s (%s)\n", text, who)
	}
}
