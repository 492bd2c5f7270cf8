package porter

import (
	"net/http"
	"testing"
)

func TestValidator(t *testing.T) {
	const date, later = "Wed, 01 May 2024 09:41:00 GMT", "Wed, 01 May 2024 09:42:00 GMT"
	v := func(etag, modified string, size int64) validator { return validator{etag, modified, size} }
	tests := []struct {
		name                  string
		a, b                  validator
		contradicts, confirms bool
	}{
		{"same ETag", v(`"1"`, "", -1), v(`"1"`, "", -1), false, true},
		{"same ETag, other date", v(`"1"`, date, 5), v(`"1"`, later, 5), false, true},
		{"same ETag, other size", v(`"1"`, "", 5), v(`"1"`, "", 6), true, false},
		{"other ETag, same date", v(`"1"`, date, 5), v(`"2"`, date, 5), true, false},
		{"same date and size", v("", date, 5), v("", date, 5), false, true},
		{"same date, one size", v("", date, 5), v("", date, -1), false, false},
		{"other date", v("", date, 5), v("", later, 5), true, false},
		{"other size", v("", date, 5), v("", date, 6), true, false},
		{"one ETag, same date and size", v(`"1"`, date, 5), v("", date, 5), false, true},
		{"size alone", v("", "", 5), v("", "", 5), false, false},
		{"nothing", v("", "", -1), v("", "", -1), false, false},
	}
	for _, tt := range tests {
		for _, pair := range [][2]validator{{tt.a, tt.b}, {tt.b, tt.a}} {
			if got := pair[0].contradicts(pair[1]); got != tt.contradicts {
				t.Errorf("%s: contradicts: %v", tt.name, got)
			}
			if got := pair[0].confirms(pair[1]); got != tt.confirms {
				t.Errorf("%s: confirms: %v", tt.name, got)
			}
		}
	}
}

func TestValidatorOf(t *testing.T) {
	const date = "Wed, 01 May 2024 09:41:00 GMT"
	tests := []struct {
		etag, modified string
		size           int64
		ifRange        string
		resumable      bool
	}{
		{`"v1"`, date, 5, `"v1"`, true},
		{`"v1"`, "", 5, `"v1"`, true},
		{`"v1"`, "", -1, `"v1"`, false},
		{`W/"v1"`, date, 5, date, true},
		{`W/"v1"`, "", 5, "", false},
		{`W/"v1"`, date, -1, "", false},
		{`""`, date, 5, date, true},
		{`v1`, "", 5, "", false},
		{`"v1`, "", 5, "", false},
		{"\"a\r\nb\"", "", 5, "", false},
		{`"a"b"`, "", 5, "", false},
		{"", "yesterday", 5, "", false},
		{"", date + "\r\nX: y", 5, "", false},
		{"", "", 5, "", false},
		{`"v1"`, date, 0, `"v1"`, false},
	}
	for _, tt := range tests {
		v := validatorOf(http.Header{"Etag": {tt.etag}, "Last-Modified": {tt.modified}}, tt.size)
		if got := v.ifRange(); got != tt.ifRange || v.resumable() != tt.resumable {
			t.Errorf("%q, %q, %d: If-Range %q, resumable %v", tt.etag, tt.modified, tt.size, got, v.resumable())
		}
	}
}

func TestContentRange(t *testing.T) {
	tests := []struct {
		value    string
		at, size int64
		ok       bool
	}{
		{"bytes 0-0/1", 0, 1, true},
		{"bytes 5-9/10", 5, 10, true},
		{"bytes 5-9/*", 5, -1, true},
		{"bytes 9000000000-9000000001/9000000002", 9000000000, 9000000002, true},
		{"", 0, 0, false},
		{"bytes", 0, 0, false},
		{"bytes */10", 0, 0, false},
		{"bytes 5-9", 0, 0, false},
		{"bytes -5-9/10", 0, 0, false},
		{"bytes 5-9/-10", 0, 0, false},
		{"bytes 5-9/ten", 0, 0, false},
		{"items 5-9/10", 0, 0, false},
		{"bytes 99999999999999999999-9/10", 0, 0, false},
	}
	for _, tt := range tests {
		at, size, ok := contentRange(&http.Response{Header: http.Header{"Content-Range": {tt.value}}})
		if at != tt.at || size != tt.size || ok != tt.ok {
			t.Errorf("%q: %d of %d, %v", tt.value, at, size, ok)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 5-9/10", "bytes 5-9/*", "bytes */10", "bytes -/", "bytes 5-9/10/11", "items 1-2/3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, size, ok := contentRange(&http.Response{Header: http.Header{"Content-Range": {s}}})
		if at < 0 || size < -1 || !ok && (at != 0 || size != 0) {
			t.Errorf("%q: %d of %d, %v", s, at, size, ok)
		}
	})
}
