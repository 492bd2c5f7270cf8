package portertest_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-5d77b939/porter/portertest"
)

// TestRecordedAnswers plays calls to the simulator that were once made to
// GitLab 18.9 itself, and compares the answers. The calls of a case are made
// one after the other to a server of its own, in the state that the case gives.
// All answers are the same; a difference that is to stay would be named here.
func TestRecordedAnswers(t *testing.T) {
	var cases []recordedCase
	var answers []recordedAnswers
	readRecorded(t, "calls.json", &cases)
	readRecorded(t, "answers.json", &answers)
	if len(cases) != len(answers) {
		t.Fatalf("%d cases, but the answers to %d", len(cases), len(answers))
	}
	for i, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			play := newPlay(t, c.Given)
			for n, call := range c.Calls {
				want, got := answers[i].Answers[n].ofToday(), play.do(t, call)
				if c.Given.Tag == "model" { // the names in its texts are a stand-in's
					got.Body = "*"
				}
				if d := want.diff(got); d != "" {
					t.Errorf("call %d, %s %s: %s", n+1, call.Method, call.Path, d)
				}
			}
		})
	}
}

func readRecorded(t *testing.T, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "recorded", name))
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatal(name, ": ", err)
	}
}

type recordedCase struct {
	Name  string
	Given recordedState
	Calls []recordedCall
}

type recordedAnswers struct {
	Name    string
	Answers []recordedAnswer
}

// A recordedState is the state of a GitLab before the calls of a case.
type recordedState struct {
	Settings  recordedSettings `json:"settings"`
	Downloads string           `json:"downloads,omitempty"` // "redirected", "proxied" or from disk
	Given     []recordedEvent  `json:"given,omitempty"`
	Tag       string           `json:"tag,omitempty"` // "model": no answer's body counts
}

// recordedSettings are the instance's.
type recordedSettings struct {
	ExportsDisabled bool `json:"exports_disabled,omitempty"`
	ImportsDisabled bool `json:"imports_disabled,omitempty"`
	RelationExports bool `json:"relation_exports,omitempty"`
	MaxImport       int  `json:"max_import_mib,omitempty"`
	MaxExport       int  `json:"max_export_mib,omitempty"`
	Project         int  `json:"project_mib,omitempty"` // size of project 42
	Limits          *struct {
		Exports   int `json:"exports"`
		Downloads int `json:"downloads"`
		Imports   int `json:"imports"`
	} `json:"limits,omitempty"`
	Throttle *struct {
		N      int `json:"n"`
		Period int `json:"period"` // in seconds
	} `json:"throttle,omitempty"`
}

// A recordedEvent has happened before.
type recordedEvent struct {
	Export *struct {
		Project int    `json:"project"`
		User    string `json:"user"`
		State   string `json:"state"`
	} `json:"export,omitempty"`
	Import *struct {
		Project string `json:"project"`
		State   string `json:"state"`
		Error   string `json:"error,omitempty"`
		Failed  int    `json:"failed,omitempty"`
	} `json:"import,omitempty"`
	Tracker *struct {
		Project  int    `json:"project"`
		Relation string `json:"relation"`
		State    string `json:"state"`
	} `json:"tracker,omitempty"`
	RelationExport *struct {
		Project int    `json:"project"`
		User    string `json:"user"`
		Batched bool   `json:"batched"`
	} `json:"relation_export,omitempty"`
}

// A play is a simulated GitLab in the state of a case.
type play struct {
	s             *portertest.Server
	base, storage string
	client        *http.Client
	namespaces    map[string]int64
	previous      http.Header // of the last answer
}

// stage is how long each stage of a job takes in the simulator.
const stage = 10 * time.Minute

func newPlay(t *testing.T, g recordedState) *play {
	t.Helper()
	opts := []portertest.Option{
		portertest.Version("18.9"), portertest.NoLimits(),
		portertest.Timing(portertest.Timings{Queue: stage, Start: stage, Assemble: stage, Store: stage, AfterExport: stage, Failure: stage,
			ImportQueue: stage, Import: stage}),
	}
	switch g.Downloads {
	case "redirected":
		opts = append(opts, portertest.Downloads(portertest.Redirected))
	case "proxied":
		opts = append(opts, portertest.Downloads(portertest.Proxied))
	}
	if g.Settings.RelationExports {
		opts = append(opts, portertest.RelationExports())
	}
	s := portertest.NewServer(opts...)
	t.Cleanup(s.Close)
	tr := s.Transport().Clone()
	tr.DisableCompression = true
	t.Cleanup(tr.CloseIdleConnections)
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	p := &play{s: s, base: s.URL, storage: s.StorageURL, namespaces: map[string]int64{}}
	p.client = &http.Client{Transport: tr, CheckRedirect: stay}

	for _, u := range []portertest.User{
		{Username: "maint", Token: "glpat-maint"}, {Username: "dev", Token: "glpat-dev"}, {Username: "rep", Token: "glpat-rep"},
		{Username: "outsider", Token: "glpat-outsider"}, {Username: "admin", Token: "glpat-admin", Admin: true},
		{Username: "admin", Token: "glpat-sudo", Admin: true, Scopes: []string{"api", "sudo"}},
		{Username: "blocked", Token: "glpat-blocked", Blocked: true}, {Username: "owner2", Token: "glpat-owner"},
		{Username: "maint", Token: "glpat-read", Scopes: []string{"read_api"}},
		{Username: "maint", Token: "glpat-user", Scopes: []string{"read_user"}},
		{Username: "maint", Token: "glpat-expired", Expired: true}, {Username: "maint", Token: "glpat-revoked", Revoked: true},
		{Username: "maint", Token: "glpat-granular", Lacks: []string{"some_permission"}},
		{Username: "maint", Token: "oauth-maint"},
	} {
		s.AddUser(u)
	}
	for _, ns := range []string{"acme", "acme/tools", "secret", "2024"} {
		p.namespaces[ns] = s.AddGroup(ns)
	}
	s.AddMember("acme", "maint", portertest.Maintainer)
	s.AddMember("acme", "dev", portertest.Developer)
	s.AddMember("acme", "rep", portertest.Reporter)
	s.AddMember("acme", "owner2", portertest.Owner)
	s.AddMember("2024", "maint", portertest.Maintainer)
	size := int64(65536)
	if g.Settings.Project > 0 {
		size = int64(g.Settings.Project) << 20
	}
	for _, project := range []portertest.Project{
		{ID: 42, Path: "acme/tools/widget", Archive: portertest.NewArchive(65536), Size: size},
		{ID: 43, Path: "acme/pub", Visibility: "public"},
		{ID: 44, Path: "acme/int", Visibility: "internal"},
		{ID: 45, Path: "secret/hidden"},
		{ID: 46, Path: "acme/new-home", FormerPaths: []string{"acme/old-home"}},
		{ID: 47, Path: "acme/dots.in.name"},
	} {
		project.CreatedAt = born
		s.AddProject(project)
	}
	for _, e := range g.Given {
		p.happen(t, e)
	}
	limits := portertest.RateLimits{Exports: 6, Downloads: 1, Imports: 6}
	if l := g.Settings.Limits; l != nil {
		limits = portertest.RateLimits{Exports: l.Exports, Downloads: l.Downloads, Imports: l.Imports}
	}
	opts = []portertest.Option{portertest.Limits(limits)}
	if g.Settings.ExportsDisabled {
		opts = append(opts, portertest.ExportsDisabled())
	}
	if g.Settings.ImportsDisabled {
		opts = append(opts, portertest.ImportsDisabled())
	}
	if n := g.Settings.MaxImport; n > 0 {
		opts = append(opts, portertest.MaxImportSize(int64(n)<<20))
	}
	if n := g.Settings.MaxExport; n > 0 {
		opts = append(opts, portertest.MaxExportSize(int64(n)<<20))
	}
	if th := g.Settings.Throttle; th != nil {
		opts = append(opts, portertest.GlobalThrottle(th.N, time.Duration(th.Period)*time.Second))
	}
	s.Configure(opts...)
	// Limits are counted by the minute, and a case is to end in the one it began,
	// however busy the machine is.
	s.Advance(time.Duration(60-s.Now().Second()) * time.Second)
	return p
}

// happen brings an event about by the calls that lead to it.
func (p *play) happen(t *testing.T, e recordedEvent) {
	t.Helper()
	s := p.s
	switch {
	case e.Export != nil:
		x := e.Export
		fault, after := portertest.NoFault, time.Duration(0)
		switch x.State {
		case "queued":
			after = stage
		case "started":
			after = 2 * stage
		case "packed":
			after = 3 * stage
		case "regeneration":
			after = 4 * stage
		case "finished":
			after = 5 * stage
		case "failed":
			fault, after = portertest.FailRelation, 6*stage
		case "unstored":
			fault, after = portertest.FailStoring, 6*stage
		case "vanished":
			fault, after = portertest.Vanish, 6*stage
		default:
			t.Fatal("no such state: ", x.State)
		}
		id := fmt.Sprint(x.Project)
		s.ScriptExport(id, portertest.ExportScript{Fault: fault})
		p.send(t, "/projects/"+id+"/export", x.User, nil, 202)
		s.Advance(after + stage/2)
	case e.Import != nil:
		x := e.Import
		script := portertest.ImportScript{Error: x.Error, Canceled: x.State == "canceled"}
		for range x.Failed {
			script.FailedRelations = append(script.FailedRelations,
				portertest.FailedRelation{RelationName: "merge_requests", LineNumber: 12, Source: "process_relation_item!",
					ExceptionClass: "ActiveRecord::RecordInvalid"})
		}
		s.ScriptImport(x.Project, script)
		p.send(t, "/projects/import", "maint", []string{"path", path.Base(x.Project), "namespace", path.Dir(x.Project)}, 201)
		s.Advance(map[string]time.Duration{"scheduled": 0, "started": stage, "finished": 2 * stage, "failed": 2 * stage,
			"canceled": 2 * stage}[x.State] + stage/2)
	case e.Tracker != nil:
		x := e.Tracker
		if x.State == "failed" {
			s.ScriptImport("", portertest.ImportScript{Error: "x"})
		}
		full := s.Project(fmt.Sprint(x.Project)).Path
		p.send(t, "/projects/import-relation", "maint", []string{"path", full, "relation", x.Relation}, 201)
		s.Advance(map[string]time.Duration{"created": 0, "started": stage, "finished": 2 * stage, "failed": 2 * stage}[x.State] + stage/2)
	case e.RelationExport != nil:
		x := e.RelationExport
		at := fmt.Sprintf("/projects/%d/export_relations", x.Project)
		if x.Batched {
			at += "?batched=true"
		}
		p.send(t, at, x.User, nil, 202)
		s.Advance(10 * stage)
	}
}

// send posts what an event needs, with an archive if there are fields.
func (p *play) send(t *testing.T, at, user string, fields []string, want int) {
	t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for i := 0; i < len(fields); i += 2 {
		w.WriteField(fields[i], fields[i+1])
	}
	if fields != nil {
		f, err := w.CreateFormFile("file", "a.tar.gz")
		if err != nil {
			t.Fatal(err)
		}
		f.Write(smallArchive(t))
	}
	w.Close()
	req, err := http.NewRequest(http.MethodPost, p.base+"/api/v4"+at, &body)
	if err != nil {
		t.Fatal(err)
	}
	if fields == nil {
		req.Body, req.ContentLength = nil, 0
	} else {
		req.Header.Set("Content-Type", w.FormDataContentType())
	}
	req.Header.Set("PRIVATE-TOKEN", "glpat-"+user)
	resp, err := p.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != want {
		b, _ := io.ReadAll(resp.Body)
		t.Fatalf("POST %s: %s %s", at, resp.Status, strings.TrimSpace(string(b)))
	}
}

// A recordedCall is one request. At most one of the body's forms is set.
type recordedCall struct {
	Method  string
	Path    string // escaped, with its query, as it is to be sent
	As      string // whose token to send as PRIVATE-TOKEN
	Headers map[string]string

	Form      [][2]string
	JSON      json.RawMessage
	Multipart []recordedPart
	Body      *string
	BodyHex   string `json:"body_hex"`
}

// A recordedPart is a part of a multipart form.
type recordedPart struct {
	Field       string
	Value       string
	ValueHex    string `json:"value_hex"`
	Filename    *string
	Disposition string // the whole header, instead
	ContentType string `json:"content_type"`
	Content     string // "archive", "zeros:<n>" or "text:<text>"
}

const recordedBoundary = "porter-replay-boundary"

// smallArchive returns the archive that the calls upload.
func smallArchive(t *testing.T) []byte {
	t.Helper()
	b, err := io.ReadAll(portertest.NewArchive(portertest.MinArchiveSize).NewReader())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (p recordedPart) write(t *testing.T, b *bytes.Buffer, fill func(string) string) {
	t.Helper()
	d := p.Disposition
	if d == "" {
		d = fmt.Sprintf(`form-data; name="%s"`, p.Field)
		if p.Filename != nil {
			d += fmt.Sprintf(`; filename="%s"`, strings.ReplaceAll(*p.Filename, `"`, `\"`))
		}
	}
	fmt.Fprintf(b, "--%s\r\nContent-Disposition: %s\r\n", recordedBoundary, d)
	if p.ContentType != "" {
		fmt.Fprintf(b, "Content-Type: %s\r\n", p.ContentType)
	}
	b.WriteString("\r\n")
	kind, arg, _ := strings.Cut(p.Content, ":")
	switch kind {
	case "archive":
		b.Write(smallArchive(t))
	case "zeros":
		n, err := strconv.Atoi(arg)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(make([]byte, n))
	case "text":
		b.WriteString(arg)
	default:
		if p.ValueHex != "" {
			v, err := hex.DecodeString(p.ValueHex)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(v)
			break
		}
		b.WriteString(fill(p.Value))
	}
	b.WriteString("\r\n")
}

// fill replaces the placeholders in a text of a call.
func (p *play) fill(t *testing.T, s string) string {
	t.Helper()
	for {
		i := strings.Index(s, "{{")
		if i < 0 {
			return s
		}
		j := i + strings.Index(s[i:], "}}")
		kind, arg, _ := strings.Cut(s[i+2:j], ":")
		v := ""
		switch kind {
		case "ns":
			v = strconv.FormatInt(p.namespaces[arg], 10)
		case "prev":
			v = p.previous.Get(arg)
		default:
			t.Fatal("unknown placeholder in ", s)
		}
		s = s[:i] + v + s[j+2:]
	}
}

// body encodes the body of a call, and names its content type.
func (p *play) body(t *testing.T, c recordedCall) (body bytes.Buffer, kind string) {
	t.Helper()
	fill := func(s string) string { return p.fill(t, s) }
	switch {
	case c.Form != nil:
		kind = "application/x-www-form-urlencoded"
		for i, kv := range c.Form {
			if i > 0 {
				body.WriteByte('&')
			}
			body.WriteString(url.QueryEscape(kv[0]) + "=" + url.QueryEscape(fill(kv[1])))
		}
	case c.JSON != nil:
		kind = "application/json"
		body.Write(c.JSON)
	case c.Multipart != nil:
		kind = "multipart/form-data; boundary=" + recordedBoundary
		for _, part := range c.Multipart {
			part.write(t, &body, fill)
		}
		fmt.Fprintf(&body, "--%s--\r\n", recordedBoundary)
	case c.Body != nil:
		body.WriteString(*c.Body)
	case c.BodyHex != "":
		b, err := hex.DecodeString(c.BodyHex)
		if err != nil {
			t.Fatal(err)
		}
		body.Write(b)
	}
	return body, kind
}

// do sends a call and notes the answer.
func (p *play) do(t *testing.T, c recordedCall) recordedAnswer {
	t.Helper()
	body, kind := p.body(t, c)
	base, err := url.Parse(p.base)
	if err != nil {
		t.Fatal(err)
	}
	req := &http.Request{
		Method: c.Method, Header: http.Header{}, ProtoMajor: 1, ProtoMinor: 1,
		URL:           &url.URL{Scheme: base.Scheme, Host: base.Host, Opaque: c.Path},
		Host:          base.Host,
		Body:          io.NopCloser(&body),
		ContentLength: int64(body.Len()),
	}
	if body.Len() == 0 {
		req.Body = http.NoBody
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if c.As != "" {
		req.Header.Set("PRIVATE-TOKEN", "glpat-"+c.As)
	}
	for k, v := range c.Headers {
		req.Header.Set(k, p.fill(t, v))
	}
	resp, err := p.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	p.previous = resp.Header
	return p.note(resp, b)
}
