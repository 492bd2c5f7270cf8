package portertest

import "syscall"

// Plan 9 has no numbers for errors, only their texts.
const (
	errRefused = syscall.ErrorString("connection refused")
	errReset   = syscall.ErrorString("connection reset by peer")
	errPipe    = syscall.ErrorString("broken pipe")
)
