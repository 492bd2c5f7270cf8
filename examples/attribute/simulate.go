package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
	"github.com/seed-5d77b939/porter/examples/internal/demo"
	"github.com/seed-5d77b939/porter/portertest"
)

// people have accounts at the simulated destination, by other names than at the
// source, where the archive calls them user1 to user14.
var people = strings.Fields("ada ben cleo dora emil fay gus hana ivo june karl lena milo nora")

// simulate moves a project whose 14 members have no addresses between two
// simulated instances, and compares how often the archive and the new project
// refer to each of them.
func simulate(ctx context.Context, o options, stdout, stderr io.Writer) int {
	source, destination := demo.Server(), demo.Server()
	defer source.Close()
	defer destination.Close()
	archive := portertest.NewArchive(4<<20, portertest.ArchiveMembers(len(people)), portertest.ArchiveItems("issues", 200),
		portertest.ArchiveItems("merge_requests", 75), portertest.ArchiveItems("ci_pipelines", 40))
	source.AddProject(portertest.Project{Path: "team/app", Archive: archive})
	destination.AddGroup("platform")
	destination.AddUser(portertest.User{Username: "root", Token: "glpat-root", Admin: true})
	var file strings.Builder
	file.WriteString("user,address\n")
	for i, name := range people {
		address := name + "@new.example.com"
		destination.AddUser(portertest.User{Username: name, Token: "glpat-" + name, Email: address})
		fmt.Fprintf(&file, "user%d,%s\n", i+1, address)
	}
	dir, err := os.MkdirTemp("", "attribute-")
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return cli.Failure
	}
	defer os.RemoveAll(dir)
	o.users = filepath.Join(dir, "users.csv")
	if err := os.WriteFile(o.users, []byte(file.String()), 0o600); err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return cli.Failure
	}
	u, err := readUsers(o.users)
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return cli.Failure
	}
	fmt.Fprintf(stdout, "No arguments given: moving an archive of %s, with %d members without addresses, between two simulated instances.\n\n",
		cli.Size(archive.Size()), len(people))
	o.from, o.to, o.what, o.namespace, o.path = source.URL, destination.URL, "team/app", "platform", "app"
	if o.poll == 0 {
		o.poll = demo.Poll
	}
	owner, admin := porter.PrivateToken(portertest.Token), porter.PrivateToken("glpat-root")
	if code := end(ctx, stderr, migrate(ctx, o, u, owner, admin, stdout)); code != cli.OK {
		return code
	}
	return prove(archive, destination.Project("platform/app"), stdout, stderr)
}

// prove compares the references in the archive of the source with those in the
// new project.
func prove(archive *portertest.Archive, p *portertest.ProjectState, stdout, stderr io.Writer) int {
	i, err := porter.InspectArchive(archive.NewReader())
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return cli.Failure
	}
	fmt.Fprintln(stdout, "\nReferences, in the archive of the source and then in the new project:")
	var total, mapped int64
	for _, c := range i.People {
		name := people[c.SourceID-1]
		n := int64(p.References[name])
		fmt.Fprintf(stdout, "  %-6s %3d  %-4s %3d\n", c.Username, c.References, name, n)
		total += c.References
		if n == c.References {
			mapped += n
		}
	}
	fmt.Fprintf(stdout, "%d of %d references are the right person's, %d the importer's.\n", mapped, total+i.Strangers, p.References["root"])
	if mapped != total+i.Strangers || p.References["root"] > 0 {
		fmt.Fprintln(stderr, "error: some are not mapped")
		return cli.Failure
	}
	return cli.OK
}
