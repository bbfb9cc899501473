//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// ignoreFileLimit makes a write past the limit on file sizes (ulimit -f) fail as on a full disk; the signal would end the
// process with a trace of its stacks.
func ignoreFileLimit() { signal.Ignore(syscall.SIGXFSZ) }
