package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

// All views of one run tell what each would tell alone.
func TestViews(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "bulk.prom")
	synctest.Test(t, func(t *testing.T) {
		c := &terminal{t: t, width: 100, height: 24}
		var log, objects bytes.Buffer
		s := tell(views{screenOn(c, c.size), newLines(&log), newJSON(&objects), newMetrics(file)})
		s.middle()
		s.finish()
		wantText(t, log.String(), golden(t, "story.log"))
		wantText(t, objects.String(), golden(t, "story.json"))
		if text := c.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "group/gone failed: not found") {
			t.Errorf("the terminal shows\n%s", text)
		}
		if text := readMetrics(t, file); !strings.Contains(text, `bulk_running{command="export"} 0`) {
			t.Errorf("the metrics are\n%s", text)
		}
	})
}
