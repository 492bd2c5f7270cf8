package porter_test

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
	"github.com/seed-5d77b939/porter/portertest/testclient"
)

// Backup is what TestBackup and TestBackupWithMock test.
func Backup(ctx context.Context, c *porter.Client, p porter.ProjectRef, name string) error {
	_, err := c.ExportToFile(ctx, p, name, nil)
	return err
}

func TestBackup(t *testing.T) {
	gitlab := portertest.NewServer(portertest.NoLimits())
	defer gitlab.Close()
	gitlab.AddProject(portertest.Project{Path: "group/app"})
	gitlab.Inject(portertest.Fault{Path: "/export/download", Do: portertest.CutResponse(1000)})

	client := testclient.New(t, gitlab)
	if err := Backup(t.Context(), client, porter.ProjectPath("group/app"), filepath.Join(t.TempDir(), "app.tar.gz")); err != nil {
		t.Fatal(err)
	}
}

func TestBackupFails(t *testing.T) {
	gitlab := portertest.NewServer(portertest.NoLimits())
	defer gitlab.Close()
	gitlab.AddProject(portertest.Project{Path: "group/app"})
	client := testclient.New(t, gitlab)

	gitlab.ScriptExport("group/app", portertest.ExportScript{Fault: portertest.FailRelation})
	var failed *porter.ExportError
	err := Backup(t.Context(), client, porter.ProjectPath("group/app"), filepath.Join(t.TempDir(), "app.tar.gz"))
	if !errors.As(err, &failed) {
		t.Errorf("got %v, want an ExportError", err)
	}
}

func TestImportFails(t *testing.T) {
	gitlab := portertest.NewServer(portertest.NoLimits())
	defer gitlab.Close()
	gitlab.AddGroup("new-team")

	gitlab.ScriptImport("new-team/app", portertest.ImportScript{Error: "No space left on device"})
	var failed *porter.ImportError
	_, err := testclient.New(t, gitlab).Import(t.Context(), sourceOf(smallArchive),
		porter.ImportOptions{Namespace: porter.NamespacePath("new-team"), Path: "app"})
	if !errors.As(err, &failed) || failed.Import.Error != "No space left on device" {
		t.Errorf("got %v, want an ImportError", err)
	}
}

func TestBackupWithMock(t *testing.T) {
	archive, err := io.ReadAll(portertest.NewArchive(1 << 20).NewReader())
	if err != nil {
		t.Fatal(err)
	}
	const project = "https://gitlab.example.com/api/v4/projects/42"
	status := func(s string) httpmock.Responder {
		return httpmock.NewStringResponder(200, `{"id":42,"path_with_namespace":"group/app","export_status":"`+s+`"}`)
	}
	mock := httpmock.NewMockTransport()
	mock.RegisterResponder("GET", project+"/export", status("none").Then(status("started")).Then(status("finished")))
	mock.RegisterResponder("POST", project+"/export", httpmock.NewStringResponder(202, `{"message":"202 Accepted"}`))
	mock.RegisterResponder("GET", project+"/export/download", httpmock.NewBytesResponder(200, archive))

	client, err := porter.NewClient("https://gitlab.example.com", porter.PrivateToken("secret"), porter.WithoutPacing(),
		porter.WithTransport(mock), porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(time.Millisecond)}))
	if err != nil {
		t.Fatal(err)
	}
	if err := Backup(t.Context(), client, porter.ProjectID(42), filepath.Join(t.TempDir(), "app.tar.gz")); err != nil {
		t.Fatal(err)
	}
	if n := mock.GetCallCountInfo()["POST "+project+"/export"]; n != 1 {
		t.Errorf("scheduled %d exports", n)
	}
}

// exporter is what Refresh needs of a *porter.Client.
type exporter interface {
	ScheduleExport(ctx context.Context, p porter.ProjectRef, opts *porter.ScheduleExportOptions) error
	WaitForExport(ctx context.Context, p porter.ProjectRef) (*porter.Export, error)
}

func Refresh(ctx context.Context, c exporter, p porter.ProjectRef) error {
	if err := c.ScheduleExport(ctx, p, nil); err != nil {
		return err
	}
	_, err := c.WaitForExport(ctx, p)
	return err
}

var _ exporter = (*porter.Client)(nil)

type failingExporter struct{}

func (failingExporter) ScheduleExport(context.Context, porter.ProjectRef, *porter.ScheduleExportOptions) error {
	return nil
}

func (failingExporter) WaitForExport(context.Context, porter.ProjectRef) (*porter.Export, error) {
	exp := &porter.Export{Status: porter.ExportFailed}
	return exp, &porter.ExportError{Export: exp}
}

func TestRefresh(t *testing.T) {
	var failed *porter.ExportError
	if err := Refresh(t.Context(), failingExporter{}, porter.ProjectID(42)); !errors.As(err, &failed) {
		t.Errorf("got %v, want an ExportError", err)
	}
}
