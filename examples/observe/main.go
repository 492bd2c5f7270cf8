// Command observe shows metrics and traces of a migration.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
	"github.com/seed-5d77b939/porter/examples/internal/demo"
	"github.com/seed-5d77b939/porter/portertest"
)

const help = `Observe moves a project between two simulated instances, of which one answers
502 once, and shows what Prometheus and OpenTelemetry see of it. In a program of
your own, take metrics.go, spans.go and transport.go, and another exporter.

  observe [flags]

Examples:
  observe
      prints the metrics as Prometheus would scrape them
  observe -listen localhost:9464
      serves them at http://localhost:9464/metrics until Ctrl-C
  observe -spans spans.json
      writes the spans to a file, one JSON object each

Exit codes: 0 moved, 1 failed, 2 wrong usage, 130 interrupted.
`

func main() { cli.Main(run) }

type options struct {
	listen, spans string
	stdout        io.Writer
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o := options{stdout: stdout}
	fs := flag.NewFlagSet("observe", flag.ContinueOnError)
	fs.StringVar(&o.listen, "listen", "", "serve the metrics at this `address` until interrupted")
	fs.StringVar(&o.spans, "spans", "", "write the spans to this `file`")
	if code, exit := cli.Parse(fs, args, help, stdout, stderr); exit {
		return code
	}
	if fs.NArg() > 0 {
		return cli.Misused(fs, stderr, "arguments, but none are known")
	}
	switch err := o.run(ctx); {
	case ctx.Err() != nil && (err != nil || o.listen != ""):
		fmt.Fprintln(stderr, "Interrupted.")
		return cli.Interrupted
	case err != nil:
		cli.Explain(stderr, err)
		return cli.Failure
	}
	return cli.OK
}

// run observes a migration, and tells what was seen.
func (o options) run(ctx context.Context) (err error) {
	registry := prometheus.NewRegistry()
	if o.listen != "" {
		l, err := net.Listen("tcp", o.listen)
		if err != nil {
			return err
		}
		server := &http.Server{Handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), ReadHeaderTimeout: time.Minute}
		defer server.Close()
		go server.Serve(l)
		fmt.Fprintf(o.stdout, "Metrics are at http://%s/metrics.\n", l.Addr())
	}
	w := io.Discard
	if o.spans != "" {
		f, err := os.Create(o.spans)
		if err != nil {
			return err
		}
		defer func() { err = cmp.Or(err, f.Close()) }()
		w = f
	}
	exporter, err := stdouttrace.New(stdouttrace.WithWriter(w))
	if err != nil {
		return err
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter))
	err = simulated(ctx, registry, provider, o.stdout)
	if ended := provider.Shutdown(context.WithoutCancel(ctx)); err == nil {
		err = ended
	}
	if err != nil || o.listen == "" {
		return cmp.Or(err, show(o.stdout, registry))
	}
	fmt.Fprintln(o.stdout, "Ctrl-C ends the program.")
	<-ctx.Done()
	return nil
}

// simulated observes a migration between simulated instances.
func simulated(ctx context.Context, reg prometheus.Registerer, provider *trace.TracerProvider, stdout io.Writer) error {
	source, destination := demo.Server(portertest.Downloads(portertest.Redirected)), demo.Server()
	defer source.Close()
	defer destination.Close()
	source.AddProject(portertest.Project{Path: "team/app", Archive: portertest.NewArchive(8 << 20)})
	destination.AddGroup("platform")
	source.Inject(portertest.Fault{Method: http.MethodGet, Path: "/export", Skip: 1, Do: portertest.Respond(http.StatusBadGateway, nil, "")})

	m, err := migrate(ctx, reg, provider, source.URL, destination.URL)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "Moved %s to %s.\n", m.Source.PathWithNamespace, m.Import.PathWithNamespace)
	return err
}

// migrate moves a project with both kinds of observers at both ends.
func migrate(
	ctx context.Context, reg prometheus.Registerer, provider *trace.TracerProvider, from, to string,
) (m *porter.Migration, err error) {
	tracer := provider.Tracer("github.com/seed-5d77b939/porter/examples/observe")
	ctx, whole := tracer.Start(ctx, "migrate")
	defer func() {
		if err != nil {
			whole.RecordError(err)
		}
		whole.End()
	}()
	transport := traced(porter.NewTransport(nil), provider)
	clients := map[string]*porter.Client{}
	for role, url := range map[string]string{"source": from, "destination": to} {
		counted, spanned := newMetrics(reg, role), newSpans(ctx, tracer)
		clients[role], err = porter.NewClient(url, porter.PrivateToken(portertest.Token), append(cli.Polling(demo.Poll),
			porter.WithTransport(transport),
			porter.WithRetry(3, porter.ConstantBackoff(100*time.Millisecond)),
			porter.WithObserver(func(ev porter.Event) {
				counted.observe(ev)
				spanned.observe(ev)
			}))...)
		if err != nil {
			return nil, err
		}
	}
	return porter.Migrate(ctx, clients["source"], porter.ProjectPath("team/app"), clients["destination"], porter.MigrateOptions{
		Import: porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("platform")},
	})
}

// show prints what Prometheus would scrape.
func show(w io.Writer, registry *prometheus.Registry) error {
	families, err := registry.Gather()
	if err != nil {
		return err
	}
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(w, family); err != nil {
			return err
		}
	}
	return nil
}
