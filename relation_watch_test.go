package porter_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"

	"github.com/seed-5d77b939/porter"
)

// timetable answers every GET with what at says so long after the test began,
// and counts them.
func timetable(at func(time.Duration) string) (mock *httpmock.MockTransport, looks *int) {
	begun := time.Now()
	mock, looks = httpmock.NewMockTransport(), new(int)
	mock.RegisterNoResponder(func(*http.Request) (*http.Response, error) {
		*looks++
		resp := httpmock.NewStringResponse(200, at(time.Since(begun)))
		resp.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
		return resp, nil
	})
	return mock, looks
}

var everyMinute = porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(time.Minute)})

func TestWatchRelationExports(t *testing.T) {
	t.Parallel()
	const row = `{"relation":%q,"status":%d,"updated_at":"2026-01-01T00:00:00Z","batched":false}`
	synctest.Test(t, func(t *testing.T) {
		mock, looks := timetable(func(d time.Duration) string {
			labels, issues := fmt.Sprintf(row, "labels", 1), fmt.Sprintf(row, "issues", 0)
			switch {
			case d < time.Minute:
				return "[]"
			case d >= 2*time.Minute:
				issues = fmt.Sprintf(row, "issues", -1)
			}
			return "[" + labels + "," + issues + "," + fmt.Sprintf(row, "self", 0) + "]"
		})
		exports := mocked(t, mock, everyMinute).WatchRelationExports(t.Context(), porter.ProjectPath("team/app"), time.Time{},
			porter.PortableIssues, porter.PortableLabels)
		for _, round := range []struct {
			name string
			want []string
		}{
			{"from the start", []string{"", "labels finished, issues started", "labels finished, issues failed",
				"export of relation issues failed"}},
			{"once more", []string{"labels finished, issues failed", "export of relation issues failed"}},
		} {
			var got []string
			for list, err := range exports {
				if err != nil {
					if !errors.As(err, new(*porter.RelationExportError)) || list != nil {
						t.Errorf("%s: got %v with %d states", round.name, err, len(list))
					}
					got = append(got, err.Error())
					continue
				}
				var states []string
				for _, e := range list {
					states = append(states, fmt.Sprint(e.Relation, " ", e.Status))
				}
				got = append(got, strings.Join(states, ", "))
			}
			if diff := cmp.Diff(round.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", round.name, diff)
			}
		}
		*looks = 0
		for range exports {
			break
		}
		if *looks != 1 {
			t.Errorf("looked %d times for one that stops at the first", *looks)
		}
	})
}

func TestWatchRelationImport(t *testing.T) {
	t.Parallel()
	for end, want := range map[string][]string{
		"finished": {"created", "started", "finished"},
		"failed":   {"created", "started", "failed", "import of issues into team/app failed (relation import 31)"},
		"": {"created", "started",
			`wait for relation import of team/app: not found: the project has no relation import 31 (status "none" after 5m0s, 6 polls)`},
	} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			states := []string{"", "created", "", "started", end}
			mock, _ := timetable(func(d time.Duration) string {
				rows := []string{relationTracker(32, "failed", begun)}
				if state := states[min(int(d/time.Minute), len(states)-1)]; state != "" {
					rows = append(rows, relationTracker(31, state, begun))
				}
				return "[" + strings.Join(rows, ",") + "]"
			})
			c := mocked(t, mock, everyMinute)
			var got []string
			for imp, err := range c.WatchRelationImport(t.Context(), porter.ProjectPath("team/app"), 31) {
				switch {
				case err == nil && imp == nil:
					t.Fatal("an answer that does not list it was yielded")
				case err == nil:
					got = append(got, imp.Status.String())
				default:
					got = append(got, err.Error())
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%q (-want +got):\n%s", end, diff)
			}
			if last, err := c.WaitForRelationImport(t.Context(), porter.ProjectPath("team/app"), 31); (last == nil) != (end == "") ||
				(err == nil) != (end == "finished") {
				t.Errorf("%q: later waiting says %v, %v", end, last, err)
			}
		})
	}
}

func TestRelationNames(t *testing.T) {
	known := []porter.Relation{porter.RelationIssues, porter.RelationMergeRequests, porter.RelationMilestones, porter.RelationPipelines}
	for _, r := range append(slices.Clone(known), "labels", "") {
		if r.String() != string(r) || r.Known() != slices.Contains(known, r) {
			t.Errorf("%q: String %q, Known %t", string(r), r, r.Known())
		}
	}
	if text := porter.PortablePipelines.String(); text != "ci_pipelines" {
		t.Errorf("String is %q", text)
	}
}
