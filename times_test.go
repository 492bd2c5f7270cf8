package porter

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseTime(t *testing.T) {
	at := time.Date(2024, 5, 1, 9, 41, 5, 0, time.UTC)
	part := at.Add(500 * time.Millisecond)
	day := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	var none time.Time
	tests := []struct {
		in   string // JSON
		want time.Time
	}{
		{`"2024-05-01T09:41:05Z"`, at},
		{`"2024-05-01T09:41:05.500Z"`, part},
		{`"2024-05-01T09:41:05,500Z"`, part},
		{`"2024-05-01T11:41:05.5+02:00"`, part},
		{`"2024-05-01T11:41:05+0200"`, at},
		{`"2024-05-01T11:41:05+02"`, at},
		{`"2024-05-01t09:41:05z"`, at},
		{`"2024-05-01T09:41:05"`, at},
		{`"2024-05-01T09:41:05.5"`, part},
		{`"2024-05-01T09:41:05 UTC"`, at},
		{`"2024-05-01 09:41:05 UTC"`, at},
		{`"2024-05-01 09:41:05.5 utc"`, part},
		{`"2024-05-01 09:41:05 GMT"`, at},
		{`"2024-05-01 09:41:05 +0000"`, at},
		{`"2024-05-01 09:41:05 +0000 UTC"`, at},
		{`"2024-05-01 02:41:05 -0700"`, at},
		{`"2024-05-01 09:41:05+00"`, at},
		{`"2024-05-01 09:41:05Z"`, at},
		{`"2024-05-01 09:41:05"`, at},
		{`" 2024-05-01 09:41:05\n"`, at},
		{`"2024-05-01"`, day},
		{`1714556465`, at},
		{`"1714556465"`, at},
		{`1714556465.5`, part},
		{`"1714556465.5"`, part},
		{`1.714556465e9`, at},
		{`null`, none}, {`""`, none}, {`" "`, none}, {`"never"`, none}, {`0`, none}, {`-1`, none}, {`1714556465000`, none}, {`1e300`, none},
		{`"NaN"`, none}, {`"Inf"`, none}, {`true`, none}, {`{}`, none}, {`[1]`, none}, {`"0000-00-00 00:00:00"`, none}, {`"2024-13-01"`, none},
		{`"2024-05-01T09:41"`, none}, {`"2024-05-01T09:41:05+24:00"`, none}, {`"UTC"`, none}, {`"日本"`, none},
	}
	for _, tt := range tests {
		var got struct{ T answerTime }
		if err := json.Unmarshal([]byte(`{"T":`+tt.in+`}`), &got); err != nil {
			t.Errorf("%s: %v", tt.in, err)
		}
		if !time.Time(got.T).Equal(tt.want) {
			t.Errorf("%s: got %v, want %v", tt.in, time.Time(got.T), tt.want)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"", "2024-05-01 09:41:05 UTC", "1714556465", "2024-05-01T11:41:05.5+02:00", "9999-12-31T23:59:60Z",
		"2024-05-01T09:41:05+23:60"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := parseTime(s).MarshalJSON()
		if err != nil {
			t.Errorf("%q cannot be written again: %v", s, err)
		}
		if again := parseTime(strings.Trim(string(b), `"`)); !again.Equal(parseTime(s)) {
			t.Errorf("%q comes back as %v", s, again)
		}
	})
}

// answerTypes decode an answer of each type, and return it with its times.
var answerTypes = map[string]struct {
	keys   string
	decode func([]byte) (any, []time.Time, error)
	body   string // with the key of a time where it says TIMES
}{
	"Export": {keys: "created_at", body: `{"id":42,"path":"app","export_status":"finished","_links":{"api_url":"a","web_url":"w"},TIMES}`,
		decode: func(b []byte) (any, []time.Time, error) {
			v := new(Export)
			err := json.Unmarshal(b, v)
			return v, []time.Time{v.CreatedAt}, err
		}},
	"Import": {keys: "created_at",
		body: `{"id":42,"path":"app","import_status":"finished","failed_relations":[{"id":7,"line_number":3}],TIMES}`,
		decode: func(b []byte) (any, []time.Time, error) {
			v := new(Import)
			err := json.Unmarshal(b, v)
			return v, []time.Time{v.CreatedAt}, err
		}},
	"FailedRelation": {keys: "created_at", body: `{"id":7,"relation_name":"issues","line_number":3,TIMES}`,
		decode: func(b []byte) (any, []time.Time, error) {
			v := new(FailedRelation)
			err := json.Unmarshal(b, v)
			return v, []time.Time{v.CreatedAt}, err
		}},
	"RelationImport": {keys: "created_at updated_at", body: `{"id":31,"project_path":"acme/app","relation":"issues","status":"created",TIMES}`,
		decode: func(b []byte) (any, []time.Time, error) {
			v := new(RelationImport)
			err := json.Unmarshal(b, v)
			return v, []time.Time{v.CreatedAt, v.UpdatedAt}, err
		}},
	"RelationExport": {keys: "updated_at",
		body: `{"relation":"issues","status":1,"batched":true,"batches":[{"batch_number":1,"status":1}],TIMES}`,
		decode: func(b []byte) (any, []time.Time, error) {
			v := new(RelationExport)
			err := json.Unmarshal(b, v)
			return v, []time.Time{v.UpdatedAt}, err
		}},
	"RelationBatch": {keys: "updated_at", body: `{"batch_number":1,"status":2,"objects_count":5,TIMES}`,
		decode: func(b []byte) (any, []time.Time, error) {
			v := new(RelationBatch)
			err := json.Unmarshal(b, v)
			return v, []time.Time{v.UpdatedAt}, err
		}},
}

// A time in another form is no reason to throw an answer away, and what was
// decoded comes back from JSON as it was.
func TestTimesOfAnswers(t *testing.T) {
	for name, typ := range answerTypes {
		for in, want := range map[string]time.Time{
			`"2024-05-01T11:41:05.5+02:00"`: time.Date(2024, 5, 1, 9, 41, 5, 5e8, time.UTC),
			`"2024-05-01 09:41:05 UTC"`:     time.Date(2024, 5, 1, 9, 41, 5, 0, time.UTC),
			`1714556465`:                    time.Date(2024, 5, 1, 9, 41, 5, 0, time.UTC),
			`""`:                            {}, `null`: {}, `{"a":[1]}`: {}, `false`: {}, "": {},
		} {
			var times []string
			for _, key := range strings.Fields(typ.keys) {
				if in != "" {
					times = append(times, `"`+key+`":`+in)
				}
			}
			body := strings.Replace(typ.body, "TIMES", strings.Join(append(times, `"new_key":[]`), ","), 1)
			v, got, err := typ.decode([]byte(body))
			if err != nil {
				t.Errorf("%s: %v of %s", name, err, body)
				continue
			}
			for _, g := range got {
				if !g.Equal(want) {
					t.Errorf("%s: got %v of %s", name, g, body)
				}
			}
			b, err := json.Marshal(v)
			if err != nil {
				t.Errorf("%s: %v of %s", name, err, body)
				continue
			}
			back, _, err := typ.decode(b)
			if diff := cmp.Diff(v, back); err != nil || diff != "" {
				t.Errorf("%s: comes back with %v and (-want +got):\n%s", name, err, diff)
			}
		}
	}
}

// Every key that some GitLab leaves out or sends as null can be so, but for
// those without which an answer is none.
func TestKeysOfAnswers(t *testing.T) {
	full := map[string]string{
		"Export": `{"id":42,"description":"d","name":"App","name_with_namespace":"Acme / App","path":"app","path_with_namespace":"acme/app",
			"created_at":"2024-05-01T09:41:05Z","export_status":"finished","_links":{"api_url":"a","web_url":"w"}}`,
		"Import": `{"id":42,"description":"d","name":"App","name_with_namespace":"Acme / App","path":"app","path_with_namespace":"acme/app",
			"created_at":"2024-05-01T09:41:05Z","import_status":"finished","import_type":"gitlab_project","correlation_id":"01H",
			"failed_relations":[{"id":7}],"import_error":"e","stats":{}}`,
		"FailedRelation": `{"id":77,"created_at":"2024-05-01T09:41:05Z","exception_class":"E","source":"s","exception_message":"m",` +
			`"relation_name":"issues","line_number":12}`,
		"RelationImport": `{"id":31,"project_path":"acme/app","relation":"issues","status":"created","created_at":"2024-05-01T09:41:05Z",` +
			`"updated_at":"2024-05-01T09:41:05Z"}`,
		"RelationExport": `{"relation":"issues","status":1,"error":"e","updated_at":"2024-05-01T09:41:05Z","batched":true,"batches_count":1,` +
			`"total_objects_count":7,"batches":[{"status":1}]}`,
		"RelationBatch": `{"status":1,"batch_number":1,"objects_count":10,"error":"e","updated_at":"2024-05-01T09:41:05Z"}`,
	}
	needed := map[string]string{"RelationExport": "relation status", "RelationBatch": "status"}
	for name, body := range full {
		var keys map[string]json.RawMessage
		if err := json.Unmarshal([]byte(body), &keys); err != nil {
			t.Fatal(err)
		}
		for key, was := range keys {
			keys[key] = json.RawMessage("null")
			null, _ := json.Marshal(keys)
			delete(keys, key)
			absent, _ := json.Marshal(keys)
			keys[key] = was
			for _, b := range [][]byte{null, absent} {
				_, _, err := answerTypes[name].decode(b)
				if must := strings.Contains(" "+needed[name]+" ", " "+key+" "); must != (err != nil) {
					t.Errorf("%s: %v of %s", name, err, b)
				}
			}
		}
	}
}
