package portertest

import (
	"fmt"
	"net/http"
	"testing"
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
