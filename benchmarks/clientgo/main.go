// Command clientgo moves an archive with GitLab's own Go client.
package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"os"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("clientgo: ")
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		log.Fatal(err)
	}
}

func run(verb string, args []string) error {
	c, err := gitlab.NewClient("token", gitlab.WithBaseURL(args[0]))
	if err != nil {
		return err
	}
	switch verb {
	case "download":
		b, _, err := c.ProjectImportExport.ExportDownload(1)
		if err != nil {
			return err
		}
		return os.WriteFile(args[1], b, 0o666)
	case "upload":
		f, err := os.Open(args[1])
		if err != nil {
			return err
		}
		defer f.Close()
		return upload(c, f)
	case "migrate":
		to, err := gitlab.NewClient("token", gitlab.WithBaseURL(args[1]))
		if err != nil {
			return err
		}
		b, _, err := c.ProjectImportExport.ExportDownload(1)
		if err != nil {
			return err
		}
		return upload(to, bytes.NewReader(b))
	}
	return fmt.Errorf("unknown verb %q", verb)
}

func upload(c *gitlab.Client, r io.Reader) error {
	_, _, err := c.ProjectImportExport.ImportFromFile(r, &gitlab.ImportFileOptions{
		Namespace: gitlab.Ptr("bench"),
		Path:      gitlab.Ptr("app"),
	})
	return err
}
