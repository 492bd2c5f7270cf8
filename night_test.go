package porter_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// These tests move a thousand projects in one night, with a goroutine for each
// and all of GitLab's limits on. Exports and imports take from 1 to 30 minutes.
// A plain run has all of them: go test -run TestNight -v .

// nightSize returns n projects, or fewer where time is short.
func nightSize(n int) int {
	if porter.RaceDetector || testing.Short() {
		return n / 5
	}
	return n
}

// nightArchives are what the projects of a night yield, one of them each. They are
// larger than what a connection buffers, so that an upload that is cut off was
// not sent whole.
var nightArchives = sync.OnceValue(func() []*portertest.Archive {
	var all []*portertest.Archive
	for seed := range 7 {
		all = append(all, portertest.NewArchive(320<<10, portertest.ArchiveSeed(int64(seed))))
	}
	return all
})

// A nightJob is a project, and how long GitLab is busy with it.
type nightJob struct {
	project         porter.ProjectPath
	archive         *portertest.Archive
	export, imports time.Duration
}

func (j nightJob) target() string { return "new/" + strings.ReplaceAll(string(j.project), "/", "-") }

// A night is what all projects are moved in: a source, a destination, and
// what is asked of both.
type night struct {
	t        *testing.T
	seed     uint64
	jobs     []nightJob
	src, dst *portertest.Server
	from, to tally
	begun    time.Time
	took     time.Duration
}

// newNight makes a night with n projects, in as many groups at the source.
func newNight(t *testing.T, n, groups int, opts ...portertest.Option) *night {
	t.Helper()
	w := &night{t: t, seed: rand.Uint64()}
	t.Logf("seed %d", w.seed)
	random := rand.New(rand.NewPCG(w.seed, 0))
	w.src, w.dst = w.server(&w.from, opts), w.server(&w.to, opts)
	w.src.Advance(17 * time.Second)
	w.dst.Advance(43 * time.Second)
	w.dst.AddGroup("new")
	upTo30Minutes := func() time.Duration { return time.Minute + time.Duration(random.Int64N(int64(29*time.Minute))) }
	for i := range n {
		j := nightJob{
			project: porter.ProjectPath(fmt.Sprintf("team%d/app%d", i%groups, i)),
			archive: nightArchives()[i%len(nightArchives())], export: upTo30Minutes(), imports: upTo30Minutes(),
		}
		timing := portertest.Timings{
			Queue: 3 * time.Second, Start: 2 * time.Second, FirstCheck: 10 * time.Second, Check: time.Minute,
			Store: 5 * time.Second, AfterExport: 2 * time.Second, Assemble: j.export,
			ImportQueue: 5 * time.Second, Import: j.imports,
		}
		w.src.AddProject(portertest.Project{Path: string(j.project), Archive: j.archive})
		w.src.ScriptExport(string(j.project), portertest.ExportScript{Timing: &timing})
		w.dst.ScriptImport(j.target(), portertest.ImportScript{Timing: &timing})
		w.jobs = append(w.jobs, j)
	}
	return w
}

// server returns a server that forgets what it was asked, and counts it in seen.
func (w *night) server(seen *tally, opts []portertest.Option) *portertest.Server {
	s := portertest.NewServer(append([]portertest.Option{
		portertest.InMemory(), portertest.GlobalThrottle(7200, time.Hour), portertest.KeepRequests(100), portertest.OnRequest(seen.add),
	}, opts...)...)
	w.t.Cleanup(s.Close)
	return s
}

// slowWires lets each transfer take some seconds. It goes last, since of several
// faults the first one hits.
func (w *night) slowWires() {
	w.src.Inject(portertest.Fault{Path: "/export/download", Times: -1, Do: portertest.Delay(2 * time.Second)})
	w.dst.Inject(portertest.Fault{Method: "POST", Path: "/projects/import", Times: -1, Do: portertest.StallRequest(32<<10, 2*time.Second)})
}

// each does f with each job, in a goroutine of its own.
func (w *night) each(f func(ctx context.Context, i int, j nightJob) error) {
	w.begun = time.Now()
	var wg sync.WaitGroup
	for i, j := range w.jobs {
		wg.Go(func() {
			if err := f(w.t.Context(), i, j); err != nil {
				w.t.Errorf("%s: %v", j.project, err)
			}
		})
	}
	wg.Wait()
	w.took = time.Since(w.begun)
}

// exportAll exports each project with the client of its number.
func (w *night) exportAll(clients ...*porter.Client) {
	w.each(func(ctx context.Context, i int, j nightJob) error {
		sum := sha256.New()
		if _, err := clients[i%len(clients)].ExportTo(ctx, j.project, sum, nil); err != nil {
			return err
		}
		if hex.EncodeToString(sum.Sum(nil)) != j.archive.SHA256() {
			return errors.New("another archive")
		}
		return nil
	})
}

func (w *night) migrateAll(from, to *porter.Client) {
	dir := w.t.TempDir()
	var again atomic.Int32
	w.each(func(ctx context.Context, _ int, j nightJob) error {
		opts := porter.MigrateOptions{
			Import:   porter.ImportOptions{Namespace: porter.NamespacePath("new"), Path: path.Base(j.target())},
			SpoolDir: dir,
		}
		_, err := porter.Migrate(ctx, from, j.project, to, opts)
		if errors.Is(err, porter.ErrOutcomeUnknown) && w.dst.Project(j.target()) == nil {
			// Its upload was refused, as too many are, and nobody heard. Whoever has looked
			// runs it again.
			again.Add(1)
			opts.Export = &porter.ExportOptions{MaxAge: 24 * time.Hour}
			_, err = porter.Migrate(ctx, from, j.project, to, opts)
		}
		return err
	})
	if n := int(again.Load()); n > 2+len(w.jobs)/100 {
		w.t.Errorf("%d of %d uploads had an unknown outcome", n, len(w.jobs))
	}
}

// checkOnce makes sure that every project was exported once.
func (w *night) checkOnce() {
	for _, j := range w.jobs {
		if n := len(w.src.Exports(string(j.project))); n != 1 {
			w.t.Errorf("%s was exported %d times", j.project, n)
		}
	}
}

// checkMoved makes sure that every project was imported once, and whole.
func (w *night) checkMoved() {
	if n := len(w.dst.Projects()); n != len(w.jobs) {
		w.t.Errorf("%d projects at the destination, want %d", n, len(w.jobs))
	}
	for _, j := range w.jobs {
		p := w.dst.Project(j.target())
		if p == nil || p.ImportStatus != "finished" || p.ArchiveSHA256 != j.archive.SHA256() {
			w.t.Errorf("%s became %+v", j.project, p)
		}
	}
}

// checkQuiet makes sure that nothing was refused, and that no hour had more
// than GitLab's global limit.
func (w *night) checkQuiet() {
	for name, seen := range map[string]*tally{"source": &w.from, "destination": &w.to} {
		if n := len(seen.of(isRefused)); n > 0 {
			w.t.Errorf("%d requests were refused by the %s", n, name)
		}
		if n := seen.hour(); n > 7200 {
			w.t.Errorf("%d requests to the %s in an hour", n, name)
		}
	}
}

// checkFull makes sure that of the minutes in which exports were scheduled 99 %
// were used up, but the first, which was not whole, and the last.
func (w *night) checkFull() {
	scheduled := w.from.minutes(isScheduled)
	full, whole := 0, len(scheduled)-2
	for _, n := range scheduled[1 : len(scheduled)-1] {
		if n == 6 {
			full++
		}
	}
	if float64(full) < 0.99*float64(whole) {
		w.t.Errorf("%d of %d minutes were used up: %v", full, whole, scheduled)
	}
}

// checkTook compares the time that it took with what the limits impose: at most
// so many times as long, if that is not 0.
func (w *night) checkTook(most float64, after ...stage) {
	w.t.Helper()
	bound := w.bound(after...)
	ratio := float64(w.took) / float64(bound)
	w.t.Logf("%d projects took %v, bound %v, %.3f of it; in an hour %d and %d requests; refused %d and %d",
		len(w.jobs), w.took.Round(time.Second), bound.Round(time.Second), ratio, w.from.hour(), w.to.hour(),
		len(w.from.of(isRefused)), len(w.to.of(isRefused)))
	if most > 0 && ratio > most {
		w.t.Errorf("took %.3f of the bound", ratio)
	}
}

// A stage is a step of a job that a limit allows so often in a minute.
type stage struct {
	limit int
	key   func(nightJob) string // of the budget
	takes func(nightJob) time.Duration
}

var (
	exporting = stage{6, func(nightJob) string { return "" }, func(j nightJob) time.Duration { return j.export }}
	importing = stage{6, func(nightJob) string { return "" }, func(j nightJob) time.Duration { return j.imports }}
	// downloading from a GitLab that counts downloads by namespace.
	downloading = stage{1, func(j nightJob) string { return path.Dir(string(j.project)) }, func(nightJob) time.Duration { return 0 }}
)

// bound returns how long a greedy schedule takes that begins the exports in the
// order in which they really began, and every stage of a job as soon as its
// limit allows, first come first served.
func (w *night) bound(after ...stage) time.Duration {
	begun := map[porter.ProjectPath]time.Time{}
	for _, j := range w.jobs {
		if runs := w.src.Exports(string(j.project)); len(runs) > 0 {
			begun[j.project] = runs[0].Time
		}
	}
	jobs := slices.SortedStableFunc(slices.Values(w.jobs), func(a, b nightJob) int { return begun[a.project].Compare(begun[b.project]) })
	ready := map[porter.ProjectPath]time.Duration{}
	var bound time.Duration
	for _, st := range append([]stage{exporting}, after...) {
		slices.SortStableFunc(jobs, func(a, b nightJob) int { return cmp.Compare(ready[a.project], ready[b.project]) })
		minute, used := map[string]time.Duration{}, map[string]int{}
		for _, j := range jobs {
			key := st.key(j)
			now := max(minute[key], ready[j.project].Truncate(time.Minute))
			if now > minute[key] {
				used[key] = 0
			} else if used[key] == st.limit {
				now, used[key] = now+time.Minute, 0
			}
			minute[key] = now
			used[key]++
			ready[j.project] = max(ready[j.project], now) + st.takes(j)
			bound = max(bound, ready[j.project])
		}
	}
	return bound
}

// A tally has what became of each request to a server.
type tally struct {
	mu  sync.Mutex
	all []tallied
}

type tallied struct {
	at     time.Time
	kind   string // method, and the end of its path
	status int
}

func (s *tally) add(r portertest.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, tallied{r.Time, r.Method + " " + path.Base(r.Path), r.Status})
}

// of returns when requests of a kind were made, in order.
func (s *tally) of(is func(tallied) bool) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	var times []time.Time
	for _, r := range s.all {
		if is(r) {
			times = append(times, r.at)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	return times
}

// minutes returns how many requests were made in each minute since the first.
func (s *tally) minutes(is func(tallied) bool) (minutes []int) {
	times := s.of(is)
	for _, at := range times {
		m := int(at.Truncate(time.Minute).Sub(times[0].Truncate(time.Minute)) / time.Minute)
		minutes = append(minutes, make([]int, m+1-len(minutes))...)
		minutes[m]++
	}
	return minutes
}

// hour returns the most requests in any hour.
func (s *tally) hour() (most int) {
	times := s.of(func(tallied) bool { return true })
	first := 0
	for i, at := range times {
		for at.Sub(times[first]) >= time.Hour {
			first++
		}
		most = max(most, i+1-first)
	}
	return most
}

func isRefused(r tallied) bool { return r.status == http.StatusTooManyRequests }

func isLook(r tallied) bool { return r.kind == "GET export" }

func isScheduled(r tallied) bool { return r.kind == "POST export" && r.status == http.StatusAccepted }

// A trouble is something that a few per cent of the requests that it is for run
// into, and that porter bears.
type trouble struct {
	origin string
	method string
	path   string // its end
	do     portertest.Action
	spare  int // how many requests with the same path are spared at first
	row    int // the most troubles in a row of which this is the last
}

// troubles are all kinds of faults, so that several may hit the same project.
func troubles() []trouble {
	const gitlab, storage = portertest.GitLab, portertest.Storage
	after := func(seconds string) http.Header { return http.Header{"Retry-After": {seconds}} }
	tooMany := portertest.Respond(429, nil, `{"message":{"error":"This endpoint has been requested too many times. Try again later."}}`)
	pages := portertest.Respond(502, http.Header{"Content-Type": {"text/html"}}, "<html><title>Bad gateway</title></html>")
	lag := portertest.Respond(404, http.Header{"Content-Type": {"application/json"}}, `{"message":"404 Project Not Found"}`)
	list := []trouble{
		{gitlab, "GET", "/import", lag, 6, 1},
		{gitlab, "POST", "/export", tooMany, 0, 1},
		{gitlab, "POST", "/export", pages, 0, 1},
		{gitlab, "POST", "/export", portertest.CutRequest(0), 0, 1},
		{gitlab, "POST", "/export", portertest.LoseAnswer(), 0, 1},
		{gitlab, "POST", "/export", portertest.HoldAnswer(40 * time.Second), 0, 1},
		{gitlab, "POST", "/projects/import", tooMany, 0, 1},
		{gitlab, "POST", "/projects/import", portertest.RespondEarly(503, nil, "GitLab is not responding\n"), 0, 1},
		{gitlab, "POST", "/projects/import", portertest.CutRequest(0), 0, 1},
		{gitlab, "POST", "/projects/import", portertest.CutRequest(40_000), 0, 1},
		{gitlab, "POST", "/projects/import", portertest.StallRequest(40_000, 0), 0, 1},
		{gitlab, "POST", "/projects/import", portertest.LoseAnswer(), 0, 1},
		{gitlab, "POST", "/projects/import", portertest.HoldAnswer(40 * time.Second), 0, 1},
	}
	for _, get := range []struct{ origin, path string }{
		{gitlab, "/export"}, {gitlab, "/import"}, {gitlab, "/export/download"}, {storage, ".gz"},
	} {
		for _, do := range []portertest.Action{
			portertest.Respond(500, nil, `{"message":"500 Internal Server Error"}`), pages, portertest.Respond(503, after("20"), ""),
			portertest.CutResponse(0), portertest.CutResponse(25), portertest.StallResponse(25, 0), portertest.StallResponse(25, 40*time.Second),
			portertest.LoseAnswer(), portertest.HoldAnswer(45 * time.Second), portertest.Delay(20 * time.Second),
		} {
			list = append(list, trouble{get.origin, "GET", get.path, do, 0, 2})
		}
		if get.origin == gitlab {
			list = append(list, trouble{gitlab, "GET", get.path, portertest.Respond(429, after("60"), "Retry later\n"), 0, 2})
		}
	}
	broken := portertest.CutResponse(30_000) // in the middle of an archive
	return append(list,
		trouble{gitlab, "GET", "/export/download", broken, 0, 2},
		trouble{gitlab, "GET", "/export/download", portertest.StallResponse(30_000, 0), 0, 2},
		trouble{storage, "GET", ".gz", broken, 0, 2},
		trouble{storage, "GET", ".gz", portertest.StallResponse(30_000, 0), 0, 2},
		trouble{storage, "GET", ".gz", portertest.Chunked().And(broken), 0, 2},
	)
}

// trouble lets so many of a hundred requests run into each trouble, the same ones
// whenever the seed is the same.
func (w *night) trouble(s *portertest.Server, percent float64) (hits func() string) {
	var mu sync.Mutex
	all := troubles()
	seen, row, chosen := map[string]int{}, map[string]int{}, map[*http.Request]int{}
	choose := func(r *http.Request) int {
		if n, ok := chosen[r]; ok {
			return n
		}
		key := r.Method + r.URL.Path
		h := fnv.New64()
		fmt.Fprint(h, key, seen[key])
		random := rand.New(rand.NewPCG(w.seed, h.Sum64()))
		seen[key]++
		chosen[r] = -1
		for n, tr := range all {
			hit := random.Float64() < percent/100
			if hit && row[key] < tr.row && seen[key] > tr.spare && tr.method == r.Method && strings.HasSuffix(r.URL.Path, tr.path) {
				chosen[r] = n
				row[key]++
				return n
			}
		}
		row[key] = 0
		return -1
	}
	var injected []*portertest.Injection
	for n, tr := range all {
		injected = append(injected, s.Inject(portertest.Fault{Origin: tr.origin, Times: -1, Do: tr.do, Match: func(r *http.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			return choose(r) == n
		}}))
	}
	s.Inject(portertest.Fault{Match: func(r *http.Request) bool { // none hits it
		mu.Lock()
		defer mu.Unlock()
		delete(chosen, r)
		return false
	}})
	return func() string {
		var all []int
		for _, i := range injected {
			all = append(all, i.Hits())
		}
		return fmt.Sprint(all)
	}
}

// watchMemory makes sure that what is held does not grow with what has been done,
// once the first jobs have ended. It must not run beside other tests.
func (w *night) watchMemory() (end func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		var heaps []uint64
		for at := 35 * time.Minute; ; at = 15 * time.Minute {
			select {
			case <-time.After(at):
			case <-done:
				w.t.Logf("MiB in use: %d", heaps)
				return
			}
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			heaps = append(heaps, m.HeapAlloc>>20)
			if now := heaps[len(heaps)-1]; now > heaps[0]+16 {
				w.t.Errorf("%d MiB are in use, %d were after the first half hour", now, heaps[0])
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// The obvious program, a goroutine for each project, takes hardly longer than
// GitLab's limits make it.
func TestNightExports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNight(t, nightSize(1000), 1000)
		w.slowWires()
		end := w.watchMemory()
		w.exportAll(connectAs(t, w.src, portertest.Token))
		end()
		w.checkTook(1.1)
		w.checkOnce()
		w.checkQuiet()
		w.checkFull()
	})
}

func TestNightMigrations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNight(t, nightSize(1000), 1000)
		w.slowWires()
		end := w.watchMemory()
		w.migrateAll(connectAs(t, w.src, portertest.Token), connectAs(t, w.dst, portertest.Token))
		end()
		w.checkTook(1.1, importing)
		w.checkOnce()
		w.checkMoved()
		w.checkQuiet()
		w.checkFull()
	})
}

// Many processes of one user, which know nothing of each other.
func TestManyProcesses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		processes int
		version   string
		most      float64
	}{
		{3, "18.9", 1.1},
		{10, "18.9", 1.2}, // who poll near the throttle
		// Nothing tells them that they come near to the throttle, and then all
		// wait until its hour is over.
		{10, "18.4", 2},
	} {
		t.Run(fmt.Sprint(tt.processes, " of ", tt.version), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newNight(t, nightSize(500), 1000, portertest.Version(tt.version))
				w.slowWires()
				var clients []*porter.Client
				for range tt.processes {
					clients = append(clients, connectAs(t, w.src, portertest.Token))
				}
				w.exportAll(clients...)
				w.checkTook(tt.most)
				w.checkOnce()
				if n := len(w.from.of(isRefused)); n > 2*tt.processes*int(w.took/time.Minute) {
					t.Errorf("%d refused, more than two a minute for each process", n)
				}
				if tt.version == "18.9" {
					w.checkFull()
				}
			})
		})
	}
}

// Up to 17.9 downloads are counted by namespace.
func TestNightOfNamespaces(t *testing.T) {
	t.Parallel()
	for _, groups := range []int{100, 4, 1} {
		t.Run(fmt.Sprint(groups), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newNight(t, nightSize(300), groups, portertest.Version("17.9"))
				w.slowWires()
				w.migrateAll(connectAs(t, w.src, portertest.Token), connectAs(t, w.dst, portertest.Token))
				w.checkTook(1.2, downloading, importing)
				w.checkOnce()
				w.checkMoved()
			})
		})
	}
}

// Five hundred waits at the same time.
func TestManyWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newNight(t, nightSize(500), 1000, portertest.NoLimits())
		w.exportAll(connectAs(t, w.src, portertest.Token, porter.WithPacing(porter.Pacing{Exports: -1, Downloads: -1})))
		longest := slices.MaxFunc(w.jobs, func(a, b nightJob) int { return cmp.Compare(a.export, b.export) }).export
		looks := w.from.minutes(isLook)
		t.Logf("took %v, %.3f of the longest export; looks by minute %v", w.took, float64(w.took)/float64(longest), looks)
		for minute, n := range looks {
			if minute > 0 && n > 90 { // at first each project is looked at before it is exported
				t.Errorf("%d polls in minute %d", n, minute)
			}
		}
		w.checkOnce()
		w.checkQuiet()
		if float64(w.took) > 1.1*float64(longest) {
			t.Errorf("took %v, and the longest export %v", w.took, longest)
		}
	})
}

// Who asks first is served first, whoever gives up, and no turn is lost.
func TestNightIsFair(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newNight(t, nightSize(500), 1000)
		random := rand.New(rand.NewPCG(w.seed, 1))
		c := connectAs(t, w.src, portertest.Token)
		begun := time.Now()
		var wg sync.WaitGroup
		last := make([]time.Time, len(w.jobs))                 // when who gave up did so
		inLine := time.Duration(len(w.jobs)) * time.Minute / 6 // until the last has its turn
		for i, j := range w.jobs {
			ctx, cancel := t.Context(), context.CancelFunc(func() {})
			if i%3 == 1 {
				ctx, cancel = context.WithTimeout(ctx, time.Duration(random.Int64N(int64(inLine))))
			}
			wg.Go(func() {
				defer cancel()
				if err := c.ScheduleExport(ctx, j.project, nil); err != nil {
					last[i] = time.Now()
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%s: %v", j.project, err)
					}
				}
			})
			synctest.Wait() // so that it has asked
		}
		wg.Wait()
		served := 0
		var before time.Time
		for i, j := range w.jobs {
			runs := w.src.Exports(string(j.project))
			if len(runs) != 1 && last[i].IsZero() {
				t.Errorf("%s was exported %d times", j.project, len(runs))
			}
			if len(runs) == 0 {
				continue
			}
			served++
			if runs[0].Time.Before(before) {
				t.Errorf("%s had its turn at %v, and one behind it at %v", j.project, runs[0].Time, before)
			}
			before = runs[0].Time
		}
		t.Logf("%d of %d were served in %v", served, len(w.jobs), time.Since(begun))
		if served == len(w.jobs) {
			t.Error("nobody gave up")
		}
		w.checkFull()
		if n := len(w.from.of(isRefused)); n > 0 {
			t.Errorf("%d requests were refused", n)
		}
	})
}

// A few per cent of every trouble keep no project from being moved once, and whole.
func TestNightOfTroubles(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]portertest.DownloadMode{"disk": portertest.FromDisk, "redirected": portertest.Redirected} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newNight(t, nightSize(1000), 1000, portertest.Downloads(mode))
				hits, hitsThere := w.trouble(w.src, 2), w.trouble(w.dst, 2)
				w.slowWires()
				w.migrateAll(connectAs(t, w.src, portertest.Token), connectAs(t, w.dst, portertest.Token))
				t.Logf("hit the source %s, the destination %s", hits(), hitsThere())
				w.checkTook(0, importing)
				w.checkOnce()
				w.checkMoved()
			})
		})
	}
}
