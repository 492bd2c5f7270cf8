package porter_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// A redirectNet answers a URL with a redirect to where it leads, and any other
// with an export that is running.
type redirectNet struct {
	status   int // of the redirects; 302 if 0
	location map[string]string
	visits   []redirectVisit
}

type redirectVisit struct {
	URL        string // with its query
	Credential string
}

func (n *redirectNet) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		io.Copy(io.Discard, req.Body)
		req.Body.Close()
	}
	credential := req.Header.Get("PRIVATE-TOKEN") + req.Header.Get("Authorization")
	n.visits = append(n.visits, redirectVisit{req.URL.String(), credential})
	if ref := req.Header.Get("Referer"); ref != "" {
		return nil, fmt.Errorf("sent Referer %s", ref)
	}
	resp := &http.Response{StatusCode: 200, Header: http.Header{}, Request: req,
		Body: io.NopCloser(strings.NewReader(`{"id":42,"export_status":"started"}`))}
	if to, ok := n.location[req.URL.String()]; ok {
		resp.StatusCode = http.StatusFound
		if n.status != 0 {
			resp.StatusCode = n.status
		}
		resp.Header.Set("Location", to)
		resp.Body = io.NopCloser(strings.NewReader("This resource has been moved to " + to))
	}
	return resp, nil
}

func (n *redirectNet) client(t *testing.T, base string, auth porter.Auth, opts ...porter.Option) *porter.Client {
	t.Helper()
	c, err := porter.NewClient(base, auth,
		append([]porter.Option{porter.WithTransport(n), porter.WithoutPacing(), porter.WithRetry(3, porter.ConstantBackoff(0))}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCredentialsStayHome(t *testing.T) {
	const token = "glpat-transport"
	const home = "https://gitlab.example.com/api/v4/projects/42/export"
	tests := []struct {
		name   string
		base   string // https://gitlab.example.com if empty
		moved  bool   // 301 instead of 302
		chain  []string
		bare   string // for each request, T with the token and - without
		err    string
		latest string // URL of the last request, if it is not the chain's last
	}{
		{name: "no redirect", chain: []string{home}, bare: "T"},
		{name: "same origin", chain: []string{home, "https://gitlab.example.com/elsewhere"}, bare: "TT"},
		{name: "same origin, port spelled out", chain: []string{home, "https://gitlab.example.com:443/elsewhere"}, bare: "TT"},
		{name: "same origin, other case", chain: []string{home, "https://GitLab.Example.COM/elsewhere"}, bare: "TT"},
		{name: "relative", chain: []string{home, "/elsewhere"}, bare: "TT", latest: "https://gitlab.example.com/elsewhere"},
		{name: "another host", chain: []string{home, "https://storage.example.com/a?sig=1"}, bare: "T-"},
		{name: "subdomain", chain: []string{home, "https://storage.gitlab.example.com/a"}, bare: "T-"},
		{name: "parent domain", chain: []string{home, "https://example.com/a"}, bare: "T-"},
		{name: "another port", chain: []string{home, "https://gitlab.example.com:9000/a"}, bare: "T-"},
		{name: "user in the URL", chain: []string{home, "https://gitlab.example.com@evil.example.com/a"}, bare: "T-"},
		{name: "host with a final dot", chain: []string{home, "https://gitlab.example.com./a"}, bare: "T-"},
		{name: "protocol-relative", chain: []string{home, "//evil.example.com/a"}, bare: "T-", latest: "https://evil.example.com/a"},
		{name: "away and home again", chain: []string{home, "https://sso.example.com/a?sig=1", "https://gitlab.example.com/back"}, bare: "T-T"},
		{name: "away and further away",
			chain: []string{home, "https://a.example.com/?sig=1", "https://b.example.com/?sig=2", "https://a.example.com/?sig=3"}, bare: "T---"},
		{name: "http to https is another origin", base: "http://gitlab.example.com",
			chain: []string{"http://gitlab.example.com/api/v4/projects/42/export", "https://gitlab.example.com/api/v4/projects/42/export"},
			bare:  "T-"},
		{name: "http to https, permanently", base: "http://gitlab.example.com", moved: true,
			chain: []string{"http://gitlab.example.com/api/v4/projects/42/export", "https://gitlab.example.com/api/v4/projects/42/export"},
			bare:  "T-"},
		{name: "https is never left", chain: []string{home, "http://gitlab.example.com/a?sig=SECRET"}, bare: "T",
			err: "redirected from https to http://gitlab.example.com/a"},
		{name: "https is never left elsewhere",
			chain: []string{home, "https://storage.example.com/a", "http://storage.example.com/a?sig=SECRET"}, bare: "T-",
			err: "redirected from https to http://storage.example.com/a"},
		{name: "another scheme", chain: []string{home, "ftp://storage.example.com/a?sig=SECRET"}, bare: "T", err: `redirected to a "ftp" URL`},
		{name: "loop", chain: []string{home, home}, bare: strings.Repeat("T", 11), err: "redirected more than 10 times"},
		{name: "malformed", chain: []string{home, "https://[SECRET"}, bare: "T", err: "302 redirected to nowhere"},
		{name: "malformed escape", chain: []string{home, "/%zz?sig=SECRET"}, bare: "T", err: "302 redirected to nowhere"},
		{name: "moved to the external URL", base: "http://10.0.0.1:8080", moved: true,
			chain: []string{"http://10.0.0.1:8080/api/v4/projects/42/export", "https://gitlab.example.com/api/v4/projects/43/export"}, bare: "TT",
			latest: "http://10.0.0.1:8080/api/v4/projects/43/export"},
		{name: "moved to http", moved: true, chain: []string{home, "http://gitlab.example.com/api/v4/projects/43/export"}, bare: "TT",
			latest: "https://gitlab.example.com/api/v4/projects/43/export"},
		{name: "moved below another root", base: "https://gitlab.example.com/gitlab", moved: true,
			chain: []string{"https://gitlab.example.com/gitlab/api/v4/projects/42/export",
				"https://git.example.com/root/api/v4/projects/43/export?relation=labels"}, bare: "TT",
			latest: "https://gitlab.example.com/gitlab/api/v4/projects/43/export?relation=labels"},
		{name: "only 301 means moved", chain: []string{home, "https://evil.example.com/api/v4/projects/43/export"}, bare: "T-"},
		{name: "moved, but elsewhere", moved: true, chain: []string{home, "https://evil.example.com/api/v4/groups/43/export"}, bare: "T-"},
		{name: "moved by another's word", moved: true,
			chain: []string{home, "https://evil.example.com/a", "https://evil.example.org/api/v4/projects/43/export"}, bare: "T--"},
	}
	for _, tt := range tests {
		for kind, auth := range map[string]porter.Auth{
			"private": porter.PrivateToken(token),
			"bearer":  porter.BearerToken(token),
			"source":  porter.TokenSource(func(context.Context) (string, error) { return token, nil }),
		} {
			t.Run(tt.name+"/"+kind, func(t *testing.T) {
				n := &redirectNet{location: map[string]string{}}
				if tt.moved {
					n.status = 301
				}
				for i := range tt.chain[1:] {
					n.location[tt.chain[i]] = tt.chain[i+1]
				}
				base := tt.base
				if base == "" {
					base = "https://gitlab.example.com"
				}
				_, err := n.client(t, base, auth).GetExport(t.Context(), porter.ProjectID(42))
				switch {
				case tt.err == "" && err != nil:
					t.Error(err)
				case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
					t.Errorf("error is %v, want %q", err, tt.err)
				case err != nil && strings.Contains(err.Error(), "SECRET"):
					t.Errorf("error tells a secret: %v", err)
				}
				var bare strings.Builder
				for _, v := range n.visits {
					if strings.Contains(v.Credential, token) {
						bare.WriteByte('T')
					} else {
						bare.WriteByte('-')
					}
				}
				if bare.String() != tt.bare {
					t.Errorf("credentials %s, want %s, sent to %+v", bare.String(), tt.bare, n.visits)
				}
				if tt.latest != "" && n.visits[len(n.visits)-1].URL != tt.latest {
					t.Errorf("ended at %s, want %s", n.visits[len(n.visits)-1].URL, tt.latest)
				}
			})
		}
	}
}

func TestPostIsNotRedirected(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, where := range []string{"https://gitlab.example.com/", "https://gitlab.example.com/users/sign_in?return=SECRET",
			"https://evil.example.com/?sig=SECRET"} {
			for name, call := range map[string]func(*porter.Client) error{
				"schedule": func(c *porter.Client) error {
					return c.ScheduleExport(t.Context(), porter.ProjectID(42), nil)
				},
				"import": func(c *porter.Client) error {
					_, err := c.StartImport(t.Context(), porter.ReaderSource(strings.NewReader("x"), 1), porter.ImportOptions{Path: "a"})
					return err
				},
			} {
				n := &redirectNet{status: status, location: map[string]string{
					"https://gitlab.example.com/api/v4/projects/42/export": where, "https://gitlab.example.com/api/v4/projects/import": where,
				}}
				err := call(n.client(t, "https://gitlab.example.com", porter.PrivateToken("glpat-transport")))
				var api *porter.APIError
				if !errors.As(err, &api) || api.StatusCode != status || errors.Is(err, porter.ErrOutcomeUnknown) {
					t.Errorf("%s %d: error is %v", name, status, err)
					continue
				}
				shown, _, _ := strings.Cut(where, "?")
				if !strings.Contains(err.Error(), fmt.Sprintf("%d redirected to %s, not followed", status, shown)) ||
					strings.Contains(err.Error(), "SECRET") || api.Body != nil {
					t.Errorf("%s %d: %v", name, status, err)
				}
				if len(n.visits) != 1 {
					t.Errorf("%s %d: requests %+v", name, status, n.visits)
				}
			}
		}
	}
}

// A Location of an answer that is no redirect means nothing.
func TestLocationOfASuccess(t *testing.T) {
	n := roundTripper(func(req *http.Request) (*http.Response, error) {
		resp, err := retryAnswer(202, http.Header{"Location": {"https://[malformed"}}, "{}")(req)
		return resp, err
	})
	if err := retryClient(t, n, 0, nil).ScheduleExport(t.Context(), porter.ProjectID(42), nil); err != nil {
		t.Error(err)
	}
}

// An Auth of the user's own may put credentials anywhere, and GitLab repeats a
// query when it redirects.
func TestCustomAuth(t *testing.T) {
	const base = "https://gitlab.example.com/api/v4/projects/"
	query := func(req *http.Request) error {
		q := req.URL.Query()
		q.Add("private_token", "SECRET-token")
		req.URL.RawQuery = q.Encode()
		return nil
	}
	tests := []struct {
		name   string
		status int
		to     string
		want   []string
	}{
		{"moved", 301, base + "43/export?private_token=SECRET-token",
			[]string{base + "42/export?private_token=SECRET-token", base + "43/export?private_token=SECRET-token"}},
		{"moved to the external URL", 301, "http://external/api/v4/projects/43/export?private_token=SECRET-token&a=b",
			[]string{base + "42/export?private_token=SECRET-token", base + "43/export?a=b&private_token=SECRET-token"}},
		{"elsewhere", 302, "https://storage.example.com/a?private_token=SECRET-token&sig=1",
			[]string{base + "42/export?private_token=SECRET-token", "https://storage.example.com/a?sig=1"}},
		{"elsewhere, not touched", 302, "https://storage.example.com/a?z=%2f&sig=1",
			[]string{base + "42/export?private_token=SECRET-token", "https://storage.example.com/a?z=%2f&sig=1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := &redirectNet{status: tt.status, location: map[string]string{tt.want[0]: tt.to}}
			if _, err := n.client(t, "https://gitlab.example.com", query).GetExport(t.Context(), porter.ProjectID(42)); err != nil {
				t.Error(err)
			}
			var got []string
			for _, v := range n.visits {
				got = append(got, v.URL)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAuthErrors(t *testing.T) {
	errVault := errors.New("vault is sealed")
	tests := []struct {
		name     string
		auth     porter.Auth
		requests int
		calls    int // of the token source
		text     string
	}{
		{"empty private token", porter.PrivateToken(""), 0, 0, "private token is empty"},
		{"empty bearer token", porter.BearerToken(""), 0, 0, "bearer token is empty"},
		{"newline", porter.PrivateToken("SECRET\n"), 0, 0, "private token holds white space or a control character"},
		{"space", porter.BearerToken("SECRET SECRET"), 0, 0, "bearer token holds white space or a control character"},
		{"byte order mark", porter.PrivateToken("\ufeffSECRET"), 0, 0, "private token holds a byte order mark at its start"},
		{"source with a no-break space", porter.TokenSource(func(context.Context) (string, error) { return "SECRET\u00a0", nil }), 0, 0,
			"bearer token holds a no-break space at its end"},
		{"header injection", porter.PrivateToken("SECRET\r\nX: y"), 0, 0, "white space"},
		{"nil source", porter.TokenSource(nil), 0, 0, "token source is nil"},
		{"source of nothing", porter.TokenSource(func(context.Context) (string, error) { return "", nil }), 0, 0, "bearer token is empty"},
		{"own", func(*http.Request) error { return errVault }, 0, 0, "vault is sealed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := &redirectNet{}
			_, err := n.client(t, "https://gitlab.example.com", tt.auth).GetExport(t.Context(), porter.ProjectID(42))
			if err == nil || !strings.HasSuffix(err.Error(), tt.text) && !strings.Contains(err.Error(), tt.text) ||
				strings.Contains(err.Error(), "SECRET") {
				t.Errorf("error is %v", err)
			}
			if errors.Is(err, porter.ErrNoAnswer) {
				t.Errorf("%v is ErrNoAnswer, but nothing was asked", err)
			}
			if tt.name == "own" && !errors.Is(err, errVault) {
				t.Errorf("error %v is not Auth's", err)
			}
			if len(n.visits) != 0 {
				t.Errorf("requests: %+v", n.visits)
			}
			// A body is closed even if nobody came to read it.
			closed := make(chan struct{}, 1)
			src := porter.Source{Name: "a.gz", Size: 1, Open: func(context.Context) (io.ReadCloser, error) { return closeTeller{closed}, nil }}
			if _, err := n.client(t, "https://gitlab.example.com", tt.auth).StartImport(t.Context(), src,
				porter.ImportOptions{Path: "a"}); err == nil || errors.Is(err, porter.ErrOutcomeUnknown) {
				t.Errorf("import: %v", err)
			}
			<-closed
		})
	}
}

type closeTeller struct{ closed chan struct{} }

func (closeTeller) Read(b []byte) (int, error) { return 0, io.EOF }
func (c closeTeller) Close() error             { c.closed <- struct{}{}; return nil }

// A token that expires is replaced in the middle of a wait, and a source that
// fails for a while is asked again.
func TestTokenSourceRefreshes(t *testing.T) {
	s := portertest.NewServer(portertest.NoLimits())
	defer s.Close()
	s.AddProject(portertest.Project{Path: "acme/app"})
	s.AddUser(portertest.User{Username: "owner", Token: "glpat-second"})
	errVault := errors.New("vault is sealed")
	var asked atomic.Int64
	auth := porter.TokenSource(func(ctx context.Context) (string, error) {
		switch n := asked.Add(1); {
		case n%3 == 0:
			return "", errVault
		case n > 4:
			return "glpat-second", nil
		}
		return portertest.Token, nil
	})
	c, err := porter.NewClient(s.URL, auth, porter.WithTransport(s.Transport()), porter.WithRetry(3, porter.ConstantBackoff(0)),
		porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(time.Millisecond)}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ExportTo(t.Context(), porter.ProjectPath("acme/app"), io.Discard, nil); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, r := range s.Requests() {
		used[r.Header.Get("Authorization")] = true
	}
	if diff := cmp.Diff(map[string]bool{"Bearer " + portertest.Token: true, "Bearer glpat-second": true}, used); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}

	c, err = porter.NewClient(s.URL, porter.TokenSource(func(context.Context) (string, error) { return "", errVault }),
		porter.WithTransport(s.Transport()), porter.WithRetry(2, porter.ConstantBackoff(0)))
	if err != nil {
		t.Fatal(err)
	}
	before := len(s.Requests())
	if _, err := c.GetExport(t.Context(), porter.ProjectPath("acme/app")); !errors.Is(err, errVault) ||
		!strings.Contains(err.Error(), "token source: vault is sealed") {
		t.Errorf("error is %v", err)
	}
	if got := len(s.Requests()); got != before {
		t.Errorf("%d requests without a token", got-before)
	}
}

// A project that was renamed is found by its old path, on a server that is
// reached by another name than its own.
func TestMovedProject(t *testing.T) {
	s := portertest.NewServer(portertest.ExternalURL("http://gitlab.invalid/below"), portertest.NoLimits())
	defer s.Close()
	id := s.AddProject(portertest.Project{Path: "acme/now", FormerPaths: []string{"acme/once"}})
	s.AddExport("acme/now", "owner")
	c := connect(t, s, porter.WithRetry(0, nil), porter.WithoutPacing())
	exp, err := c.GetExport(t.Context(), porter.ProjectPath("acme/once"))
	if err != nil {
		t.Fatal(err)
	}
	if int64(exp.ID) != id || exp.PathWithNamespace != "acme/now" {
		t.Errorf("export of %d, %s", exp.ID, exp.PathWithNamespace)
	}
	if _, err := c.DownloadExport(t.Context(), porter.ProjectPath("acme/once"), io.Discard, nil); err != nil {
		t.Error(err)
	}
	if _, err := c.ExportTo(t.Context(), porter.ProjectPath("acme/once"), io.Discard, nil); err != nil {
		t.Error(err)
	}
}

// The redirect policy of a user's own http.Client has its say, and a refusal
// is final.
func TestUsersRedirectPolicy(t *testing.T) {
	const home = "https://gitlab.example.com/api/v4/projects/42/export"
	errPolicy := errors.New("not in this house")
	for name, tt := range map[string]struct {
		policy func(*http.Request, []*http.Request) error
		visits int
		is     error
		text   string
	}{
		"refuses": {func(*http.Request, []*http.Request) error { return errPolicy }, 1, errPolicy, "not in this house"},
		"declines": {func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, 1, nil,
			"302 redirected to https://storage.example.com/a, not followed"},
		"agrees": {func(*http.Request, []*http.Request) error { return nil }, 2, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			n := &redirectNet{location: map[string]string{home: "https://storage.example.com/a?sig=SECRET"}}
			hc := &http.Client{Transport: n, CheckRedirect: tt.policy}
			c, err := porter.NewClient("https://gitlab.example.com", porter.PrivateToken("glpat-transport"), porter.WithHTTPClient(hc),
				porter.WithRetry(3, porter.ConstantBackoff(0)))
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.GetExport(t.Context(), porter.ProjectID(42))
			if tt.text == "" && err != nil || tt.text != "" && (err == nil || !strings.HasSuffix(err.Error(), tt.text)) {
				t.Errorf("error is %v", err)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v is not the policy's", err)
			}
			if len(n.visits) != tt.visits {
				t.Errorf("requests %+v", n.visits)
			}
		})
	}
}

// A user's http.Client is used as it is, and not changed.
func TestHTTPClientIsCopied(t *testing.T) {
	s := portertest.NewServer(portertest.NoLimits())
	defer s.Close()
	s.AddProject(portertest.Project{Path: "acme/app"})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(s.URL)
	jar.SetCookies(u, []*http.Cookie{{Name: "gate", Value: "open"}})
	rt := s.Transport()
	hc := &http.Client{Transport: rt, Jar: jar, Timeout: time.Nanosecond}
	c, err := porter.NewClient(s.URL, porter.PrivateToken(portertest.Token), porter.WithHTTPClient(hc))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetExport(t.Context(), porter.ProjectPath("acme/app")); err != nil {
		t.Errorf("its timeout was kept: %v", err)
	}
	if hc.Transport != http.RoundTripper(rt) || hc.Jar != http.CookieJar(jar) || hc.Timeout != time.Nanosecond || hc.CheckRedirect != nil {
		t.Errorf("changed to %+v", hc)
	}
	if got := s.Requests()[0].Header.Get("Cookie"); got != "gate=open" {
		t.Errorf("cookie %q", got)
	}
	// What is derived keeps the rest of it.
	var through atomic.Int64
	d, err := c.With(porter.WithTransport(roundTripper(func(req *http.Request) (*http.Response, error) {
		through.Add(1)
		return rt.RoundTrip(req)
	})))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.GetExport(t.Context(), porter.ProjectPath("acme/app")); err != nil {
		t.Fatal(err)
	}
	if got := s.Requests()[1].Header.Get("Cookie"); got != "gate=open" || through.Load() != 1 {
		t.Errorf("derived client: cookie %q, %d requests through its transport", got, through.Load())
	}
	// And a transport goes before a client's, in whatever order.
	d, err = d.With(porter.WithHTTPClient(&http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		return nil, errors.New("the client's transport was used")
	})}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.GetExport(t.Context(), porter.ProjectPath("acme/app")); err != nil {
		t.Error(err)
	}
}

func TestUserAgent(t *testing.T) {
	for product, want := range map[string]string{"": "porter/devel", "backup/1.2 (nightly)": "backup/1.2 (nightly) porter/devel",
		" x ": "x porter/devel"} {
		s := portertest.NewServer(portertest.Downloads(portertest.Redirected), portertest.NoLimits())
		s.AddProject(portertest.Project{Path: "acme/app"})
		s.AddExport("acme/app", "owner")
		if _, err := connect(t, s, porter.WithUserAgent(product)).DownloadExport(t.Context(), porter.ProjectPath("acme/app"),
			io.Discard, nil); err != nil {
			t.Error(err)
		}
		for _, r := range s.Requests() {
			if got := r.Header.Get("User-Agent"); r.Origin == portertest.GitLab && got != want {
				t.Errorf("User-Agent %q, want %q", got, want)
			}
		}
		s.Close()
	}
}

// An instance with a certificate of a private authority is refused at once by
// default, and trusted with a transport that knows the authority.
func TestPrivateAuthority(t *testing.T) {
	var connections atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"id":42,"export_status":"none"}`)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // says that the handshake failed
	s.StartTLS()
	defer s.Close()
	c, err := porter.NewClient(s.URL, porter.PrivateToken("glpat-transport"), porter.WithRetry(5, porter.ConstantBackoff(0)))
	if err != nil {
		t.Fatal(err)
	}
	var cert *tls.CertificateVerificationError
	if _, err := c.GetExport(t.Context(), porter.ProjectID(42)); !errors.As(err, &cert) {
		t.Errorf("error is %v", err)
	}
	if got := connections.Load(); got != 1 {
		t.Errorf("%d connections to a server that is not trusted", got)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	defer transport.CloseIdleConnections()
	if c, err = c.With(porter.WithTransport(transport)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetExport(t.Context(), porter.ProjectID(42)); err != nil {
		t.Error(err)
	}
	// A plain base URL for an instance that wants TLS, and the reverse.
	c, err = porter.NewClient(strings.Replace(s.URL, "https", "http", 1), nil, porter.WithTransport(transport),
		porter.WithRetry(5, porter.ConstantBackoff(0)))
	if err != nil {
		t.Fatal(err)
	}
	var api *porter.APIError
	if _, err := c.GetExport(t.Context(), porter.ProjectID(42)); !errors.As(err, &api) || api.StatusCode != 400 {
		t.Errorf("error is %v", err)
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	c, err = porter.NewClient(strings.Replace(plain.URL, "http", "https", 1), nil, porter.WithRetry(5, porter.ConstantBackoff(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetExport(t.Context(), porter.ProjectID(42)); !errors.Is(err, http.ErrSchemeMismatch) {
		t.Errorf("error is %v", err)
	}
}

// A connectProxy opens tunnels, and says to where.
type connectProxy struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string // method, target and Proxy-Authorization
}

// newConnectProxy starts a proxy of which every name leads to target.
func newConnectProxy(t *testing.T, target string) *connectProxy {
	p := new(connectProxy)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.seen = append(p.seen, strings.TrimSpace(r.Method+" "+r.RequestURI+" "+r.Header.Get("Proxy-Authorization")))
		p.mu.Unlock()
		if r.Method != http.MethodConnect {
			out := r.Clone(r.Context())
			out.URL.Host, out.RequestURI = target, ""
			resp, err := http.DefaultTransport.RoundTrip(out)
			if err != nil {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			defer resp.Body.Close()
			w.WriteHeader(resp.StatusCode)
			io.Copy(w, resp.Body)
			return
		}
		far, err := net.Dial("tcp", target)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusOK)
		near, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			far.Close()
			return
		}
		go func() { io.Copy(far, near); far.Close() }()
		go func() { io.Copy(near, far); near.Close() }()
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *connectProxy) log() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.seen...)
}

// Everything works through a proxy that tunnels.
func TestConnectProxy(t *testing.T) {
	archive := portertest.NewArchive(1 << 20)
	s := portertest.NewServer(portertest.TLS(), portertest.NoLimits())
	defer s.Close()
	s.AddProject(portertest.Project{Path: "acme/app", Archive: archive})
	s.AddGroup("new")
	target := strings.TrimPrefix(s.URL, "https://")
	proxy := newConnectProxy(t, target)
	via, _ := url.Parse(proxy.URL)
	via.User = url.UserPassword("user", "SECRET-proxy")
	transport := &http.Transport{Proxy: http.ProxyURL(via), TLSClientConfig: s.Transport().TLSClientConfig.Clone()}
	defer transport.CloseIdleConnections()
	c := connect(t, s, porter.WithTransport(transport), porter.WithoutPacing())
	m, err := porter.Migrate(t.Context(), c, porter.ProjectPath("acme/app"), c,
		porter.MigrateOptions{Import: porter.ImportOptions{Namespace: porter.NamespacePath("new")}})
	if err != nil {
		t.Fatal(err)
	}
	if m.Bytes != archive.Size() || s.Project("new/app").ArchiveSHA256 != archive.SHA256() {
		t.Errorf("moved %+v", m)
	}
	if log := proxy.log(); len(log) == 0 || !strings.HasPrefix(log[0], "CONNECT "+target+" Basic ") {
		t.Errorf("the proxy saw %q", log)
	}
	// A proxy that is down is a network that is down, and its password is not told.
	proxy.CloseClientConnections()
	proxy.Listener.Close()
	transport.CloseIdleConnections()
	c, err = c.With(porter.WithRetry(1, porter.ConstantBackoff(0)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetExport(t.Context(), porter.ProjectPath("acme/app")); !errors.Is(err, porter.ErrNoAnswer) ||
		strings.Contains(err.Error(), "SECRET") {
		t.Errorf("error is %v", err)
	}
}

// The default transport heeds HTTP_PROXY, which net/http reads once in a
// process, and so in a process of its own.
func TestProxyFromEnvironment(t *testing.T) {
	const child = "PORTER_TEST_PROXY_CHILD"
	if os.Getenv(child) != "" {
		c, err := porter.NewClient("http://gitlab.invalid/root", porter.PrivateToken("glpat-transport"), porter.WithRetry(0, nil))
		if err != nil {
			t.Fatal(err)
		}
		exp, err := c.GetExport(t.Context(), porter.ProjectID(42))
		if err != nil {
			t.Fatal(err)
		}
		if exp.Status != porter.ExportStarted {
			t.Fatalf("status %q", exp.Status)
		}
		return
	}
	if testing.Short() {
		t.Skip("runs a process")
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "gitlab.invalid" || r.Header.Get("PRIVATE-TOKEN") != "glpat-transport" {
			w.WriteHeader(http.StatusTeapot)
		}
		io.WriteString(w, `{"id":42,"export_status":"started"}`)
	}))
	defer s.Close()
	proxy := newConnectProxy(t, strings.TrimPrefix(s.URL, "http://"))
	for name, proxied := range map[string]bool{"": true, "gitlab.invalid": false} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxyFromEnvironment$", "-test.count=1")
		cmd.Env = append(os.Environ(), child+"=1", "HTTP_PROXY="+proxy.URL, "http_proxy="+proxy.URL, "NO_PROXY="+name, "no_proxy="+name,
			"REQUEST_METHOD=")
		out, err := cmd.CombinedOutput()
		if (err == nil) != proxied {
			t.Errorf("NO_PROXY=%q: %v\n%s", name, err, out)
		}
	}
	if diff := cmp.Diff([]string{"GET http://gitlab.invalid/root/api/v4/projects/42/export"}, proxy.log()); diff != "" {
		t.Errorf("the proxy saw (-want +got):\n%s", diff)
	}
}

// A transport that returns nothing at all is an error, as in net/http.
func TestTransportReturnsNothing(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c, err := porter.NewClient("http://gitlab.test", nil, porter.WithLogger(log), porter.WithRetry(0, nil),
		porter.WithTransport(roundTripper(func(*http.Request) (*http.Response, error) { return nil, nil })))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetExport(t.Context(), porter.ProjectID(1)); err == nil ||
		!strings.Contains(err.Error(), "neither an answer nor an error") {
		t.Errorf("error is %v", err)
	}
}

// The default transport does not take headers of any size.
func TestHeadersAreBounded(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Large", strings.Repeat("x", 300<<10))
		io.WriteString(w, `{"id":42,"export_status":"started"}`)
	}))
	defer s.Close()
	c, err := porter.NewClient(s.URL, nil, porter.WithRetry(0, nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetExport(t.Context(), porter.ProjectID(42)); err == nil || !strings.Contains(err.Error(), "headers exceeded") {
		t.Errorf("error is %v", err)
	}
}
