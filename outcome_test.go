package porter

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5d77b939/porter/internal/netio"
)

// TestVerdict has an example or more of each row of the table of docs/retrying.md, in the same order.
func TestVerdict(t *testing.T) {
	answer := func(status int, r reach) outcome {
		return outcome{answer: &APIError{StatusCode: status}, reach: r}
	}
	none := func(f fault, r reach) outcome { return outcome{fault: f, reach: r} }
	rows := []struct {
		get, post verdict
		examples  []outcome
	}{
		{again, again, []outcome{answer(429, unsent), answer(429, partly), answer(429, whole)}},
		{again, again, []outcome{answer(425, unsent), answer(425, partly), answer(425, whole)}},
		{again, again, []outcome{answer(408, partly), answer(502, unsent), answer(503, partly), answer(504, partly), answer(520, partly),
			answer(530, unsent)}},
		{again, unknown, []outcome{answer(408, whole), answer(502, whole), answer(503, whole), answer(504, whole), answer(527, whole),
			answer(530, whole)}},
		{again, giveUp, []outcome{answer(500, whole), answer(500, partly), answer(507, whole), answer(528, whole),
			{answer: &APIError{StatusCode: 400, busy: true}}}},
		{giveUp, giveUp, []outcome{answer(501, whole), answer(400, partly), answer(404, unsent), answer(301, whole), answer(200, whole)}},
		{again, again, []outcome{none(networkFault, unsent), none(networkFault, partly), none(tokenFault, unsent)}},
		{again, unknown, []outcome{none(networkFault, whole), none(tokenFault, whole)}},
		{giveUp, giveUp, []outcome{none(lastingFault, unsent), none(redirectFault, unsent), none(authFault, unsent), none(sourceFault, partly),
			none(contextFault, partly)}},
		{giveUp, unknown, []outcome{none(contextFault, whole), none(redirectFault, whole), none(authFault, whole)}},
	}
	if len(rows) != len(rules) {
		t.Fatalf("%d rows, but %d rules", len(rows), len(rules))
	}
	for i, row := range rows {
		for _, o := range row.examples {
			once := row.post // of a POST that cannot be sent again
			if once == again {
				once = giveUp
			}
			for _, c := range []struct {
				kind             string
				safe, repeatable bool
				want             verdict
			}{{"GET", true, true, row.get}, {"POST", false, true, row.post}, {"POST that can be sent once", false, false, once}} {
				if got := o.verdict(c.safe, c.repeatable); got != c.want {
					t.Errorf("%s: %+v: %s: %s, want %s", rules[i].of, o, c.kind, got, c.want)
				}
			}
			if first := slices.IndexFunc(rules, func(r rule) bool { return r.matches(o) }); first != i {
				t.Errorf("%s: %+v falls under %s", rules[i].of, o, rules[first].of)
			}
		}
	}
}

// TestRulesAreDocumented compares the rules with the table of docs/retrying.md.
func TestRulesAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("docs/retrying.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(doc), "| what came of it | a GET | a POST |\n| --- | --- | --- |\n")
	table, _, ended := strings.Cut(table, "\n\n")
	if !found || !ended {
		t.Fatal("no table")
	}
	var want strings.Builder
	for _, r := range rules {
		fmt.Fprintf(&want, "| %s | %s | %s |\n", r.of, r.get, r.post)
	}
	if diff := cmp.Diff(strings.TrimSuffix(want.String(), "\n"), table); diff != "" {
		t.Errorf("the table of docs/retrying.md differs (-rules +document):\n%s", diff)
	}
}

func TestFaultOf(t *testing.T) {
	req := httptest.NewRequest(http.MethodGet, "https://gitlab.test/", nil)
	op := func(op string, err error) error { return &net.OpError{Op: op, Net: "tcp", Err: err} }
	noHost := op("dial", &net.DNSError{Err: "no such host", Name: "gitlab.exmaple.com", IsNotFound: true})
	tests := []struct {
		name  string
		err   error
		known bool
		fault fault
		sent  bool
	}{
		{"reset", op("read", errors.New("connection reset by peer")), false, networkFault, true},
		{"end of file", io.EOF, false, networkFault, true},
		{"refused connection", op("dial", errors.New("connection refused")), false, networkFault, false},
		{"proxy that is gone", op("proxyconnect", errors.New("connection refused")), false, networkFault, false},
		{"no such host", noHost, false, lastingFault, false},
		{"no such host, which answered before", noHost, true, networkFault, false},
		{"name server that fails", op("dial", &net.DNSError{Err: "server misbehaving", IsTemporary: true}), false, networkFault, false},
		{"slow handshake", netio.ErrHandshakeTimeout, false, networkFault, false},
		{"unknown authority", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, false, lastingFault, false},
		{"another host's certificate", x509.HostnameError{Certificate: new(x509.Certificate)}, false, lastingFault, false},
		{"no system roots", x509.SystemRootsError{}, false, lastingFault, false},
		{"HTTP for HTTPS", http.ErrSchemeMismatch, false, lastingFault, false},
		{"client certificate required", op("remote error", tls.AlertError(116)), false, lastingFault, false},
		{"client certificate required, by a host that answered before", op("remote error", tls.AlertError(116)), true, networkFault, false},
		{"unknown authority, of a host that answered before", x509.UnknownAuthorityError{}, true, lastingFault, false},
		{"handshake refused", op("remote error", tls.AlertError(40)), false, lastingFault, false},
		{"server in trouble", op("remote error", tls.AlertError(80)), false, networkFault, true},
		{"broken record", op("local error", tls.AlertError(20)), false, networkFault, true},
		{"version that is too old", errors.New("tls: server selected unsupported protocol version 301"), false, lastingFault, false},
		{"HTTP/2 stream that was refused",
			errors.New("http2: Transport: cannot retry err [stream error: REFUSED_STREAM] after Request.Body was written"), false, networkFault,
			false},
		{"proxy that refuses", &netio.ProxyError{Proxy: "proxy:3128", Status: 403}, false, lastingFault, false},
		{"proxy in trouble", &netio.ProxyError{Proxy: "proxy:3128", Status: 502}, false, networkFault, false},
		{"redirect", &redirectError{errors.New("redirected")}, false, redirectFault, true},
		{"credentials", &authError{err: errors.New("empty")}, false, authFault, false},
		{"token source", &authError{err: &tokenSourceError{errors.New("sealed")}}, false, tokenFault, false},
		{"token source whose network failed", &authError{err: &tokenSourceError{&url.Error{Op: "Get", Err: op("dial", errors.New("refused"))}}},
			false, tokenFault, false},
		{"credentials of a redirect", &authError{errors.New("empty"), true}, false, authFault, true},
	}
	for _, tt := range tests {
		if f, sent := faultOf(tt.err, tt.known); f != tt.fault || sent != tt.sent {
			t.Errorf("%s: fault %d, sent %t, want %d, %t", tt.name, f, sent, tt.fault, tt.sent)
		}
		noAnswer := tt.fault == networkFault || tt.fault == lastingFault
		if err := newTransportError(req, tt.err, unsent, tt.fault); errors.Is(err, ErrNoAnswer) != noAnswer {
			t.Errorf("%s: %v matches ErrNoAnswer: %t", tt.name, err, !noAnswer)
		}
	}
}

// TestTLSAlerts compares the alerts that last with what crypto/tls says of a
// TCP connection, whose type it does not export.
func TestTLSAlerts(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	go io.Copy(io.Discard, server)
	go server.Write([]byte{21, 3, 1, 0, 2, 2, 70}) // a fatal alert: protocol version
	err := tls.Client(client, &tls.Config{ServerName: "gitlab.test"}).Handshake()
	if err == nil || !refusedTLS(err) {
		t.Errorf("%v (%T) is not taken for a refusal", err, err)
	}
}

// A source's failure is a failure of the source, whatever its server said.
func TestSourceErrorHidesAnswers(t *testing.T) {
	refused := &APIError{StatusCode: 404}
	for _, inner := range []error{
		refused, fmt.Errorf("open: %w", refused), &transportError{fault: networkFault, err: io.EOF},
		fmt.Errorf("%w: lost", ErrOutcomeUnknown), &sourceError{refused}, ErrNotFound,
	} {
		err := fmt.Errorf("start import: %w", &sourceError{inner})
		if o := outcomeOf(err); o.answer != nil || o.fault != sourceFault || o.passing() {
			t.Errorf("%v: outcome %+v", err, o)
		}
		for _, target := range []error{ErrNotFound, ErrNoAnswer, ErrOutcomeUnknown} {
			if errors.Is(err, target) {
				t.Errorf("%v is %v", err, target)
			}
		}
		if want := errors.As(inner, new(*APIError)); errors.As(err, new(*APIError)) != want {
			t.Errorf("%v: the answer of the source's server can be had: %t", err, !want)
		}
	}
	// Everything else of the source is there.
	for _, inner := range []error{os.ErrNotExist, ErrArchiveDamaged, ErrExportExpired, ErrSourceConsumed, io.ErrUnexpectedEOF,
		context.Canceled} {
		if err := fmt.Errorf("start import: %w", &sourceError{fmt.Errorf("read: %w", inner)}); !errors.Is(err, inner) {
			t.Errorf("%v is not %v", err, inner)
		}
	}
	var path *os.PathError
	if err := error(&sourceError{&os.PathError{Op: "open", Path: "a", Err: os.ErrNotExist}}); !errors.As(err, &path) {
		t.Error("the source's own type is lost")
	}
}

func TestStorageIsBusy(t *testing.T) {
	for body, want := range map[string]bool{
		`<?xml version="1.0"?><Error><Code>InternalError</Code><Message>Please try again.</Message></Error>`:        true,
		`<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`:                   true,
		"\ufeff<?xml version=\"1.0\"?><Error><Code>ServerBusy</Code><Message>The server is busy.</Message></Error>": true,
		`<Error><Code>RequestTimeout</Code><Message>Your socket connection was not read from.</Message></Error>`:    true,
		`<Error><Code>AccessDenied</Code><Message>InternalError</Message></Error>`:                                  false,
		`<html><title>InternalErrors of our days</title></html>`:                                                    false,
		`{"message":"SlowDown"}`: false,
		`SlowDown`:               false,
		``:                       false,
	} {
		for _, status := range []int{200, 400, 403, 503} {
			e := newAPIError(new(request), &http.Response{StatusCode: status}, []byte(body), whole, nil)
			if got := e.Temporary(); got != (want || status == 503) {
				t.Errorf("%d %s: temporary %t", status, body, got)
			}
		}
	}
}

// The set of what was asked for forgets.
func TestRecentSet(t *testing.T) {
	var r recentSet
	newest := time.Now().Add(-time.Hour)
	r.note("a", newest)
	if got, ok := r.before("a"); !ok || !got.Equal(newest) || r.has("b") {
		t.Errorf("got %v, %t", got, ok)
	}
	r.entries["a"] = recentEntry{noted: time.Now().Add(-2 * recentTime)}
	r.note("b", time.Time{})
	if r.has("a") || !r.has("b") {
		t.Errorf("remembers %v", r.entries)
	}
}
