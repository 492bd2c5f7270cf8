package porter

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5d77b939/porter/portertest"
)

// manyAuthors is an archive with members without addresses and records by each.
func manyAuthors(t *testing.T) *portertest.Archive {
	var issues, requests strings.Builder
	for n := range 60 {
		fmt.Fprintf(&issues, `{"iid":%d,"title":"i","author_id":%d,"notes":[{"note":"n","author_id":%d,"author":{"name":"x"}}]}`+"\n",
			n+1, 1+n%memberCount, 1+n*5%memberCount)
		fmt.Fprintf(&requests, `{"iid":%d,"title":"m","author_id":%d,"merge_user_id":%d,"assignee_id":null}`+"\n",
			n+1, 1+n*3%memberCount, 1+n%memberCount)
	}
	return portertest.BytesArchive(archiveOf(t, append(exportHeaders(),
		fileNamed(issuesFile, issues.String()), fileNamed("tree/project/merge_requests.ndjson", requests.String()),
		fileNamed("tree/project/ci_pipelines.ndjson", "{\"iid\":1}\n{\"iid\":2}\n"),
		fileNamed("tree/project/project_members.ndjson", members(memberCount)))...))
}

// migrating migrates the project team/app with the given archive to an instance
// that has a user with an address for each member, and returns what is there.
func migrating(
	t *testing.T, a *portertest.Archive, admin bool, opts MigrateOptions, more ...Option,
) (*portertest.ProjectState, *Migration, error) {
	t.Helper()
	src, dst := portertest.NewServer(portertest.InMemory()), portertest.NewServer(portertest.InMemory())
	defer src.Close()
	defer dst.Close()
	src.AddProject(portertest.Project{Path: "team/app", Archive: a})
	dst.AddGroup("team")
	dst.AddUser(portertest.User{Username: "root", Token: "root", Admin: admin})
	dst.AddMember("team", "root", portertest.Owner)
	for i := range memberCount {
		name := fmt.Sprintf("user%d", i+1)
		dst.AddUser(portertest.User{Username: name, Token: name, Email: name + "@example.com"})
	}
	clients := make([]*Client, 2)
	for i, s := range []*portertest.Server{src, dst} {
		token := map[*portertest.Server]string{src: portertest.Token, dst: "root"}[s]
		c, err := NewClient(s.URL, PrivateToken(token), append([]Option{WithTransport(s.Transport()),
			WithPolling(Polling{Backoff: ConstantBackoff(time.Millisecond)})}, more...)...)
		if err != nil {
			t.Fatal(err)
		}
		clients[i] = c
	}
	opts.Import.Namespace, opts.SpoolDir = NamespacePath("team"), t.TempDir()
	m, err := Migrate(t.Context(), clients[0], ProjectPath("team/app"), clients[1], opts)
	return dst.Project("team/app"), m, err
}

// TestMigrateMapped gives members without addresses those of the destination, by
// which every reference becomes its own author's.
func TestMigrateMapped(t *testing.T) {
	t.Parallel()
	authors := manyAuthors(t)
	for _, tt := range []struct {
		name    string
		edits   []Edit
		admin   bool
		noSpool bool
		mapped  bool
	}{
		{"as it is", nil, true, false, false},
		{"mapped", []Edit{MapUsers(addressOf)}, true, false, true},
		{"mapped, without a spool", []Edit{MapUsers(addressOf)}, true, true, true},
		{"mapped, not by an administrator", []Edit{MapUsers(addressOf)}, false, false, false},
		{"without members", []Edit{MapUsers(addressOf), Drop(PartMembers)}, true, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var seen *Inspection
			p, m, err := migrating(t, authors, tt.admin, MigrateOptions{
				Edit: tt.edits, NoSpool: tt.noSpool, Inspect: func(i *Inspection) error { seen = i; return nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]int{}
			for _, c := range seen.People {
				name := "root"
				if tt.mapped {
					name = c.Username
				}
				want[name] += int(c.References)
			}
			if seen.Strangers > 0 {
				want["root"] += int(seen.Strangers)
			}
			if diff := cmp.Diff(want, p.References); diff != "" || tt.mapped && len(want) != memberCount {
				t.Errorf("references differ (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(seen.ArchiveInfo, *m.Archive); diff != "" || m.Bytes != p.ArchiveSize {
				t.Errorf("%d bytes of %d; the info differs (-inspected +migrated):\n%s", m.Bytes, p.ArchiveSize, diff)
			}
		})
	}
}

// TestMigrateInspect refuses an archive before it becomes a project.
func TestMigrateInspect(t *testing.T) {
	t.Parallel()
	unwanted := errors.New("unwanted")
	sound := manyAuthors(t)
	unsound := portertest.BytesArchive(archiveOf(t, append(exportHeaders(), fileNamed(issuesFile, "{\n"))...))
	for _, noSpool := range []bool{false, true} {
		for _, tt := range []struct {
			name       string
			archive    *portertest.Archive
			skipVerify bool
			err        error // that Inspect returns
			calls      int
			want       error
			made       bool
		}{
			{"wanted", sound, false, nil, 1, nil, true},
			{"unwanted", sound, false, unwanted, 1, unwanted, false},
			{"unwanted and not verified", sound, true, unwanted, 1, unwanted, false},
			{"unsound", unsound, false, nil, 0, ErrUnimportable, false},
			{"unsound and not verified", unsound, true, unwanted, 1, unwanted, false},
		} {
			t.Run(fmt.Sprintf("%s, without spool %v", tt.name, noSpool), func(t *testing.T) {
				calls := 0
				p, _, err := migrating(t, tt.archive, true, MigrateOptions{NoSpool: noSpool, SkipVerify: tt.skipVerify,
					Inspect: func(i *Inspection) error {
						calls++
						if fatal := slices.ContainsFunc(i.Problems, func(p ArchiveProblem) bool { return p.Fatal }); fatal != (tt.archive == unsound) {
							t.Errorf("problems: %v", i.Problems)
						}
						return tt.err
					}})
				if !errors.Is(err, tt.want) || (p != nil) != tt.made || calls != tt.calls {
					t.Errorf("%d calls, project %+v, error %v", calls, p, err)
				}
			})
		}
	}
}

// TestMigrateInspectAlone inspects while the upload still runs, of which the
// observer hears nothing meanwhile.
func TestMigrateInspectAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inspecting, uploaded := false, int64(0)
		observer := WithObserver(func(ev Event) {
			if inspecting {
				t.Errorf("told while it is inspected: %v", ev)
			}
			if ev.Kind == EventProgress && ev.Op == OpUpload {
				uploaded = ev.Bytes
			}
		})
		before := int64(-1)
		archive := portertest.NewArchive(1 << 20)
		_, m, err := migrating(t, archive, true, MigrateOptions{Inspect: func(*Inspection) error {
			inspecting, before = true, uploaded
			time.Sleep(time.Hour)
			inspecting = false
			return nil
		}}, observer, slowly(time.Second))
		if err != nil || before >= m.Bytes || uploaded != m.Bytes {
			t.Errorf("%d bytes uploaded before the inspection, %d in all, %v", before, uploaded, err)
		}
	})
}

// slowly waits after each piece of an upload.
func slowly(d time.Duration) Option {
	return func(cfg *config) error {
		cfg.transport = slowUploads{cfg.transport, d}
		return nil
	}
}

type slowUploads struct {
	http.RoundTripper
	wait time.Duration
}

func (s slowUploads) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		req.Body = slowBody{req.Body, s.wait}
	}
	return s.RoundTripper.RoundTrip(req)
}

type slowBody struct {
	io.ReadCloser
	wait time.Duration
}

func (b slowBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil {
		time.Sleep(b.wait)
	}
	return n, err
}

// TestMigrateRepaired leaves out what would have made the import fail.
func TestMigrateRepaired(t *testing.T) {
	t.Parallel()
	a := portertest.BytesArchive(archiveOf(t, append(exportHeaders(), fileNamed(issuesFile, "{\"iid\":1}\n{\n{\"iid\":2}\n"))...))
	sound := KeepItems(RelationIssues, func(i Item) bool { return i.Problem == "" })
	for _, noSpool := range []bool{false, true} {
		p, m, err := migrating(t, a, true, MigrateOptions{NoSpool: noSpool, Edit: []Edit{sound}})
		if err != nil || p.ImportStatus != "finished" || m.Archive.Relations["issues"] != 2 {
			t.Errorf("without spool %v: %+v, %v", noSpool, p, err)
		}
		if p, _, err := migrating(t, a, true, MigrateOptions{NoSpool: noSpool}); !errors.Is(err, ErrUnimportable) || p != nil {
			t.Errorf("as it is: %+v, %v", p, err)
		}
	}
}

// TestMigrateEditProven does not take for a loss what the caller has left out.
func TestMigrateEditProven(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, noSpool := range []bool{false, true} {
			_, m, err := migrating(t, manyAuthors(t), true, MigrateOptions{
				Edit:  []Edit{Drop(PartPipelines, PartRepository), KeepItems(RelationIssues, func(i Item) bool { return i.IID%2 == 0 })},
				Prove: true, Strict: true, NoSpool: noSpool,
			})
			if err != nil || len(m.Losses) > 0 {
				t.Errorf("without spool %v: %v", noSpool, err)
			}
		}
	})
}

// TestMigrateEditErrors refuses edits before the first request.
func TestMigrateEditErrors(t *testing.T) {
	t.Parallel()
	p, m, err := migrating(t, manyAuthors(t), true, MigrateOptions{Edit: []Edit{MapUsers(nil)}})
	if p != nil || m != nil || !isError(err, nil, "edit archive: map users: function is nil") {
		t.Errorf("%+v, %v", p, err)
	}
}
