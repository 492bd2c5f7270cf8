package pace

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A pollLog notes who polled when.
type pollLog struct {
	mu    sync.Mutex
	times []time.Time
	of    map[int][]time.Time
}

func (l *pollLog) note(wait int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.times = append(l.times, time.Now())
	if l.of == nil {
		l.of = make(map[int][]time.Time)
	}
	l.of[wait] = append(l.of[wait], time.Now())
}

// most returns the most polls in any minute.
func (l *pollLog) most() int {
	most, first := 0, 0
	for i, at := range l.times {
		for at.Sub(l.times[first]) >= time.Minute {
			first++
		}
		most = max(most, i+1-first)
	}
	return most
}

// pollAs polls as a wait does, until ctx ends. Its pauses double from the first
// to the last.
func pollAs(ctx context.Context, p *Polls, limit int, log *pollLog, wait int, first, last time.Duration) {
	defer p.Join()()
	for pause := time.Duration(0); p.Wait(ctx, limit, pause) == nil; {
		log.note(wait)
		pause = min(last, max(first, 2*pause))
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// However many wait, none is forgotten, new ones are looked at soon, and the
// limit holds in any minute.
func TestPolls(t *testing.T) {
	const limit, old, young = 90, 500, 60
	synctest.Test(t, func(t *testing.T) {
		p, log := NewPolls(new(Clock)), new(pollLog)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var wg sync.WaitGroup
		for i := range old {
			wg.Go(func() { pollAs(ctx, p, limit, log, i, 2*time.Second, 30*time.Second) })
		}
		time.Sleep(20 * time.Minute)
		begun := map[int]time.Time{}
		for i := range young {
			begun[old+i] = time.Now()
			wg.Go(func() { pollAs(ctx, p, limit, log, old+i, 2*time.Second, 30*time.Second) })
			time.Sleep(10 * time.Second) // six a minute, as exports are scheduled
		}
		wg.Wait()
		if n := log.most(); n > limit {
			t.Errorf("%d polls in a minute", n)
		}
		if n := len(log.times); n < 58*limit {
			t.Errorf("only %d polls in an hour", n)
		}
		var longest, slowest time.Duration
		for i, times := range log.of {
			for n := range times[1:] {
				longest = max(longest, times[n+1].Sub(times[n]))
			}
			if i >= old {
				slowest = max(slowest, times[0].Sub(begun[i]))
			}
		}
		t.Logf("%d polls, the longest pause %v, new ones first seen within %v", len(log.times), longest, slowest)
		if len(log.of) != old+young || longest > 15*time.Minute {
			t.Errorf("%d waits polled, one after %v", len(log.of), longest)
		}
		if slowest > 5*time.Second {
			t.Errorf("a new one was first looked at after %v", slowest)
		}
	})
}

// However often others want to look, a wait has its turn.
func TestPollsOfHurried(t *testing.T) {
	const limit, hurried, slow = 90, 200, 20
	synctest.Test(t, func(t *testing.T) {
		p, log := NewPolls(new(Clock)), new(pollLog)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var wg sync.WaitGroup
		for i := range hurried + slow {
			pause := time.Second
			if i >= hurried {
				pause = 30 * time.Second
			}
			wg.Go(func() { pollAs(ctx, p, limit, log, i, pause, pause) })
		}
		wg.Wait()
		for i := range slow {
			if n := len(log.of[hurried+i]); n < 9 {
				t.Errorf("a slow one of %d polled %d times in an hour", slow, n)
			}
		}
	})
}

// Where there is room, nobody waits.
func TestPollsFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPolls(new(Clock))
		begun := time.Now()
		for range 90 {
			if err := p.Wait(t.Context(), 90, 0); err != nil || time.Since(begun) > 0 {
				t.Fatalf("waited %v: %v", time.Since(begun), err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 59*time.Second)
		defer cancel()
		if err := p.Wait(ctx, 90, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the next one: %v", err)
		}
		if len(p.queue) != 0 {
			t.Errorf("%d wait still", len(p.queue))
		}
		if err := p.Wait(t.Context(), 90, 0); err != nil || time.Since(begun) != time.Minute {
			t.Errorf("the next one after %v: %v", time.Since(begun), err)
		}
	})
}

// limited is what an answer tells of the limit for all requests.
func limited(remaining, observed int, reset time.Time) http.Header {
	h := http.Header{}
	h.Set("RateLimit-Remaining", strconv.Itoa(remaining))
	h.Set("RateLimit-Observed", strconv.Itoa(observed))
	h.Set("RateLimit-Reset", strconv.FormatInt(reset.Unix(), 10))
	return h
}

// What GitLab says is left is made to last until there is more.
func TestPollsLearn(t *testing.T) {
	tests := []struct {
		name   string
		header func(now time.Time) http.Header
		want   int // polls in the ten minutes until the reset
	}{
		{"nothing told", func(time.Time) http.Header { return http.Header{} }, 900},
		{"much is left", func(now time.Time) http.Header { return limited(7000, 200, now.Add(10*time.Minute)) }, 900},
		{"some is left", func(now time.Time) http.Header { return limited(920, 6280, now.Add(10*time.Minute)) }, 200},
		{"a tenth is left", func(now time.Time) http.Header { return limited(720, 6480, now.Add(10*time.Minute)) }, 0},
		{"nothing is left", func(now time.Time) http.Header { return limited(0, 7300, now.Add(10*time.Minute)) }, 0},
		{"a proxy's seconds", func(time.Time) http.Header {
			return http.Header{"Ratelimit-Remaining": {"0"}, "Ratelimit-Observed": {"9"}, "Ratelimit-Reset": {"600"}}
		}, 900},
		{"no number", func(time.Time) http.Header { return http.Header{"Ratelimit-Remaining": {"few"}} }, 900},
		{"over", func(now time.Time) http.Header { return limited(0, 7300, now) }, 900},
		{"far away", func(now time.Time) http.Header { return limited(0, 7300, now.Add(48*time.Hour)) }, 900},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock := new(Clock)
				server := time.Now().Add(3 * time.Hour)
				date(clock, server)
				p, log := NewPolls(clock), new(pollLog)
				p.Learn(tt.header(server))
				ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
				defer cancel()
				var wg sync.WaitGroup
				for i := range 60 {
					wg.Go(func() { pollAs(ctx, p, 90, log, i, 2*time.Second, 30*time.Second) })
				}
				wg.Wait()
				before := 0
				for _, at := range log.times {
					if at.Before(server.Add(-3*time.Hour + 10*time.Minute)) {
						before++
					}
				}
				if before > tt.want || before < tt.want*9/10 {
					t.Errorf("%d polls before the reset, want %d", before, tt.want)
				}
				if after := len(log.times) - before; after < 150 {
					t.Errorf("%d polls in the two minutes after it", after)
				}
			})
		})
	}
}
