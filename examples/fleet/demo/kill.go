package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/fleet"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
	"github.com/seed-5d77b939/porter/portertest"
)

// workerVariable has a workerConfig: this program, started again, is a worker then.
const workerVariable = "FLEET_DEMO_WORKER"

// A workerConfig says what a worker process does. The token is in GITLAB_TOKEN.
type workerConfig struct {
	Address, Namespace  string
	Source, Destination string
	Spool               string
	Kinds               []string
}

// work is the worker process. It ends with the one that started it.
func work(ctx context.Context, config string, stderr io.Writer) int {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	var w workerConfig
	err := json.Unmarshal([]byte(config), &w)
	if err == nil {
		err = w.serve(ctx)
	}
	if err != nil {
		fmt.Fprintln(stderr, "worker:", err)
		return cli.Failure
	}
	return cli.OK
}

func (w workerConfig) serve(ctx context.Context) error {
	token, err := cli.Token("GITLAB_TOKEN")
	if err != nil {
		return err
	}
	c, err := client.DialContext(ctx, client.Options{HostPort: w.Address, Namespace: w.Namespace, Logger: quiet{}})
	if err != nil {
		return err
	}
	defer c.Close()
	return fleet.Work(ctx, c, fleet.Config{
		User: user, Source: w.Source, Destination: w.Destination, SourceAuth: token, DestinationAuth: token,
		Kinds: w.Kinds, Transfers: 4, Spool: w.Spool,
		Rate: porter.Pacing{Exports: -1, Imports: -1, Downloads: -1, Polls: -1},
		// What a worker that was killed has begun shows at once.
		Polling: porter.Polling{Backoff: porter.ConstantBackoff(100 * time.Millisecond), Grace: 6 * time.Second, Patience: 2 * time.Second},
	})
}

// A killer runs two workers and kills them.
type killer struct {
	scene  *scene
	random *rand.Rand
	out    io.Writer
	config workerConfig
}

// roles are the queues of the workers. One alone schedules exports.
var roles = [][]string{
	{fleet.Workflows, fleet.Polls, fleet.Posts, fleet.Transfers},
	{fleet.Workflows, fleet.Polls, fleet.Transfers},
}

// run kills so often, unless ctx ends first, and waits for its end. It returns how
// often it did.
func (k *killer) run(ctx context.Context, kills int) (killed int, err error) {
	workers := make([]*process, len(roles))
	defer func() {
		for _, w := range workers {
			if w != nil {
				w.kill()
			}
		}
	}()
	for i := range workers {
		if workers[i], err = k.start(i); err != nil {
			return 0, err
		}
	}
	for killed < kills {
		i := k.random.IntN(len(workers))
		if !k.wait(ctx, workers[i]) {
			return killed, nil
		}
		if workers[i].ended() {
			return killed, fmt.Errorf("a worker ended by itself: %v", workers[i].cmd.ProcessState)
		}
		workers[i].kill()
		killed++
		fmt.Fprintf(k.out, "killed worker %d\n", i+1)
		if workers[i], err = k.start(i); err != nil {
			return killed, err
		}
	}
	<-ctx.Done()
	return killed, nil
}

// wait waits for the next moment to kill: after so many requests, as those are
// what a kill may break off, or some time. It returns false if ctx ended.
func (k *killer) wait(ctx context.Context, w *process) bool {
	enough := k.scene.requests() + 5 + k.random.IntN(100)
	latest := time.After(time.Second + time.Duration(k.random.Int64N(int64(3*time.Second))))
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for k.scene.requests() < enough {
		select {
		case <-ctx.Done():
			return false
		case <-w.done:
			return true
		case <-latest:
			return true
		case <-look.C:
		}
	}
	return ctx.Err() == nil
}

// A process is a worker.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

func (k *killer) start(i int) (*process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	k.config.Kinds = roles[i]
	config, err := json.Marshal(k.config)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(exe), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), workerVariable+"="+string(config), "GITLAB_TOKEN="+portertest.Token)
	p.cmd.Stderr = os.Stderr
	if _, err := p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// kill ends the process as the kernel does when memory is short.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}
