package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/seed-5d77b939/porter/examples/fleet"
	"github.com/seed-5d77b939/porter/portertest"
)

const (
	user        = "migrator"
	archiveSize = 256 << 10
	window      = 15 // projects under way at a time
)

// A scene is two simulated instances with their projects.
type scene struct {
	from, to *portertest.Server
	archives map[string]*portertest.Archive // by the path of the project
}

func newScene(projects int, random *rand.Rand) *scene {
	opts := []portertest.Option{portertest.NoLimits(), portertest.Downloads(portertest.Redirected)}
	s := &scene{from: portertest.NewServer(opts...), to: portertest.NewServer(opts...), archives: map[string]*portertest.Archive{}}
	s.to.AddGroup("new")
	seconds := func(from, to float64) time.Duration {
		return time.Duration((from + random.Float64()*(to-from)) * float64(time.Second))
	}
	for i := range projects {
		name := fmt.Sprintf("service-%02d", i+1)
		archive := portertest.NewArchive(archiveSize, portertest.ArchiveSeed(int64(i)))
		s.archives[name] = archive
		s.from.AddProject(portertest.Project{Path: "old/" + name, Archive: archive})
		s.from.ScriptExport("old/"+name, portertest.ExportScript{Timing: &portertest.Timings{
			Queue: seconds(0, 0.5), Start: seconds(0, 0.5), Assemble: seconds(1, 4), Store: seconds(0, 0.5)}})
		s.to.ScriptImport("new/"+name, portertest.ImportScript{Timing: &portertest.Timings{ImportQueue: seconds(0, 0.5), Import: seconds(1, 4)}})
	}
	return s
}

func (s *scene) close() {
	s.from.Close()
	s.to.Close()
}

// list is what the workflow is started with. Whoever dies is noticed soon.
func (s *scene) list() (l fleet.List, err error) {
	l = fleet.List{Window: window, Renew: 25, Timing: fleet.Timing{
		Look: 3 * time.Second, Heartbeat: 1500 * time.Millisecond, Poll: time.Second}}
	l.Site.User = user
	if l.Site.Source, err = fleet.Instance(s.from.URL); err != nil {
		return l, err
	}
	if l.Site.Destination, err = fleet.Instance(s.to.URL); err != nil {
		return l, err
	}
	for i := range len(s.archives) {
		name := fmt.Sprintf("service-%02d", i+1)
		l.Projects = append(l.Projects, fleet.Project{Name: "old/" + name, Target: "new/" + name})
	}
	return l, nil
}

// requests is how many requests both instances were sent.
func (s *scene) requests() int { return len(s.from.Requests()) + len(s.to.Requests()) }

// prove counts what was done, and compares what went in with what came out.
func (s *scene) prove(out io.Writer) error {
	exports, whole, broken, good := 0, 0, 0, 0
	var errs []error
	for name, archive := range s.archives {
		n := len(s.from.Exports("old/" + name))
		exports += n
		if n != 1 {
			errs = append(errs, fmt.Errorf("old/%s was exported %d times", name, n))
		}
		p := s.to.Project("new/" + name)
		if p == nil || p.ImportStatus != "finished" || p.ArchiveSHA256 != archive.SHA256() {
			errs = append(errs, fmt.Errorf("new/%s is %+v", name, p))
			continue
		}
		good++
	}
	for _, r := range s.to.Requests() {
		switch {
		case r.Method != "POST":
		case r.Complete:
			whole++
		default:
			broken++
		}
	}
	if whole != len(s.archives) {
		errs = append(errs, fmt.Errorf("%d archives were sent whole", whole))
	}
	there := len(s.to.Projects())
	if there != len(s.archives) {
		errs = append(errs, fmt.Errorf("%d projects are at the destination", there))
	}
	fmt.Fprintf(out, "exports:  %d of %d projects\n", exports, len(s.archives))
	fmt.Fprintf(out, "uploads:  %d sent whole, %d broken off by a kill\n", whole, broken)
	fmt.Fprintf(out, "projects: %d at the destination, %d of them equal to what was exported\n", there, good)
	return errors.Join(errs...)
}
