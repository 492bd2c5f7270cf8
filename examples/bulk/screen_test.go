package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"

	"github.com/seed-5d77b939/porter"
)

// A terminal shows what is written to it, as a real one does. What is written
// in its last column wraps, and it fails if it gets a sequence that it does not
// know.
type terminal struct {
	t             *testing.T
	mu            sync.Mutex
	width, height int
	rows          [][]rune // with what has scrolled out of sight; 0 is the second half of a wide one
	row           int      // the cursor's
	wrapped       bool
	at            int
}

var sequence = regexp.MustCompile(`\x1b\[(\d*)([AJK])`)

func (c *terminal) size() (int, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.width, c.height
}

func (c *terminal) resize(width, height int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.width, c.height = width, height
}

func (c *terminal) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := string(p); s != ""; {
		if s[0] == 0x1b {
			if m := sequence.FindStringSubmatch(s); m != nil && strings.HasPrefix(s, m[0]) {
				c.escape(m[2], m[1])
				s = s[len(m[0]):]
				continue
			}
		}
		r, n := utf8.DecodeRuneInString(s)
		s = s[n:]
		c.put(r)
	}
	return len(p), nil
}

func (c *terminal) escape(kind, arg string) {
	if kind == "A" {
		n, _ := strconv.Atoi(arg)
		if c.row -= n; c.row < len(c.rows)-c.height || c.row < 0 {
			c.t.Errorf("the cursor goes up %d lines, out of the screen", n)
			c.row = max(0, len(c.rows)-c.height)
		}
		return
	}
	if c.row < len(c.rows) {
		c.rows[c.row] = c.rows[c.row][:min(c.at, len(c.rows[c.row]))]
	}
	if kind == "J" {
		c.rows = c.rows[:min(c.row+1, len(c.rows))]
	}
}

func (c *terminal) put(r rune) {
	switch {
	case r == '\r':
		c.at = 0
	case r == '\n':
		c.at = 0
		c.row++
	case r < ' ' || r == 0x7f:
		c.t.Errorf("control character %q", r)
	default:
		for len(c.rows) <= c.row {
			c.rows = append(c.rows, nil)
		}
		cells := []rune{r, 0}[:runewidth.RuneWidth(r)]
		line := c.rows[c.row]
		c.rows[c.row] = slices.Replace(line, c.at, min(len(line), c.at+len(cells)), cells...)
		c.at += len(cells)
		c.wrapped = c.wrapped || c.at >= c.width
	}
}

// String returns all that was ever there, without the empty rest.
func (c *terminal) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, row := range c.rows {
		b.WriteString(strings.TrimRight(strings.ReplaceAll(string(row), "\x00", ""), " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// onScreen tells f of a view on a terminal, in a bubble, and checks that no line
// wrapped.
func onScreen(t *testing.T, width, height int, f func(t *testing.T, c *terminal, v view)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &terminal{t: t, width: width, height: height}
		f(t, c, screenOn(c, c.size))
		if c.wrapped {
			t.Errorf("a line wraps at %d columns:\n%s", width, c)
		}
	})
}

// nextFrame waits until what has been told is shown.
func nextFrame() {
	time.Sleep(frameInterval)
	synctest.Wait()
}

func wantText(t *testing.T, got, want string) {
	t.Helper()
	if want = strings.TrimPrefix(want, "\n"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestScreen(t *testing.T) {
	t.Parallel()
	onScreen(t, 100, 24, func(t *testing.T, c *terminal, v view) {
		s := tell(v)
		s.middle()
		nextFrame()
		wantText(t, c.String(), `
00:00:10 group/gone failed: not found (schedule export of …: POST /api/v4/projects/…/export: 404 P…
export: 2 of 7 ended in 1m32s
  waiting 2, exporting 2, downloading 1, done 1, failed 1
  this minute: exports 0 of 6; next turn in 58s, 1 in line
  ends at 00:21 (in 20m) at the earliest, by GitLab's limits
  group/app                          25% of   20.0 MiB    2.3 MiB/s |======>----------------------|
`)
		s.finish()
		wantText(t, c.String(), `
00:00:10 group/gone failed: not found (schedule export of …: POST /api/v4/projects/…/export: 404 P…
00:01:35 group/site incomplete: 2 issues; 1 label
`)
	})
}

// Every frame at every size fits: no line wraps, and the cursor never leaves the
// screen.
func TestScreenFits(t *testing.T) {
	t.Parallel()
	for _, size := range [][2]int{{1, 1}, {2, 2}, {10, 3}, {20, 5}, {40, 6}, {80, 24}, {300, 60}} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			onScreen(t, size[0], size[1], func(t *testing.T, c *terminal, v view) {
				s := tell(v)
				s.middle()
				for i := range 40 {
					p := project{Name: fmt.Sprintf("группа/日本語 \x1b[2J\x07\u202e\n%d", i), Step: stepDownloading}
					v.change(p)
					v.event(p, porter.Event{Kind: porter.EventProgress, Bytes: 1, Total: []int64{-1, 1 << 40}[i%2]})
				}
				nextFrame()
				_, height := c.size()
				if got := len(c.rows); got > max(height, 2) { // with the failure, which has scrolled
					t.Errorf("%d lines on a screen of %d", got, height)
				}
				if text := c.String(); size[1] == 24 && !strings.Contains(text, "and 23 more transfers") {
					t.Errorf("transfers that have no room are not told:\n%s", text)
				}
				v.change(project{Name: "wide 日本語日本語日本語", Step: stepFailed, Err: notFound(strings.Repeat("\n\x1b[1A日本", 100))})
				s.finish()
			})
		})
	}
}

func TestScreenResized(t *testing.T) {
	t.Parallel()
	onScreen(t, 100, 24, func(t *testing.T, c *terminal, v view) {
		s := tell(v)
		s.middle()
		nextFrame()
		c.resize(40, 6)
		nextFrame()
		wantText(t, c.String(), `
00:00:10 group/gone failed: not found (schedule export of …: POST /api/v4/projects/…/export: 404 P…
export: 2 of 7 ended in 1m32s
  waiting 2, exporting 2, downloading …
  this minute: exports 0 of 6; next tu…
  ends at 00:21 (in 20m) at the earlie…
  group/app      25% of   20.0 MiB    …
`)
		s.finish()
	})
}

func TestScreenManyFailures(t *testing.T) {
	t.Parallel()
	onScreen(t, 60, 10, func(t *testing.T, c *terminal, v view) {
		many(v, 300)
		lines := strings.Split(strings.TrimSpace(c.String()), "\n")
		if len(lines) != 300 {
			t.Fatalf("%d lines, want one for each of 300 failures", len(lines))
		}
		for i, line := range lines {
			if !strings.Contains(line, fmt.Sprintf(" group/p%03d failed: not found (schedule", i)) {
				t.Errorf("line %d is %q", i, line)
			}
		}
	})
}

// A stuck writer is a terminal that was stopped with Ctrl-S.
type stuck chan struct{}

func (s stuck) Write(p []byte) (int, error) {
	<-s
	return len(p), nil
}

func TestScreenStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := make(stuck)
		v := screenOn(out, func() (int, int) { return 80, 24 })
		s := tell(v)
		time.Sleep(time.Second) // the goroutine hangs in its first picture
		s.middle()
		close(out)
		s.finish()
	})
}

// The work may be ended before a single project has begun, and be told of events
// from as many goroutines as there are, one at a time.
func TestScreenRaces(t *testing.T) {
	t.Parallel()
	onScreen(t, 80, 24, func(t *testing.T, c *terminal, v view) {
		v.begin(begin{})
		v.end(nil, 0)
		if got := c.String(); got != "\n" {
			t.Errorf("the screen is not empty at the end: %q", got)
		}
	})
	v := screenOn(new(bytes.Buffer), func() (int, int) { return 80, 24 })
	v.begin(begin{Projects: []project{{Name: "a", Step: stepWaiting}}})
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 1000 {
				mu.Lock()
				v.event(project{Name: "a", Step: stepDownloading}, porter.Event{Kind: porter.EventProgress, Bytes: int64(n), Total: int64(i)})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	v.end(nil, 0)
}

// A terminal without a size is taken for one of 80 columns.
func TestScreenOnFile(t *testing.T) {
	t.Parallel()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v := newScreen(f)
	v.begin(begin{Projects: []project{{Name: "a", Step: stepWaiting}}})
	v.change(project{Name: "a", Step: stepFailed, Err: notFound(strings.Repeat("x", 200))})
	v.end(nil, 0)
	got, err := os.ReadFile(f.Name())
	if err != nil || !bytes.Contains(got, []byte(" a failed: not found (schedule export")) {
		t.Errorf("%q, %v", got, err)
	}
	for line := range strings.FieldsFuncSeq(string(got), func(r rune) bool { return r == '\n' || r == '\r' }) {
		if n := columns(sequence.ReplaceAllString(line, "")); n > 79 {
			t.Errorf("a line of %d columns: %q", n, line)
		}
	}
}
