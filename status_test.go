package porter

import (
	"encoding/json"
	"testing"
)

func TestExportStatus(t *testing.T) {
	tests := []struct {
		status                                  ExportStatus
		text                                    string
		known, terminal, downloadable, underWay bool
	}{
		{status: ExportNone, text: "none", known: true},
		{status: ExportQueued, text: "queued", known: true, underWay: true},
		{status: ExportStarted, text: "started", known: true, underWay: true},
		{status: ExportFinished, text: "finished", known: true, terminal: true, downloadable: true},
		{status: ExportRegenerating, text: "regeneration_in_progress", known: true, downloadable: true, underWay: true},
		{status: ExportFailed, text: "failed", known: true, terminal: true},
		{status: "after_export_action", text: "after_export_action", underWay: true},
		{status: "Finished", text: "Finished", underWay: true},
		{status: "", text: ""},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			s := tt.status
			if s.String() != tt.text || s.Known() != tt.known || s.Terminal() != tt.terminal ||
				s.Downloadable() != tt.downloadable || s.underWay() != tt.underWay {
				t.Errorf("text %q, known %t, terminal %t, downloadable %t, under way %t; want %+v",
					s, s.Known(), s.Terminal(), s.Downloadable(), s.underWay(), tt)
			}
			testJSON(t, s)
		})
	}
}

func TestImportStatus(t *testing.T) {
	tests := []struct {
		status          ImportStatus
		text            string
		known, terminal bool
	}{
		{ImportNone, "none", true, false},
		{ImportScheduled, "scheduled", true, false},
		{ImportStarted, "started", true, false},
		{ImportFinished, "finished", true, true},
		{ImportFailed, "failed", true, true},
		{ImportCanceled, "canceled", true, true},
		{"cancelled", "cancelled", false, false},
		{"", "", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			s := tt.status
			if s.String() != tt.text || s.Known() != tt.known || s.Terminal() != tt.terminal {
				t.Errorf("text %q, known %t, terminal %t; want %+v", s, s.Known(), s.Terminal(), tt)
			}
			testJSON(t, s)
		})
	}
}

func TestRelationImportStatus(t *testing.T) {
	tests := []struct {
		status          RelationImportStatus
		text            string
		known, terminal bool
	}{
		{RelationImportCreated, "created", true, false},
		{RelationImportStarted, "started", true, false},
		{RelationImportFinished, "finished", true, true},
		{RelationImportFailed, "failed", true, true},
		{"canceled", "canceled", false, false},
		{"", "", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			s := tt.status
			if s.String() != tt.text || s.Known() != tt.known || s.Terminal() != tt.terminal {
				t.Errorf("text %q, known %t, terminal %t; want %+v", s, s.Known(), s.Terminal(), tt)
			}
			testJSON(t, s)
		})
	}
}

// testJSON checks that a status is kept as GitLab sent it, known or not.
func testJSON[S ~string](t *testing.T, want S) {
	t.Helper()
	var got struct{ Status S }
	if err := json.Unmarshal([]byte(`{"status":"`+string(want)+`"}`), &got); err != nil || got.Status != want {
		t.Errorf("decoded %q, %v, want %q", got.Status, err, want)
	}
}

func TestRelations(t *testing.T) {
	want := map[Relation]string{
		RelationIssues:        "issues",
		RelationMergeRequests: "merge_requests",
		RelationMilestones:    "milestones",
		RelationPipelines:     "ci_pipelines",
	}
	for r, text := range want {
		if string(r) != text {
			t.Errorf("relation %q, want %q", r, text)
		}
	}
}
