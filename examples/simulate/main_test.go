package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/clitest"
	"github.com/seed-5d77b939/porter/portertest"
)

// output is what a program has written so far.
type output struct {
	mu    sync.Mutex
	text  bytes.Buffer
	begun chan struct{} // closed once requests can be made
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.ready()
	n, err := o.text.Write(b)
	if !before && o.ready() {
		close(o.begun)
	}
	return n, err
}

func (o *output) ready() bool {
	return bytes.Contains(o.text.Bytes(), []byte("Requests, until Ctrl-C:\n"))
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// A simulator is the program at work.
type simulator struct {
	*output
	url string
	end func() (code int) // by Ctrl-C
}

var atURL = regexp.MustCompile(`simulated, at (\S+)`)

// start runs the program on free ports, with jobs that take no time.
func start(t *testing.T, args ...string) *simulator {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out := &output{begun: make(chan struct{})}
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, append([]string{"-listen", "127.0.0.1:0", "-export", "0", "-import", "0"}, args...), out, out)
	}()
	select {
	case <-out.begun:
	case c := <-code:
		t.Fatalf("%q: exit code %d\n%s", args, c, out)
	}
	s := &simulator{output: out, url: atURL.FindStringSubmatch(out.String())[1]}
	s.end = sync.OnceValue(func() int { cancel(); return <-code })
	t.Cleanup(func() {
		if c := s.end(); c != 0 || !strings.HasSuffix(out.String(), "\nEnded.\n") {
			t.Errorf("exit code %d\n%s", c, out)
		}
	})
	return s
}

// ask makes a request and returns the status and the body, of which there may
// be less than announced.
func (s *simulator) ask(t *testing.T, token, method, path string, body ...string) (status int, text string, err error) {
	t.Helper()
	var r io.Reader
	kind := ""
	if len(body) > 0 {
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		w.WriteField("path", body[0])
		part, _ := w.CreateFormFile("file", "a.gz")
		io.WriteString(part, body[1])
		w.Close()
		r, kind = &form, w.FormDataContentType()
	}
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+"/api/v4/"+path, r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Private-Token", token)
	req.Header.Set("Content-Type", kind)
	hc := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // or net/http would send a GET again
	if method == "POST" {
		hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	resp, err := hc.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

const exportOf, download = "projects/group%2Fapp/export", "projects/group%2Fapp/export/download"

func TestMisused(t *testing.T) {
	for want, args := range map[string][]string{
		"takes no arguments":                         {"group/app"},
		"flag provided but not defined: -nothing":    {"-nothing"},
		"-export must not be negative":               {"-export", "-1s"},
		`version "18" is not of the form 18.9`:       {"-gitlab", "18"},
		"GitLab 9.5 had no import/export API":        {"-gitlab", "9.5"},
		`"cloud" is none of disk, redirected`:        {"-downloads", "cloud"},
		`-limits: "6" is neither none nor three`:     {"-limits", "6"},
		`-limits: "x" is no number`:                  {"-limits", "6,x,6"},
		`-limits: "-1" is no number`:                 {"-limits", "-1,1,6"},
		"-throttle must not be negative":             {"-throttle", "-1"},
		`-max-import: "much" is no size`:             {"-max-import", "much"},
		`"gitlab.example.com" is not a URL`:          {"-url", "gitlab.example.com"},
		`a project's path needs a namespace: "app"`:  {"-project", "app"},
		`there is a project at a/b`:                  {"-project", "a/b", "-project", "a/b"},
		`-project "a/b=0": "0" is no size`:           {"-project", "a/b=0"},
		`the smallest archive has 20480 bytes`:       {"-project", "a/b=1kB"},
		`-group "/": a group needs a path`:           {"-group", "/"},
		`-user "ada": a user has a name and a token`: {"-user", "ada"},
		`-admin "=x": a user has a name and a token`: {"-admin", "=x"},
		`the owner of all has this name`:             {"-user", "owner=x"},
		`-member "group": not of the form`:           {"-member", "group"},
		`"chief" is no role`:                         {"-member", "group:ada=chief"},
		`no user ada`:                                {"-member", "group:ada=guest"},
		`no group or project nowhere`:                {"-user", "ada=ada", "-member", "nowhere:ada=guest"},
		`no project a/b`:                             {"-fail-export", "a/b"},
		`-fail-import "a/b": not of the form`:        {"-fail-import", "a/b"},
		`says not what goes wrong`:                   {"-fault", "GET /export"},
		`says twice what goes wrong`:                 {"-fault", "lose status=500"},
		`status=999: not a status`:                   {"-fault", "status=999"},
		`cut=x: needs a number of bytes`:             {"-fault", "cut=x"},
		`delay=0s: not a time`:                       {"-fault", "delay=0s"},
		`times=0: not a number from 1 on`:            {"-fault", "lose times=0"},
		`skip=-1: not a number from 0 on`:            {"-fault", "lose skip=-1"},
		`explode: is nothing that can go wrong`:      {"-fault", "explode"},
		`-fault "": says not what goes wrong`:        {"-fault", ""},
	} {
		clitest.Misused(t, run, want, append([]string{"-listen", "127.0.0.1:0"}, args...)...)
	}
}

func TestCannotBegin(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	for name, args := range map[string][]string{
		"-listen: ":  {"-listen", taken},
		"-storage: ": {"-listen", "127.0.0.1:0", "-storage", taken},
		"no port":    {"-listen", "127.0.0.1"},
		"no such":    {"-listen", "127.0.0.1:0", "-tls", filepath.Join(t.TempDir(), "nowhere", "ca.pem")},
	} {
		var out bytes.Buffer
		code := run(t.Context(), args, &out, &out)
		if text := out.String(); code != 1 || !strings.HasPrefix(text, "error: ") {
			t.Errorf("%s: exit code %d\n%s", name, code, text)
		}
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if code := run(t.Context(), []string{"-h"}, &out, &out); code != 0 || !strings.Contains(out.String(), "-fail-import") {
		t.Errorf("exit code %d\n%s", code, &out)
	}
	for _, example := range regexp.MustCompile(`-fault "([^"]+)"`).FindAllStringSubmatch(help, -1) {
		if _, err := parseFault(example[1]); err != nil {
			t.Errorf("the help's %q: %v", example[1], err)
		}
	}
}

func TestTimeout(t *testing.T) {
	var out bytes.Buffer
	if code := run(t.Context(), []string{"-listen", "127.0.0.1:0", "-timeout", "1ms"}, &out, &out); code != 0 {
		t.Errorf("exit code %d\n%s", code, &out)
	}
}

// Each fault does what it says, to the requests that it names, and as often as it
// says. Of each download there is the status, the bytes and whether it broke off.
func TestFaults(t *testing.T) {
	const fine = "200 1048576"
	for _, tt := range []struct{ fault, first, second string }{
		{"/download status=503", "503 0", fine},
		{"GET /download cut=1000", "200 1000 broken", fine},
		{"GET /download cut=1000 times=2", "200 1000 broken", "200 1000 broken"},
		{"/download cut=0 times=all", "200 0 broken", "200 0 broken"},
		{"/download truncate=1000 skip=1", fine, "200 1000"},
		{"lose /download", "0 0 broken", fine},
		{"/download cut-upload=0", "0 0 broken", fine},
		{"/download delay=1ms", fine, fine},
		{"POST /download status=503", fine, fine},
		{"/import status=503", fine, fine},
		{"storage status=503", fine, fine},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			s := start(t, "-limits", "none", "-fault", tt.fault)
			if status, text, err := s.ask(t, portertest.Token, "POST", exportOf); status != 202 {
				t.Fatal(status, text, err)
			}
			for i, want := range []string{tt.first, tt.second} {
				status, text, err := s.ask(t, portertest.Token, "GET", download)
				got := fmt.Sprint(status, " ", len(text))
				if err != nil {
					got += " broken"
				}
				if got != want {
					t.Errorf("download %d: got %s, want %s: %v", i, got, want, err)
				}
			}
		})
	}
}

func TestStallAndGarble(t *testing.T) {
	s := start(t, "-limits", "none", "-fault", "/download garble=1", "-fault", "/download stall=1000")
	s.ask(t, portertest.Token, "POST", exportOf)
	if _, text, err := s.ask(t, portertest.Token, "GET", download); err != nil || !strings.HasPrefix(text, "\x1f\x74") {
		t.Errorf("got %.2x, %v", text, err) // a gzip file begins with 1f 8b
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", s.url+"/api/v4/"+download, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Private-Token", portertest.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, cancel)
	if n, err := resp.Body.Read(make([]byte, 1)); n > 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("after the stall: %d bytes, %v", n, err)
	}
}

// What the flags say of the instance, as its answers show it.
func TestInstance(t *testing.T) {
	type ask struct {
		method, path string
		body         []string
		token        string
		status       int
		part         string
	}
	exported := ask{"POST", exportOf, nil, "", 202, ""}
	for _, tt := range []struct {
		name string
		args []string
		asks []ask
	}{
		{"defaults", nil, []ask{
			{"GET", "version", nil, "", 200, `"version":"18.9.0"`},
			{"GET", "groups/new-team", nil, "", 200, ""},
			exported, {"GET", download, nil, "", 200, ""}, {"GET", download, nil, "", 429, ""},
		}},
		{"no limits", []string{"-limits", "none"}, []ask{exported, {"GET", download, nil, "", 200, ""}, {"GET", download, nil, "", 200, ""}}},
		{"limits", []string{"-limits", "1, 2,3"}, []ask{
			exported, {"POST", exportOf, nil, "", 429, ""}, {"GET", download, nil, "", 200, ""}, {"GET", download, nil, "", 200, ""},
			{"GET", download, nil, "", 429, ""},
		}},
		{"throttle", []string{"-throttle", "1"}, []ask{{"GET", "version", nil, "", 200, ""}, {"GET", "version", nil, "", 429, "Retry later"}}},
		{"release", []string{"-gitlab", "13.12"}, []ask{{"GET", "version", nil, "", 200, `"version":"13.12.0"`}}},
		{"maintenance", []string{"-maintenance"}, []ask{{"POST", exportOf, nil, "", 301, ""}}},
		{"largest import", []string{"-max-import", "1kB"}, []ask{
			{"POST", "projects/import", []string{"x", strings.Repeat("x", 2000)}, "", 413, ""},
		}},
		{"no relations", nil, []ask{{"POST", "projects/group%2Fapp/export_relations", nil, "", 404, ""}}},
		{"relations", []string{"-relations"}, []ask{{"POST", "projects/group%2Fapp/export_relations", nil, "", 202, ""}}},
		{"projects", []string{"-project", "a/b=20KiB", "-project", "a/c", "-group", "d/e"}, []ask{
			{"GET", "projects/a%2Fb", nil, "", 200, ""}, {"GET", "projects/a%2Fc", nil, "", 200, ""}, {"GET", "groups/d%2Fe", nil, "", 200, ""},
			{"GET", "projects/group%2Fapp", nil, "", 404, ""}, {"GET", "groups/new-team", nil, "", 404, ""},
		}},
		{"users", []string{"-user", "ada=ada-token", "-admin", "root=root-token", "-member", "group:ada=Reporter"}, []ask{
			{"GET", exportOf, nil, "ada-token", 403, ""}, {"GET", exportOf, nil, "root-token", 200, ""}, {"GET", exportOf, nil, "other", 401, ""},
			{"GET", exportOf + "?sudo=ada", nil, "root-token", 403, ""}, {"GET", "application/settings", nil, "root-token", 200, ""},
		}},
		{"member", []string{"-user", "ada=ada-token", "-member", "group/app:ada=maintainer"}, []ask{
			{"GET", exportOf, nil, "ada-token", 200, ""},
		}},
		{"failed export", []string{"-fail-export", "group/app"}, []ask{exported, {"GET", exportOf, nil, "", 200, `"export_status":"failed"`}}},
		{"failed import", []string{"-fail-import", "owner/x=No space = left"}, []ask{
			{"POST", "projects/import", []string{"x", "x"}, "", 201, ""},
			{"GET", "projects/owner%2Fx/import", nil, "", 200, `No space = left`},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, tt.args...)
			for _, a := range tt.asks {
				token := a.token
				if token == "" {
					token = portertest.Token
				}
				status, text, err := s.ask(t, token, a.method, a.path, a.body...)
				if err != nil || status != a.status || !strings.Contains(text, a.part) {
					t.Errorf("%s %s: got %d %.200s, %v, want %d with %s", a.method, a.path, status, text, err, a.status, a.part)
				}
			}
		})
	}
}

// Jobs take the time that is said, here an hour.
func TestTimes(t *testing.T) {
	for _, d := range []time.Duration{0, 1, time.Second, time.Hour} {
		x := timings(d, d)
		if exp, imp := x.Queue+x.Start+x.Assemble+x.Store+x.AfterExport, x.ImportQueue+x.Import; exp != d || imp != d ||
			x.Queue+x.Start+x.Failure != d {
			t.Errorf("%s: an export takes %s, an import %s: %+v", d, exp, imp, x)
		}
	}
	s := start(t, "-export", "1h")
	s.ask(t, portertest.Token, "POST", exportOf)
	if status, text, err := s.ask(t, portertest.Token, "GET", exportOf); status != 200 || strings.Contains(text, "finished") || err != nil {
		t.Errorf("got %d %s, %v", status, text, err)
	}
}

// The archives of every release can be imported by it again.
func TestReleases(t *testing.T) {
	for _, version := range []string{"10.6", "10.8", "12.10", "14.0", "16.11", "18.9"} {
		s := start(t, "-gitlab", version, "-limits", "none")
		s.ask(t, portertest.Token, "POST", exportOf)
		_, archive, err := s.ask(t, portertest.Token, "GET", download)
		if err != nil {
			t.Fatal(err)
		}
		s.ask(t, portertest.Token, "POST", "projects/import", "copy", archive)
		if _, text, err := s.ask(t, portertest.Token, "GET", "projects/owner%2Fcopy/import"); !strings.Contains(text, `"finished"`) {
			t.Errorf("%s: %s, %v", version, text, err)
		}
	}
}

// A request is a line, without what is secret.
func TestLog(t *testing.T) {
	s := start(t, "-limits", "none", "-downloads", "redirected", "-fault", "/version lose")
	s.ask(t, "glpat-mine", "GET", "projects?private_token=glpat-mine&page=2")
	s.ask(t, portertest.Token, "POST", exportOf)
	s.ask(t, portertest.Token, "GET", download) // net/http sends the header on to the object storage
	s.ask(t, portertest.Token, "POST", "projects/import", "x", "x")
	s.ask(t, portertest.Token, "GET", "version")
	s.end()
	text := s.String()
	_, text, _ = strings.Cut(text, "Ctrl-C:\n")
	for _, want := range []string{
		`(?m)^\d\d:\d\d:\d\d GET /api/v4/projects\?private_token=…&page=2: 401, 30\.0 B out, \d+m?s$`,
		`(?m)^\d\d:\d\d:\d\d POST /api/v4/projects/group%2Fapp/export: 202, `,
		`(?m)^\S+ GET /api/v4/projects/group%2Fapp/export/download: 302, `,
		`(?m)^\S+ object storage: GET /.*\?.*&X-Amz-Signature=….*: 200, 1.0 MiB out, .* - THE TOKEN WENT TO THE OBJECT STORAGE`,
		`(?m)^\S+ POST /api/v4/projects/import: 201, .* B in, `,
		`(?m)^\S+ GET /api/v4/version: no answer, `,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("no line like %s", want)
		}
	}
	if strings.Contains(text, "glpat") || t.Failed() {
		t.Errorf("the log is\n%s", text)
	}
}

// Other machines reach both origins at the name that -url has, which need not be
// one that this machine knows.
func TestURL(t *testing.T) {
	s := start(t, "-listen", ":0", "-url", "http://gitlab.invalid:8080", "-downloads", "redirected", "-root", "/gitlab")
	if s.url != "http://gitlab.invalid:8080" {
		t.Fatalf("URL is %s", s.url)
	}
}

// Trusting the certificate that -tls writes is enough.
func TestTLS(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca 'x'.pem")
	s := start(t, "-tls", file, "-root", "gitlab")
	pem, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client, err := porter.NewClient(s.url, porter.PrivateToken(portertest.Token),
		porter.WithTransport(porter.NewTransport(&tls.Config{RootCAs: pool})))
	if err != nil {
		t.Fatal(err)
	}
	if e, err := client.GetExport(t.Context(), porter.ProjectPath("group/app")); err != nil || !strings.HasSuffix(s.url, "/gitlab") {
		t.Errorf("%s: %v, %v", s.url, e, err)
	}
	trySuggested(t, s)
}

func TestSuggested(t *testing.T) {
	for name, args := range map[string][]string{
		"defaults": nil, "names": {"-project", "a.b/c/d_e=20KiB", "-group", "new/team", "-root", "/git"},
		"object storage": {"-downloads", "proxied"}, "release": {"-gitlab", "12.10"},
	} {
		t.Run(name, func(t *testing.T) { trySuggested(t, start(t, args...)) })
	}
}

// trySuggested runs the commands that the program suggests, with a real curl.
func trySuggested(t *testing.T, s *simulator) {
	t.Helper()
	for _, program := range []string{"sh", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("not tried with a real curl: %v", err)
		}
	}
	_, commands, _ := strings.Cut(s.String(), "In another terminal:\n")
	commands, _, _ = strings.Cut(commands, "\nRequests")
	sh := exec.CommandContext(t.Context(), "sh", "-e", "-c", strings.ReplaceAll(commands, "\n", "\necho\n"))
	sh.Dir = t.TempDir()
	sh.Env = append(os.Environ(), "CURL_CA_BUNDLE=", "SSL_CERT_FILE=", "HOME="+sh.Dir) // and no .curlrc
	out, err := sh.CombinedOutput()
	lines := strings.Fields(strings.ReplaceAll(string(out), " ", "_"))
	if err != nil || len(lines) != 4 {
		t.Fatalf("%v: %s\n%s", err, out, commands)
	}
	for i, want := range []string{
		`{"message":"202_Accepted"}`, `"export_status":"finished"`, `"correlation_id":`, `"import_status":"finished"`,
	} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("got %s, want %s", lines[i], want)
		}
	}
}

// usePython is what python-gitlab's documentation has of exports and imports.
const usePython = `
import gitlab, sys, time
gl = gitlab.Gitlab(sys.argv[1], private_token=sys.argv[2])
project = gl.projects.get("group/app")
export = project.exports.create()
export.refresh()
while export.export_status != "finished":
    time.sleep(0.05)
    export.refresh()
with open("app.tar.gz", "wb") as f:
    export.download(streamed=True, action=f.write)
with open("app.tar.gz", "rb") as f:
    output = gl.projects.import_project(f, path="copy", name="copy", namespace="new-team", overwrite=False)
project_import = gl.projects.get(output["id"], lazy=True).imports.get()
while project_import.import_status != "finished":
    time.sleep(0.05)
    project_import.refresh()
print("imported", output["path_with_namespace"])
try:
    gl.projects.get("group/missing").exports.create()
except gitlab.exceptions.GitlabGetError as e:
    print(e.response_code, e.error_message)
`

func TestPythonGitlab(t *testing.T) {
	python := ""
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), name, "-c", "import gitlab").Run() == nil {
			python = name
			break
		}
	}
	if python == "" {
		t.Skip("not tried with python-gitlab: no python3 here has it")
	}
	for name, args := range map[string][]string{"defaults": nil, "object storage": {"-downloads", "redirected"}} {
		t.Run(name, func(t *testing.T) {
			s := start(t, args...)
			cmd := exec.CommandContext(t.Context(), python, "-c", usePython, s.url, portertest.Token)
			cmd.Dir = t.TempDir()
			out, err := cmd.CombinedOutput()
			if want := "imported new-team/copy\n404 404 Project Not Found\n"; err != nil || string(out) != want {
				t.Errorf("%v: got %s, want %s", err, out, want)
			}
		})
	}
}
