package porter

import (
	"context"
	"fmt"

	"github.com/seed-5d77b939/porter/internal/diskio"
)

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
	var size int64
	if s, err := c.lookAtSize(ctx, id, label); err != nil {
		return err
	} else if s != nil {
		size = s.archive()
	}
	if err := diskio.CheckSpace(dir, size/2); err != nil {
		return fmt.Errorf("the archive will have about %d bytes: %w", size, err)
	}
	return nil
}
