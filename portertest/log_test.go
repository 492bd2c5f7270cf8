package portertest

import (
	"fmt"
	"maps"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
)

func TestKeepRequests(t *testing.T) {
	s := NewServer(InMemory(), KeepRequests(5))
	defer s.Close()
	client := s.Client()
	for n := range 23 {
		resp, err := client.Get(fmt.Sprintf("%s/api/v4/projects/%d/export", s.URL, n))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Fatalf("status %d", resp.StatusCode)
		}
		kept := s.Requests()
		if want := min(n+1, 5); len(kept) != want {
			t.Fatalf("after %d requests it has %d, want %d", n+1, len(kept), want)
		}
		if got, want := kept[len(kept)-1].Path, fmt.Sprintf("/api/v4/projects/%d/export", n); got != want {
			t.Fatalf("the last one is %s, want %s", got, want)
		}
	}
	if n := len(s.entries); n > 10 {
		t.Errorf("%d requests are held", n)
	}
}

// Every request is told once, with what came of it, whether the log keeps it or
// not, and also if its connection was broken off.
func TestOnRequest(t *testing.T) {
	var mu sync.Mutex
	told := map[string]int{}
	inMemory(t, []Option{KeepRequests(1), OnRequest(func(r Request) {
		mu.Lock()
		defer mu.Unlock()
		told[fmt.Sprint(r.Path, " ", r.Status)]++
	})}, func(t *testing.T, s *Server) {
		s.AddProject(Project{Path: "acme/app", ID: 7})
		for range 3 {
			get(t, s, "projects/7/export")
		}
		get(t, s, "projects/8/export")
		s.Inject(Fault{Method: "POST", Do: LoseAnswer()})
		if resp, err := s.Client().Post(s.URL+"/api/v4/projects/7/export", "", nil); err == nil {
			resp.Body.Close()
			t.Error("the answer was not lost")
		}
		synctest.Wait()
	})
	want := map[string]int{"/api/v4/projects/7/export 200": 3, "/api/v4/projects/8/export 404": 1, "/api/v4/projects/7/export 0": 1}
	if !maps.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}
