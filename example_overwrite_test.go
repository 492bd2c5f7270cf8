package porter_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// A failed import leaves its project behind. Overwrite replaces it.
func ExampleImportError() {
	sim := simulate()
	defer sim.end()
	sim.archive()
	client, ctx := sim.destination(), context.Background()
	sim.dst.ScriptImport("new-team/app", portertest.ImportScript{Error: "Command exited with error code 15"})
	src, err := porter.FileSource("app.tar.gz")
	if err != nil {
		log.Fatal(err)
	}

	opts := porter.ImportOptions{Namespace: porter.NamespacePath("new-team"), Path: "app"}
	imp, err := client.Import(ctx, src, opts)
	var failed *porter.ImportError
	if errors.As(err, &failed) {
		fmt.Println(failed.Import.PathWithNamespace, "failed:", failed.Import.Error)
		opts.Overwrite = true // replaces what the failed import left
		imp, err = client.Import(ctx, src, opts)
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(imp.PathWithNamespace, imp.Status)
	// Output:
	// new-team/app failed: Command exited with error code 15
	// new-team/app finished
}

// A namespace with a typo is told before anything is exported.
func ExampleCheckError() {
	sim := simulate()
	defer sim.end()
	from, to, ctx := sim.source(), sim.destination(), context.Background()

	_, err := porter.Migrate(ctx, from, porter.ProjectPath("group/app"), to, porter.MigrateOptions{
		Import: porter.ImportOptions{Namespace: porter.NamespacePath("new-taem")},
	})
	var check *porter.CheckError
	if errors.As(err, &check) {
		for _, f := range check.Findings {
			fmt.Println(f.Kind)
		}
	}

	fmt.Println(len(sim.src.Exports("group/app")), "exports")
	// Output:
	// namespace
	// 0 exports
}

// An upload may take hours, so what would make its import fail is looked for.
func ExampleClient_CheckImport() {
	sim := simulate()
	defer sim.end()
	sim.archive()
	client, ctx := sim.destination(), context.Background()
	src, err := porter.FileSource("app.tar.gz")
	if err != nil {
		log.Fatal(err)
	}

	opts := porter.ImportOptions{Namespace: porter.NamespacePath("new-taem"), Path: "app"}
	check, err := client.CheckImport(ctx, opts, src.Size)
	if err == nil {
		err = check.Err()
	}
	if errors.Is(err, porter.ErrWillFail) {
		fmt.Println("nothing was uploaded")
	}
	// Output: nothing was uploaded
}
