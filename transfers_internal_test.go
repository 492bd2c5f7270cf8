package porter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter/portertest"
)

// Whatever transfers do, fail at and are cancelled in, at the end every place
// is free.
func TestTransfersAtRandom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		var clients []*Client
		const projects = 40
		for range 2 {
			s := portertest.NewServer(portertest.InMemory(), portertest.RealTiming())
			defer s.Close()
			s.AddGroup("new")
			for i := range projects {
				s.AddProject(portertest.Project{Path: fmt.Sprint("team/app", i), Archive: portertest.NewArchive(portertest.MinArchiveSize)})
				s.AddExport(fmt.Sprint("team/app", i), "owner")
			}
			for _, do := range []portertest.Action{
				portertest.CutResponse(1000), portertest.Respond(503, nil, ""), portertest.Respond(429, http.Header{"Retry-After": {"90"}}, ""),
				portertest.StallResponse(1000, time.Minute), portertest.CutRequest(1000), portertest.Delay(20 * time.Second),
				portertest.Respond(404, nil, `{"message":"The project export file is not available yet"}`),
			} {
				s.Inject(portertest.Fault{Path: "download", Skip: random.IntN(20), Times: 5, Do: do})
				s.Inject(portertest.Fault{Method: "POST", Skip: random.IntN(10), Times: 2, Do: do})
			}
			c, err := NewClient(s.URL, PrivateToken(portertest.Token), WithTransport(s.Transport()), WithTransfers(2))
			if err != nil {
				t.Fatal(err)
			}
			clients = append(clients, c)
		}
		var wg sync.WaitGroup
		for i := range projects {
			random := rand.New(rand.NewPCG(seed, uint64(i+1)))
			wg.Go(func() { transferAtRandom(t.Context(), random, clients, i) })
		}
		wg.Wait()
		synctest.Wait()
		for _, c := range clients {
			if places, calls := c.places.Taken(), len(c.calls); places != 0 || calls != 0 {
				t.Errorf("%d places are taken, and %d calls under way", places, calls)
			}
		}
	})
}

// transferAtRandom makes some transfers of project i, which it may cancel.
func transferAtRandom(ctx context.Context, random *rand.Rand, clients []*Client, i int) {
	for range 4 {
		ctx, cancel := context.WithTimeout(ctx, time.Duration(random.Int64N(int64(20*time.Minute))))
		p, at := ProjectPath(fmt.Sprint("team/app", i)), random.IntN(2)
		from, to := clients[at], clients[random.IntN(2)]
		opts := ImportOptions{Namespace: NamespacePath("new"), Path: fmt.Sprint("app", random.Uint32())}
		switch random.IntN(6) {
		case 0:
			if r, err := from.OpenExport(ctx, p); err == nil {
				go io.CopyN(io.Discard, r, 1+random.Int64N(portertest.MinArchiveSize))
				time.Sleep(time.Duration(random.Int64N(int64(time.Minute))))
				r.Close()
			}
		case 1:
			from.DownloadExport(ctx, p, io.Discard, nil)
		case 2:
			to.Import(ctx, from.ExportSource(p), opts)
		case 3, 4:
			Migrate(ctx, from, p, to, MigrateOptions{Import: opts, NoSpool: random.IntN(2) == 0})
		case 5:
			src := Source{Size: -1, Open: func(ctx context.Context) (io.ReadCloser, error) {
				r, err := from.OpenExport(ctx, p)
				if err != nil {
					return nil, err
				}
				return brokenReader{r}, nil
			}}
			to.StartImport(ctx, src, opts)
		}
		cancel()
	}
}

// A brokenReader fails at its first read.
type brokenReader struct{ io.ReadCloser }

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("broken") }
