package wire

import "syscall"

// Plan 9 has no numbers for errors, only their texts. ErrRefused is that of a
// dial.
const (
	ErrRefused = syscall.ErrorString("connection refused")
	errReset   = syscall.ErrorString("connection reset by peer")
	errPipe    = syscall.ErrorString("broken pipe")
)
