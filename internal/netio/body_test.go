package netio

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter/internal/wait"
)

// A body that hangs is closed by the watchdog, when it stalls or its context
// ends, and its error says which.
func TestWatchedBodyHangs(t *testing.T) {
	const d = 20 * time.Second
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			cancel time.Duration
			want   error
			after  time.Duration
		}{{time.Hour, ErrStalled, d}, {time.Second, context.Canceled, time.Second}} {
			ctx, cancel := context.WithCancel(t.Context())
			_, w := NewWatchdog(ctx, d)
			time.AfterFunc(test.cancel, cancel)
			r, _ := io.Pipe()
			body := WatchBody(ctx, r, w, false)
			start := time.Now()
			_, err := body.Read(make([]byte, 1))
			if !errors.Is(err, test.want) || errors.As(err, new(*wait.EndedError)) != (test.want != ErrStalled) {
				t.Errorf("error is %v, want %v", err, test.want)
			}
			if got := time.Since(start); got != test.after {
				t.Errorf("took %v, want %v", got, test.after)
			}
			body.Close()
			cancel()
		}
	})
}

// A body that ends by itself is not closed by another goroutine.
func TestWatchedBodyEndsByItself(t *testing.T) {
	for _, byItself := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			_, w := NewWatchdog(ctx, 0)
			b := &closeTeller{Reader: strings.NewReader("")}
			body := WatchBody(ctx, b, w, byItself)
			cancel()
			synctest.Wait()
			if want := map[bool]int{true: 0, false: 1}[byItself]; b.closed != want {
				t.Errorf("ends by itself: %t; closed %d times, want %d", byItself, b.closed, want)
			}
			body.Close()
		})
	}
}

type closeTeller struct {
	io.Reader
	closed int
}

func (c *closeTeller) Close() error { c.closed++; return nil }

// What is read comes as it is, as slowly as it is asked for, and closing ends
// the watch.
func TestWatchedBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		for _, want := range []error{nil, broken} {
			wctx, w := NewWatchdog(t.Context(), time.Second)
			r := io.Reader(strings.NewReader("whole"))
			if want != nil {
				r = io.MultiReader(r, iotest.ErrReader(want))
			}
			b := &closeTeller{Reader: iotest.OneByteReader(r)}
			body := WatchBody(t.Context(), b, w, false)
			time.Sleep(time.Minute) // nobody reads
			got, err := io.ReadAll(body)
			if string(got) != "whole" || err != want {
				t.Errorf("got %q, %v", got, err)
			}
			time.Sleep(time.Minute)
			body.Close()
			synctest.Wait()
			if b.closed != 1 || wctx.Err() == nil || w.Stalled() {
				t.Errorf("closed %d times, context: %v", b.closed, context.Cause(wctx))
			}
		}
	})
}

func TestBodiesEnd(t *testing.T) {
	for rt, want := range map[http.RoundTripper]bool{
		NewTransport(nil): true, new(http.Transport): true, http.NewFileTransport(nil): false,
	} {
		if BodiesEnd(rt) != want {
			t.Errorf("%T: want %t", rt, want)
		}
	}
}
