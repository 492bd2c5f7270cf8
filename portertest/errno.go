//go:build !plan9

package portertest

import "syscall"

// What a connection in memory fails with is what one of TCP does.
const (
	errRefused = syscall.ECONNREFUSED
	errReset   = syscall.ECONNRESET
	errPipe    = syscall.EPIPE
)
