//go:build unix

package main

import (
	"os/signal"
	"runtime"
	"syscall"
)

// ignoreFileLimit makes a write past the limit on file sizes (ulimit -f) fail as on a full disk; the signal would end the
// process with a trace of its stacks.
func ignoreFileLimit() { signal.Ignore(syscall.SIGXFSZ) }

// peakMemory returns the largest resident size that this process has had, in bytes, pages of mapped files included; 0 where
// the system doesn't tell.
func peakMemory() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return int64(u.Maxrss)
	}
	return int64(u.Maxrss) * 1024
}
