package porter_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/seed-5d77b939/porter"
)

// TestNil calls everything with nothing: no client, no context, no argument. An
// error says so, and nothing panics. What is added later is found by reflection.
func TestNil(t *testing.T) {
	t.Parallel()
	mock := noRequest(t)
	made := mocked(t, mock)
	for name, c := range map[string]struct {
		client  *porter.Client
		context context.Context
		want    string // in each error; "" for any error or none
	}{
		"nil client":  {nil, t.Context(), "client is nil"},
		"zero client": {new(porter.Client), t.Context(), "client is not one of NewClient"},
		"nil context": {made, nil, "context is nil"},
		"arguments":   {made, ended(t), ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := reflect.ValueOf(c.client)
			for i := range v.NumMethod() {
				checkNil(t, v.Type().Method(i).Name, v.Method(i), c.context, c.want)
			}
		})
	}
}

// ended returns a context that has ended, so that nothing is asked or waited for.
func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// checkNil calls a method of a Client with zero arguments, but for the context
// and those without which it would not come to that.
func checkNil(t *testing.T, name string, method reflect.Value, ctx context.Context, want string) {
	t.Helper()
	err, ok := callNil(t, name, method, ctx)
	switch {
	case want == "":
	case ok && err == nil && strings.HasPrefix(name, "Parse"): // "42" needs no client
	case ctx == nil && (name == "With" || strings.HasPrefix(name, "Parse")): // nor do these a context
	case ok && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: got %v, want %q", name, err, want)
	}
}

// callNil returns the error of a call, if it has any: that of its loop, where it
// returns an iterator, and of Open, where it returns a source.
func callNil(t *testing.T, name string, f reflect.Value, ctx context.Context) (err error, ok bool) {
	t.Helper()
	defer func() {
		if v := recover(); v != nil {
			t.Errorf("%s panics: %v", name, v)
		}
	}()
	args := []reflect.Value{}
	for i := range f.Type().NumIn() {
		arg := reflect.New(f.Type().In(i)).Elem()
		switch arg.Addr().Interface().(type) {
		case *context.Context:
			if ctx != nil {
				arg.Set(reflect.ValueOf(ctx))
			}
		case *porter.ProjectRef:
			arg.Set(reflect.ValueOf(porter.ProjectID(42)))
		case *porter.ProjectPath:
			arg.SetString("group/app")
		case *string:
			arg.SetString("https://gitlab.example.com/group/app.tar.gz")
			if strings.HasSuffix(name, "File") {
				arg.SetString(filepath.Join(t.TempDir(), "app.tar.gz"))
			}
		case *io.Writer:
			arg.Set(reflect.ValueOf(io.Discard))
		case *porter.PortableRelation, *porter.Relation:
			arg.SetString("issues")
		}
		if f.Type().IsVariadic() && i == f.Type().NumIn()-1 {
			continue // none of them
		}
		args = append(args, arg)
	}
	results := f.Call(args)
	if len(results) == 0 {
		return nil, false
	}
	switch last := results[len(results)-1]; {
	case last.Type() == reflect.TypeFor[error]():
		err, _ = last.Interface().(error)
		return err, true
	case last.Kind() == reflect.Func && last.Type().CanSeq2():
		for _, e := range last.Seq2() {
			err, _ = e.Interface().(error)
		}
		return err, true
	case last.Type() == reflect.TypeFor[porter.Source]():
		_, err = last.Interface().(porter.Source).Open(ctx)
		return err, true
	}
	return nil, false
}

// TestNilFunctions does the same with what is no method of a Client.
func TestNilFunctions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	var none context.Context
	client := mocked(t, noRequest(t))
	read := func(src porter.Source) error {
		r, err := src.Open(ctx)
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.ReadAll(r)
		return err
	}
	const app = porter.ProjectPath("group/app")
	for name, call := range map[string]func() error{
		"Migrate from":    func() error { _, err := porter.Migrate(ctx, nil, app, client, porter.MigrateOptions{}); return err },
		"Migrate to":      func() error { _, err := porter.Migrate(ctx, client, app, nil, porter.MigrateOptions{}); return err },
		"Migrate context": func() error { _, err := porter.Migrate(none, client, app, client, porter.MigrateOptions{}); return err },
		"Migrate project": func() error { _, err := porter.Migrate(ctx, client, nil, client, porter.MigrateOptions{}); return err },
		"CheckMigration from": func() error {
			_, err := porter.CheckMigration(ctx, nil, app, client, porter.MigrateOptions{})
			return err
		},
		"CheckMigration to": func() error {
			_, err := porter.CheckMigration(ctx, client, app, nil, porter.MigrateOptions{})
			return err
		},
		"VerifyArchive":  func() error { _, err := porter.VerifyArchive(nil); return err },
		"InspectArchive": func() error { _, err := porter.InspectArchive(nil); return err },
		"ExtractArchive": func() error { return porter.ExtractArchive(nil, porter.PartRepository, io.Discard) },
		"ExtractArchive to": func() error {
			return porter.ExtractArchive(strings.NewReader(smallContent()), porter.PartRepository, nil)
		},
		"Items": func() (err error) {
			for _, err = range porter.Items(nil, "issues") {
			}
			return err
		},
		"EditArchive":     func() error { return read(porter.EditArchive(porter.Source{})) },
		"KeepItems":       func() error { return read(porter.EditArchive(sourceOf(smallArchive), porter.KeepItems("issues", nil))) },
		"MapUsers":        func() error { return read(porter.EditArchive(sourceOf(smallArchive), porter.MapUsers(nil))) },
		"RelationArchive": func() error { return read(porter.RelationArchive(porter.Source{}, "", nil)) },
		"ReaderSource":    func() error { return read(porter.ReaderSource(nil, 1)) },
		"FileSource":      func() error { _, err := porter.FileSource(""); return err },
		"URLSource":       func() error { return read(porter.URLSource("", nil)) },
		"URLSource.Open":  func() error { _, err := porter.URLSource("https://x.example.com/a", nil).Open(none); return err },
		"NewClient":       func() error { _, err := porter.NewClient("", nil); return err },
		"an option":       func() error { _, err := client.With(nil); return err },
		"Item.Open":       func() error { _, err := porter.Item{}.Open(); return err },
		"Token":           func() error { return porter.PrivateToken("")(new(http.Request)) },
		"TokenSource":     func() error { return porter.TokenSource(nil)(new(http.Request)) },
		"ParseProject":    func() error { _, err := porter.ParseProject(""); return err },
		"ParseNamespace":  func() error { _, err := porter.ParseNamespace(""); return err },
	} {
		if err := call(); err == nil {
			t.Errorf("%s of nothing is no error", name)
		}
	}
	// These mean something.
	if err := read(porter.EditArchive(sourceOf(smallArchive), porter.Edit{}, porter.Drop())); err != nil {
		t.Errorf("no edits: %v", err)
	}
	if porter.NewTransport(nil) == nil {
		t.Error("no transport")
	}
	if _, ok := porter.Retryable(nil); ok {
		t.Error("what went well may be tried again")
	}
}

// TestNilAnswers asks what is there when an error was overlooked.
func TestNilAnswers(t *testing.T) {
	t.Parallel()
	var imp *porter.Import
	var exp *porter.RelationExport
	var check *porter.Check
	if imp.Complete() || exp.Complete() || check.Err() != nil {
		t.Error("an answer that is not there says something")
	}
	for _, r := range []*porter.ExportReader{nil, new(porter.ExportReader)} {
		_, err := r.Read(make([]byte, 1))
		if cerr := r.Close(); !errors.Is(err, os.ErrInvalid) || !errors.Is(cerr, os.ErrInvalid) || r.Size() != -1 || r.Name() != "" {
			t.Errorf("got %v, %v, %d, %q", err, cerr, r.Size(), r.Name())
		}
	}
}

// TestZeroTexts has every type that can be printed be printed when it is zero.
func TestZeroTexts(t *testing.T) {
	t.Parallel()
	for _, v := range []any{
		new(porter.APIError), new(porter.CheckError), new(porter.ExportError), new(porter.ImportError), new(porter.LossError),
		new(porter.ProjectExistsError), new(porter.RelationExportError), new(porter.RelationImportError), new(porter.WaitError),
		new(porter.ArchiveProblem), new(porter.Count), new(porter.Event), new(porter.Loss), new(porter.S3Object), new(porter.UploadTarget),
		new(porter.Export), new(porter.Client),
	} {
		rv := reflect.ValueOf(v)
		for i := range rv.NumMethod() {
			m := rv.Method(i)
			texts := []string{"Error", "String", "GoString", "LogValue", "MarshalJSON", "MarshalText", "Unwrap", "Temporary"}
			if name := rv.Type().Method(i).Name; slices.Contains(texts, name) {
				callNil(t, rv.Type().String()+"."+name, m, nil)
			}
		}
	}
}
