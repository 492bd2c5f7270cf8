// Command porter moves an archive with porter.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/seed-5d77b939/porter"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("porter: ")
	connections := flag.Int("connections", 0, "connections of a download at a time; 0 is the default")
	flag.Parse()
	if err := run(context.Background(), *connections, flag.Arg(0), flag.Args()[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, connections int, verb string, args []string) error {
	// What is measured is used as a user would: watched, and with the defaults.
	moved := int64(0)
	observer := porter.WithObserver(func(ev porter.Event) {
		if ev.Kind == porter.EventProgress {
			moved = ev.Bytes
		}
	})
	// The jobs of the server that it is measured against take no time.
	polling := porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(10 * time.Millisecond)})
	connect := func(url string) (*porter.Client, error) {
		return porter.NewClient(url, porter.PrivateToken("token"), observer, polling)
	}
	c, err := connect(args[0])
	if err != nil {
		return err
	}
	options := porter.DownloadOptions{Connections: connections, SkipVerify: strings.HasSuffix(verb, "-unverified")}
	switch verb {
	case "download", "download-unverified":
		_, err = c.DownloadExportFile(ctx, porter.ProjectID(1), args[1], &options)
	case "upload":
		var src porter.Source
		if src, err = porter.FileSource(args[1]); err != nil {
			return err
		}
		_, err = c.StartImport(ctx, src, porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("bench")})
	case "migrate", "migrate-direct", "migrate-unverified":
		to, err := connect(args[1])
		if err != nil {
			return err
		}
		_, err = porter.Migrate(ctx, c, porter.ProjectID(1), to, porter.MigrateOptions{
			Export:   &porter.ExportOptions{DownloadOptions: options},
			Import:   porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("bench")},
			SpoolDir: args[2],
			NoSpool:  verb == "migrate-direct",
		})
		return err
	default:
		return fmt.Errorf("unknown verb %q", verb)
	}
	if err == nil && moved == 0 {
		err = fmt.Errorf("%s: nothing moved", verb)
	}
	return err
}
