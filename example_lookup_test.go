package porter_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
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

// A group with its subgroups, without what is archived. A program that was
// interrupted goes on after the last project that it has seen.
func ExampleClient_Projects() {
	gitlab, client := exampleGitLab()
	defer gitlab.Close()
	gitlab.AddProject(portertest.Project{Path: "team/tools/lint"})
	gitlab.AddProject(portertest.Project{Path: "team/old", Archived: true})

	team, err := porter.ParseNamespace("team")
	if err != nil {
		log.Fatal(err)
	}
	for p, err := range client.Projects(context.Background(), team, &porter.ListOptions{Archived: porter.ArchivedSkip}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(p.PathWithNamespace)
	}
	// Output:
	// team/app
	// team/tools/lint
}

// A loop that tries a whole backup again, as long as that makes sense.
func ExampleRetryable() {
	gitlab, client := exampleGitLab()
	defer gitlab.Close()
	gitlab.Inject(portertest.Fault{Do: portertest.Respond(503, http.Header{"Retry-After": {"1"}}, "GitLab is being upgraded")})
	client, err := client.With(porter.WithRetry(0, nil)) // or it would try again by itself
	if err != nil {
		log.Fatal(err)
	}

	for {
		dl, err := client.ExportTo(context.Background(), porter.ProjectPath("team/app"), io.Discard, nil)
		if err == nil {
			fmt.Println("saved", dl.Project.PathWithNamespace)
			break
		}
		after, ok := porter.Retryable(err)
		if !ok {
			log.Fatal(err)
		}
		fmt.Println("again in", after)
		time.Sleep(max(after, time.Second))
	}
	// Output:
	// again in 1s
	// saved team/app
}
