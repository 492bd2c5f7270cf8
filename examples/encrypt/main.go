// Command encrypt exports a GitLab project into an encrypted file. The archive
// is encrypted while it is downloaded and never on disk in the clear.
package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"filippo.io/age"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
	"github.com/seed-5d77b939/porter/examples/internal/demo"
	"github.com/seed-5d77b939/porter/portertest"
)

const help = `Encrypt exports a GitLab project into a file that only the owner of an age
identity can read (https://age-encryption.org).

  encrypt [flags] PROJECT

PROJECT is the full path, the ID or the URL of a project. Without -url and GITLAB_URL
nothing real is touched: a project of a simulated instance is exported and
decrypted again.

Examples:
  encrypt
      a simulation
  encrypt -url https://gitlab.example.com -r age1… group/app
      exports group/app to app.tar.gz.age; age -d -i key.txt decrypts it

Environment:
  GITLAB_URL, GITLAB_TOKEN  the instance unless -url is given, and a token of a
                            Maintainer there

Exit codes: 0 saved, 1 failed, 2 wrong usage, 130 interrupted.
`

func main() { cli.Main(run) }

type options struct {
	url           string
	project       string
	output        string
	recipients    []age.Recipient
	timeout, poll time.Duration
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	fs := flag.NewFlagSet("encrypt", flag.ContinueOnError)
	fs.StringVar(&o.url, "url", os.Getenv("GITLAB_URL"), "`URL` of the instance")
	fs.StringVar(&o.output, "o", "", "`file` to write (default the project's name with .tar.gz.age)")
	fs.DurationVar(&o.timeout, "timeout", 0, "give up after this `time` (default never)")
	fs.DurationVar(&o.poll, "poll", 0, "`time` between looks at the status (default growing from 2s to 30s)")
	recipient := fs.String("r", "", "`recipient` to encrypt to, beginning with age1")
	if code, exit := cli.Parse(fs, args, help, stdout, stderr); exit {
		return code
	}
	o.project = fs.Arg(0)
	if *recipient != "" {
		r, err := age.ParseX25519Recipient(*recipient)
		if err != nil {
			return cli.Misused(fs, stderr, "-r: "+err.Error())
		}
		o.recipients = append(o.recipients, r)
	}
	switch {
	case fs.NArg() > 1:
		return cli.Misused(fs, stderr, "more than one project")
	case o.url == "" && o.project != "":
		return cli.Misused(fs, stderr, "a project, but no -url")
	case o.url == "":
		return simulate(ctx, o, stdout, stderr)
	case o.project == "":
		return cli.Misused(fs, stderr, cli.Given(fs, "url", "GITLAB_URL")+", but no project is named")
	case len(o.recipients) == 0:
		return cli.Misused(fs, stderr, "no -r")
	}
	token, err := cli.Token("GITLAB_TOKEN")
	if err != nil {
		return cli.Misused(fs, stderr, err.Error())
	}
	if o.output == "" {
		o.output = path.Base(o.project) + ".tar.gz.age"
	}
	return encrypt(ctx, o, token, stdout, stderr)
}

// simulate encrypts an export of a simulated instance with a new key, decrypts
// it again and compares.
func simulate(ctx context.Context, o options, stdout, stderr io.Writer) int {
	fail := func(err error) int {
		fmt.Fprintln(stderr, "error:", err)
		return cli.Failure
	}
	archive := portertest.NewArchive(32 << 20)
	gitlab := demo.Server()
	defer gitlab.Close()
	gitlab.AddProject(portertest.Project{Path: "team/app", Archive: archive})
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return fail(err)
	}
	dir, err := os.MkdirTemp("", "encrypt-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	fmt.Fprintf(stdout, "No -url given: exporting a project of %s from a simulated instance.\n", cli.Size(archive.Size()))

	o.url, o.project = gitlab.URL, "team/app"
	o.recipients = append(o.recipients, identity.Recipient())
	if o.output == "" {
		o.output = filepath.Join(dir, "app.tar.gz.age")
	}
	if o.poll == 0 {
		o.poll = demo.Poll
	}
	if code := encrypt(ctx, o, porter.PrivateToken(portertest.Token), stdout, stderr); code != cli.OK {
		return code
	}
	sum, err := decryptedSum(o.output, identity)
	if err != nil {
		return fail(err)
	}
	fmt.Fprintf(stdout, "SHA-256:\n  %s of the archive\n  %s of what was decrypted\n", archive.SHA256(), sum)
	if sum != archive.SHA256() {
		return fail(fmt.Errorf("they differ"))
	}
	fmt.Fprintln(stdout, "They are equal.")
	return cli.OK
}

func encrypt(ctx context.Context, o options, auth porter.Auth, stdout, stderr io.Writer) int {
	display := cli.NewDisplay(stdout)
	defer display.Close()
	client, err := porter.NewClient(o.url, auth, append(cli.Polling(o.poll), porter.WithObserver(display.Observer("export", "download")))...)
	if err != nil {
		fmt.Fprintln(stderr, "error: -url:", err)
		return cli.BadUsage
	}
	wctx, cancel := cli.WithTimeout(ctx, o.timeout)
	defer cancel()
	err = export(wctx, client, o)
	display.Close()
	switch {
	case err != nil && ctx.Err() != nil:
		fmt.Fprintln(stderr, "Interrupted:", err)
		fmt.Fprintln(stderr, "GitLab goes on with an export that it has begun; run the same command again to join it.")
		return cli.Interrupted
	case err != nil:
		cli.Explain(stderr, err)
		return cli.Failure
	}
	fmt.Fprintf(stdout, "Saved %s to %s, encrypted.\n", o.project, o.output)
	return cli.OK
}

// export writes the encrypted file, which appears under its name only when it
// is whole.
func export(ctx context.Context, client *porter.Client, o options) (err error) {
	project, err := client.ParseProject(o.project)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(o.output), filepath.Base(o.output)+".*")
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	w, err := age.Encrypt(f, o.recipients...)
	if err != nil {
		return err
	}
	if _, err := client.ExportTo(ctx, project, w, nil); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), o.output)
}

func decryptedSum(name string, identity age.Identity) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	r, err := age.Decrypt(f, identity)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
