// Command benchmarks runs porter, GitLab's Go client, net/http and curl, each
// as a process of its own, in turns against a server on the loopback
// interface, and prints what each took as a ratio to curl, with its peak of
// memory:
//
//	go run ./benchmarks
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/seed-5d77b939/porter/portertest"
)

const mib = 1 << 20

func main() {
	log.SetFlags(0)
	size := flag.Int64("size", 1024, "MiB of the archive")
	rounds := flag.Int("rounds", 7, "runs of each client")
	large := flag.Int64("large", 8192, "MiB of the archive that memory is measured with once more; 0 for none")
	long := flag.Int64("long", 96, "MiB of the archive that comes over a long wire; 0 for none")
	connRate := flag.Int64("conn-rate", 25, "MiB per second of each connection of a long wire")
	lossy := flag.Int64("lossy", 8, "MiB of the archive that comes over a lossy wire; 0 for none")
	only := flag.String("only", "", "run only the tables whose name holds this: transfers, memory, migrate, long wire, lossy wire")
	dir := flag.String("dir", os.TempDir(), "where archives are put")
	flag.Parse()
	err := run(*dir, *only, *rounds, func(b *bench) []step {
		return []step{
			{"transfers", func() error { return b.transfers(*size) }},
			{"memory", func() error { return b.memory(16, *size, *large) }},
			{"migrate", func() error { return b.migrate(256, 50) }},
			{"long wire", func() error { return b.long(*long, *connRate) }},
			{"lossy wire", func() error { return b.lossy(*lossy) }},
		}
	})
	if err != nil {
		log.Fatal(err)
	}
}

// A step prints a table, or some.
type step struct {
	name string
	run  func() error
}

func run(dir, only string, rounds int, steps func(*bench) []step) (err error) {
	if dir, err = os.MkdirTemp(dir, "porter-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{dir: dir, rounds: rounds}
	fmt.Printf("%s, %s/%s, %d CPUs; curl: %s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), curlVersion())
	for _, name := range []string{"server", "porter", "nethttp", "clientgo"} {
		if err := b.build(name); err != nil {
			return err
		}
	}
	for _, s := range steps(b) {
		if strings.Contains(s.name, only) {
			if err := s.run(); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	return nil
}

type bench struct {
	dir    string
	rounds int
	server []string // what the server is started by; none for no program
	client []string
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) build(name string) error {
	const module = "github.com/seed-5d77b939/porter/benchmarks/"
	cmd := exec.Command("go", "build", "-o", b.path(name), module+name)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return nil
}

// archive writes a project export of so many MiB.
func (b *bench) archive(size int64) (name string, err error) {
	name = b.path("archive.tar.gz")
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, portertest.NewArchive(size*mib).NewReader())
	return name, errors.Join(err, f.Close())
}

// serve starts a server that sends archive, and calls fn with its URLs.
func (b *bench) serve(archive string, options []string, fn func(urls map[string]string) error) (err error) {
	args := slices.Concat(b.server, []string{b.path("server"), "-archive", archive, "-dir", b.dir}, options)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		stdin.Close() // ends it
		err = errors.Join(err, cmd.Wait())
	}()
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	var urls map[string]string
	if err := json.Unmarshal(line, &urls); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	return fn(urls)
}

// A cost is what one run of a process took.
type cost struct {
	wall, cpu time.Duration
	memory    int64 // peak, in bytes; 0 if this system does not tell
}

// measure runs commands one after the other.
func (b *bench) measure(commands [][]string) (cost, error) {
	var c cost
	for _, args := range commands {
		args = slices.Concat(b.client, args)
		cmd := exec.Command(args[0], args[1:]...)
		// Go would read the system's whole folder of certificates, which curl does
		// not, and which takes a twentieth of the CPU time of 256 MiB.
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+b.path("ca.pem"), "SSL_CERT_DIR="+b.path("none"), "NO_PROXY=*")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		start := time.Now()
		err := cmd.Run()
		c.wall += time.Since(start)
		if err != nil {
			return c, fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, stderr.String())
		}
		c.cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		c.memory = max(c.memory, peakMemory(cmd.ProcessState))
	}
	return c, nil
}

// A contestant is one way of doing what is measured.
type contestant struct {
	name     string
	commands [][]string
	slow     bool // run in the first round only
}

// race runs the contestants in turns, so that whatever else the machine does
// meets all of them, and returns the costs of each. Every other round goes
// backwards, because the memory that a run leaves behind tells in the next.
func (b *bench) race(contestants []contestant) ([][]cost, error) {
	costs := make([][]cost, len(contestants))
	for round := range b.rounds {
		for i := range contestants {
			if round%2 == 1 {
				i = len(contestants) - 1 - i
			}
			c := contestants[i]
			if c.slow && round > 0 {
				continue
			}
			got, err := b.measure(c.commands)
			if err != nil {
				return nil, err
			}
			costs[i] = append(costs[i], got)
			os.Remove(b.path("out.tar.gz"))
		}
	}
	return costs, nil
}

// few is a bench for what a link limits, which varies little.
func (b *bench) few() *bench {
	f := *b
	f.rounds = min(b.rounds, 3)
	return &f
}

// table runs the contestants and prints what they took.
func (b *bench) table(title string, contestants []contestant) error {
	costs, err := b.race(contestants)
	if err == nil {
		print(title, contestants, costs)
	}
	return err
}

// print prints a table: medians, and medians of the ratios to the first
// contestant in the same round.
func print(title string, contestants []contestant, costs [][]cost) {
	fmt.Printf("\n%s\n", title)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "\twall\tratio\tCPU\tratio\tpeak memory\t\n")
	for i, c := range contestants {
		wall := func(j int) float64 { return costs[i][j].wall.Seconds() }
		cpu := func(j int) float64 { return costs[i][j].cpu.Seconds() }
		first, n := costs[0], len(costs[i])
		fmt.Fprintf(w, "%s\t%.2f s\t%.2f\t%.2f s\t%.2f\t%s\t\n", c.name,
			median(n, wall),
			median(n, func(j int) float64 { return wall(j) / first[j].wall.Seconds() }),
			median(n, cpu),
			median(n, func(j int) float64 { return cpu(j) / first[j].cpu.Seconds() }),
			memory(costs[i]))
	}
	w.Flush()
}

func memory(costs []cost) string {
	peak := int64(0)
	for _, c := range costs {
		peak = max(peak, c.memory)
	}
	if peak == 0 {
		return "?"
	}
	return fmt.Sprintf("%.1f MiB", float64(peak)/mib)
}

func median(n int, value func(int) float64) float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = value(i)
	}
	slices.Sort(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// transfers measures one download and one upload over each kind of connection.
func (b *bench) transfers(size int64) error {
	archive, err := b.archive(size)
	if err != nil {
		return err
	}
	return b.serve(archive, nil, func(urls map[string]string) error {
		for _, verb := range []string{"download", "upload"} {
			for _, kind := range []string{"http", "https", "https+h2"} {
				err := b.table(fmt.Sprintf("%s, %s, %d MiB", verb, kind, size), b.contestants(verb, kind, urls[kind], archive))
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// contestants are all that can do a transfer, curl first if it is there.
func (b *bench) contestants(verb, kind, url, archive string) []contestant {
	file := archive
	if verb == "download" {
		file = b.path("out.tar.gz")
	}
	var cs []contestant
	if hasCurl() {
		cs = append(cs,
			contestant{name: "curl", commands: [][]string{b.curl(verb, url, file, "--http1.1")}},
		)
		if kind == "https+h2" {
			cs = append(cs, contestant{name: "curl, HTTP/2 if offered", commands: [][]string{b.curl(verb, url, file)}})
		}
	}
	cs = append(cs,
		contestant{name: "client-go", commands: [][]string{{b.path("clientgo"), verb, url, file}}, slow: true},
		contestant{name: "net/http", commands: [][]string{{b.path("nethttp"), verb, url, file}}},
		contestant{name: "net/http, tuned", commands: [][]string{{b.path("nethttp"), verb + "-tuned", url, file}}},
		contestant{name: "porter", commands: [][]string{{b.path("porter"), verb, url, file}}},
	)
	if verb == "download" { // the others do not verify
		cs = append(cs, contestant{name: "porter, unverified", commands: [][]string{{b.path("porter"), "download-unverified", url, file}}})
	}
	return cs
}

func hasCurl() bool {
	_, err := exec.LookPath("curl")
	return err == nil
}

func curlVersion() string {
	out, err := exec.Command("curl", "--version").Output()
	if err != nil {
		return "not installed, so net/http is what others are compared to"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	name, _, _ := strings.Cut(line, " (")
	return name
}

func (b *bench) curl(verb, url, file string, options ...string) []string {
	args := append([]string{"curl", "--disable", "--fail", "--silent", "--show-error", "--cacert", b.path("ca.pem"), "--header",
		"PRIVATE-TOKEN: token"}, options...)
	if verb == "download" {
		return append(args, "--output", file, url+"/api/v4/projects/1/export/download")
	}
	// GitLab garbles answers to requests that expect a 100 Continue.
	return append(args, "--header", "Expect:", "--form", "path=app", "--form", "namespace=bench", "--form", "file=@"+file,
		url+"/api/v4/projects/import")
}

// memory measures porter's peak of memory with archives of all sizes. Of a
// large one only the beginning is real.
func (b *bench) memory(sizes ...int64) error {
	fmt.Printf("\npeak memory of porter, https\n")
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "\tdownload\tover 4 connections\tupload\t\n")
	for _, size := range slices.DeleteFunc(sizes, func(n int64) bool { return n == 0 }) {
		archive, err := b.archive(min(size, 16))
		if err != nil {
			return err
		}
		if err := os.Truncate(archive, size*mib); err != nil {
			return err
		}
		fmt.Fprintf(w, "%d MiB", size)
		for _, run := range []struct {
			server, args []string
			file         string
		}{
			{nil, []string{"download"}, b.path("out.tar.gz")},
			// More than one are taken only where one is slower than 1 Gbit/s.
			{[]string{"-store", "-conn-rate", fmt.Sprint(100 * mib)}, []string{"-connections", "4", "download"}, b.path("out.tar.gz")},
			{nil, []string{"upload"}, archive},
		} {
			err := b.serve(archive, run.server, func(urls map[string]string) error {
				c, err := b.measure([][]string{slices.Concat([]string{b.path("porter")}, run.args, []string{urls["https"], run.file})})
				fmt.Fprintf(w, "\t%s", memory([]cost{c}))
				return err
			})
			os.Remove(b.path("out.tar.gz"))
			if err != nil {
				return err
			}
		}
		fmt.Fprint(w, "\t\n")
	}
	return w.Flush()
}

// migrate measures moving an archive from one server to another, when each
// sends and receives no more than rate MiB per second.
func (b *bench) migrate(size, rate int64) error {
	archive, err := b.archive(size)
	if err != nil {
		return err
	}
	links := []string{"-rate", fmt.Sprint(rate * mib)}
	return b.serve(archive, links, func(from map[string]string) error {
		return b.serve(archive, links, func(to map[string]string) error {
			src, dst := from["http"], to["http"]
			var cs []contestant
			if hasCurl() {
				file := b.path("out.tar.gz")
				cs = append(cs, contestant{name: "curl down, then up",
					commands: [][]string{b.curl("download", src, file), b.curl("upload", dst, file)}})
			}
			cs = append(cs, contestant{name: "client-go", commands: [][]string{{b.path("clientgo"), "migrate", src, dst}}})
			for _, verb := range []string{"migrate", "migrate-unverified", "migrate-direct"} {
				cs = append(cs, contestant{name: "porter " + verb, commands: [][]string{{b.path("porter"), verb, src, dst, b.dir}}})
			}
			return b.few().table(fmt.Sprintf("migrate, %d MiB over links of %d MiB/s", size, rate), cs)
		})
	})
}
