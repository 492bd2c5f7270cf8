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
	"net/http/httptest"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
	"github.com/seed-5d77b939/porter/examples/internal/demo"
	"github.com/seed-5d77b939/porter/portertest"
)

const help = `S3 moves a project by way of a bucket, so that the archive passes neither this
machine nor the proxies before GitLab: the source uploads its export to a
presigned URL, and the destination imports from another one. AWS's own SDK
signs both.

  s3 [flags] PROJECT

PROJECT is the full path or the ID of a project on the source. Without -from and
-to, given or taken from the environment, nothing real is touched: two simulated
instances and an S3 server in this process are used.

Examples:
  s3
      a simulation
  s3 -from https://old.example.com -to https://gitlab.com -namespace team -bucket moves group/app
      moves group/app to team/app by way of the bucket "moves"

Environment:
  GITLAB_URL, GITLAB_TOKEN            the source unless -from is given, and a
                                      token of a Maintainer there
  GITLAB_DEST_URL, GITLAB_DEST_TOKEN  the destination unless -to is given, and a
                                      personal access token
  S3_BUCKET                           the bucket unless -bucket is given
  AWS_REGION, AWS_ACCESS_KEY_ID, …    as for every program that uses AWS

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
	bucket, key   string
	valid         time.Duration
	timeout, poll time.Duration
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	fs := flag.NewFlagSet("s3", flag.ContinueOnError)
	fs.StringVar(&o.from, "from", os.Getenv("GITLAB_URL"), "`URL` of the source instance")
	fs.StringVar(&o.to, "to", os.Getenv("GITLAB_DEST_URL"), "`URL` of the destination instance")
	fs.StringVar(&o.namespace, "namespace", "", "full `path` of the group to import into (default the token's own namespace)")
	fs.StringVar(&o.path, "path", "", "last part of the new project's `path` (default that of the source)")
	fs.StringVar(&o.bucket, "bucket", os.Getenv("S3_BUCKET"), "`name` of the bucket")
	fs.StringVar(&o.key, "key", "", "`name` of the object, which must not be there yet (default made from the project and the time)")
	fs.DurationVar(&o.valid, "valid", 24*time.Hour, "`time` for which the presigned URLs are good; the export must end within it")
	fs.DurationVar(&o.timeout, "timeout", 0, "give up after this `time` (default never)")
	fs.DurationVar(&o.poll, "poll", 0, "`time` between looks at the status (default growing from 2s to 30s)")
	if code, exit := cli.Parse(fs, args, help, stdout, stderr); exit {
		return code
	}
	o.project = fs.Arg(0)
	switch simulated := o.from == "" && o.to == ""; {
	case fs.NArg() > 1:
		return cli.Misused(fs, stderr, "more than one project")
	case simulated && o.project != "":
		return cli.Misused(fs, stderr, "a project, but neither -from nor -to")
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
	fromToken, err := cli.Token("GITLAB_TOKEN")
	if err != nil {
		return cli.Misused(fs, stderr, err.Error())
	}
	toToken, err := cli.Token("GITLAB_DEST_TOKEN")
	if err != nil {
		return cli.Misused(fs, stderr, err.Error())
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		fmt.Fprintln(stderr, "error: AWS:", err)
		return cli.BadUsage
	}
	return move(ctx, o, s3.NewFromConfig(cfg, onlyRequiredChecksums), fromToken, toToken, stdout, stderr)
}

// onlyRequiredChecksums keeps the SDK from signing a checksum into the URL,
// which only the program that uploads could know.
func onlyRequiredChecksums(o *s3.Options) {
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
}

// simulate moves a project between two simulated instances by way of an S3
// server in this process, and compares what went in with what came out.
func simulate(ctx context.Context, o options, stdout, stderr io.Writer) int {
	archive := portertest.NewArchive(8 << 20)
	source, destination := demo.Server(), demo.Server()
	defer source.Close()
	defer destination.Close()
	source.AddProject(portertest.Project{Path: "team/app", Archive: archive})
	o.bucket = "moves"
	client, closeStorage, err := storage(o.bucket)
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return cli.Failure
	}
	defer closeStorage()
	fmt.Fprintf(stdout, "No -from and -to given: moving an archive of %s between two simulated instances, by way of an S3 server in this process.\n", cli.Size(archive.Size()))

	o.from, o.to, o.project = source.URL, destination.URL, "team/app"
	if o.namespace == "" {
		o.namespace = "platform"
	}
	destination.AddGroup(o.namespace)
	if o.poll == 0 {
		o.poll = demo.Poll
	}
	token := porter.PrivateToken(portertest.Token)
	if code := move(ctx, o, client, token, token, stdout, stderr); code != cli.OK {
		return code
	}
	imported := destination.Project(o.namespace + "/" + cmp.Or(o.path, "app"))
	fmt.Fprintf(stdout, "SHA-256 of the archive:\n  %s at the source\n  %s at the destination\n", archive.SHA256(), imported.ArchiveSHA256)
	if imported.ArchiveSHA256 != archive.SHA256() {
		fmt.Fprintln(stderr, "error: they differ")
		return cli.Failure
	}
	fmt.Fprintln(stdout, "They are equal.")
	return cli.OK
}

// storage starts an S3 server in this process that has one bucket.
func storage(bucket string) (client *s3.Client, stop func(), err error) {
	backend := s3mem.New()
	if err := backend.CreateBucket(bucket); err != nil {
		return nil, nil, err
	}
	// GitLab imports from https only.
	server := httptest.NewTLSServer(gofakes3.New(backend).Server())
	return s3.New(s3.Options{
		Region:       "eu-central-1",
		BaseEndpoint: aws.String(server.URL),
		UsePathStyle: true,
		Credentials:  credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "example", ""),
		HTTPClient:   server.Client(),
	}, onlyRequiredChecksums), server.Close, nil
}

func move(ctx context.Context, o options, bucket *s3.Client, sourceAuth, destinationAuth porter.Auth, stdout, stderr io.Writer) int {
	display := cli.NewDisplay(stdout)
	defer display.Close()
	from, err := porter.NewClient(o.from, sourceAuth, append(cli.Polling(o.poll), porter.WithObserver(display.Observer("export", "download")))...)
	if err != nil {
		fmt.Fprintln(stderr, "error: -from:", err)
		return cli.BadUsage
	}
	to, err := porter.NewClient(o.to, destinationAuth, append(cli.Polling(o.poll), porter.WithObserver(display.Observer("import", "upload")))...)
	if err != nil {
		fmt.Fprintln(stderr, "error: -to:", err)
		return cli.BadUsage
	}
	wctx, cancel := cli.WithTimeout(ctx, o.timeout)
	defer cancel()
	imp, err := moveBy(wctx, o, bucket, from, to, stdout)
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

func moveBy(ctx context.Context, o options, bucket *s3.Client, from, to *porter.Client, stdout io.Writer) (*porter.Import, error) {
	project := cli.Project(o.project)
	exp, err := from.GetExport(ctx, project)
	if err != nil {
		return nil, err
	}
	if o.key == "" {
		o.key = fmt.Sprintf("%s-%d.tar.gz", exp.Path, time.Now().Unix())
	}
	// If the export fails, an object of an earlier run would be taken for the new
	// archive.
	switch _, err := look(ctx, bucket, o); {
	case err == nil:
		return nil, fmt.Errorf("s3://%s/%s is there already: choose another -key", o.bucket, o.key)
	case !absent(err):
		return nil, err
	}
	presign := s3.NewPresignClient(bucket, s3.WithPresignExpires(o.valid))

	// GitLab sends this content type, so it has to be part of the signature.
	put, err := presign.PresignPutObject(ctx, &s3.PutObjectInput{
		Bucket: &o.bucket, Key: &o.key, ContentType: aws.String("application/gzip"),
	})
	if err != nil {
		return nil, fmt.Errorf("presign the upload: %w", err)
	}
	err = from.ScheduleExport(ctx, project, &porter.ScheduleExportOptions{
		Upload: &porter.UploadTarget{URL: put.URL, Method: http.MethodPut},
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
	head, err := look(ctx, bucket, o)
	if err != nil {
		return nil, errors.Join(err, waited)
	}
	fmt.Fprintf(stdout, "s3://%s/%s has %s.\n", o.bucket, o.key, cli.Size(aws.ToInt64(head.ContentLength)))

	get, err := presign.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &o.bucket, Key: &o.key})
	if err != nil {
		return nil, fmt.Errorf("presign the download: %w", err)
	}
	opts := porter.ImportOptions{Path: cmp.Or(o.path, exp.Path)}
	if o.namespace != "" {
		opts.Namespace = porter.NamespacePath(o.namespace)
	}
	imp, err := to.StartImportFromURL(ctx, get.URL, opts)
	if err != nil {
		return nil, err
	}
	return to.WaitForImport(ctx, imp.ID)
}

// look looks for the archive in the bucket.
func look(ctx context.Context, bucket *s3.Client, o options) (*s3.HeadObjectOutput, error) {
	head, err := bucket.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &o.bucket, Key: &o.key})
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx) // the SDK does not know of -timeout
	case err != nil:
		return nil, fmt.Errorf("look for the archive in the bucket: %w", err)
	}
	return head, nil
}

// absent reports whether an answer of S3 means that there is no such object.
// It is a 403 to those who may not list the bucket.
func absent(err error) bool {
	var answer *awshttp.ResponseError
	return errors.As(err, &answer) &&
		(answer.HTTPStatusCode() == http.StatusNotFound || answer.HTTPStatusCode() == http.StatusForbidden)
}
