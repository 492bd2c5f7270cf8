package porter

import (
	"testing"
	"time"
)

// What an option leaves open stays as it is: the default of a new client, and
// with With what the parent has.
func TestOptionsKeepTheRest(t *testing.T) {
	second := ConstantBackoff(time.Second)
	parent, err := NewClient("https://gitlab.example.com", nil,
		WithPolling(Polling{Backoff: second, Grace: time.Hour, Patience: 2 * time.Hour}),
		WithPacing(Pacing{Exports: 60, Imports: 70, Downloads: 80, Polls: 100}), WithRetry(7, second))
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := NewClient("https://gitlab.example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	minute := ConstantBackoff(time.Minute)
	tests := []struct {
		name string
		opts []Option
		want func(*config) // changes what the parent has
	}{
		{"no option", nil, func(*config) {}},
		{"nothing of polling", []Option{WithPolling(Polling{})}, func(*config) {}},
		{"its backoff", []Option{WithPolling(Polling{Backoff: minute})}, func(c *config) { c.polling.Backoff = minute }},
		{"its grace", []Option{WithPolling(Polling{Grace: time.Minute})}, func(c *config) { c.polling.Grace = time.Minute }},
		{"its patience", []Option{WithPolling(Polling{Patience: time.Minute})}, func(c *config) { c.polling.Patience = time.Minute }},
		{"one after the other", []Option{WithPolling(Polling{Grace: time.Minute}), WithPolling(Polling{Patience: time.Minute})},
			func(c *config) { c.polling.Grace, c.polling.Patience = time.Minute, time.Minute }},
		{"nothing of pacing", []Option{WithPacing(Pacing{})}, func(*config) {}},
		{"exports", []Option{WithPacing(Pacing{Exports: 1})}, func(c *config) { c.pacing.Exports = 1 }},
		{"imports", []Option{WithPacing(Pacing{Imports: 1})}, func(c *config) { c.pacing.Imports = 1 }},
		{"downloads", []Option{WithPacing(Pacing{Downloads: 1})}, func(c *config) { c.pacing.Downloads = 1 }},
		{"polls", []Option{WithPacing(Pacing{Polls: 1})}, func(c *config) { c.pacing.Polls = 1 }},
		{"no limits", []Option{WithPacing(Pacing{Exports: -1, Polls: -2})}, func(c *config) { c.pacing.Exports, c.pacing.Polls = -1, -2 }},
		{"pacing again", []Option{WithoutPacing(), WithPacing(Pacing{Imports: 1})}, func(c *config) { c.pacing.Imports = 1 }},
		{"retries", []Option{WithRetry(1, nil)}, func(c *config) { c.retries = 1 }},
		{"their backoff", []Option{WithRetry(7, minute)}, func(c *config) { c.backoff = minute }},
	}
	for _, base := range map[string]*Client{"parent": parent, "new": fresh} {
		for _, tt := range tests {
			if base == fresh && tt.name == "their backoff" {
				continue // there are other retries
			}
			d, err := base.With(tt.opts...)
			if err != nil {
				t.Fatal(err)
			}
			want := base.cfg
			tt.want(&want)
			got := d.cfg
			for what, pair := range map[string][2]any{
				"grace": {got.polling.Grace, want.polling.Grace}, "patience": {got.polling.Patience, want.polling.Patience},
				"pacing": {got.pacing, want.pacing}, "unpaced": {got.unpaced, want.unpaced}, "retries": {got.retries, want.retries},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s: %s is %v, want %v", tt.name, what, pair[0], pair[1])
				}
			}
			for what, pair := range map[string][2]Backoff{"polls": {got.polling.Backoff, want.polling.Backoff},
				"retries": {got.backoff, want.backoff}} {
				if base == parent && pair[0](5) != pair[1](5) {
					t.Errorf("%s: backoff of %s is %v, want %v", tt.name, what, pair[0](5), pair[1](5))
				} else if pair[0] == nil {
					t.Errorf("%s: no backoff of %s", tt.name, what)
				}
			}
		}
	}
}
