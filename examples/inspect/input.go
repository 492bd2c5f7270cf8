package main

import (
	"context"
	"io"
	"os"

	"github.com/seed-5d77b939/porter/portertest"
)

// An input is an archive that is being read. Reading ends with its context.
type input struct {
	name string
	size int64 // -1 if not known beforehand

	ctx   context.Context
	r     io.Reader
	close func() error
	read  int64
	ended bool
}

// open opens the archive that the options name: a file, standard input, what
// GitLab has, or a generated one.
func (o *options) open(ctx context.Context) (*input, error) {
	in := &input{name: o.name, size: -1, ctx: ctx}
	switch {
	case o.client != nil:
		r, err := o.client.OpenExport(ctx, o.project)
		if err != nil {
			o.display.Close()
			return nil, err
		}
		in.r, in.size = r, r.Size()
		in.close = func() error {
			defer o.display.Close()
			return r.Close()
		}
	case o.name == "-":
		in.name, in.r, in.close = "standard input", os.Stdin, func() error { return nil }
	case o.name == "":
		archive := portertest.NewArchive(16 << 20)
		in.name, in.r, in.size, in.close = "a generated archive", archive.NewReader(), archive.Size(), archive.Close
	default:
		f, err := os.Open(o.name)
		if err != nil {
			return nil, err
		}
		in.r, in.close = f, f.Close
		if fi, err := f.Stat(); err == nil && fi.Mode().IsRegular() {
			in.size = fi.Size()
		}
	}
	return in, nil
}

func (in *input) Read(p []byte) (int, error) {
	if in.ctx.Err() != nil {
		return 0, context.Cause(in.ctx)
	}
	n, err := in.r.Read(p)
	in.read += int64(n)
	in.ended = in.ended || err == io.EOF
	return n, err
}

func (in *input) Close() error { return in.close() }

// length returns how many bytes the archive has, or -1 if that is not known
// because it was not read to its end.
func (in *input) length() int64 {
	if in.size < 0 && in.ended {
		return in.read
	}
	return in.size
}
