package porter

import (
	"context"
	"fmt"

	"github.com/seed-5d77b939/porter/internal/diskio"
	"github.com/seed-5d77b939/porter/internal/pace"
	"github.com/seed-5d77b939/porter/internal/wait"
)

// lookBudget is what a look at a project counts against since GitLab 18.1.
var lookBudget = pace.Budget{Key: "project", Limit: 400}

// estimateArchive returns about how many bytes the archive of a project will
// have, 0 if that can't be known: GitLab tells the sizes of a project to
// Reporters only, and they may be old.
//
// GET /projects/:id?statistics=true:
// https://docs.gitlab.com/api/projects/#retrieve-a-project
func (c *Client) estimateArchive(ctx context.Context, id, label string) int64 {
	var p struct {
		ID         ProjectID `json:"id"`
		Statistics struct {
			Repository int64 `json:"repository_size"`
			Wiki       int64 `json:"wiki_size"`
			LFS        int64 `json:"lfs_objects_size"`
			Snippets   int64 `json:"snippets_size"`
			Uploads    int64 `json:"uploads_size"`
		} `json:"statistics"`
	}
	err := c.getJSON(ctx, &request{
		url:     c.projectURL(id) + "?statistics=true",
		budget:  lookBudget,
		project: label,
		hints:   exportHints,
		once:    true,
	}, &p, func() bool { return p.ID > 0 })
	if err != nil {
		return 0
	}
	s := p.Statistics
	return s.Repository + s.Wiki + s.LFS + s.Snippets + s.Uploads
}

// checkSpool makes sure that the archive of a project will have room in a
// folder, as far as anybody can tell before it is made. What it holds may be
// compressed, so only half of the estimate has to fit.
func (c *Client) checkSpool(ctx context.Context, id, label, dir string) error {
	if diskio.InMemory(dir) {
		c.cfg.logger.WarnContext(ctx, "the spool file takes up memory: its folder is on no disk; see SpoolDir", "project", label, "folder", dir)
	}
	if _, known := diskio.FreeSpace(dir); !known {
		return nil
	}
	size := c.estimateArchive(ctx, id, label)
	if err := diskio.CheckSpace(dir, size/2); err != nil {
		return fmt.Errorf("the archive will have about %d bytes: %w", size, err)
	}
	return wait.Ended(ctx)
}
