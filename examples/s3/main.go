// Command s3 moves a project by way of S3: one GitLab instance uploads the
// archive to a bucket, and another imports it from there.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
)

const help = `S3 moves a project by way of a bucket: the source uploads its export to a
presigned URL, and the destination imports it. AWS's own SDK signs.

  s3 [flags] PROJECT

PROJECT is the full path, ID or URL of a project on the source. Without -from and
-to, given or taken from the environment, nothing real is touched: two simulated
instances and a store in this process are used.

From Amazon's S3 the destination fetches the archive itself, and it passes
neither this machine nor the proxies before GitLab. From other stores it is
streamed through this machine, because GitLab asks a URL by HEAD first, and a URL
that is signed for GET refuses that.

Examples:
  s3
      a simulation
  s3 -from https://old.example.com -to https://gitlab.com -namespace team -bucket moves group/app
      moves group/app to team/app by way of the bucket "moves"
  s3 -endpoint https://minio.example.com -path-style -bucket moves group/app
      the same by way of another store, with the instances from the environment

Environment:
  GITLAB_URL, GITLAB_TOKEN            the source unless -from is given, and a
                                      token of a Maintainer there
  GITLAB_DEST_URL, GITLAB_DEST_TOKEN  the destination unless -to is given, and a
                                      personal access token
  S3_BUCKET                           the bucket unless -bucket is given
  AWS_REGION, AWS_ACCESS_KEY_ID, …    as for every program that uses AWS; with
                                      an endpoint the region is us-east-1 unless
                                      it is named

Before anything is exported, a small object KEY.check is written, read and
deleted, so that wrong keys or a wrong bucket do not cost the hours of an export.
The keys need s3:PutObject and s3:GetObject, as the move itself does, and nothing
else; without s3:DeleteObject the small object remains.

GitLab does not tell whether its upload worked, so the program looks into the
bucket. An object that is uploaded in one go can have 5 GB at most.

Exit codes: 0 moved, 1 failed, 2 wrong usage, 3 moved but some items are
missing, 130 interrupted.
`

func main() { cli.Main(run) }

type options struct {
	from, to      string
	project       string
	namespace     string
	path          string
	endpoint      string
	pathStyle     bool
	bucket, key   string
	direct        bool // the destination fetches the archive itself
	valid         time.Duration
	timeout, poll time.Duration
}

// What a signature of version 4 is good for at most.
const maxValid = 7 * 24 * time.Hour

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	fs := flag.NewFlagSet("s3", flag.ContinueOnError)
	fs.StringVar(&o.from, "from", os.Getenv("GITLAB_URL"), "`URL` of the source instance")
	fs.StringVar(&o.to, "to", os.Getenv("GITLAB_DEST_URL"), "`URL` of the destination instance")
	fs.StringVar(&o.namespace, "namespace", "", "full `path` of the group to import into (default the token's own namespace)")
	fs.StringVar(&o.path, "path", "", "last part of the new project's `path` (default that of the source)")
	fs.StringVar(&o.endpoint, "endpoint", "", "`URL` of a store (default AWS_ENDPOINT_URL_S3 or Amazon's S3)")
	fs.BoolVar(&o.pathStyle, "path-style", false, "name the bucket in the path of URLs and not in their host, as many stores need it")
	fs.StringVar(&o.bucket, "bucket", os.Getenv("S3_BUCKET"), "`name` of the bucket")
	fs.StringVar(&o.key, "key", "", "`name` of the object, which must not be there yet (default made from the project and the time)")
	fs.DurationVar(&o.valid, "valid", 24*time.Hour,
		"`time` for which the presigned URLs are good, 168h at most; the export must end within it")
	fs.DurationVar(&o.timeout, "timeout", 0, "give up after this `time` (default never)")
	fs.DurationVar(&o.poll, "poll", 0, "`time` between looks at the status (default growing from 2s to 30s)")
	if code, exit := cli.Parse(fs, args, help, stdout, stderr); exit {
		return code
	}
	o.project = fs.Arg(0)
	switch simulated := o.from == "" && o.to == ""; {
	case fs.NArg() > 1:
		return cli.Misused(fs, stderr, "more than one project")
	case o.valid < time.Second || o.valid > maxValid:
		return cli.Misused(fs, stderr, "-valid must be between 1s and 168h")
	case o.endpoint != "" && !isEndpoint(o.endpoint):
		return cli.Misused(fs, stderr, "-endpoint must be a URL that begins with https:// or http://")
	case simulated && o.project != "":
		return cli.Misused(fs, stderr, "a project, but neither -from nor -to")
	case simulated && o.endpoint != "":
		return cli.Misused(fs, stderr, "-endpoint, but neither -from nor -to")
	case simulated:
		return simulate(ctx, o, stdout, stderr)
	case o.to == "":
		return cli.Misused(fs, stderr, cli.Given(fs, "from", "GITLAB_URL")+", but -to is missing")
	case o.from == "":
		return cli.Misused(fs, stderr, cli.Given(fs, "to", "GITLAB_DEST_URL")+", but -from is missing")
	case o.project == "":
		return cli.Misused(fs, stderr, cli.Given(fs, "from", "GITLAB_URL")+", but no project is named")
	case o.bucket == "":
		return cli.Misused(fs, stderr, "no -bucket")
	}
	fromToken, toToken, err := cli.Tokens()
	if err != nil {
		return cli.Misused(fs, stderr, err.Error())
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		fmt.Fprintln(stderr, "error: AWS:", err)
		return cli.BadUsage
	}
	client := newClient(cfg, o)
	if client.Options().Region == "" {
		return cli.Misused(fs, stderr, "AWS_REGION is not set")
	}
	o.direct = isAmazon(client)
	return move(ctx, o, client, fromToken, toToken, stdout, stderr)
}

func move(ctx context.Context, o options, store *s3.Client, sourceAuth, destinationAuth porter.Auth, stdout, stderr io.Writer) int {
	display := cli.NewDisplay(stdout)
	defer display.Close()
	from, err := porter.NewClient(o.from, sourceAuth,
		append(cli.Polling(o.poll), porter.WithObserver(display.Observer("export", "download")))...)
	if err != nil {
		fmt.Fprintln(stderr, "error: -from:", err)
		return cli.BadUsage
	}
	to, err := porter.NewClient(o.to, destinationAuth,
		append(cli.Polling(o.poll), porter.WithObserver(display.Observer("import", "upload")))...)
	if err != nil {
		fmt.Fprintln(stderr, "error: -to:", err)
		return cli.BadUsage
	}
	wctx, cancel := cli.WithTimeout(ctx, o.timeout)
	defer cancel()
	imp, err := moveBy(wctx, o, store, from, to, stdout)
	switch {
	case err != nil && ctx.Err() != nil:
		fmt.Fprintln(stderr, "Interrupted:", err)
		fmt.Fprintln(stderr, "GitLab goes on with what it has begun.")
		return cli.Interrupted
	case err != nil:
		cli.Explain(stderr, err)
		return cli.Failure
	}
	fmt.Fprintf(stdout, "Moved %s to %s (ID %s).\n", o.project, imp.PathWithNamespace, imp.ID)
	if !imp.Complete() {
		fmt.Fprintf(stdout, "%d items could not be imported.\n", len(imp.FailedRelations))
		return cli.Incomplete
	}
	return cli.OK
}

func moveBy(ctx context.Context, o options, store *s3.Client, from, to *porter.Client, stdout io.Writer) (*porter.Import, error) {
	project, err := from.ParseProject(o.project)
	if err != nil {
		return nil, err
	}
	exp, err := from.GetExport(ctx, project)
	if err != nil {
		return nil, err
	}
	p := place{client: store, bucket: o.bucket, key: o.key, valid: o.valid}
	if p.key == "" {
		p.key = fmt.Sprintf("%s-%d.tar.gz", exp.Path, time.Now().Unix())
	}
	if err := p.check(ctx, stdout); err != nil {
		return nil, err
	}
	// If the export fails, an object of an earlier run would be taken for the new
	// archive.
	switch _, err := p.look(ctx); {
	case err == nil:
		return nil, fmt.Errorf("%s is there already: choose another -key", p)
	case !absent(err):
		return nil, err
	}
	put, err := p.putURL(ctx)
	if err != nil {
		return nil, err
	}
	err = from.ScheduleExport(ctx, project, &porter.ScheduleExportOptions{
		Upload: &porter.UploadTarget{URL: put, Method: http.MethodPut},
	})
	if err != nil {
		return nil, err
	}
	// GitLab before 14.0 removes the archive after the upload, so a wait that
	// ends without one may still be a success. The bucket knows.
	_, waited := from.WaitForExport(ctx, project)
	if waited != nil && ctx.Err() != nil {
		return nil, waited
	}
	head, err := p.look(ctx)
	if err != nil {
		return nil, errors.Join(err, waited)
	}
	fmt.Fprintf(stdout, "%s has %s.\n", p, cli.Size(aws.ToInt64(head.ContentLength)))

	opts := porter.ImportOptions{Path: cmp.Or(o.path, exp.Path)}
	if o.namespace != "" {
		opts.Namespace = porter.NamespacePath(o.namespace)
	}
	if !o.direct {
		src, err := p.source(ctx)
		if err != nil {
			return nil, err
		}
		return to.Import(ctx, src, opts)
	}
	get, err := p.getURL(ctx)
	if err != nil {
		return nil, err
	}
	imp, err := to.StartImportFromURL(ctx, get, opts)
	if err != nil {
		return nil, err
	}
	return to.WaitForImport(ctx, imp.ID)
}
