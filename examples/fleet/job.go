package fleet

import (
	"cmp"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/seed-5d77b939/porter"
)

// A Site is a source, a destination, and the user who moves projects from one to
// the other. It names the queues, and holds no secret.
type Site struct {
	User        string `json:"user"` // any name: workers with the tokens of another user have another one
	Source      string `json:"source"`
	Destination string `json:"destination"` // both as Instance has them
}

// Instance returns what an instance is called in arguments and workflow IDs: its
// URL without the scheme.
func Instance(base string) (string, error) {
	c, err := porter.NewClient(base, func(*http.Request) error { return nil })
	if err != nil {
		return "", err
	}
	_, name, _ := strings.Cut(strings.TrimSuffix(c.BaseURL(), "/api/v4/"), "://")
	return strings.ToLower(name), nil
}

// The kinds of queues.
const (
	Workflows = "workflows" // decides what comes next
	Polls     = "polls"     // looks, which takes no time
	Posts     = "posts"     // schedules exports: for one worker, which keeps to GitLab's limit
	Transfers = "transfers" // moves archives: for any number of workers
)

// Kinds are all kinds of queues.
var Kinds = []string{Workflows, Polls, Posts, Transfers}

// Queue returns the name of the user's queue of a kind.
func (s Site) Queue(kind string) string { return s.User + "-" + kind }

// WorkflowID is the same for all who want that project migrated.
func (s Site) WorkflowID(p Project) string {
	return "migrate:" + s.Source + ":" + strings.ToLower(p.Name)
}

// ListID is the ID of the workflow of a list.
func (s Site) ListID(name string) string { return "list:" + s.Source + ":" + name }

// A Project is what is to be migrated.
type Project struct {
	Name   string `json:"name"`   // full path or ID at the source
	Target string `json:"target"` // full path at the destination
}

// A Job is all that the migration of a project needs to know.
type Job struct {
	Site
	Project
	Timing Timing `json:"timing"`
}

// ref is the project at the source.
func (j Job) ref() (porter.ProjectRef, error) { return porter.ParseProject(j.Name) }

// importOptions say where the project goes.
func (j Job) importOptions() porter.ImportOptions {
	return porter.ImportOptions{Namespace: porter.NamespacePath(path.Dir(j.Target)), Path: path.Base(j.Target)}
}

// Timing says how soon a worker that died is noticed, and how often GitLab is
// looked at. Zero fields stand for the defaults.
type Timing struct {
	Look      time.Duration `json:"look,omitempty"`      // that a look may take: 5 minutes
	Heartbeat time.Duration `json:"heartbeat,omitempty"` // after which a silent transfer is given to another worker: 30 seconds
	Poll      time.Duration `json:"poll,omitempty"`      // between looks at a job that takes long: 30 seconds
}

func (t Timing) look() time.Duration      { return cmp.Or(t.Look, 5*time.Minute) }
func (t Timing) heartbeat() time.Duration { return cmp.Or(t.Heartbeat, 30*time.Second) }
func (t Timing) poll() time.Duration      { return cmp.Or(t.Poll, 30*time.Second) }

// An Outcome is a project that was migrated.
type Outcome struct {
	ID    porter.ProjectID `json:"id"`             // at the destination
	Bytes int64            `json:"bytes"`          // of the archive; 0 if a worker died before it could tell
	Lost  []string         `json:"lost,omitempty"` // what GitLab left out, for people
}

// bounded keeps a text short.
func bounded(s string) string {
	if len(s) > 500 {
		s = strings.ToValidUTF8(s[:500], "") + "…"
	}
	return s
}
