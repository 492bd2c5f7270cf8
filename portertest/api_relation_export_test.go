package portertest

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"
)

const relationsPath = "projects/7/export_relations"

// everyMode runs f for each place where the files of relations may be.
func everyMode(t *testing.T, f func(t *testing.T, s *Server)) {
	t.Helper()
	for name, mode := range map[string]DownloadMode{"disk": FromDisk, "redirected": Redirected, "proxied": Proxied} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, []Option{RelationExports(), Downloads(mode)}, func(t *testing.T, s *Server) {
				widget(s)
				s.SetRelation("7", "labels", Relation{Objects: 7})
				s.SetRelation("7", "issues", Relation{Objects: 1400})
				s.SetRelation("7", "boards", Relation{Error: "broken"})
				f(t, s)
			})
		})
	}
}

func relationStatus(t *testing.T, s *Server, relation string) answer {
	t.Helper()
	return get(t, s, relationsPath+"/status?relation="+relation)
}

func TestRelationExport(t *testing.T) {
	everyMode(t, func(t *testing.T, s *Server) {
		get(t, s, relationsPath+"/status").want(t, 200, "[]")
		relationStatus(t, s, "labels").want(t, 404, `{"message":"Export not found"}`)
		get(t, s, relationsPath+"/download?relation=labels&batched=true&batch_number=0").want(t, 404, `{"message":"Export not found"}`)
		post(t, s, relationsPath, "", "").want(t, 202, accepted)
		get(t, s, relationsPath+"/status").want(t, 200, "[]")
		time.Sleep(1500 * time.Millisecond)
		relationStatus(t, s, "labels").want(t, 200, `{"relation":"labels","status":0,"error":null,"updated_at":"2000-01-01T00:00:01.000Z",`+
			`"batched":false,"batches_count":0,"total_objects_count":7}`)
		get(t, s, relationsPath+"/download?relation=labels").want(t, 404, `{"message":"Export file not found"}`)
		time.Sleep(time.Minute)
		relationStatus(t, s, "labels").want(t, 200, `{"relation":"labels","status":1,"error":null,"updated_at":"2000-01-01T00:00:04.000Z",`+
			`"batched":false,"batches_count":0,"total_objects_count":7}`)
		relationStatus(t, s, "boards").wantPart(t, 200, `"status":-1,"error":"broken"`)
		relationStatus(t, s, "nope").want(t, 404, `{"message":"Export not found"}`)
		var all []map[string]any
		if err := json.Unmarshal([]byte(get(t, s, relationsPath+"/status").body), &all); err != nil || len(all) != 27 {
			t.Errorf("%d relations, %v", len(all), err)
		}
		if got := strings.Count(relationFileOf(t, s, "relation=labels"), "\n"); got != 7 {
			t.Errorf("%d labels", got)
		}
		relationFileOf(t, s, "relation=self")
		get(t, s, relationsPath+"/download?relation=boards").want(t, 404, `{"message":"Export file not found"}`)
	})
}

// TestRelationExportAgain checks that a relation is not exported again at once,
// unless it failed.
func TestRelationExportAgain(t *testing.T) {
	everyMode(t, func(t *testing.T, s *Server) {
		post(t, s, relationsPath, "", "")
		time.Sleep(time.Minute)
		s.SetRelation("7", "boards", Relation{})
		post(t, s, relationsPath, "", "")
		time.Sleep(time.Minute)
		relationStatus(t, s, "labels").wantPart(t, 200, "00:00:04.000Z")
		relationStatus(t, s, "boards").wantPart(t, 200, `"status":1,"error":null,"updated_at":"2000-01-01T00:01:04.000Z"`)
		time.Sleep(2 * time.Minute)
		post(t, s, relationsPath, "", "")
		time.Sleep(time.Minute)
		relationStatus(t, s, "labels").wantPart(t, 200, "00:04:04.000Z")
	})
}

func TestRelationExportBatches(t *testing.T) {
	everyMode(t, func(t *testing.T, s *Server) {
		post(t, s, relationsPath, jsonType, `{"batched":true}`)
		time.Sleep(time.Minute)
		relationStatus(t, s, "issues").wantPart(t, 200, `"status":1,"error":null,"updated_at":"2000-01-01T00:00:04.000Z",`+
			`"batched":true,"batches_count":2,"total_objects_count":1400,`+
			`"batches":[{"status":1,"batch_number":1,"objects_count":1000,"error":null,"updated_at":"2000-01-01T00:00:04.000Z"},`+
			`{"status":1,"batch_number":2,"objects_count":400,"error":null,"updated_at":"2000-01-01T00:00:04.000Z"}]}`)
		for batch, want := range map[string]int{"1": 1000, "2": 400} {
			if got := strings.Count(relationFileOf(t, s, "relation=issues&batched=true&batch_number="+batch), "\n"); got != want {
				t.Errorf("batch %s: %d issues", batch, got)
			}
		}
		for query, want := range map[string]answer{
			"":                {status: 400, body: `{"error":"relation is missing, relation is not portable"}`},
			"relation=nope":   {status: 400, body: `{"error":"relation is not portable"}`},
			"relation=issues": {status: 400, body: `{"message":"Export is batched"}`},
			"relation=self&batched=true&batch_number=0":    {status: 400, body: `{"message":"Export is not batched"}`},
			"relation=self&batched=true&batch_number=1":    {status: 400, body: `{"message":"Export is not batched"}`},
			"relation=issues&batched=true&batch_number=3":  {status: 404, body: `{"message":"Batch not found"}`},
			"relation=issues&batched=true&batch_number=-1": {status: 404, body: `{"message":"Batch not found"}`},
			"relation=issues&batched=true&batch_number=0":  {status: 404, body: `{"message":"Batch not found"}`},
			"relation=issues&batched=true": {status: 400,
				body: `{"error":"batched, batch_number provide all or none of parameters"}`},
			"relation=issues&batched=true&batch_number=no": {status: 400, body: `{"error":"batch_number is invalid"}`},
		} {
			get(t, s, relationsPath+"/download?"+query).want(t, want.status, want.body)
		}
	})
}

// relationFileOf downloads and unpacks a file.
func relationFileOf(t *testing.T, s *Server, query string) string {
	t.Helper()
	a := get(t, s, relationsPath+"/download?"+query)
	if a.status == 302 {
		a = do(t, s, request{method: "GET", path: a.header.Get("Location")})
	} else if d := a.header.Get("Content-Disposition"); s.cfg.mode == FromDisk && !strings.Contains(d, ".gz") {
		t.Errorf("Content-Disposition is %q", d)
	}
	r, err := gzip.NewReader(strings.NewReader(a.body))
	if err != nil {
		t.Fatalf("%s: %v in %d %.100q", query, err, a.status, a.body)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRelationExportGate(t *testing.T) {
	for _, tt := range []struct {
		name, version, token string
		opts                 []Option
		status               int
		body                 string
	}{
		{"off", "18.9", Token, nil, 404, notFound},
		{"off, bad token", "18.9", "x", nil, 401, unauthorized},
		{"on", "18.9", Token, []Option{RelationExports()}, 200, "[]"},
		{"on, project export off", "18.9", Token, []Option{RelationExports(), ExportsDisabled()}, 200, "[]"},
		{"developer", "18.9", "dev", []Option{RelationExports()}, 403, forbidden},
		{"since 14.4", "14.4", Token, []Option{RelationExports()}, 200, "[]"},
		{"before 14.4", "14.3", Token, []Option{RelationExports()}, 404, noRoute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, append(tt.opts, Version(tt.version)), func(t *testing.T, s *Server) {
				s.AddUser(User{Username: "dev", Token: "dev"})
				s.AddProject(Project{Path: "a/b", ID: 7, Members: map[string]Role{"dev": Developer}})
				do(t, s, request{method: "GET", path: relationsPath + "/status", header: as(tt.token)}).want(t, tt.status, tt.body)
			})
		})
	}
	for version, want := range map[string]int{"17.3": 0, "17.2": 27} {
		inMemory(t, []Option{RelationExports(), Version(version)}, func(t *testing.T, s *Server) {
			s.AddUser(User{Username: "max", Token: "max", Admin: true})
			widget(s)
			post(t, s, relationsPath, "", "")
			time.Sleep(time.Minute)
			a := do(t, s, request{method: "GET", path: relationsPath + "/status", header: as("max")})
			if got := strings.Count(a.body, `"relation"`); got != want {
				t.Errorf("%s: another user sees %d relations", version, got)
			}
		})
	}
	inMemory(t, []Option{RelationExports(), Version("16.2")}, func(t *testing.T, s *Server) {
		widget(s)
		s.SetRelation("7", "labels", Relation{Objects: 1})
		post(t, s, relationsPath, jsonType, `{"batched":true}`)
		time.Sleep(time.Minute)
		if a := get(t, s, relationsPath+"/status?relation=labels"); !strings.Contains(a.body,
			`"batched":true,"batches_count":1,"total_objects_count":1`) {
			t.Errorf("16.2: got %s", a.body)
		}
		get(t, s, relationsPath+"/download?relation=labels&batched=true&batch_number=2").want(t, 404, `{"message":"Batch not found"}`)
	})
	inMemory(t, []Option{RelationExports(), Version("16.1")}, func(t *testing.T, s *Server) {
		widget(s)
		post(t, s, relationsPath, jsonType, `{"batched":true}`)
		time.Sleep(time.Minute)
		get(t, s, relationsPath+"/status?relation=labels").want(t, 200,
			`{"relation":"labels","status":1,"error":null,"updated_at":"2000-01-01T00:00:04.000Z"}`)
	})
}
