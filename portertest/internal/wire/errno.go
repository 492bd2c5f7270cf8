//go:build !plan9

package wire

import "syscall"

// A connection in memory fails with the errors of one over TCP. ErrRefused is
// that of a dial.
const (
	ErrRefused = syscall.ECONNREFUSED
	errReset   = syscall.ECONNRESET
	errPipe    = syscall.EPIPE
)
