package portertest_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/seed-5d77b939/porter/portertest"
)

func Example() {
	s := portertest.NewServer()
	defer s.Close()
	s.AddProject(portertest.Project{Path: "group/app"})

	req, err := http.NewRequest("POST", s.URL+"/api/v4/projects/group%2Fapp/export", nil)
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("PRIVATE-TOKEN", portertest.Token)
	resp, err := s.Client().Do(req)
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status)

	for _, e := range s.Exports("group/app") {
		fmt.Println("scheduled by", e.Username)
	}
	// Output:
	// 202 Accepted
	// scheduled by owner
}

// A download breaks off twice, after a thousand bytes each.
func ExampleServer_Inject() {
	s := portertest.NewServer(portertest.NoLimits())
	defer s.Close()
	s.AddProject(portertest.Project{Path: "group/app"})
	s.AddExport("group/app", "owner")
	fault := s.Inject(portertest.Fault{
		Method: "GET",
		Path:   "/download",
		Times:  2,
		Do:     portertest.CutResponse(1000),
	})

	for range 3 {
		req, err := http.NewRequest("GET", s.URL+"/api/v4/projects/group%2Fapp/export/download", nil)
		if err != nil {
			log.Fatal(err)
		}
		req.Header.Set("PRIVATE-TOKEN", portertest.Token)
		resp, err := s.Client().Do(req)
		if err != nil {
			log.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		fmt.Println(n, err)
	}
	fmt.Println(fault.Hits(), "hits")
	// Output:
	// 1000 unexpected EOF
	// 1000 unexpected EOF
	// 65536 <nil>
	// 2 hits
}

// A program asks for what is not simulated.
func ExampleServer_Handle() {
	s := portertest.NewServer()
	defer s.Close()
	hooks := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `[{"id":1,"url":"https://ci.example.com/%s","creator":%q}]`, r.PathValue("id"), portertest.Caller(r))
	}
	s.Handle("GET /api/v4/groups/{id}/hooks", s.Authenticated(http.HandlerFunc(hooks)))

	for _, token := range []string{portertest.Token, "wrong"} {
		req, err := http.NewRequest("GET", s.URL+"/api/v4/groups/team%2Ftools/hooks", nil)
		if err != nil {
			log.Fatal(err)
		}
		req.Header.Set("PRIVATE-TOKEN", token)
		resp, err := s.Client().Do(req)
		if err != nil {
			log.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Println(resp.StatusCode, string(body), err)
	}
	// Output:
	// 200 [{"id":1,"url":"https://ci.example.com/team/tools","creator":"owner"}] <nil>
	// 401 {"message":"401 Unauthorized"} <nil>
}

// An import fails an hour after its upload.
func ExampleServer_ScriptImport() {
	s := portertest.NewServer()
	defer s.Close()
	s.ScriptImport("owner/app", portertest.ImportScript{
		Error:  "Import version mismatch: Required 0.2.4 but was 0.2.3",
		Timing: &portertest.Timings{Import: time.Hour},
	})

	body := strings.Join([]string{
		"--b", `Content-Disposition: form-data; name="path"`, "", "app",
		"--b", `Content-Disposition: form-data; name="file"; filename="app.tar.gz"`, "", "…",
		"--b--", "",
	}, "\r\n")
	req, err := http.NewRequest("POST", s.URL+"/api/v4/projects/import", strings.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("PRIVATE-TOKEN", portertest.Token)
	req.Header.Set("Content-Type", `multipart/form-data; boundary=b`)
	resp, err := s.Client().Do(req)
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status)

	s.Advance(time.Minute)
	fmt.Println(s.Project("owner/app").ImportStatus)
	s.Advance(time.Hour)
	fmt.Println(s.Project("owner/app").ImportStatus)
	// Output:
	// 201 Created
	// started
	// failed
}
