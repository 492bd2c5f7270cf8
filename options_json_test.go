package porter_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed-5d77b939/porter"
)

// Options go through JSON and come back as they were, without their functions.
func TestOptionsAsJSON(t *testing.T) {
	t.Parallel()
	tell := func(context.Context, porter.Checkpoint) error { return nil }
	checkpoint := &porter.Checkpoint{
		Step: porter.StepImporting, Time: time.Date(2026, 2, 13, 4, 5, 6, 7, time.UTC), Source: 7, Target: "new/app", Import: 9,
	}
	yes, text, number := true, "text", int64(3600)
	overrides := &porter.ProjectOverrides{
		Description: &text, Visibility: porter.VisibilityInternal, Topics: []string{},
		Avatar:            &porter.Avatar{Name: "logo.png", Data: []byte{0, 0xff}},
		IssuesAccessLevel: porter.AccessPrivate, LFSEnabled: &yes, BuildTimeout: &number, MergeMethod: porter.MergeMethodFastForward,
		ContainerExpirationPolicy: &porter.ContainerExpirationPolicyOverrides{Enabled: &yes},
	}
	opts := porter.ImportOptions{
		Path: "app", Name: "App", Namespace: porter.NamespacePath("new"), Overwrite: true, Override: overrides, Resume: checkpoint,
	}
	byID := opts
	byID.Namespace = porter.NamespaceID(12)
	migrate := porter.MigrateOptions{
		Import: opts,
		Export: &porter.ExportOptions{
			ScheduleExportOptions: porter.ScheduleExportOptions{Description: "d"}, MaxAge: 90 * time.Minute, Prove: true, Strict: true,
			DownloadOptions: porter.DownloadOptions{SkipVerify: true, Mode: 0o640},
		},
		SpoolDir: "/var/tmp", NoSpool: true, SkipVerify: true, Strict: true, SkipCheck: true, Prove: true, Resume: checkpoint,
	}
	for name, v := range map[string]any{
		"nothing":                porter.ImportOptions{},
		"import":                 opts,
		"import by ID":           byID,
		"own namespace":          porter.ImportOptions{Path: "app"},
		"migration":              migrate,
		"nothing of a migration": porter.MigrateOptions{},
		"export":                 *migrate.Export,
		"checkpoint":             *checkpoint,
		"empty checkpoint":       porter.Checkpoint{},
	} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var diff string
		switch want := v.(type) {
		case porter.ImportOptions:
			diff = roundTrip(b, want)
		case porter.MigrateOptions:
			diff = roundTrip(b, want)
		case porter.ExportOptions:
			diff = roundTrip(b, want)
		case porter.Checkpoint:
			diff = roundTrip(b, want)
		}
		if diff != "" {
			t.Errorf("%s: %s comes back with\n%s", name, b, diff)
		}
	}
	// Functions are left out.
	opts.Checkpoint = tell
	migrate.Checkpoint = tell
	for _, v := range []any{opts, migrate} {
		b, err := json.Marshal(v)
		if err != nil || strings.Contains(string(b), `"Checkpoint"`) {
			t.Errorf("%s, %v", b, err)
		}
	}
	const want = `{"step":"importing","time":"2026-02-13T04:05:06.000000007Z","source":7,"target":"new/app","import":9}`
	if b, err := json.Marshal(checkpoint); err != nil || string(b) != want {
		t.Errorf("%s, %v", b, err)
	}
}

func roundTrip[T any](b []byte, want T) string {
	var got T
	if err := json.Unmarshal(b, &got); err != nil {
		return err.Error()
	}
	return cmp.Diff(want, got, cmpopts.IgnoreFields(porter.ImportOptions{}, "Checkpoint"),
		cmpopts.IgnoreFields(porter.MigrateOptions{}, "Checkpoint"))
}

// What no options hold is an error, and what JSON leaves out stays as it was.
func TestImportOptionsFromJSON(t *testing.T) {
	t.Parallel()
	was := porter.ImportOptions{Path: "app", Namespace: porter.NamespaceID(12)}
	for text, want := range map[string]porter.NamespaceRef{
		`{}`:                   porter.NamespaceID(12),
		`{"Namespace":null}`:   nil,
		`{"Namespace":"a/b"}`:  porter.NamespacePath("a/b"),
		`{"Namespace":7}`:      porter.NamespaceID(7),
		`{"namespace": "new"}`: porter.NamespacePath("new"),
	} {
		got := was
		if err := json.Unmarshal([]byte(text), &got); err != nil || got.Namespace != want || got.Path != "app" {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{`{"Namespace":true}`, `{"Namespace":{}}`, `{"Namespace":1.5}`, `{"Path":1}`, `[]`} {
		got := was
		if err := json.Unmarshal([]byte(text), &got); err == nil {
			t.Errorf("%s: %+v", text, got)
		}
	}
}
