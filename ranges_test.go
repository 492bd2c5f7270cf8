package porter_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// rangesOf are what a download over n connections is told.
func rangesOf(n int) *porter.DownloadOptions { return &porter.DownloadOptions{Connections: n} }

// smallChunks have an archive of a megabyte fetched in ten chunks or so.
var smallChunks = porter.WithChunks(32<<10, 128<<10)

// rangesServer returns a simulator whose object storage gives each connection so
// many bytes a second.
func rangesServer(t *testing.T, a *portertest.Archive, rate int64, opts ...portertest.Option) *portertest.Server {
	t.Helper()
	return dlServer(t, a, append([]portertest.Option{portertest.Downloads(portertest.Redirected), portertest.PerConnection(rate)}, opts...)...)
}

// asksForPart matches the requests of a download for a part of the archive.
func asksForPart(r *http.Request) bool {
	return r.Header.Get("Range") != "" && !strings.HasSuffix(r.Header.Get("Range"), "-")
}

// partsAsked returns the requests to the store for parts of the archive.
func partsAsked(s *portertest.Server) (parts []portertest.Request) {
	for _, r := range dlAsked(s, portertest.Storage) {
		if asksForPart(&http.Request{Header: r.Header}) {
			parts = append(parts, r)
		}
	}
	return parts
}

// Four connections are nearly four times as fast as one, where the store gives
// each 25 MiB/s, and so is a migration whose upload is faster.
func TestRangesAreFaster(t *testing.T) {
	t.Parallel()
	const size, rate = 64 << 20, 25 << 20
	archive := portertest.NewArchive(size)
	ways := map[string]func(t *testing.T, s *portertest.Server, n int) error{
		"file": func(t *testing.T, s *portertest.Server, n int) error {
			opts := porter.DownloadOptions{Connections: n, SkipVerify: true}
			dl, err := dlConnect(t, s).DownloadExportFile(t.Context(), porter.ProjectID(7), saveTarget(t), &opts)
			if err == nil && dl.Bytes != size {
				t.Errorf("%d bytes", dl.Bytes)
			}
			return err
		},
		"migration": func(t *testing.T, s *portertest.Server, n int) error {
			to := portertest.NewServer(portertest.InMemory(), portertest.NoLimits())
			defer to.Close()
			opts := porter.MigrateOptions{SpoolDir: t.TempDir(), SkipVerify: true, Export: &porter.ExportOptions{MaxAge: time.Hour}}
			opts.Export.Connections = n
			opts.Import.Path = "copy"
			_, err := porter.Migrate(t.Context(), dlConnect(t, s), porter.ProjectID(7), dlConnect(t, to), opts)
			if p := to.Projects(); len(p) != 1 || p[0].ArchiveSHA256 != archive.SHA256() {
				t.Errorf("made %+v", p)
			}
			return err
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			took := map[int]time.Duration{}
			for _, n := range []int{1, 4} {
				synctest.Test(t, func(t *testing.T) {
					s := rangesServer(t, archive, rate)
					defer s.Close()
					start := time.Now()
					if err := way(t, s, n); err != nil {
						t.Fatal(err)
					}
					took[n] = time.Since(start)
				})
			}
			if times := took[1].Seconds() / took[4].Seconds(); times < 3.2 || times > 4 {
				t.Errorf("%.2f times as fast: %v", times, took)
			}
		})
	}
}

// A store that is fast enough, and one whose speed all share, is asked by one
// connection, at least after a while.
func TestRangesThatGainNothing(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	archive := portertest.NewArchive(size)
	synctest.Test(t, func(t *testing.T) {
		s := rangesServer(t, archive, 200<<20)
		defer s.Close()
		opts := porter.DownloadOptions{Connections: 4, SkipVerify: true}
		if _, err := dlConnect(t, s).DownloadExportFile(t.Context(), porter.ProjectID(7), saveTarget(t), &opts); err != nil {
			t.Fatal(err)
		}
		if parts := partsAsked(s); len(parts) > 0 {
			t.Errorf("asked for %d parts", len(parts))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := rangesServer(t, archive, 0)
		defer s.Close()
		line := &sharedLine{next: s.Transport(), rate: 10 << 20}
		opts := porter.DownloadOptions{Connections: 4, SkipVerify: true}
		c := connect(t, s, porter.WithoutPacing(), porter.WithTransport(line))
		if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), saveTarget(t), &opts); err != nil {
			t.Fatal(err)
		}
		if parts := partsAsked(s); len(parts) == 0 || len(parts) > 24 {
			t.Errorf("asked for %d parts", len(parts))
		}
		if line.most < 2 || line.open > 1 {
			t.Errorf("%d connections at most, %d at last", line.most, line.open)
		}
	})
}

// A sharedLine is a transport that brings so many bytes a second in all. It counts
// the bodies that are being read.
type sharedLine struct {
	next http.RoundTripper
	rate int64

	mu         sync.Mutex
	free       time.Time
	open, most int
}

func (l *sharedLine) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(req)
	if err == nil && strings.HasPrefix(req.URL.Host, "storage") {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.open++
		l.most = max(l.most, l.open)
		resp.Body = &sharedBody{ReadCloser: resp.Body, l: l}
	}
	return resp, err
}

type sharedBody struct {
	io.ReadCloser
	l    *sharedLine
	once sync.Once
}

func (b *sharedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), 32<<10)])
	b.l.mu.Lock()
	if now := time.Now(); b.l.free.Before(now) {
		b.l.free = now
	}
	b.l.free = b.l.free.Add(time.Duration(int64(n) * int64(time.Second) / b.l.rate))
	wait := time.Until(b.l.free)
	b.l.mu.Unlock()
	time.Sleep(wait)
	return n, err
}

func (b *sharedBody) Close() error {
	b.once.Do(func() {
		b.l.mu.Lock()
		defer b.l.mu.Unlock()
		b.l.open--
	})
	return b.ReadCloser.Close()
}

// rangesWay is a download over several connections, to a file or a spool.
type rangesWay func(t *testing.T, ctx context.Context, s *portertest.Server, c *porter.Client, n int) error

// rangesWays end with the archive in one piece, or an error.
func rangesWays(archive *portertest.Archive) map[string]rangesWay {
	return map[string]rangesWay{
		"file": func(t *testing.T, ctx context.Context, _ *portertest.Server, c *porter.Client, n int) error {
			file := saveTarget(t)
			dl, err := c.DownloadExportFile(ctx, porter.ProjectID(7), file, rangesOf(n))
			if err == nil {
				saveCheck(t, file, archive)
				if dl.Bytes != archive.Size() || dl.Archive == nil {
					t.Errorf("%+v", dl)
				}
			}
			return err
		},
		"migration": func(t *testing.T, ctx context.Context, _ *portertest.Server, c *porter.Client, n int) error {
			to := portertest.NewServer(portertest.InMemory(), portertest.NoLimits())
			defer to.Close()
			opts := porter.MigrateOptions{SpoolDir: t.TempDir(), Export: &porter.ExportOptions{MaxAge: time.Hour}}
			opts.Export.Connections = n
			opts.Import.Path = "copy"
			m, err := porter.Migrate(ctx, c, porter.ProjectID(7), dlConnect(t, to), opts)
			projects := to.Projects()
			if err == nil && (len(projects) != 1 || projects[0].ArchiveSHA256 != archive.SHA256() || m.Bytes != archive.Size() || m.Archive == nil) {
				t.Errorf("made %+v: %+v", projects, m)
			}
			if err != nil && len(projects) > 0 {
				t.Errorf("made %+v in spite of %v", projects, err)
			}
			return err
		},
	}
}

// Whatever goes wrong with some of the connections, the archive is whole, at one
// download of GitLab's budget unless its signed URL has expired.
func TestRangesFaults(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(1 << 20)
	slowDown := `<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`
	expired := `<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>`
	denied := `<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`
	xml := http.Header{"Content-Type": {"application/xml"}}
	tests := []struct {
		name        string
		rate        int64 // of each connection; 0 for 256 KiB a second
		skip, times int
		do          portertest.Action
		asked       int // GitLab, for the archive; 0 for once
	}{
		{name: "nothing"},
		{name: "cuts", skip: 1, times: 4, do: portertest.CutResponse(10_000)},
		{name: "cuts before the first byte", times: 3, do: portertest.CutResponse(0)},
		{name: "all are cut", times: -1, do: portertest.CutResponse(10_000)},
		{name: "stalls", skip: 1, times: 2, do: portertest.StallResponse(20_000, 0)},
		{name: "no answer", times: 2, do: portertest.HoldAnswer(0)},
		{name: "SlowDown", skip: 2, times: 2, do: portertest.Respond(503, xml, slowDown)},
		{name: "SlowDown with status 200", skip: 2, times: 2, do: portertest.Respond(200, xml, slowDown)},
		{name: "SlowDown for all", times: -1, do: portertest.Respond(503, xml, slowDown)},
		{name: "429", skip: 1, times: 2, do: portertest.Respond(429, http.Header{"Retry-After": {"3"}}, "")},
		{name: "Range ignored once", skip: 1, times: 1, do: portertest.IgnoreRange()},
		{name: "Range ignored by all", times: -1, do: portertest.IgnoreRange()},
		{name: "refused by all", times: -1, do: portertest.Respond(403, xml, denied)},
		{name: "a page instead", times: -1, do: portertest.Respond(206, http.Header{"Content-Type": {"text/html"}}, "<!DOCTYPE html>")},
		{name: "other bytes", times: 3, do: portertest.Truncate(5_000)},
		{name: "expired once", skip: 3, times: 1, do: portertest.Respond(403, xml, expired), asked: 2},
		{name: "expired after ten minutes", rate: 400, asked: 2},
	}
	for name, way := range rangesWays(archive) {
		for _, tt := range tests {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := rangesServer(t, archive, cmp.Or(tt.rate, 256<<10))
					defer s.Close()
					if tt.times != 0 {
						s.Inject(portertest.Fault{Origin: portertest.Storage, Match: asksForPart, Skip: tt.skip, Times: tt.times, Do: tt.do})
					}
					var bytes int64
					c := connect(t, s, smallChunks, porter.WithTransfers(1), porter.WithRetry(5, porter.ConstantBackoff(time.Second)),
						porter.WithObserver(func(ev porter.Event) {
							if ev.Kind != porter.EventProgress || ev.Op != porter.OpDownload {
								return
							}
							if ev.Bytes < bytes || ev.Bytes > archive.Size() || ev.Total != archive.Size() {
								t.Errorf("progress of %d bytes out of %d after %d", ev.Bytes, ev.Total, bytes)
							}
							bytes = ev.Bytes
						}))
					err := way(t, t.Context(), s, c, 4)
					if err != nil {
						for _, r := range s.Requests() {
							t.Logf("%v %s %s %s %d sent %d", r.Time, r.Origin, r.Path, r.Header.Get("Range"), r.Status, r.Sent)
						}
						t.Fatal(err)
					}
					if bytes != archive.Size() {
						t.Errorf("progress ended with %d bytes", bytes)
					}
					if len(partsAsked(s)) == 0 {
						t.Error("no part was asked for")
					}
					if n := len(dlAsked(s, portertest.GitLab)) - lookedAt(s); n != max(tt.asked, 1) {
						t.Errorf("asked GitLab %d times", n)
					}
					if leaks := s.Leaks(); len(leaks) > 0 {
						t.Errorf("credentials reached the storage: %+v", leaks)
					}
				})
			})
		}
	}
}

// lookedAt counts what was asked of GitLab but the archive.
func lookedAt(s *portertest.Server) (n int) {
	for _, r := range dlAsked(s, portertest.GitLab) {
		if !strings.HasSuffix(r.Path, "/export/download") {
			n++
		}
	}
	return n
}

// Where there is no strong ETag, no length or no redirect, or one connection is
// wanted, no part is asked for.
func TestRangesOfNoUse(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(1 << 20)
	weak := func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(req)
			if err == nil && resp.Header.Get("ETag") != "" {
				resp.Header.Set("ETag", "W/"+resp.Header.Get("ETag"))
			}
			return resp, err
		})
	}
	for name, tt := range map[string]struct {
		mode  portertest.DownloadMode
		conns int
		wrap  func(http.RoundTripper) http.RoundTripper
		do    portertest.Action
	}{
		"one connection": {mode: portertest.Redirected, conns: 1},
		"weak ETag":      {mode: portertest.Redirected, conns: 4, wrap: weak},
		"no length":      {mode: portertest.Redirected, conns: 4, do: portertest.Chunked()},
		"disk":           {mode: portertest.FromDisk, conns: 4},
		"proxied":        {mode: portertest.Proxied, conns: 4},
	} {
		for way, run := range rangesWays(archive) {
			t.Run(name+"/"+way, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := dlServer(t, archive, portertest.Downloads(tt.mode), portertest.PerConnection(256<<10))
					defer s.Close()
					s.Inject(portertest.Fault{Origin: portertest.Storage, Method: "GET", Times: -1, Do: tt.do})
					opts := []porter.Option{porter.WithoutPacing(), smallChunks}
					if tt.wrap != nil {
						opts = append(opts, porter.WithTransport(tt.wrap(s.Transport())))
					}
					if err := run(t, t.Context(), s, connect(t, s, opts...), tt.conns); err != nil {
						t.Fatal(err)
					}
					for _, r := range s.Requests() {
						if r.Header.Get("Range") != "" {
							t.Errorf("asked for %s", r.Header.Get("Range"))
						}
					}
				})
			})
		}
	}
	c := mocked(t, noRequest(t))
	_, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), saveTarget(t), rangesOf(-1))
	if err == nil || !strings.HasSuffix(err.Error(), "connections -1 is negative") {
		t.Errorf("negative: %v", err)
	}
}

// rangesBroken downloads over n connections until so many bytes are there, and
// returns what is noted of them.
func rangesBroken(t *testing.T, s *portertest.Server, file string, n int, bytes int64) (synced int64, ranges []struct{ From, To int64 }) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := dlConnect(t, s, smallChunks, porter.WithObserver(func(ev porter.Event) {
		if ev.Kind == porter.EventProgress && ev.Bytes >= bytes {
			cancel()
		}
	}))
	if _, err := c.DownloadExportFile(ctx, porter.ProjectID(7), file, rangesOf(n)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	var state struct {
		Synced int64
		Ranges []struct{ From, To int64 }
	}
	if err := json.Unmarshal([]byte(saveState(t, file)), &state); err != nil {
		t.Fatal(err)
	}
	return state.Synced, state.Ranges
}

// What was fetched beyond the front is not fetched again, over however many
// connections; a state without it, of an earlier version, is continued from the
// front, as earlier versions do with one that has it.
func TestRangesContinue(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(1 << 20)
	for _, conns := range []int{1, 2, 4} {
		for _, older := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d connections, older %t", conns, older), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := rangesServer(t, archive, 256<<10)
					defer s.Close()
					file := saveTarget(t)
					// The front is slow, so that the others are ahead of it.
					s.Inject(portertest.Fault{Origin: portertest.Storage, Match: asksForPart, Do: portertest.StallResponse(10_000, time.Minute)})
					synced, ranges := rangesBroken(t, s, file, 4, 600<<10)
					there := synced
					for _, r := range ranges {
						there += r.To - r.From
					}
					if len(ranges) == 0 || there < 500<<10 {
						t.Fatalf("noted are %d bytes, and %v", synced, ranges)
					}
					if older {
						before, _, _ := strings.Cut(saveState(t, file), `,"ranges"`)
						saveEdit(t, file, saveState(t, file), before+"}")
						there = synced
					}
					before := len(s.Requests())
					c := dlConnect(t, s, smallChunks)
					n, err := bytesOf(c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, rangesOf(conns)))
					if err != nil || n != archive.Size() {
						t.Fatal(n, err)
					}
					saveCheck(t, file, archive)
					var sent int64
					for _, r := range s.Requests()[before:] {
						if r.Origin == portertest.Storage {
							sent += r.Sent
						}
					}
					// A connection that is given up has more on its way.
					if missing := archive.Size() - there; sent < missing || sent > missing+200<<10 {
						t.Errorf("was sent %d bytes, of %d that were missing", sent, missing)
					}
				})
			})
		}
	}
}

// An archive that is replaced meanwhile is never glued to the old one, and the
// next call has the new one.
func TestRangesArchiveReplaced(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{1 << 20, 700 << 10} {
		synctest.Test(t, func(t *testing.T) {
			s := rangesServer(t, portertest.NewArchive(1<<20), 100<<10)
			defer s.Close()
			file := saveTarget(t)
			archive := portertest.NewArchive(size, portertest.ArchiveSeed(2))
			s.ScriptExport("7", portertest.ExportScript{Archive: archive})
			c := dlConnect(t, s, smallChunks)
			// What the old one is read from ends before its end.
			s.Inject(portertest.Fault{Origin: portertest.Storage, Do: portertest.CutResponse(600_000)})
			time.AfterFunc(2*time.Second, func() {
				// The store still has the old one, but GitLab is to be asked for its place.
				s.Inject(portertest.Fault{Origin: portertest.Storage, Match: asksForPart, Do: portertest.Respond(403, nil, "Request has expired")})
				if err := c.ScheduleExport(context.Background(), porter.ProjectID(7), nil); err != nil {
					t.Error(err)
				}
			})
			_, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, rangesOf(4))
			if !errors.Is(err, porter.ErrArchiveChanged) {
				t.Errorf("replaced meanwhile: %v", err)
			}
			time.Sleep(2 * time.Second)
			if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), file, rangesOf(4)); err != nil {
				t.Fatal(err)
			}
			saveCheck(t, file, archive)
		})
	}
}

// Stopped at any moment, a download leaves a part file that the next continues.
func TestRangesCanceled(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(1 << 20)
	for name, way := range rangesWays(archive) {
		t.Run(name, func(t *testing.T) {
			for at := 50 * time.Millisecond; at < 1200*time.Millisecond; at += 130 * time.Millisecond {
				synctest.Test(t, func(t *testing.T) {
					s := rangesServer(t, archive, 256<<10)
					defer s.Close()
					ctx, cancel := context.WithTimeout(t.Context(), at)
					defer cancel()
					start := time.Now()
					if err := way(t, ctx, s, dlConnect(t, s, smallChunks), 4); err != nil && !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("after %v: %v", at, err)
					}
					if took := time.Since(start); took > at+5*time.Second {
						t.Errorf("ended after %v, not %v", took, at)
					}
				})
			}
		})
	}
}

// A damaged archive is found wherever the damage is, and leaves nothing.
func TestRangesDamaged(t *testing.T) {
	t.Parallel()
	for _, damage := range []int{100, 300_000, 1_000_000} {
		content := archiveBytes(t, portertest.NewArchive(1<<20))
		content[damage] ^= 0xff
		archive := portertest.BytesArchive(content)
		for name, way := range rangesWays(archive) {
			t.Run(fmt.Sprintf("%s at %d", name, damage), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := rangesServer(t, archive, 256<<10)
					defer s.Close()
					if err := way(t, t.Context(), s, dlConnect(t, s, smallChunks), 4); !errors.Is(err, porter.ErrArchiveDamaged) {
						t.Errorf("got %v", err)
					}
				})
			})
		}
	}
}

// The upload of a migration goes on while later parts arrive.
func TestRangesUploadGoesOn(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(2 << 20)
	synctest.Test(t, func(t *testing.T) {
		s, to := rangesServer(t, archive, 64<<10), portertest.NewServer(portertest.InMemory(), portertest.NoLimits())
		defer s.Close()
		defer to.Close()
		var half atomic.Int64
		time.AfterFunc(6*time.Second, func() {
			if posts := uploads(to); len(posts) > 0 {
				half.Store(posts[0].BodyBytes)
			}
		})
		opts := porter.MigrateOptions{SpoolDir: t.TempDir(), Export: &porter.ExportOptions{MaxAge: time.Hour}}
		opts.Export.Connections = 4
		opts.Import.Path = "copy"
		if _, err := porter.Migrate(t.Context(), dlConnect(t, s, smallChunks), porter.ProjectID(7), dlConnect(t, to), opts); err != nil {
			t.Fatal(err)
		}
		if n := half.Load(); n < archive.Size()/4 {
			t.Errorf("%d of %d bytes had arrived after 6 s", n, archive.Size())
		}
	})
}

// All connections of a download are one transfer.
func TestRangesInOnePlace(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(1 << 20)
	synctest.Test(t, func(t *testing.T) {
		s := rangesServer(t, archive, 256<<10)
		defer s.Close()
		c := dlConnect(t, s, smallChunks, porter.WithTransfers(1))
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if _, err := c.DownloadExportFile(t.Context(), porter.ProjectID(7), saveTarget(t), rangesOf(4)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		var sent int64
		wholes := 0
		for _, r := range dlAsked(s, portertest.Storage) {
			if r.Header.Get("Range") == "" {
				if wholes++; wholes == 2 && sent < archive.Size() {
					t.Errorf("the second began when %d bytes of the first had been sent", sent)
				}
			}
			sent += r.Sent
		}
		if wholes != 2 || len(partsAsked(s)) == 0 {
			t.Errorf("asked for the whole %d times, and for %d parts", wholes, len(partsAsked(s)))
		}
	})
}

// Each connection needs no more than a mebibyte, however large the archive is.
func TestRangesMemory(t *testing.T) {
	archive := portertest.NewArchive(memorySize)
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		http.ServeContent(w, r, "", time.Time{}, archive.NewReader())
	}))
	defer store.Close()
	gitlab := httptest.NewServer(http.RedirectHandler(store.URL+"/key?X-Amz-Signature=0123456789", http.StatusFound))
	defer gitlab.Close()
	c := newClient(t, gitlab.URL, nil, porter.WithoutPacing(), porter.WithChunks(1<<20, 16<<20))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	opts := porter.DownloadOptions{Connections: 4, SkipVerify: true}
	n, err := bytesOf(c.DownloadExportFile(t.Context(), porter.ProjectID(7), saveTarget(t), &opts))
	runtime.ReadMemStats(&after)
	if err != nil || n != memorySize {
		t.Fatal(n, err)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 4<<20+memoryLimit {
		t.Errorf("allocated %d bytes", allocated)
	}
}
