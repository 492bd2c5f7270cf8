package portertest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed-5d77b939/porter/portertest/internal/wire"
)

func scheduleWithUpload(t *testing.T, s *Server, url, method string) {
	t.Helper()
	post(t, s, "projects/7/export", jsonType, `{"upload":{"url":"`+url+`","http_method":"`+method+`"}}`).want(t, 202, accepted)
}

// afterUpload is an upload[url] and what is left of its export.
type afterUpload struct {
	version string
	mode    DownloadMode
	answer  int // of the destination
	fault   ExportFault
	ok      bool
	status  string
}

func (tt afterUpload) run(t *testing.T, s *Server) {
	archive := widget(s)
	s.AddExport("7", "owner") // not to be seen again
	s.ScriptExport("7", ExportScript{Fault: tt.fault})
	if tt.answer != 200 {
		s.Inject(Fault{Origin: Storage, Method: "PUT", Do: Respond(tt.answer, nil, "")})
	}
	to := s.StorageURL + "/backups/x.tar.gz?secret=1"
	scheduleWithUpload(t, s, to, "PUT")
	time.Sleep(time.Minute)
	if got := exportStatusOf(t, s, Token); got != tt.status {
		t.Errorf("status is %s, want %s", got, tt.status)
	}
	want := []Upload{{
		Time: time.Date(2000, 1, 1, 0, 0, 5, 0, time.UTC), Project: "acme/tools/widget", Method: "PUT", URL: to,
		Status: tt.answer, Size: archive.Size(), SHA256: archive.SHA256(), OK: tt.ok,
	}}
	if tt.fault == UploadFails {
		want[0].Status, want[0].Size, want[0].SHA256, want[0].Err = 0, 0, "", "the script says so"
	}
	if diff := cmp.Diff(want, s.Uploads()); diff != "" {
		t.Errorf("uploads (-want +got):\n%s", diff)
	}
	o, stored := s.Object("/backups/x.tar.gz"), tt.answer == 200 && tt.fault == NoFault
	if (o != nil) != stored || stored && o.SHA256 != archive.SHA256() {
		t.Errorf("object: %+v", o)
	}
	if a := download(t, s); (a.status < 400) != (tt.status == "finished") {
		t.Errorf("download: got %d %.80s", a.status, a.body)
	}
}

func TestAfterUpload(t *testing.T) {
	for _, tt := range []afterUpload{
		{"18.9", FromDisk, 200, NoFault, true, "finished"},
		{"18.9", FromDisk, 201, NoFault, true, "finished"},
		{"18.9", FromDisk, 403, NoFault, false, "finished"},
		{"18.9", FromDisk, 200, UploadFails, false, "finished"},
		{"18.9", Redirected, 200, NoFault, true, "finished"},
		{"18.9", Redirected, 201, NoFault, false, "finished"},
		{"18.9", Proxied, 204, NoFault, false, "finished"},
		{"15.5", Redirected, 201, NoFault, false, "finished"},
		{"15.4", Redirected, 201, NoFault, true, "finished"},
		{"14.0", FromDisk, 200, NoFault, true, "finished"},
		{"13.12", FromDisk, 200, NoFault, true, "none"},
		{"13.12", FromDisk, 403, NoFault, false, "finished"},
		{"13.2", FromDisk, 200, NoFault, true, "none"},
		{"12.8", FromDisk, 200, NoFault, true, "none"},
		{"10.7", FromDisk, 500, NoFault, false, "finished"},
	} {
		t.Run(tt.version, func(t *testing.T) {
			inMemory(t, []Option{Version(tt.version), Downloads(tt.mode)}, tt.run)
		})
	}
}

func TestUploadRequest(t *testing.T) {
	for _, tt := range []struct{ version, method, contentType string }{
		{"18.9", "PUT", "application/gzip"},
		{"18.9", "POST", "application/gzip"},
		{"12.0", "PUT", "application/gzip"},
		{"11.11", "PUT", ""},
	} {
		s := NewServer(Version(tt.version))
		archive := widget(s)
		got := make(chan *http.Request, 1)
		var body string
		dst := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			body = string(b)
			got <- r
		}))
		scheduleWithUpload(t, s, dst.URL+"/x?sig=1", tt.method)
		s.Advance(time.Hour) // waits for the upload
		r := <-got
		if r.Method != tt.method || r.RequestURI != "/x?sig=1" || r.Header.Get("Content-Type") != tt.contentType ||
			r.ContentLength != archive.Size() || shaOf(body) != archive.SHA256() || r.Header.Get("Private-Token") != "" {
			t.Errorf("%s: got %s %s %v and %d bytes", tt.version, r.Method, r.RequestURI, r.Header, len(body))
		}
		if u := s.Uploads(); len(u) != 1 || !u[0].OK {
			t.Errorf("uploads: %+v", u)
		}
		dst.Close()
		s.Close()
	}
}

func TestUploadTakesItsTime(t *testing.T) {
	inMemory(t, nil, func(t *testing.T, s *Server) {
		widget(s)
		s.Inject(Fault{Origin: Storage, Method: "PUT", Do: HoldAnswer(time.Minute)})
		scheduleWithUpload(t, s, s.StorageURL+"/x", "PUT")
		time.Sleep(50 * time.Second)
		if got := exportStatusOf(t, s, Token); got != "regeneration_in_progress" {
			t.Errorf("during the upload: got %s", got)
		}
		if u := s.Uploads(); u != nil {
			t.Errorf("uploads: %+v", u)
		}
		time.Sleep(time.Minute)
		if got := exportStatusOf(t, s, Token); got != "finished" {
			t.Errorf("after the upload: got %s", got)
		}
	})
	inMemory(t, nil, func(t *testing.T, s *Server) {
		widget(s)
		s.Inject(Fault{Origin: Storage, Method: "PUT", Do: CutRequest(1000)})
		scheduleWithUpload(t, s, s.StorageURL+"/x", "PUT")
		time.Sleep(time.Minute)
		want := []Upload{{Project: "acme/tools/widget", Method: "PUT", URL: s.StorageURL + "/x"}}
		if diff := cmp.Diff(want, s.Uploads(), cmpopts.IgnoreFields(Upload{}, "Time", "Err")); diff != "" {
			t.Errorf("a broken upload (-want +got):\n%s", diff)
		}
		if u := s.Uploads(); len(u) == 1 && u[0].Err == "" {
			t.Error("a broken upload has no error")
		}
	})
	inMemory(t, nil, func(t *testing.T, s *Server) {
		widget(s)
		s.Inject(Fault{Origin: Storage, Method: "PUT", Do: StallRequest(1000, 0)})
		scheduleWithUpload(t, s, s.StorageURL+"/x", "PUT")
		time.Sleep(time.Hour) // Close has to end it
	})
}

func TestUploadOfDeletedArchive(t *testing.T) {
	inMemory(t, nil, func(t *testing.T, s *Server) {
		widget(s)
		scheduleWithUpload(t, s, s.StorageURL+"/x", "PUT")
		time.Sleep(4500 * time.Millisecond)
		post(t, s, "projects/7/export", "", "").want(t, 400, running)
		time.Sleep(time.Minute)
		u := s.Uploads()
		if len(u) != 1 || u[0].OK || !strings.Contains(u[0].Err, "deleted") {
			t.Errorf("uploads: %+v", u)
		}
		if got := exportStatusOf(t, s, Token); got != "none" {
			t.Errorf("got %s, want none", got)
		}
	})
}

// TestNothingLeavesTheMachine checks that GitLab's own requests reach the
// loopback only, however its address is written.
func TestNothingLeavesTheMachine(t *testing.T) {
	s := NewServer()
	defer s.Close()
	widget(s)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	for host, reached := range map[string]bool{
		"127.0.0.1": true, "localhost": true, "127.1": true, "2130706433": true,
		// Nobody has these, should the code be wrong.
		"192.0.2.1": false, "[2001:db8::1]": false, "x.test": false,
	} {
		before := len(s.Uploads())
		scheduleWithUpload(t, s, "http://"+host+":"+port+"/x", "PUT")
		s.Advance(time.Hour)
		u := s.Uploads()
		if len(u) != before+1 || u[before].OK != reached || !reached && !strings.Contains(u[before].Err, wire.ErrRefused.Error()) {
			t.Errorf("%s: got %+v", host, u)
		}
	}
}
