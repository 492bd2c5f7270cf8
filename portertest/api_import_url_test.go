package portertest

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestImportFromURL(t *testing.T) {
	everyTransport(t, func(t *testing.T, s *Server) {
		if strings.HasPrefix(s.URL, "http:") {
			post(t, s, "projects/remote-import", jsonType, `{"path":"new","url":"`+s.StorageURL+`/x"}`).
				want(t, 400, `{"message":"File url is blocked: Only allowed schemes are https"}`)
			return
		}
		archive := NewArchive(30<<10, ArchiveSeed(3))
		s.AddObject("/backups/x.tar.gz", "application/gzip", archive)
		s.AddGroup("acme")
		signed := s.SignedURL("GET", "/backups/x.tar.gz", time.Hour)
		a := post(t, s, "projects/remote-import", jsonType,
			fmt.Sprintf(`{"path":"new","namespace":"acme","url":%q,"override_params":{"topics":["a"],"lfs_enabled":true}}`, signed))
		if a.status != 201 || a.member(t, "import_status") != "scheduled" || a.member(t, "path_with_namespace") != "acme/new" {
			t.Fatalf("got %d %s", a.status, a.body)
		}
		s.Advance(time.Minute)
		p := s.Project("acme/new")
		if p.ImportStatus != "finished" || p.ArchiveSHA256 != archive.SHA256() || p.ArchiveSize != archive.Size() ||
			p.Overrides.Get("lfs_enabled") != "true" {
			t.Errorf("got %+v", p)
		}
		var asked []string
		for _, r := range s.Requests() {
			if r.Origin == Storage {
				asked = append(asked, fmt.Sprint(r.Method, " ", r.Status))
			}
		}
		if got := strings.Join(asked, ", "); got != "HEAD 403, GET 200" {
			t.Errorf("the storage was asked %s", got)
		}
	})
}

const refusesLocalhost = `{"message":"File url is blocked: Requests to localhost are not allowed"}`

func TestRemoteImportRefusals(t *testing.T) {
	var mux http.ServeMux
	file := func(length, contentType string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", length)
			w.Header().Set("Content-Type", contentType)
		}
	}
	mux.HandleFunc("/good", file("100", "application/gzip"))
	mux.HandleFunc("/tar", file("100", "application/x-tar"))
	mux.HandleFunc("/empty", file("0", "application/gzip"))
	mux.HandleFunc("/big", file("10737418241", "application/gzip"))
	mux.HandleFunc("/text", file("100", "text/plain"))
	dst := httptest.NewTLSServer(&mux)
	defer dst.Close()
	// Nobody listens at the client's end of a connection, and as long as it is
	// open nobody can.
	conn, err := net.Dial("tcp", dst.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	dead := "https://" + conn.LocalAddr().String()

	u := func(path string) string { return `"path":"new","url":"` + dst.URL + path + `"` }
	for _, tt := range []struct {
		name, version, body string
		status              int
		want                string
	}{
		{"good", "18.9", u("/good"), 201, ""},
		{"tar", "18.9", u("/tar"), 201, ""},
		{"since 13.2", "13.2", u("/good"), 201, ""},
		{"before 13.2", "13.1", u("/good"), 404, noRoute},
		{"nothing", "18.9", `"x":1`, 400, `{"error":"url is missing, path is missing"}`},
		{"http", "18.9", `"path":"new","url":"http://x.test/"`, 400, `{"message":"File url is blocked: Only allowed schemes are https"}`},
		{"garbage", "18.9", `"path":"new","url":"https://a b"`, 400, `{"message":"File url is blocked: URI is invalid"}`},
		{"too long", "14.10", u("/good?" + strings.Repeat("x", 2048)), 400, `{"message":"File url is too long (maximum is 2048 characters)"}`},
		{"too long, old", "14.9", u("/good?" + strings.Repeat("x", 512)), 400, `{"message":"File url is too long (maximum is 512 characters)"}`},
		{"empty", "18.9", u("/empty"), 400, `{"message":"Content length is too small (should be at least 1 B)"}`},
		{"big", "18.9", u("/big"), 400, `{"message":"Content length is too big (should be at most 10 GiB)"}`},
		{"type", "18.9", u("/text"), 400,
			`{"message":"Content type 'text/plain' not allowed. (Allowed: application/gzip, application/x-tar, application/x-gzip)"}`},
		{"dead", "18.9", `"path":"new","url":"` + dead + `"`, 400, `{"message":"Failed to retrieve headers: Failed to open TCP connection"}`},
		{"no such host", "18.9", `"path":"new","url":"https://` + strings.Repeat("x", 64) + `.test/"`, 400,
			`{"message":"File url is blocked: Host cannot be resolved or invalid"}`},
		{"namespace before URL", "18.9", `"path":"new","namespace":"nope","url":"http://x.test/"`, 404, noNamespace},
		{"path after URL", "18.9", `"path":".","url":"http://x.test/"`, 400, `{"message":"File url is blocked: Only allowed schemes are https"}`},
		{"path before URL", "18.9", `"path":"","url":"http://x.test/"`, 400, `{"message":"Path can't be blank"}`},
		{"URL of another kind", "18.9", `"path":"new","url":["https://x.test/"]`, 400, `{"error":"url is invalid"}`},
		{"blank", "18.9", `"path":"new","url":"  "`, 400, `{"message":"File url must be a valid URL"}`},
		{"space around", "18.9", `"path":"new","url":" https://x.test/"`, 400,
			"{\"message\":\"undefined method `file_url=' for an instance of Import::GitlabProjects::FileAcquisitionStrategies::RemoteFile\"}"},
		{"scheme alone", "18.9", `"path":"new","url":"https://"`, 400, `{"message":"File url is blocked: URI is invalid"}`},
		{"scheme in capitals", "18.9", `"path":"new","url":"HTTPS://x.test/"`, 400,
			`{"message":"File url is blocked: Only allowed schemes are https"}`},
		{"label that ends in a hyphen", "18.9", `"path":"new","url":"https://x-.test/"`, 400,
			`{"message":"File url is blocked: Hostname or IP address invalid"}`},
		{"server that GitLab was not told of", "18.9", `"path":"new","url":"https://127.0.0.1:9/"`, 400, refusesLocalhost},
		{"localhost", "18.9", `"path":"new","url":"https://localhost/"`, 400, refusesLocalhost},
		{"IPv6 loopback", "18.9", `"path":"new","url":"https://[::1]/"`, 400, refusesLocalhost},
		{"IPv4 loopback in IPv6", "18.9", `"path":"new","url":"https://[::ffff:127.0.0.1]/"`, 400, refusesLocalhost},
		{"no host", "18.9", `"path":"new","url":"https:///a"`, 400, refusesLocalhost},
		{"unspecified", "18.9", `"path":"new","url":"https://0.0.0.0/"`, 400, refusesLocalhost},
		{"local network", "18.9", `"path":"new","url":"https://10.1.2.3/"`, 400,
			`{"message":"File url is blocked: Requests to the local network are not allowed"}`},
		{"local network, IPv6", "18.9", `"path":"new","url":"https://[fd00::1]/"`, 400,
			`{"message":"File url is blocked: Requests to the local network are not allowed"}`},
		{"link local", "18.9", `"path":"new","url":"https://169.254.169.254/"`, 400,
			`{"message":"File url is blocked: Requests to the link local network are not allowed"}`},
		{"public address", "18.9", `"path":"new","url":"https://192.0.2.1/"`, 400,
			`{"message":"Failed to retrieve headers: Failed to open TCP connection"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := NewServer(Version(tt.version))
			defer s.Close()
			s.AllowOutbound(dst.URL)
			s.AllowOutbound(dead)
			a := post(t, s, "projects/remote-import", jsonType, "{"+tt.body+"}")
			if a.status != tt.status || tt.want != "" && a.body != tt.want {
				t.Errorf("got %d %s\nwant %d %s", a.status, a.body, tt.status, tt.want)
			}
			if (s.Project("owner/new") != nil) != (tt.status == 201) {
				t.Error("project made, or not")
			}
		})
	}
	inMemory(t, []Option{ImportsDisabled()}, func(t *testing.T, s *Server) {
		post(t, s, "projects/remote-import", jsonType, `{"path":"new","url":"https://x.test/"}`).want(t, 403, forbidden)
		do(t, s, request{method: "POST", path: "projects/remote-import"}).want(t, 401, unauthorized)
	})
}

func TestHumanSize(t *testing.T) {
	for n, want := range map[int64]string{
		1: "1 B", 1023: "1023 B", 1 << 10: "1 KiB", 1536 << 10: "1.5 MiB", 1000 << 20: "1000 MiB", 1023 << 20: "1020 MiB", 10 << 30: "10 GiB",
		2 << 40: "2050 GiB",
	} {
		if got := humanSize(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

// TestRemoteImportFails checks what becomes of an import whose archive GitLab
// cannot get.
func TestRemoteImportFails(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault Fault
		size  int64
		want  string
	}{
		{"gone", Fault{Method: "GET", Do: Respond(404, nil, "")}, 1 << 20, "unsupported response downloading fragment 404"},
		{"broken off", Fault{Method: "GET", Do: CutResponse(10000)}, 1 << 20, "end of file reached"},
		{"cut at the limit", Fault{Skip: 99}, 20000, "Command exited with error code"},
		{"garbage", Fault{Method: "GET", Do: Garble(0)}, 1 << 20, "Command exited with error code"},
		{"fine", Fault{Skip: 99}, 1 << 20, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, []Option{TLS(), MaxRemoteSize(tt.size)}, func(t *testing.T, s *Server) {
				link := s.AddObject("/x.tar.gz", "application/gzip", NewArchive(20<<10))
				tt.fault.Origin = Storage
				s.Inject(tt.fault)
				if a := post(t, s, "projects/remote-import", jsonType, `{"path":"new","url":"`+link+`"}`); a.status != 201 {
					t.Fatalf("got %d %s", a.status, a.body)
				}
				time.Sleep(time.Minute)
				p := s.Project("owner/new")
				if tt.want == "" {
					if p.ImportStatus != "finished" {
						t.Errorf("got %s, %s", p.ImportStatus, p.ImportError)
					}
				} else if p.ImportStatus != "failed" || !strings.HasPrefix(p.ImportError, "Error importing repository  into owner/new - "+tt.want) {
					t.Errorf("got %s, %s", p.ImportStatus, p.ImportError)
				}
			})
		})
	}
	inMemory(t, []Option{TLS()}, func(t *testing.T, s *Server) {
		link := s.AddObject("/x.tar.gz", "application/gzip", NewArchive(20<<10))
		s.Inject(Fault{Origin: Storage, Method: "GET", Do: StallResponse(100, time.Hour)})
		post(t, s, "projects/remote-import", jsonType, `{"path":"new","url":"`+link+`"}`)
		time.Sleep(30 * time.Minute)
		if p := s.Project("owner/new"); p.ImportStatus != "started" {
			t.Errorf("meanwhile: got %s", p.ImportStatus)
		}
		time.Sleep(40 * time.Minute)
		if p := s.Project("owner/new"); p.ImportStatus != "finished" {
			t.Errorf("in the end: got %s, %s", p.ImportStatus, p.ImportError)
		}
		s.Inject(Fault{Origin: Storage, Method: "HEAD", Do: HoldAnswer(0)})
		post(t, s, "projects/remote-import", jsonType, `{"path":"other","url":"`+link+`"}`).
			want(t, 400, `{"message":"Failed to retrieve headers: Net::ReadTimeout"}`)
	})
}

// s3Form is a form with some fields changed, or left out if they are "-".
func s3Form(kv ...string) string {
	m := map[string]string{"path": "new", "region": "eu-west-1", "bucket_name": "b", "file_key": "dir/x.tar.gz",
		"access_key_id": AccessKeyID, "secret_access_key": SecretAccessKey}
	for i := 0; i < len(kv); i += 2 {
		if m[kv[i]] = kv[i+1]; kv[i+1] == "-" {
			delete(m, kv[i])
		}
	}
	var b strings.Builder
	for k, v := range m {
		fmt.Fprintf(&b, "%s=%s&", k, strings.ReplaceAll(v, "+", "%2B"))
	}
	return b.String()
}

func TestImportFromS3(t *testing.T) {
	for _, tt := range []struct {
		name, version, body string
		status              int
		want                string
	}{
		{"fine", "18.9", s3Form(), 201, ""},
		{"before 14.9", "14.8", s3Form(), 404, noRoute},
		{"no region", "18.9", s3Form("region", "-", "path", "-"), 400, `{"error":"region is missing, path is missing"}`},
		{"blank region", "18.9", s3Form("region", ""), 400, `{"message":"Region can't be blank"}`},
		{"no file", "18.9", s3Form("file_key", "y"), 400, `{"message":"File not found 'y' in 'b'"}`},
		{"keys", "18.9", s3Form("secret_access_key", "x"), 400,
			`{"message":"Failed to open 'dir/x.tar.gz' in 'b': The AWS Access Key Id you provided does not exist in our records."}`},
		{"type", "18.9", s3Form("file_key", "text"), 400,
			`{"message":"Content type 'text/plain' not allowed. (Allowed: application/gzip, application/x-tar, application/x-gzip)"}`},
		{"empty", "18.9", s3Form("file_key", "empty"), 400, `{"message":"Content length is too small (should be at least 1 B)"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, []Option{Version(tt.version)}, func(t *testing.T, s *Server) {
				archive := NewArchive(20 << 10)
				s.AddObject("/b/dir/x.tar.gz", "application/gzip", archive)
				s.AddObject("/b/text", "text/plain", archive)
				s.AddObject("/b/empty", "application/gzip", BytesArchive(nil))
				a := post(t, s, "projects/remote-import-s3", formType, tt.body)
				if a.status != tt.status || tt.want != "" && a.body != tt.want {
					t.Fatalf("got %d %s\nwant %d %s", a.status, a.body, tt.status, tt.want)
				}
				time.Sleep(time.Minute)
				if p := s.Project("owner/new"); (p != nil) != (tt.status == 201) || p != nil &&
					(p.ImportStatus != "finished" || p.ArchiveSHA256 != archive.SHA256()) {
					t.Errorf("project: %+v", p)
				}
			})
		})
	}
}

// TestOneImportLimit checks that all kinds of imports share a limit.
func TestOneImportLimit(t *testing.T) {
	inMemory(t, []Option{Limits(RateLimits{Imports: 3})}, func(t *testing.T, s *Server) {
		s.AddProject(Project{Path: "a/b", ID: 7})
		importAs(t, s, Token, gz(plain("path", "x"))...)
		post(t, s, "projects/remote-import", jsonType, `{"path":"new","url":"http://x.test"}`)
		post(t, s, "projects/remote-import-s3", jsonType,
			`{"path":"new","region":"","bucket_name":"","file_key":"","access_key_id":"","secret_access_key":""}`)
		relationAs(t, s, Token, gz(plain("path", "a/b"), plain("relation", "issues"))...).want(t, 429, tooMany)
		importAs(t, s, Token, gz(plain("path", "y"))...).want(t, 429, tooMany)
		post(t, s, "projects/remote-import", jsonType, `{"path":"new","url":"http://x.test"}`).want(t, 429, tooMany)
	})
}
