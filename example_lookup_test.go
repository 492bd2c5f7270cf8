package porter_test

import (
	"context"
	"fmt"
	"io"
	"log"

	"github.com/seed-5d77b939/porter"
)

func ExampleClient_GetImport() {
	gitlab, client := exampleGitLab()
	defer gitlab.Close()

	imp, err := client.GetImport(context.Background(), porter.ProjectPath("team/app"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(imp.Status)
	// Output: none
}

// A reader for whoever wants the bytes as they come. It resumes by itself.
func ExampleClient_OpenExport() {
	gitlab, client := exampleGitLab()
	defer gitlab.Close()
	gitlab.AddExport("team/app", "owner")

	r, err := client.OpenExport(context.Background(), porter.ProjectPath("team/app"))
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	n, err := io.Copy(io.Discard, r)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n == r.Size())
	// Output: true
}

func ExampleClient_GetRelationExport() {
	gitlab, client := exampleGitLab()
	defer gitlab.Close()
	ctx := context.Background()
	project := porter.ProjectPath("team/app")

	since, err := client.StartRelationsExport(ctx, project, nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.WaitForRelationExports(ctx, project, since, porter.PortableLabels); err != nil {
		log.Fatal(err)
	}
	exp, err := client.GetRelationExport(ctx, project, porter.PortableLabels)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(exp.Relation, exp.Status)
	// Output: labels finished
}
