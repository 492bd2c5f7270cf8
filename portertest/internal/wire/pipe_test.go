package wire

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func pipePair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l := newPipeListener("x.test")
	accepted := make(chan net.Conn)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	client, err := l.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return client, <-accepted
}

// TestPipeCarriesEverything sends random bytes in random pieces both ways at once.
func TestPipeCarriesEverything(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	a, b := pipePair(t)
	var wg sync.WaitGroup
	carry := func(from, to net.Conn, seed uint64) {
		data := make([]byte, 1<<20)
		for i, r := 0, rand.New(rand.NewPCG(seed, 1)); i < len(data); i++ {
			data[i] = byte(r.Uint32())
		}
		wg.Go(func() { write(t, from, data, rand.New(rand.NewPCG(seed, 2))) })
		wg.Go(func() {
			if got := read(t, to, rand.New(rand.NewPCG(seed, 3))); !bytes.Equal(got, data) {
				t.Errorf("got %d other bytes", len(got))
			}
		})
	}
	carry(a, b, seed)
	carry(b, a, seed+1)
	wg.Wait()
}

func write(t *testing.T, to net.Conn, data []byte, sizes *rand.Rand) {
	for len(data) > 0 {
		n := min(1+sizes.IntN(100_000), len(data))
		if m, err := to.Write(data[:n]); m != n || err != nil {
			t.Errorf("wrote %d of %d: %v", m, n, err)
			return
		}
		data = data[n:]
	}
	to.(*pipeConn).CloseWrite()
}

func read(t *testing.T, from net.Conn, sizes *rand.Rand) []byte {
	var got bytes.Buffer
	buf := make([]byte, 100_000)
	for {
		n, err := from.Read(buf[:1+sizes.IntN(len(buf))])
		got.Write(buf[:n])
		if err == io.EOF {
			return got.Bytes()
		}
		if err != nil {
			t.Error(err)
			return nil
		}
	}
}

func TestPipeEnds(t *testing.T) {
	buf := make([]byte, 10)
	t.Run("closed by the peer", func(t *testing.T) {
		a, b := pipePair(t)
		b.Write([]byte("bye"))
		b.Close()
		if n, err := a.Read(buf); n != 3 || err != nil {
			t.Errorf("read %d, %v", n, err)
		}
		if _, err := a.Read(buf); err != io.EOF {
			t.Errorf("then %v", err)
		}
		if _, err := a.Write(buf); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write: %v", err)
		}
	})
	t.Run("reset", func(t *testing.T) {
		a, b := pipePair(t)
		a.Write([]byte("never read"))
		b.Write([]byte("bye"))
		b.Close()
		if n, err := a.Read(buf); n != 3 || err != nil {
			t.Errorf("read %d, %v", n, err)
		}
		if _, err := a.Read(buf); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("then %v", err)
		}
	})
	t.Run("closed by oneself", func(t *testing.T) {
		a, _ := pipePair(t)
		a.Close()
		if _, err := a.Read(buf); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read: %v", err)
		}
		if _, err := a.Write(buf); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write: %v", err)
		}
	})
}

func TestPipeClosedWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		buf := make([]byte, 10)
		a, b := pipePair(t)
		read, written := make(chan error), make(chan error)
		go func() { _, err := a.Read(buf); read <- err }()
		go func() { _, err := a.Write(make([]byte, 2*pipeBuffer)); written <- err }()
		synctest.Wait()
		b.Close()
		if err := <-read; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v", err)
		}
		if err := <-written; !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write: %v", err)
		}
	})
}

func TestPipeListener(t *testing.T) {
	l := newPipeListener("x.test")
	l.Close()
	l.Close()
	if _, err := l.dial(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept: %v", err)
	}
}

func TestPipeDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipePair(t)
		defer a.Close()
		defer b.Close()
		buf := make([]byte, 10)
		start := time.Now()
		a.SetReadDeadline(start.Add(time.Minute))
		if _, err := a.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("read: %v after %v", err, time.Since(start))
		}
		b.Write([]byte("x"))
		if _, err := a.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a passed deadline lets data through: %v", err)
		}
		a.SetReadDeadline(time.Time{})
		if n, err := a.Read(buf); n != 1 || err != nil {
			t.Errorf("without a deadline: %d, %v", n, err)
		}
		start = time.Now()
		a.SetDeadline(start.Add(time.Hour))
		if n, err := a.Write(make([]byte, pipeBuffer+1)); n != pipeBuffer || !errors.Is(err, os.ErrDeadlineExceeded) ||
			time.Since(start) != time.Hour {
			t.Errorf("write: %d, %v after %v", n, err, time.Since(start))
		}
		// A reader that waits already is woken by a new deadline.
		b2, c := pipePair(t)
		defer b2.Close()
		defer c.Close()
		done := make(chan error)
		go func() { _, err := c.Read(buf); done <- err }()
		synctest.Wait()
		c.SetReadDeadline(time.Unix(1, 0))
		if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}
