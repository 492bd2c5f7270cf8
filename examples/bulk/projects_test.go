package main

import (
	"testing"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/input"
)

func TestExports(t *testing.T) {
	t.Parallel()
	all, err := exports([]*input.Wanted{{Name: "a/x.y/_b-1"}, {Name: "42", ID: 42}}, "dir")
	if err != nil || len(all) != 2 || all[1].File != "dir/42.tar.gz" && all[1].File != `dir\42.tar.gz` || all[1].ID != 42 {
		t.Errorf("got %+v, %v", all, err)
	}
}

// What -rate says twice adds up.
func TestRateRepeated(t *testing.T) {
	t.Parallel()
	var o options
	want := porter.Pacing{Exports: 60, Imports: -1}
	if err := o.flags().Parse([]string{"-rate", "exports=60", "-rate", "imports=none"}); err != nil || o.rate != want {
		t.Errorf("%+v, %v", o.rate, err)
	}
}
