package comingfrom

import (
	"bytes"
	"context"
	"os"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go"

	"github.com/seed-5d77b939/porter"
)

// pause is how long the loops of client-go wait.
var pause = time.Second

func exportWithClientGo(ctx context.Context) error {
	git, err := gitlab.NewClient(os.Getenv("GITLAB_TOKEN"), gitlab.WithBaseURL(os.Getenv("GITLAB_URL")))
	if err != nil {
		return err
	}
	if _, err := git.ProjectImportExport.ScheduleExport("group/app", nil, gitlab.WithContext(ctx)); err != nil {
		return err
	}
	for {
		status, _, err := git.ProjectImportExport.ExportStatus("group/app", gitlab.WithContext(ctx))
		if err != nil {
			return err
		}
		if status.ExportStatus == "finished" {
			break
		}
		time.Sleep(pause)
	}
	archive, _, err := git.ProjectImportExport.ExportDownload("group/app", gitlab.WithContext(ctx))
	if err != nil {
		return err
	}
	return os.WriteFile("app.tar.gz", archive, 0o600)
}

func exportWithPorter(ctx context.Context, opts ...porter.Option) error {
	client, err := porter.NewClient(os.Getenv("GITLAB_URL"), porter.PrivateToken(os.Getenv("GITLAB_TOKEN")), opts...)
	if err != nil {
		return err
	}
	_, err = client.ExportToFile(ctx, porter.ProjectPath("group/app"), "app.tar.gz", nil)
	return err
}

func importWithClientGo(ctx context.Context) error {
	git, err := gitlab.NewClient(os.Getenv("GITLAB_TOKEN"), gitlab.WithBaseURL(os.Getenv("GITLAB_URL")))
	if err != nil {
		return err
	}
	archive, err := os.ReadFile("app.tar.gz")
	if err != nil {
		return err
	}
	status, _, err := git.ProjectImportExport.ImportFromFile(bytes.NewReader(archive), &gitlab.ImportFileOptions{
		Namespace: gitlab.Ptr("new-team"),
		Path:      gitlab.Ptr("app"),
	}, gitlab.WithContext(ctx))
	if err != nil {
		return err
	}
	for status.ImportStatus != "finished" {
		time.Sleep(pause)
		status, _, err = git.ProjectImportExport.ImportStatus(status.ID, gitlab.WithContext(ctx))
		if err != nil {
			return err
		}
	}
	return nil
}

func importWithPorter(ctx context.Context, opts ...porter.Option) error {
	client, err := porter.NewClient(os.Getenv("GITLAB_URL"), porter.PrivateToken(os.Getenv("GITLAB_TOKEN")), opts...)
	if err != nil {
		return err
	}
	src, err := porter.FileSource("app.tar.gz")
	if err != nil {
		return err
	}
	_, err = client.Import(ctx, src, porter.ImportOptions{
		Namespace: porter.NamespacePath("new-team"),
		Path:      "app",
		Override:  &porter.ProjectOverrides{Visibility: porter.VisibilityPrivate},
	})
	return err
}
