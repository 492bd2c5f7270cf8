package portertest

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

func shaOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func download(t *testing.T, s *Server, header ...string) answer {
	t.Helper()
	return do(t, s, request{method: "GET", path: "projects/7/export/download", header: as(Token, header...)})
}

func (a answer) wantArchive(t *testing.T, archive *Archive) {
	t.Helper()
	if a.status != 200 || shaOf(a.body) != archive.SHA256() {
		t.Errorf("got %d and %d bytes", a.status, len(a.body))
	}
}

func TestDownloadFromDisk(t *testing.T) {
	everyTransport(t, func(t *testing.T, s *Server) {
		archive := widget(s)
		s.AddExport("7", "owner")
		a := download(t, s)
		a.wantArchive(t, archive)
		a.wantHeaders(t, "Content-Type", "application/octet-stream", "Content-Transfer-Encoding", "binary", "Content-Length", "20480",
			"Accept-Ranges", "bytes", "Etag", diskETag)
		modified, err := http.ParseTime(a.header.Get("Last-Modified"))
		if d := s.Now().Sub(modified); err != nil || d < 0 || d > time.Minute {
			t.Errorf("Last-Modified is %q", a.header.Get("Last-Modified"))
		}
		pattern := regexp.MustCompile(`^attachment; filename="(\d{4}-\d\d-\d\d_\d\d-\d\d-\d{3}_acme_tools_widget_export\.tar\.gz)"; ` +
			`filename\*=UTF-8''(.*)$`)
		if m := pattern.FindStringSubmatch(a.header.Get("Content-Disposition")); m == nil || m[1] != m[2] {
			t.Errorf("Content-Disposition is %q", a.header.Get("Content-Disposition"))
		}
		head := do(t, s, request{method: "HEAD", path: "projects/7/export/download", header: asOwner})
		if head.status != 200 || head.body != "" || head.header.Get("Content-Length") != "20480" {
			t.Errorf("HEAD: got %d %v", head.status, head.header)
		}
	}, NoLimits())
}

func TestDownloadRanges(t *testing.T) {
	everyTransport(t, func(t *testing.T, s *Server) {
		archive := widget(s)
		s.AddExport("7", "owner")
		since := download(t, s).header.Get("Last-Modified")
		for _, tt := range []struct {
			name   string
			header []string
			status int
			body   string
		}{
			{"range", []string{"Range", "bytes=100-199"}, 206, smallOf(archive)[100:200]},
			{"range to the end", []string{"Range", "bytes=20000-"}, 206, smallOf(archive)[20000:]},
			{"range beyond", []string{"Range", "bytes=20480-"}, 416, "invalid range: failed to overlap\n"},
			{"If-Range with the date", []string{"Range", "bytes=100-", "If-Range", since}, 206, smallOf(archive)[100:]},
			{"If-Range with another date", []string{"Range", "bytes=100-", "If-Range", time.Unix(0, 0).UTC().Format(http.TimeFormat)}, 200,
				smallOf(archive)},
			{"If-Range with the weak tag", []string{"Range", "bytes=100-", "If-Range", diskETag}, 200, smallOf(archive)},
			{"If-Modified-Since", []string{"If-Modified-Since", since}, 304, ""},
		} {
			a := download(t, s, tt.header...)
			if a.status != tt.status || a.body != tt.body {
				t.Errorf("%s: got %d and %d bytes, want %d and %d", tt.name, a.status, len(a.body), tt.status, len(tt.body))
			}
		}
	}, NoLimits())
}

func smallOf(a *Archive) string {
	b := make([]byte, a.Size())
	a.ReadAt(b, 0)
	return string(b)
}

func TestDownloadHeadersByVersion(t *testing.T) {
	for _, tt := range []struct{ version, contentType, disposition string }{
		{"10.6", "application/gzip", `^attachment; filename=2000-01-01_00-00-000_acme_tools_widget_export\.tar\.gz$`},
		{"10.7", "application/gzip", `^attachment; filename="`},
		{"11.2", "application/gzip", `^attachment; filename="`},
		{"11.3", "application/octet-stream", `^attachment; filename="`},
	} {
		inMemory(t, []Option{Version(tt.version)}, func(t *testing.T, s *Server) {
			widget(s)
			s.AddExport("7", "owner")
			h := download(t, s).header
			if h.Get("Content-Type") != tt.contentType || !regexp.MustCompile(tt.disposition).MatchString(h.Get("Content-Disposition")) {
				t.Errorf("%s: %s; %s", tt.version, h.Get("Content-Type"), h.Get("Content-Disposition"))
			}
		})
	}
	inMemory(t, nil, func(t *testing.T, s *Server) {
		s.AddProject(Project{Path: "a-very-long-group-name/and-a-very-long-project-name", ID: 7})
		time.Sleep(62*time.Second + 34*time.Millisecond)
		s.AddExport("7", "owner")
		const want = `attachment; filename="2000-01-01_00-01-034_a-very-long-group-name_and-a-v_export.tar.gz"`
		if got := download(t, s).header.Get("Content-Disposition"); !strings.HasPrefix(got, want+";") {
			t.Errorf("got %s\nwant %s…", got, want)
		}
	})
}

func TestDownloadRedirected(t *testing.T) {
	everyTransport(t, func(t *testing.T, s *Server) {
		archive := widget(s)
		s.AddExport("7", "owner")
		a := download(t, s)
		signed := a.header.Get("Location")
		a.want(t, 302, "This resource has been moved temporarily to "+signed)
		a.wantHeaders(t, "Content-Type", "text/plain", "Content-Disposition", "", "Etag", "")
		if !strings.HasPrefix(signed, s.StorageURL+"/") || len(a.body) < 400 || len(a.body) > 600 {
			t.Errorf("the storage's URL is %s", signed)
		}
		head := do(t, s, request{method: "HEAD", path: "projects/7/export/download", header: asOwner})
		if head.status != 303 || head.header.Get("Location") == "" {
			t.Errorf("HEAD: got %d", head.status)
		}

		b := do(t, s, request{method: "GET", path: signed})
		b.wantArchive(t, archive)
		b.wantHeaders(t, "Content-Disposition", "", "Last-Modified", "…", "Server", "AmazonS3", "X-Amz-Request-Id", "…")
		if !strings.HasPrefix(b.header.Get("Etag"), `"`) {
			t.Errorf("the tag is %s", b.header.Get("Etag"))
		}

		// A new export deletes the object.
		schedule(t, s)
		do(t, s, request{method: "GET", path: signed}).wantPart(t, 404, "<Code>NoSuchKey</Code>")
	}, Downloads(Redirected), NoLimits())
}

func TestSignedDownload(t *testing.T) {
	everyTransport(t, func(t *testing.T, s *Server) {
		archive := widget(s)
		s.AddExport("7", "owner")
		signed := download(t, s).header.Get("Location")
		tag := do(t, s, request{method: "GET", path: signed}).header.Get("Etag")
		for _, tt := range []struct {
			name   string
			method string
			url    string
			header map[string]string
			status int
			body   string // a part of it
		}{
			{"resumed", "GET", signed, map[string]string{"Range": "bytes=100-", "If-Range": tag}, 206, smallOf(archive)[100:]},
			{"another tag", "GET", signed, map[string]string{"Range": "bytes=100-", "If-Range": `"x"`}, 200, smallOf(archive)},
			{"Authorization", "GET", signed, map[string]string{"Authorization": "Bearer " + Token}, 400,
				"<Code>InvalidArgument</Code><Message>Only one auth mechanism allowed"},
			{"private token", "GET", signed, asOwner, 200, smallOf(archive)},
			{"HEAD", "HEAD", signed, nil, 403, ""},
			{"unsigned", "GET", strings.Split(signed, "?")[0], nil, 403, "<Code>AccessDenied</Code>"},
			{"other signature", "GET", strings.Replace(signed, "Signature=", "Signature=0", 1), nil, 403, "<Code>SignatureDoesNotMatch</Code>"},
			{"longer life", "GET", strings.Replace(signed, "Expires=600", "Expires=60000", 1), nil, 403, "<Code>SignatureDoesNotMatch</Code>"},
		} {
			a := do(t, s, request{method: tt.method, path: tt.url, header: tt.header})
			if a.status != tt.status || !strings.Contains(a.body, tt.body) {
				t.Errorf("%s: got %d %.100q", tt.name, a.status, a.body)
			}
			if tt.status >= 400 {
				a.wantHeaders(t, "Content-Type", "application/xml")
			}
		}
		s.Advance(10*time.Minute - 5*time.Second)
		do(t, s, request{method: "GET", path: signed}).wantPart(t, 200, "")
		s.Advance(5 * time.Second)
		do(t, s, request{method: "GET", path: signed}).wantPart(t, 403, "<Message>Request has expired</Message>")

		leaks := s.Leaks()
		if len(leaks) != 2 || leaks[0].Header.Get("Authorization") == "" || leaks[1].Header.Get("Private-Token") == "" {
			t.Errorf("%d leaks: %v", len(leaks), leaks)
		}
	}, Downloads(Redirected), NoLimits())
}

func TestDownloadProxied(t *testing.T) {
	everyTransport(t, func(t *testing.T, s *Server) {
		archive := widget(s)
		s.AddExport("7", "owner")
		a := download(t, s)
		a.wantArchive(t, archive)
		a.wantHeaders(t, "Content-Disposition", "", "X-Amz-Request-Id", "…", "Last-Modified", "…", "Content-Length", "20480",
			"Accept-Ranges", "bytes")
		tag := a.header.Get("Etag")
		if !strings.HasPrefix(tag, `"`) {
			t.Errorf("the tag is %s", tag)
		}
		head := do(t, s, request{method: "HEAD", path: "projects/7/export/download", header: asOwner})
		head.want(t, 200, "")
		head.wantHeaders(t, "Etag", tag, "Content-Length", "20480")
		rs := s.Requests()
		for _, r := range rs[len(rs)-2:] { // GitLab's and the storage's
			if r.Sent != 0 || r.Status != 200 {
				t.Errorf("HEAD: %s sent %d bytes with %d", r.Origin, r.Sent, r.Status)
			}
		}
		download(t, s, "Range", "bytes=100-", "If-Range", tag).want(t, 206, smallOf(archive)[100:])
		download(t, s, "If-None-Match", tag).want(t, 304, "")
		if l := s.Leaks(); l != nil {
			t.Errorf("leaks: %v", l)
		}
	}, Downloads(Proxied), NoLimits())
}

// TestDownloadProxiedFails checks what GitLab makes of an object storage that
// fails.
func TestDownloadProxiedFails(t *testing.T) {
	everyTransport(t, func(t *testing.T, s *Server) {
		archive := widget(s)
		s.AddExport("7", "owner")
		s.Inject(Fault{Origin: Storage,
			Do: Respond(503, http.Header{"Content-Type": {"application/xml"}}, "<Error><Code>SlowDown</Code></Error>")})
		a := download(t, s)
		a.want(t, 503, "<Error><Code>SlowDown</Code></Error>")
		a.wantHeaders(t, "Content-Type", "application/xml")
		dead := s.Inject(Fault{Origin: Storage, Times: -1, Do: CutRequest(0)}) // net/http retries once
		download(t, s).want(t, 500, "Internal Server Error\n")
		dead.Remove()
		s.Inject(Fault{Origin: Storage, Do: CutResponse(1000)})
		if b := download(t, s); b.status != 200 || b.body != smallOf(archive)[:1000] || b.err == nil {
			t.Errorf("the storage broke off: got %d, %d bytes, %v", b.status, len(b.body), b.err)
		}
	}, Downloads(Proxied), NoLimits())
}

func TestDownloadRefusals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		opts   []Option
		after  time.Duration // scheduling
		status int
		body   string
	}{
		{"never exported", nil, -1, 404, gone},
		{"started", nil, 2500 * time.Millisecond, 404, gone},
		{"bytes on their way", nil, 3500 * time.Millisecond, 404, notYet},
		{"bytes on their way, old", []Option{Version("13.11")}, 3500 * time.Millisecond, 404, gone},
		{"bytes there, job not finished", nil, 4500 * time.Millisecond, 200, ""},
		{"finished", nil, 10 * time.Second, 200, ""},
		{"expired", nil, 25 * time.Hour, 404, gone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, tt.opts, func(t *testing.T, s *Server) {
				widget(s)
				if tt.after >= 0 {
					schedule(t, s)
					time.Sleep(tt.after)
				}
				a := download(t, s)
				if a.status != tt.status || tt.status != 200 && a.body != tt.body {
					t.Errorf("got %d %.80s", a.status, a.body)
				}
			})
		})
	}
	for _, tt := range []struct {
		mode   DownloadMode
		status int
		body   string
	}{
		{FromDisk, 404, "404 page not found\n"},
		{Redirected, 404, notFound},
		{Proxied, 404, notFound},
	} {
		inMemory(t, []Option{Downloads(tt.mode)}, func(t *testing.T, s *Server) {
			widget(s)
			s.ScriptExport("7", ExportScript{Fault: Vanish})
			schedule(t, s)
			s.Advance(time.Minute)
			download(t, s).want(t, tt.status, tt.body)
		})
	}
}

// TestDownloadOfScript checks that an export can yield another archive than
// the project's, and that each has an ETag of its own.
func TestDownloadOfScript(t *testing.T) {
	inMemory(t, []Option{NoLimits(), Downloads(Proxied)}, func(t *testing.T, s *Server) {
		archive := widget(s)
		s.ScriptExport("acme/tools/widget", ExportScript{}, ExportScript{Archive: BytesArchive([]byte("garbage"))})
		tags := map[string]bool{}
		for _, want := range []string{smallOf(archive), "garbage", smallOf(archive)} {
			schedule(t, s)
			s.Advance(time.Minute)
			a := download(t, s)
			if a.body != want {
				t.Errorf("got %d bytes, want %d", len(a.body), len(want))
			}
			tags[a.header.Get("Etag")] = true
		}
		if len(tags) != 3 {
			t.Errorf("ETags: %v", tags)
		}
	})
}

func TestStorageObjects(t *testing.T) {
	everyTransport(t, func(t *testing.T, s *Server) {
		up := s.StorageURL + "/backups/x.tar.gz"
		a := do(t, s, request{method: "PUT", path: up, header: map[string]string{"Content-Type": "application/gzip"},
			body: strings.NewReader(smallArchive)})
		if a.status != 200 || a.header.Get("Etag") == "" {
			t.Errorf("PUT: got %d %s", a.status, a.body)
		}
		o := s.Object("/backups/x.tar.gz")
		if o == nil || o.Size != 20<<10 || o.SHA256 != shaOf(smallArchive) || o.ContentType != "application/gzip" {
			t.Errorf("object: %+v", o)
		}
		if a := do(t, s, request{method: "GET", path: up}); a.status != 200 || a.body != smallArchive ||
			a.header.Get("Content-Type") != "application/gzip" {
			t.Errorf("GET: got %d and %d bytes", a.status, len(a.body))
		}
		do(t, s, request{method: "DELETE", path: up}).wantPart(t, 405, "")
		do(t, s, request{method: "GET", path: s.StorageURL + "/backups/y"}).wantPart(t, 404, "")
		if s.Object("/backups/y") != nil {
			t.Error("there is an object that was never put")
		}
		link := s.AddObject("/public/a.tar.gz", "application/gzip", BytesArchive([]byte("abc")))
		u, err := url.Parse(link)
		if a := do(t, s, request{method: "GET", path: link}); err != nil || u.Path != "/public/a.tar.gz" || a.body != "abc" {
			t.Errorf("%s: got %d %q", link, a.status, a.body)
		}
	})
}

func TestSignedPut(t *testing.T) {
	everyTransport(t, func(t *testing.T, s *Server) {
		signed := s.SignedURL("PUT", "/backups/z a", time.Minute)
		do(t, s, request{method: "PUT", path: signed, body: strings.NewReader("z")}).want(t, 200, "")
		if o := s.Object("/backups/z a"); o == nil || o.Size != 1 {
			t.Errorf("object: %+v", o)
		}
		do(t, s, request{method: "GET", path: signed}).wantPart(t, 403, "") // the signature is for PUT
		s.Advance(time.Minute)
		do(t, s, request{method: "PUT", path: signed, body: strings.NewReader("z")}).wantPart(t, 403, "expired")
	})
}
