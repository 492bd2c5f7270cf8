// Command simulate runs a simulated GitLab, for scripts in any language that
// export and import projects.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/seed-5d77b939/porter/examples/internal/cli"
)

const help = `Simulate runs a GitLab that exports and imports projects, and knows little else,
for trying out a script in any language: with curl, Python, Ruby or a program of
your own. Nothing real is touched. It prints its URL, a token and calls to begin
with, and then a line for each request, until Ctrl-C.

  simulate [flags]

It keeps to GitLab's limits: 6 exports and 6 imports a minute, and 1 download of a
project. -limits none switches them off. A client of porter keeps to them by itself,
unless it is made WithoutPacing.

Examples:
  simulate
      GitLab 18.9 at http://127.0.0.1:8080, with the project group/app
  simulate -project team/app=200MiB -project team/site -group new-team -export 30s -import 1m
      larger projects, and jobs that take their time
  simulate -gitlab 13.12 -limits none -downloads redirected
      an older release that keeps its archives in object storage
  simulate -fault "GET /export/download cut=1000 times=2" -fault "POST /import status=502"
      two downloads that break off, and an import whose answer is an error
  simulate -fail-export group/app -fail-import "owner/copy=No space left on device"
      jobs that fail, hours after they were accepted, or so -export and -import say
  simulate -user ada=glpat-ada -member group:ada=reporter
      a user who may not export
  simulate -tls ca.pem
      HTTPS; curl --cacert ca.pem, and REQUESTS_CA_BUNDLE, SSL_CERT_FILE and the
      like trust it
  simulate -listen :8080 -storage :8081 -url http://build-host:8080
      for other machines. Everybody there can use it, and see what is sent to it

A fault is a line of words: a method (GET), a part of the path (/export), "storage"
for the object storage alone, and what goes wrong:
  status=503        the answer is that, and GitLab sees nothing of the request
  cut=N             the connection breaks after N bytes of the answer
  cut-upload=N      it breaks after N bytes of the request
  stall=N           nothing more comes after N bytes of the answer
  truncate=N        the answer ends after N bytes, as if that were all
  garble=N          its bytes are wrong from byte N on
  lose              GitLab does what it is asked for, and the answer is lost
  delay=TIME        the request waits, such as delay=5s
A fault hits one request, or times=N, or times=all, after the first skip=N.

Exit codes: 0 ended by Ctrl-C or -timeout, 1 it cannot listen, 2 wrong usage.
`

func main() { cli.Main(run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o := options{}
	fs := flag.NewFlagSet("simulate", flag.ContinueOnError)
	fs.StringVar(&o.listen, "listen", "127.0.0.1:8080",
		"`address` to serve GitLab at; without a host it is for other machines too, and port 0 is any")
	fs.StringVar(&o.storage, "storage", "", "`address` to serve its object storage at (default any port of -listen's host)")
	fs.StringVar(&o.url, "url", "", "`URL` by which clients reach GitLab, if that is not the address; its host is also the object storage's")
	fs.StringVar(&o.root, "root", "", "relative `path` of GitLab's URL, such as /gitlab")
	fs.StringVar(&o.tls, "tls", "", "serve HTTPS, and write the certificate to this `file`")
	fs.StringVar(&o.version, "gitlab", "18.9", "`release` to behave like, from 10.6 on")
	fs.StringVar(&o.downloads, "downloads", "disk", "`where` archives are: disk, redirected to object storage, or proxied from there")
	fs.StringVar(&o.limits, "limits", "6,1,6", "exports, downloads and imports per `minute`, or none")
	fs.IntVar(&o.throttle, "throttle", 0, "`requests` of any kind per minute and user (default any number)")
	fs.StringVar(&o.maxImport, "max-import", "", "largest archive that can be imported, such as 5GiB (a `size`; default any)")
	fs.BoolVar(&o.relations, "relations", false, "switch the export of single relations on")
	fs.BoolVar(&o.maintenance, "maintenance", false, "refuse what would change anything, as in maintenance mode")
	fs.DurationVar(&o.exportTime, "export", 3*time.Second, "`time` that an export takes")
	fs.DurationVar(&o.importTime, "import", 3*time.Second, "`time` that an import takes")
	fs.Var(&o.projects, "project", "`path` in full of a project, with =SIZE for that of its archive, such as team/app=20MiB; can be repeated "+
		"(default group/app=1MiB)")
	fs.Var(&o.groups, "group", "`path` of a group to import into; can be repeated (default new-team)")
	fs.Var(&o.users, "user", "`name=token` of a user beside the owner of all; can be repeated")
	fs.Var(&o.admins, "admin", "`name=token` of an administrator; can be repeated")
	fs.Var(&o.members, "member",
		"`path:name=role` of a user in a group or project: guest, reporter, developer, maintainer or owner; can be repeated")
	fs.Var(&o.faults, "fault", "`rule` of what goes wrong with requests, see above; can be repeated")
	fs.Var(&o.failExports, "fail-export", "`path` of a project whose next export fails; can be repeated")
	fs.Var(&o.failImports, "fail-import", "`path=error` of a project whose next import fails; can be repeated")
	fs.DurationVar(&o.timeout, "timeout", 0, "end after this `time` (default never)")
	if code, exit := cli.Parse(fs, args, help, stdout, stderr); exit {
		return code
	}
	if fs.NArg() > 0 {
		return cli.Misused(fs, stderr, "takes no arguments: projects are given by -project")
	}
	if err := o.check(); err != nil {
		return cli.Misused(fs, stderr, cli.Printable(err.Error()))
	}
	if err := o.open(); err != nil {
		fmt.Fprintln(stderr, "error:", cli.Printable(err.Error()))
		return cli.Failure
	}
	s, err := o.server(newLog(stdout))
	if err != nil {
		return cli.Misused(fs, stderr, cli.Printable(err.Error()))
	}
	defer s.Close() // which may be called twice
	if err := o.writeCertificate(s); err != nil {
		fmt.Fprintln(stderr, "error:", cli.Printable(err.Error()))
		return cli.Failure
	}
	o.welcome(stdout, s)
	ctx, cancel := cli.WithTimeout(ctx, o.timeout)
	defer cancel()
	<-ctx.Done()
	s.Close()
	fmt.Fprintln(stdout, "Ended.")
	return cli.OK
}
