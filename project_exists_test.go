package porter_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// A taken path is told with the project that has it, which can be waited for.
func TestProjectExistsError(t *testing.T) {
	t.Parallel()
	opts := intoNew
	opts.Path = "app"
	ways := map[string]func(*testing.T, *resumePair) error{
		"Import looks first": func(t *testing.T, p *resumePair) error {
			_, err := p.to.Import(t.Context(), sourceOf(smallArchive), opts)
			return err
		},
		"Migrate looks first": func(t *testing.T, p *resumePair) error {
			_, _, err := p.migrate(t, nil, nil)
			return err
		},
		"the look finds nothing": func(t *testing.T, p *resumePair) error {
			p.dst.Inject(portertest.Fault{Method: "GET", Path: "/import", Do: portertest.Respond(404, nil, `{"message":"404 Project Not Found"}`)})
			_, err := p.to.Import(t.Context(), sourceOf(smallArchive), opts)
			return err
		},
	}
	for name, run := range ways {
		for _, localized := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, localized %v", name, localized), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newResumePair(t)
					if localized {
						p.dst.Configure(portertest.Localized())
					}
					first, err := p.to.StartImport(t.Context(), sourceOf(smallArchive), opts)
					if err != nil {
						t.Fatal(err)
					}
					err = run(t, p)
					var exists *porter.ProjectExistsError
					if !errors.Is(err, porter.ErrProjectExists) || !errors.As(err, &exists) || exists.Import.ID != first.ID {
						t.Fatalf("got %v", err)
					}
					if imp, err := p.to.WaitForImport(t.Context(), exists.Import.ID); err != nil || !imp.Complete() {
						t.Errorf("waited for %+v, %v", imp, err)
					}
				})
			})
		}
	}
	if err := (&porter.ProjectExistsError{}); err.Error() != "project exists" {
		t.Errorf("%v", err)
	}
}
