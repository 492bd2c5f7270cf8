package porter_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// exampleGitLab is an instance with an object storage beside it, which holds
// an archive, and a client of it.
func exampleGitLab() (*portertest.Server, *porter.Client) {
	gitlab := portertest.NewServer(portertest.TLS(), portertest.RelationExports(), portertest.Timing(portertest.Timings{}))
	gitlab.AddProject(portertest.Project{Path: "team/app"})
	gitlab.SetRelation("team/app", "labels", portertest.Relation{Objects: 7})
	gitlab.SetRelation("team/app", "issues", portertest.Relation{Objects: 2300})
	gitlab.AddObject("/backups/2024/app.tar.gz", "application/gzip", portertest.NewArchive(1<<20))
	client, err := porter.NewClient(gitlab.URL, porter.PrivateToken(portertest.Token), porter.WithTransport(gitlab.Transport()),
		porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(10 * time.Millisecond)}))
	if err != nil {
		log.Fatal(err)
	}
	return gitlab, client
}

// GitLab fetches the archive itself, so it passes neither this machine nor the
// size limits of proxies before GitLab. The URL may be signed for GET.
func ExampleClient_StartImportFromURL() {
	gitlab, client := exampleGitLab()
	defer gitlab.Close()
	ctx := context.Background()

	signed := gitlab.SignedURL("GET", "/backups/2024/app.tar.gz", time.Hour)
	imp, err := client.StartImportFromURL(ctx, signed, porter.ImportOptions{
		Namespace: porter.NamespacePath("team"),
		Path:      "restored",
	})
	if err != nil {
		log.Fatal(err)
	}
	imp, err = client.WaitForImport(ctx, imp.ID)
	if err != nil {
		log.Fatal(err)
	}

	fmt.Println(imp.PathWithNamespace, imp.Status)
	// Output: team/restored finished
}

// GitLab looks for the object at once, so a wrong name is an error here, and
// not of the import.
func ExampleClient_StartImportFromS3() {
	gitlab, client := exampleGitLab()
	defer gitlab.Close()
	ctx := context.Background()

	object := porter.S3Object{
		Region:          "eu-central-1",
		Bucket:          "backups",
		Key:             "2024/other.tar.gz",
		AccessKeyID:     portertest.AccessKeyID,
		SecretAccessKey: portertest.SecretAccessKey,
	}
	options := porter.ImportOptions{Namespace: porter.NamespacePath("team"), Path: "restored"}
	_, err := client.StartImportFromS3(ctx, object, options)
	var refused *porter.APIError
	if errors.As(err, &refused) {
		fmt.Println(refused.Message)
	}

	object.Key = "2024/app.tar.gz"
	imp, err := client.StartImportFromS3(ctx, object, options)
	if err != nil {
		log.Fatal(err)
	}
	imp, err = client.WaitForImport(ctx, imp.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(imp.PathWithNamespace, imp.Status)
	// Output:
	// File not found '2024/other.tar.gz' in 'backups'
	// team/restored finished
}

// An import that another program has started can be found in the list.
func ExampleClient_ListRelationImports() {
	gitlab, client := exampleGitLab()
	defer gitlab.Close()
	ctx := context.Background()
	project := porter.ProjectPath("team/app")
	archive := portertest.NewArchive(1 << 20)
	if _, err := client.StartRelationImport(ctx, porter.ReaderSource(archive.NewReader(), archive.Size()), project,
		porter.RelationMergeRequests); err != nil {
		log.Fatal(err)
	}

	imports, err := client.ListRelationImports(ctx, project)
	if err != nil {
		log.Fatal(err)
	}
	for _, imp := range imports {
		imp, err := client.WaitForRelationImport(ctx, project, imp.ID)
		var failed *porter.RelationImportError
		switch {
		case errors.As(err, &failed):
			fmt.Println(failed)
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Println(imp.Relation, imp.Status)
		}
	}
	// Output: merge_requests finished
}

// Exported in batches, a large relation is several files.
func ExampleClient_DownloadRelationExportFile() {
	gitlab, client := exampleGitLab()
	defer gitlab.Close()
	ctx := context.Background()
	project := porter.ProjectPath("team/app")
	dir, err := os.MkdirTemp("", "relations-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	since, err := client.StartRelationsExport(ctx, project, &porter.RelationsExportOptions{Batched: true})
	if err != nil {
		log.Fatal(err)
	}
	exports, err := client.WaitForRelationExports(ctx, project, since, porter.PortableIssues, porter.PortableLabels)
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range exports {
		files := []porter.RelationFile{{Relation: e.Relation}}
		if e.Batched {
			files = nil
			for _, b := range e.Batches {
				files = append(files, porter.RelationFile{Relation: e.Relation, Batch: b.Number})
			}
		}
		for _, f := range files {
			name := filepath.Join(dir, fmt.Sprintf("%s-%d.ndjson.gz", f.Relation, f.Batch))
			if _, err := client.DownloadRelationExportFile(ctx, project, f, name, nil); err != nil {
				log.Fatal(err)
			}
			fmt.Println(filepath.Base(name))
		}
	}
	// Unordered output:
	// labels-1.ndjson.gz
	// issues-1.ndjson.gz
	// issues-2.ndjson.gz
	// issues-3.ndjson.gz
}

// The relations export is part of direct transfer, which is switched off by
// default: an administrator has to allow it.
func ExampleClient_StartRelationsExport() {
	gitlab := portertest.NewServer()
	defer gitlab.Close()
	gitlab.AddProject(portertest.Project{Path: "team/app"})
	client, err := porter.NewClient(gitlab.URL, porter.PrivateToken(portertest.Token))
	if err != nil {
		log.Fatal(err)
	}

	_, err = client.StartRelationsExport(context.Background(), porter.ProjectPath("team/app"), nil)
	fmt.Println(errors.Is(err, porter.ErrNotFound))
	// Output: true
}

func ExampleClient_WaitForRelationExports() {
	gitlab, client := exampleGitLab()
	defer gitlab.Close()
	ctx := context.Background()
	project := porter.ProjectPath("team/app")
	gitlab.SetRelation("team/app", "issues", portertest.Relation{Error: "no space left on device"})

	since, err := client.StartRelationsExport(ctx, project, nil)
	if err != nil {
		log.Fatal(err)
	}
	exports, err := client.WaitForRelationExports(ctx, project, since, porter.PortableLabels, porter.PortableIssues)
	var failed *porter.RelationExportError
	if errors.As(err, &failed) {
		fmt.Println(failed)
	}
	for _, e := range exports { // the others are there nevertheless
		if e.Complete() {
			fmt.Println(e.Relation, e.TotalObjects)
		}
	}
	// Output:
	// export of relation issues failed: no space left on device
	// labels 7
}
