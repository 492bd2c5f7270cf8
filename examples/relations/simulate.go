package main

import (
	"context"
	"fmt"
	"io"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
	"github.com/seed-5d77b939/porter/examples/internal/demo"
	"github.com/seed-5d77b939/porter/portertest"
)

// simulate has a simulated instance import a project of 120 merge requests, of
// which it loses three, and brings these back. With -split the import is done in
// several.
func simulate(ctx context.Context, o options, stdout, stderr io.Writer) int {
	archive := portertest.NewArchive(8<<20, portertest.ArchiveItems("merge_requests", 120), portertest.ArchiveItems("issues", 60),
		portertest.ArchiveItems("ci_pipelines", 30))
	gitlab := demo.Server()
	defer gitlab.Close()
	gitlab.AddGroup("team")
	o.url, o.project = gitlab.URL, "team/app"
	if o.poll == 0 {
		o.poll = demo.Poll
	}
	source := porter.ReaderSource(archive.NewReader(), archive.Size())
	fmt.Fprintf(stdout, "No -url given: a simulated instance imports an archive of %s", cli.Size(archive.Size()))
	if o.isNew {
		fmt.Fprintln(stdout, " in several parts.")
		return do(ctx, o, portertest.Token, source, stdout, stderr)
	}
	fmt.Fprintln(stdout, ", and loses three merge requests.")
	script := portertest.ImportScript{LoseItems: map[string]int{"merge_requests": 3}}
	for line := 117; line < 120; line++ {
		script.FailedRelations = append(script.FailedRelations, portertest.FailedRelation{RelationName: "merge_requests", LineNumber: line,
			Source: "process_relation_item!", ExceptionClass: "ActiveRecord::QueryCanceled"})
	}
	gitlab.ScriptImport(o.project, script)
	client, err := newClient(o, portertest.Token)
	if err == nil {
		wctx, cancel := cli.WithTimeout(ctx, o.timeout)
		defer cancel()
		_, err = client.Import(wctx, source, porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("team")})
	}
	switch {
	case err != nil && ctx.Err() != nil:
		fmt.Fprintln(stderr, "Interrupted:", err)
		return cli.Interrupted
	case err != nil:
		cli.Explain(stderr, err)
		return cli.Failure
	}
	return do(ctx, o, portertest.Token, source, stdout, stderr)
}
