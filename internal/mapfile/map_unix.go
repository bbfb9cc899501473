//go:build unix

package mapfile

import (
	"os"
	"syscall"
)

// Map maps the first size bytes of f, which must be more than none, read-only and for good.
func Map(f *os.File, size int64) ([]byte, error) {
	if int64(int(size)) != size {
		return nil, syscall.EFBIG
	}
	return syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
}
