package main

import (
	"context"
	"path/filepath"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/input"
)

// exports returns the projects with their files.
func exports(all []*input.Wanted, dir string) ([]project, error) {
	var projects []project
	for _, w := range all {
		name := filepath.FromSlash(w.Name) + ".tar.gz"
		if !filepath.IsLocal(name) {
			return nil, input.Misused("%s can be no file on this system", name)
		}
		projects = append(projects, project{Name: w.Name, ID: w.ID, File: filepath.Join(dir, name), Step: stepWaiting})
	}
	return projects, nil
}

// migrations returns the projects with their targets. Those of which the path
// has to be known and can't be have failed.
func migrations(ctx context.Context, all []*input.Wanted, namespace string, from *porter.Client) ([]project, error) {
	targets, err := input.Migrations(ctx, all, namespace, from)
	if err != nil {
		return nil, err
	}
	var projects []project
	for _, m := range targets {
		p := project{Name: m.Name, ID: m.ID, Target: m.Target, Step: stepWaiting, Err: m.Err}
		if p.Err != nil {
			p.Step = stepFailed
		}
		projects = append(projects, p)
	}
	return projects, nil
}
