package porter_test

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// A spool that has no room is told before anything is exported, if GitLab tells
// how large the project is. If it does not, that means nothing.
func TestSpoolHasRoom(t *testing.T) {
	t.Parallel()
	if !slices.Contains([]string{"linux", "darwin", "windows"}, runtime.GOOS) {
		t.Skip("this system does not tell what is free")
	}
	sizes := func(repository, lfs int64) string {
		return fmt.Sprintf(`{"id":1001,"statistics":{"repository_size":%d,"lfs_objects_size":%d,"job_artifacts_size":%d}}`, repository, lfs,
			int64(1)<<60)
	}
	tests := []struct {
		name   string
		status int
		body   string
		ok     bool
	}{
		{"small", 200, sizes(1000, 0), true},
		{"huge", 200, sizes(1<<59, 1<<59), false},
		{"no statistics", 200, `{"id":1001}`, true},
		{"null", 200, `{"id":1001,"statistics":null}`, true},
		{"refused", 403, `{"message":"403 Forbidden"}`, true},
		{"limited", 429, "Retry later\n", true},
		{"no such route", 404, `{"error":"404 Not Found"}`, true},
		{"a page", 200, "<html>", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src, dst := migratePair(t, portertest.NewArchive(100<<10))
			rt := roundTripper(func(req *http.Request) (*http.Response, error) {
				if req.URL.Query().Get("statistics") == "true" {
					return retryAnswer(tt.status, nil, tt.body)(req)
				}
				return src.Transport().RoundTrip(req)
			})
			from := connect(t, src, porter.WithTransport(rt))
			_, err := porter.Migrate(t.Context(), from, migrateApp, connect(t, dst),
				porter.MigrateOptions{Import: intoNew, SpoolDir: t.TempDir()})
			if tt.ok != (err == nil) {
				t.Errorf("error is %v", err)
			}
			if posts := count(src, http.MethodPost, "/export"); !tt.ok &&
				(posts > 0 || !strings.Contains(err.Error(), "; SpoolDir names the folder")) {
				t.Errorf("%d exports: %v", posts, err)
			}
		})
	}
}
