package portertest

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestHoursPass polls a slow export once a minute for a day.
func TestHoursPass(t *testing.T) {
	real := time.Now()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(InMemory(), RealTiming())
		defer s.Close()
		start := time.Now()
		widget(s)
		s.ScriptExport("7", ExportScript{Timing: &Timings{Assemble: 24 * time.Hour}})
		schedule(t, s)
		polls := 0
		for exportStatusOf(t, s, Token) != "finished" {
			polls++
			time.Sleep(time.Minute)
		}
		if d := time.Since(start); d != 24*time.Hour || polls != 24*60 {
			t.Errorf("%d polls in %v", polls, d)
		}
	})
	if d := time.Since(real); d > 5*time.Minute { // seconds, but for a machine that is very busy
		t.Errorf("a day took %v", d)
	}
}

func TestClock(t *testing.T) {
	everyTransport(t, func(t *testing.T, s *Server) {
		before := s.Now()
		s.Advance(time.Hour)
		if d := s.Now().Sub(before); d < time.Hour || d > time.Hour+time.Minute {
			t.Errorf("the clock moved by %v", d)
		}
		a := get(t, s, "projects/7/export")
		date, err := http.ParseTime(a.header.Get("Date"))
		if d := s.Now().Sub(date); err != nil || d < 0 || d > time.Minute {
			t.Errorf("Date is %q at %v", a.header.Get("Date"), s.Now())
		}
		if len(a.header["Date"]) != 1 {
			t.Errorf("dates: %v", a.header["Date"])
		}
	})
}

// TestAnswersTellOfOneMoment lets an import end while an answer is made.
func TestAnswersTellOfOneMoment(t *testing.T) {
	inMemory(t, nil, func(t *testing.T, s *Server) {
		s.AddProject(Project{Path: "acme/widget"})
		a := importAs(t, s, Token, gz(plain("path", "widget"), plain("namespace", "acme"), plain("overwrite", "true"))...)
		id := int64(a.member(t, "id").(float64))

		s.lock()
		time.Sleep(time.Hour)
		got := s.state(s.byID[id])
		s.unlock()
		if got.ImportStatus != "scheduled" || got.Path == "acme/widget" {
			t.Errorf("%s at %s when it was not yet looked for the end", got.ImportStatus, got.Path)
		}
		if got = s.Project(fmt.Sprint(id)); got.ImportStatus != "finished" || got.Path != "acme/widget" {
			t.Errorf("then %s at %s", got.ImportStatus, got.Path)
		}
	})
}

// TestClose checks that nothing is left of a server that was closed in the
// middle of everything.
func TestClose(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, opts := range [][]Option{nil, {TLS()}, {HTTP2()}, {InMemory()}} {
		s := NewServer(opts...)
		widget(s)
		s.AddExport("7", "owner")
		for _, act := range []Action{StallResponse(10, 0), HoldAnswer(0), Delay(time.Hour)} {
			s.Inject(Fault{Path: "/download", Do: act})
		}
		var ended []<-chan error
		for range 3 {
			req, _ := http.NewRequest("GET", s.URL+"/api/v4/projects/7/export/download", nil)
			req.Header.Set("Private-Token", Token)
			ended = append(ended, start(s, req))
		}
		scheduleWithUpload(t, s, s.StorageURL+"/x", "PUT")
		for len(s.Requests()) < 4 {
			time.Sleep(time.Millisecond)
		}
		s.Close()
		s.Close()
		for _, e := range ended {
			if <-e == nil {
				t.Error("a request survived the server")
			}
		}
		if _, err := s.Client().Get(s.URL); err == nil {
			t.Error("a closed server answers")
		}
		s.Advance(time.Hour)
		if s.Project("7") == nil || len(s.Requests()) < 4 {
			t.Error("a closed server has forgotten everything")
		}
	}
	for range 1500 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(20 * time.Millisecond) // net/http's own take a moment
	}
	buf := make([]byte, 1<<20)
	t.Errorf("%d goroutines, there were %d\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
}

// TestManyClients is for the race detector.
func TestManyClients(t *testing.T) {
	s := NewServer(NoLimits(), Downloads(Proxied))
	defer s.Close()
	widget(s)
	s.AddExport("7", "owner")
	body, ct := form(plain("path", "new"), plain("overwrite", "true"), file("x.tar.gz", smallArchive))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 5 {
				switch i % 4 {
				case 0:
					try(t, s, request{method: "POST", path: "projects/7/export", header: asOwner})
				case 1:
					try(t, s, request{method: "GET", path: "projects/7/export/download", header: asOwner})
				case 2:
					try(t, s, request{method: "POST", path: "projects/import", header: as(Token, "Content-Type", ct), body: strings.NewReader(body)})
				case 3:
					s.Inject(Fault{Path: "download", Do: CutResponse(100)})
					s.Requests()
					s.Projects()
					s.Uploads()
					s.Exports("7")
					s.Advance(time.Second)
					s.Configure(Downloads(DownloadMode(i % 3)))
				}
			}
		})
	}
	wg.Wait()
}

func TestConfigure(t *testing.T) {
	inMemory(t, nil, func(t *testing.T, s *Server) {
		widget(s)
		s.AddExport("7", "owner")
		s.Configure(Version("17.2"), Downloads(Redirected), NoLimits(), RelativeRoot("/ignored"), TLS())
		if a := download(t, s); a.status != 302 {
			t.Errorf("got %d", a.status)
		}
		if s.URL != "http://gitlab.test" {
			t.Errorf("URL is %s", s.URL)
		}
	})
}

func TestMistakesPanic(t *testing.T) {
	s := NewServer(InMemory())
	defer s.Close()
	s.AddProject(Project{Path: "a/b", ID: 7})
	for name, f := range map[string]func(){
		"version":           func() { Version("banana") },
		"version too old":   func() { Version("10.5") },
		"version too short": func() { Version("18") },
		"version too new":   func() { Version("18.10") },
		"major too new":     func() { Version("99.0") },
		"no such version":   func() { Version("11.99") },
		"minor too high":    func() { Version("17.20") },
		"negative minor":    func() { Version("18.-1") },
		"nameless user":     func() { s.AddUser(User{Token: "x"}) },
		"no namespace":      func() { s.AddProject(Project{Path: "b"}) },
		"path taken":        func() { s.AddProject(Project{Path: "A/B"}) },
		"ID taken":          func() { s.AddProject(Project{Path: "a/c", ID: 7}) },
		"member of nothing": func() { s.AddMember("x", "owner", Guest) },
		"unknown member":    func() { s.AddMember("a", "nobody", Guest) },
		"script":            func() { s.ScriptExport("a/c", ExportScript{}) },
		"export":            func() { s.AddExport("a/b", "nobody") },
		"group":             func() { s.AddGroup("/") },
	} {
		func() {
			defer func() {
				if v := recover(); v == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
	if s.Project("a/b") == nil {
		t.Error("the server is stuck")
	}
}

func TestTimeZone(t *testing.T) {
	inMemory(t, []Option{TimeZone(time.FixedZone("", -(3*3600 + 30*60))), RelationExports()}, func(t *testing.T, s *Server) {
		widget(s)
		if got := get(t, s, "projects/7/export").member(t, "created_at"); got != "1999-02-14T04:45:30.123-03:30" {
			t.Errorf("created_at of a project is %s", got)
		}
		s.ScriptImport("", ImportScript{FailedRelations: []FailedRelation{{RelationName: "issues"}}})
		importAs(t, s, Token, gz(plain("path", "new"))...)
		post(t, s, relationsPath, "", "")
		time.Sleep(time.Minute)
		relationAs(t, s, Token, gz(plain("path", "acme/tools/widget"), plain("relation", "issues"))...)
		for path, want := range map[string]string{
			"projects/owner%2Fnew/import":             `"created_at":"1999-12-31T20:30:02.000-03:30","exception_class"`,
			"projects/7/relation-imports":             `"created_at":"1999-12-31T20:31:00.000-03:30","updated_at":"1999-12-31T20:31:00.000-03:30"`,
			relationsPath + "/status?relation=labels": `"updated_at":"1999-12-31T20:30:04.000-03:30"`,
		} {
			if a := get(t, s, path); !strings.Contains(a.body, want) {
				t.Errorf("%s: got %s", path, a.body)
			}
		}
	})
}

// TestLocalized checks which messages are translated.
func TestLocalized(t *testing.T) {
	inMemory(t, []Option{Localized(), Limits(RateLimits{Exports: 2})}, func(t *testing.T, s *Server) {
		widget(s)
		get(t, s, "projects/9/export").want(t, 404, noProject)
		get(t, s, "projects/7/export/download").want(t, 404, gone)
		do(t, s, request{method: "GET", path: "projects/7/export", header: as("x")}).want(t, 401, unauthorized)
		post(t, s, "projects/7/export", formType, "upload=x").want(t, 400, `{"error":"upload is invalid"}`)
		post(t, s, "projects/7/export", formType, "upload[url]=ftp://x").want(t, 400,
			`{"message":{"url":["ís blóckéd: Only állówéd schémés áré http, https"]}}`)
		schedule(t, s)
		post(t, s, "projects/7/export", "", "").want(t, 429,
			`{"message":{"error":"Thís éndpóínt hás béén réqúéstéd tóó mány tímés. Try ágáín látér."}}`)
		s.Configure(NoLimits())
		time.Sleep(3500 * time.Millisecond)
		get(t, s, "projects/7/export/download").want(t, 404, notYet)
		post(t, s, "projects/7/export", "", "").want(t, 400,
			`{"message":"An éxpórt ís álréády rúnníng ór qúéúéd fór thís prójéct. Pléásé try ágáín óncé ít's dóné."}`)
		s.Configure(MaxExportSize(1))
		post(t, s, "projects/7/export", "", "").want(t, 400, `{"message":"Thé prójéct sízé éxcééds thé éxpórt límít."}`)
		in := plain("namespace", "acme/tools")
		importAs(t, s, Token, gz(plain("path", "widget"), in)...).want(t, 400, `{"message":"Páth hás álréády béén tákén"}`)
		importAs(t, s, Token, gz(plain("path", "new"), plain("namespace", "nope"))...).want(t, 404, noNamespace)
		importAs(t, s, Token, plain("path", "new"), file("x.zip", "x")).want(t, 422,
			`{"message":{"error":"Yóú nééd tó úplóád á GítLáb prójéct éxpórt árchívé (éndíng ín .gz)."}}`)
		post(t, s, "projects/remote-import", jsonType, `{"path":"new","url":"http://x.test"}`).want(t, 400,
			`{"message":"Fílé úrl ís blóckéd: Only állówéd schémés áré https"}`)
		relationAs(t, s, Token, gz(plain("path", "a/b"), plain("relation", "issues"))...).want(t, 404, `{"message":"Prójéct nót fóúnd"}`)
	})
}

func TestVersions(t *testing.T) {
	for _, tt := range []struct {
		v            string
		major, minor int
		want         bool
	}{
		{"18.9", 18, 9, true}, {"18.9.2", 18, 10, false}, {"v18.9", 18, 9, true}, {"13.12", 14, 0, false}, {"13.12", 13, 2, true},
		{"13.2", 13, 12, false},
	} {
		v, err := parseVersion(tt.v)
		if err != nil || v.atLeast(tt.major, tt.minor) != tt.want {
			t.Errorf("%s at least %d.%d: %t, %v", tt.v, tt.major, tt.minor, !tt.want, err)
		}
	}
}

// A release imports the archives that it makes itself.
func TestArchiveRelease(t *testing.T) {
	for _, v := range []string{"10.6", "10.8", "11.1", "12.10", "15.11", "18.9"} {
		inMemory(t, []Option{Version(v)}, func(t *testing.T, s *Server) {
			importAs(t, s, Token, plain("path", "new"), file("x.gz", smallOf(NewArchive(20<<10, ArchiveRelease(v)))))
			time.Sleep(time.Minute)
			if p := s.Project("owner/new"); p.ImportStatus != "finished" {
				t.Errorf("%s: %s, %s", v, p.ImportStatus, p.ImportError)
			}
		})
	}
	defer func() {
		if recover() == nil {
			t.Error("9.5 was taken")
		}
	}()
	ArchiveRelease("9.5")
}

func TestArchiveFormats(t *testing.T) {
	for _, tt := range []struct{ version, format, err string }{
		{"18.9", "0.2.4", ""},
		{"18.9", "0.2.3", "Import version mismatch: Required 0.2.4 but was 0.2.3"},
		{"11.1", "0.2.4", ""},
		{"11.0", "0.2.4", "Import version mismatch: Required 0.2.3 but was 0.2.4"},
		{"11.0", "0.2.3", ""},
		{"11.0", "0.2.3\n", ""},
		{"10.8", "0.2.3", ""},
		{"10.7", "0.2.3", "Import version mismatch: Required 0.2.2 but was 0.2.3"},
		{"10.6", "0.2.2", ""},
	} {
		inMemory(t, []Option{Version(tt.version)}, func(t *testing.T, s *Server) {
			content := smallOf(NewArchive(20<<10, ArchiveFormatVersion(tt.format)))
			importAs(t, s, Token, plain("path", "new"), file("x.gz", content))
			time.Sleep(time.Minute)
			p := s.Project("owner/new")
			if _, text, _ := strings.Cut(p.ImportError, " - "); text != tt.err || (p.ImportStatus == "finished") != (tt.err == "") {
				t.Errorf("%s, format %s: %s, %s", tt.version, tt.format, p.ImportStatus, p.ImportError)
			}
		})
		inMemory(t, []Option{Version(tt.version)}, func(t *testing.T, s *Server) {
			s.AddProject(Project{Path: "a/b", ID: 7})
			s.AddExport("7", "owner")
			importAs(t, s, Token, plain("path", "new"), file("x.gz", download(t, s).body))
			time.Sleep(time.Minute)
			if p := s.Project("owner/new"); p.ImportStatus != "finished" {
				t.Errorf("%s does not import its own export: %s", tt.version, p.ImportError)
			}
		})
	}
	garbage := errors.New("garbage")
	if got := (version{10, 6}).archiveProblem(garbage); got != garbage {
		t.Errorf("got %v", got)
	}
}

func TestHTTP2(t *testing.T) {
	everyTransport(t, func(t *testing.T, s *Server) {
		get(t, s, "projects/7/export")
		want := "HTTP/1.1"
		if s.cfg.http2 {
			want = "HTTP/2.0"
		}
		if r := s.Requests()[0]; r.Proto != want || !r.Complete || r.ContentLength != 0 || r.Host == "" {
			t.Errorf("got %+v", r)
		}
		if strings.HasPrefix(s.URL, "https:") != s.cfg.tls || !strings.HasPrefix(s.StorageURL, s.URL[:5]) {
			t.Errorf("%s and %s", s.URL, s.StorageURL)
		}
	})
}

func TestUsers(t *testing.T) {
	inMemory(t, nil, func(t *testing.T, s *Server) {
		if a, b := s.AddUser(User{Username: "max", Token: "one"}),
			s.AddUser(User{Username: "max", Name: "Max M.", Token: "two", Scopes: []string{"read_api"}}); a != b {
			t.Errorf("the same user is %d and %d", a, b)
		}
		s.AddUser(User{Username: "eva", Token: "eva"})
		for _, tt := range []struct {
			token, path, name string
			status            int
		}{
			{"one", "max/a", "Max M. / a", 201},
			{"two", "max/b", "", 403},
			{"eva", "eva/a", "eva / a", 201},
		} {
			a := importAs(t, s, tt.token, gz(plain("path", tt.path[4:]))...)
			if a.status != tt.status || a.status == 201 &&
				(a.member(t, "name_with_namespace") != tt.name || a.member(t, "path_with_namespace") != tt.path) {
				t.Errorf("%s: got %d %s", tt.token, a.status, a.body)
			}
		}
		if ps := s.Projects(); len(ps) != 2 || ps[0].ID >= ps[1].ID {
			t.Errorf("projects: %v", ps)
		}
		s.AddMember("max/a", "eva", Maintainer)
		if a := do(t, s, request{method: "GET", path: "projects/max%2Fa/export", header: as("eva")}); a.status != 200 {
			t.Errorf("a member: got %d", a.status)
		}
		s.AddMember("max/a", "eva", 0)
		if a := do(t, s, request{method: "GET", path: "projects/max%2Fa/export", header: as("eva")}); a.status != 404 {
			t.Errorf("no longer a member: got %d", a.status)
		}
	})
}
